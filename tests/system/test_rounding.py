"""Sums in float32 on a GPU: the settings of torch in a block, in a fit, and afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import recae
from recae.system import rounding
from recae.system.rounding import full_sums
from tests.gpu.pretend import PretendGPU

CUDA = torch.device("cuda")
FULL = {"tf32": False, "deterministic": True, "benchmark": False, "reduced": False}


def settings() -> dict[str, bool]:
    cudnn: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    return {
        "tf32": cudnn.allow_tf32,
        "deterministic": cudnn.deterministic,
        "benchmark": cudnn.benchmark,
        "reduced": products.allow_bf16_reduced_precision_reduction,
    }


@pytest.fixture(autouse=True)
def before() -> Iterator[dict[str, bool]]:
    found = settings()
    assert found != FULL
    yield found
    assert settings() == found


def test_a_block_changes_them_and_puts_them_back(before) -> None:
    with full_sums(CUDA), full_sums(CUDA):
        assert settings() == FULL
    assert settings() == before
    with pytest.raises(KeyError), full_sums(CUDA):
        raise KeyError
    assert settings() == before


def test_they_stay_until_the_last_thread_has_left() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with full_sums(CUDA):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with full_sums(CUDA):
        thread.start()
        assert inside.wait(60)
    assert settings() == FULL
    leave.set()
    thread.join()


CHOICES = [("", "ieee"), ("", "tf32"), ("cudnn.conv.", "ieee")]


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch has no such names")
@pytest.mark.parametrize(("part", "value"), CHOICES)
def test_a_choice_by_the_newer_names_stays(part: str, value: str) -> None:
    code = f"""
import torch
from recae.system.rounding import full_sums
cudnn = torch.backends.cudnn
torch.backends.{part}fp32_precision = {value!r}
def found():
    return [each.fp32_precision for each in (torch.backends, cudnn, cudnn.conv, cudnn.rnn)]
before = found(), cudnn.deterministic
with full_sums(torch.device("cuda")):
    assert cudnn.deterministic
assert (found(), cudnn.deterministic) == before, (found(), before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_setting_with_two_parts_is_restored() -> None:
    name = "allow_bf16_reduced_precision_reduction"
    products: Any = torch.backends.cuda.matmul
    try:
        split = getattr(products, f"{name}_split_k")
    except AttributeError:
        pytest.skip("it has one part in this version of torch")
    try:
        setattr(products, name, (False, False))
        with full_sums(CUDA):
            pass
        assert not getattr(products, f"{name}_split_k")
    finally:
        setattr(products, name, (True, split))


def test_what_cannot_be_changed_leaves_the_others_as_they_were(monkeypatch, before) -> None:
    def broken():
        yield from list(real())[:2]
        raise RuntimeError("no such setting")

    real = rounding._settings
    monkeypatch.setattr(rounding, "_settings", broken)
    with pytest.raises(RuntimeError, match="no such"), full_sums(CUDA):
        pass
    monkeypatch.undo()
    assert settings() == before
    with full_sums(CUDA):
        assert settings() == FULL


def test_a_cpu_needs_none(before) -> None:
    with full_sums(torch.device("cpu")):
        assert settings() == before


def test_a_fit_is_inside() -> None:
    seen = []
    with PretendGPU():
        model = recae.MultDAE(latent=2, epochs=2)
        run = {"device": "cuda", "progress": False}
        model.fit(recae.testing.planted(), **run, callbacks=lambda _: seen.append(settings()))
    assert seen == [FULL, FULL]


def test_convolutions_are_inside_also_without_a_fit(monkeypatch) -> None:
    images = np.random.default_rng(0).random((6, 8, 8), dtype=np.float32)
    model = recae.Autoencoder(latent=2, channels=(2,), epochs=1)
    seen = []

    def noting(real):
        def noted(*args, **options):
            seen.append(settings())
            return real(*args, **options)

        return noted

    for name in ("conv2d", "conv_transpose2d"):
        monkeypatch.setattr(F, name, noting(getattr(F, name)))
    with PretendGPU():
        model.fit(images, device="cuda", progress=False)
        fitted = len(seen)
        model.inverse_transform(model.transform(images))
    assert len(seen) == fitted + 2 and all(each == FULL for each in seen)
