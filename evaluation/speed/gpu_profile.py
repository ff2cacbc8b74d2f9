"""Where the time of a training step goes on a GPU, for `python -m evaluation.speed gpu`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import scipy.sparse as sp
import torch
from torch.profiler import ProfilerActivity, profile, supported_activities

import recae
from evaluation.speed.gpu_chip import wait
from recae.training import Epoch

ROWS = 20
"""Kernels in the table."""
PLANNED = 20
"""Epochs of the training, so that CUDA graphs are worth it; it ends after the second."""
GRAPHS = ("cudaGraphLaunch", "cuGraphLaunch")
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")


def profiled(
    device: torch.device, matrix: sp.csr_matrix, model: recae.models.NeuralRecommender
) -> dict[str, Any]:
    """The second epoch of a training, profiled: seconds, how long kernels ran, and the largest.

    busy: the share of the seconds in which kernels ran, one after the other; launches, replays of
    CUDA graphs and kernels a batch. On the CPU, and on a GPU whose kernels cannot be traced, the
    operations of torch take the place of kernels: `counted` says which. The seconds are those of a
    profiled epoch, which is slower than others.
    """
    kinds = [ProfilerActivity.CPU]
    if device.type == "cuda" and ProfilerActivity.CUDA in supported_activities():
        kinds.append(ProfilerActivity.CUDA)
    with profile(activities=kinds):  # the first start of a process takes seconds
        torch.ones(1, device=device).add_(1)
        wait(device)
    recorded, moments = profile(activities=kinds), []

    def between(epoch: Epoch) -> bool:
        wait(device)
        if epoch.number == 1:
            recorded.start()
        moments.append(time.perf_counter())
        if epoch.number == 2:
            recorded.stop()
        return epoch.number == 2

    model = model.clone().set_params(epochs=PLANNED)
    model.fit(matrix, device=device, callbacks=between, progress=False)
    batches = -(-matrix.shape[0] // model.get_params()["batch_size"])
    events, on_gpu = recorded.key_averages(), ProfilerActivity.CUDA in kinds
    rows = {}
    for event in events:
        micro = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        own = event.device_type == torch.autograd.DeviceType.CUDA or not on_gpu
        if micro and own and not getattr(event, "is_user_annotation", False):
            rows[event.key] = {"calls": event.count, "seconds": micro / 1e6}
    longest = sorted(rows.items(), key=lambda row: -row[1]["seconds"])
    seconds, ran = moments[1] - moments[0], sum(row["seconds"] for row in rows.values())
    return {
        "counted": "kernels" if on_gpu else "operations of torch",
        "epoch_seconds": round(seconds, 4),
        "busy": round(ran / seconds, 4),
        "batches": batches,
        "replays_a_batch": sum(e.count for e in events if e.key in GRAPHS) / batches,
        "launches_a_batch": sum(e.count for e in events if e.key in LAUNCHES) / batches,
        "kernels_a_batch": sum(row["calls"] for row in rows.values()) / batches,
        "kernels": dict(longest[:ROWS]),
    }


def tell(found: Mapping[str, Any]) -> None:
    """Prints the table."""
    what = found["counted"]
    print(
        f"  an epoch of {found['batches']} batches, profiled: {found['epoch_seconds']:.3f} s, "
        f"{what} ran {found['busy']:.0%} of it; {found['launches_a_batch']:.0f} launches, "
        f"{found['replays_a_batch']:.1f} replays of CUDA graphs and "
        f"{found['kernels_a_batch']:.0f} {what} a batch"
    )
    for name, row in found["kernels"].items():
        share = row["seconds"] / found["epoch_seconds"]
        print(f"  {share:>6.1%} {1e3 * row['seconds']:>9.2f} ms {row['calls']:>7,} x {name[:70]}")
