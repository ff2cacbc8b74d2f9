"""The tables of costs: seconds, memory, and other libraries in comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from evaluation.kit.tables import Table


def epoch(result: dict[str, Any]) -> Table:
    """An epoch of Mult-VAE on every side."""
    rows = [
        [
            side,
            f"{about['median_seconds']:.2f} s",
            _spread([one["seconds"] for one in about["rounds"]]),
            _against(result, side, "recae"),
            f"{about['above_bare_gb']:.2f} GB",
        ]
        for side, about in result["sides"].items()
    ]
    rounds = len(next(iter(result["sides"].values()))["rounds"])
    text = (
        f"`python -m evaluation.speed epoch DATA`. {result['data']}; layers of {result['hidden']}, "
        f"{result['latent']} and {result['hidden']}, {result['batch']} users per batch, "
        f"{_threads(result)}, {rounds} alternating rounds. Exact softmax everywhere; `recae` in "
        "float32. Ratios are medians of pairs. Memory is the peak above the imports alone."
    )
    head = ["side", "an epoch", "from, to", "times as long as recae", "memory"]
    return f"An epoch of Mult-VAE: {_users(result['data'])}", text, head, rows


def beside_recbole(result: dict[str, Any]) -> Table:
    """The first comparison with RecBole; `recae-fast` had other settings then."""
    title, text, head, rows = time_to_quality(result)
    text = text.replace("quality.png", "quality-recbole.png").replace(
        "The test was used",
        "Measured before `start='svd'` existed: `recae-fast` started from random weights and "
        "missed 0.1641 on the test. The test was used",
    )
    return f"{title}, with RecBole", text, head, rows


def time_to_quality(result: dict[str, Any]) -> Table:
    """From the raw table to a target quality."""
    rows = [
        [
            side,
            _seconds(about["seconds_to_target"]) if about["seconds_to_target"] else "not reached",
            _seconds(about["seconds_to_best"]),
            f"{about['best']:.4f}",
            f"{about['test']:.4f}",
            str(about["epochs"]),
        ]
        for side, about in result["sides"].items()
    ]
    ratios = "; ".join(f"{pair}: {ratio:.1f} times" for pair, ratio in result["ratios"].items())
    ratios = ratios or "Sides measured separately have no ratios"
    text = (
        "`python -m evaluation.speed time_to_quality DATA`. Seconds from reading the Parquet "
        f"table, with {_threads(result)}. Validation after every epoch on a tenth of the training "
        f"pairs, until Recall@20 is {result['target']}. RecBole's MultiVAE has its own defaults "
        f"and runs until it stops or for {result['cap_seconds']:.0f} s. The test was used once, "
        "after all sides had ended. "
        f"{ratios}.\n\n![Curves](../evaluation/results/speed-time-to-quality.png)"
    )
    head = ["side", "to the target", "to its best", "best on validation", "test", "epochs"]
    return "Time from a raw table to Gowalla's Recall@20", text, head, rows


def sampled(result: dict[str, Any]) -> Table:
    """Sampled against full softmax."""
    rows = [
        [
            side,
            f"{about['epoch_seconds']:.1f} s",
            f"{about['best']:.4f}",
            f"{about['test']:.4f}" if "test" in about else "",
        ]
        for side, about in result["sides"].items()
    ]
    text = (
        f"`python -m evaluation.speed sampled DATA`. {result['data']}, {_threads(result)}; the "
        f"same settings, {result['settings']['epochs']} epochs. `sampled` draws 4,000 items per "
        f"update and keeps {result.get('share_of_quality', 0):.2%} of the test quality at "
        f"{result.get('speed_up', 0):.2f} times the speed per epoch."
    )
    return (
        "Sampled softmax on Gowalla",
        text,
        ["softmax", "seconds per epoch", "validation Recall@20", "test"],
        rows,
    )


def scaling(result: dict[str, Any]) -> Table:
    """Cost of an epoch as users or items grow."""
    rows = [
        [by, output, f"{int(size):,}", f"{median(seconds):.2f} s"]
        for by, curves in result["seconds"].items()
        for output, curve in curves.items()
        for size, seconds in curve.items()
    ]
    slopes = "; ".join(f"{name}: {slope:.2f}" for name, slope in result["slopes"].items())
    text = (
        "`python -m evaluation.speed scaling`. Synthetic users; exponents of a power law through "
        f"the medians (0 is flat, 1 linear): {slopes}.\n\n"
        "![Cost](../evaluation/results/speed-scaling.png)"
    )
    return "Cost of an epoch as data grow", text, ["grows", "softmax", "size", "an epoch"], rows


def million(result: dict[str, Any]) -> Table:
    """A million items, five million users."""
    rows = [
        [who, *(f"{about[name]:.1%}" for name in ("model", "popularity", "chance"))]
        for who, about in result["taste"].items()
    ]
    text = (
        f"`python -m evaluation.speed million`. {result['data']}; `{result['model']}`: "
        f"{result['epoch_seconds']:.0f} s per epoch with {result['options']['threads']} thread(s), "
        f"{len(result['epochs'])} epochs, peak memory {result['peak_gb']:.2f} GB. The share of the "
        "top 10 in the planted groups of the user:"
    )
    return "A million items", text, ["users", "model", "most popular", "at random"], rows


def ranking(result: dict[str, Any]) -> Table:
    """Top-k lists of all users, compared with the bare product and implicit."""
    rows = []
    solved = any("als" in about["users_a_second"] for about in result["items"].values())
    for n_items, about in result["items"].items():
        for side, rate in about["users_a_second"].items():
            rows.append([f"{int(n_items):,}", side, f"{rate:,.0f}", _against(about, side, "recae")])
    text = (
        f"`python -m evaluation.speed ranking`. {result['users']:,} users, top {result['k']}, "
        f"{result['latent']} dimensions, {_threads(result)}; `product` is `torch.mm` of the "
        "factors alone, `implicit` its ALS on the same factors. "
        + ("`als` and `implicit-new` also solve the equations of every user. " if solved else "")
        + "Above 1 means slower than recae (`PureSVD`), which uses oneDNN products where they are "
        "faster than `torch.mm`. The ids equal those of a full sort.\n\n"
        "![Cost](../evaluation/results/speed-ranking.png)"
    )
    return (
        "Top-k lists of all users",
        text,
        ["items", "side", "users per second", "times as long"],
        rows,
    )


def latency(result: dict[str, Any]) -> Table:
    """One new user's top 10."""
    rows = [
        [items, way, *(f"{found[name]:.2f} ms" for name in ("p50", "p99", "longest"))]
        for items, about in result["sides"].items()
        for way, found in about["rounds"][-1]["milliseconds"].items()
    ]
    beside = f", with {result['busy']} busy processes" if result["busy"] else ""
    command = "latency" + (f" --busy {result['busy']}" if beside else "")
    text = (
        f"`python -m evaluation.speed {command}`. "
        f"{result['calls']:,} calls, {result['latent']} dimensions, {_threads(result)}{beside}."
    )
    return f"One new user's top 10{beside}", text, ["items", "way", "p50", "p99", "longest"], rows


def evaluating(result: dict[str, Any]) -> Table:
    """Evaluation end to end."""
    rows = [
        [side, f"{about['median_seconds']:.2f} s", _against(result, side), _gb(about)]
        for side, about in result["sides"].items()
    ]
    text = (
        f"`python -m evaluation.speed evaluate`. {result['data']}, the same {result['latent']} "
        f"factors everywhere, {_threads(result)}. LensKit and `recae-few` evaluate "
        f"{result['lenskit_users']:,} of the users."
    )
    return "Evaluation end to end", text, ["side", "seconds", "times as long", "memory"], rows


def closed_form(result: dict[str, Any]) -> Table:
    """The inverse of EASE."""
    rows = [
        [
            f"{int(items):,}",
            side,
            f"{about['median_seconds']:.1f} s",
            _against(found, side, "recae"),
            f"{about['above_bare_gb']:.2f} GB",
            f"{about['matrices']:.2f}",
        ]
        for items, found in result["items"].items()
        for side, about in found["sides"].items()
    ]
    text = (
        f"`python -m evaluation.speed closed_form DATA`. The most popular items of Gowalla, "
        f"{_threads(result)}; `numpy` is `numpy.linalg.inv`, which always computes in float64, "
        "like `recae-float64`. Memory above the imports, in GB and in item-item matrices of "
        "float32.\n\n![Cost](../evaluation/results/speed-closed-form-gowalla.png)"
    )
    head = ["items", "side", "seconds", "times as long as recae", "memory", "matrices"]
    return "The inverse of EASE", text, head, rows


def _against(result: dict[str, Any], side: str, ours: str | None = None) -> str:
    """The median ratio of a side to ours, with its spread."""
    for pair, ratio in result["ratios"].items():
        a, _, b = pair.partition(" / ")
        if a == side and (ours is None or b == ours):
            to = "" if ours else f" of {b}"
            return f"{ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f}){to}"
    return ""


def _users(data: str) -> str:
    return data.partition("(")[2].partition(" items")[0] + " items"


def _threads(result: dict[str, Any]) -> str:
    return "one thread" if result["threads"] == 1 else f"{result['threads']} threads"


def _spread(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.2f}, {max(seconds):.2f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s"


def _gb(about: dict[str, Any]) -> str:
    return f"{about['above_bare_gb']:.2f} GB"


TABLES: dict[str, Callable[[dict[str, Any]], Table]] = {
    "speed-epoch-gowalla": epoch,
    "speed-epoch-ml-1m": epoch,
    "speed-time-to-quality-recbole": beside_recbole,
    "speed-time-to-quality": time_to_quality,
    "speed-sampled": sampled,
    "speed-scaling": scaling,
    "speed-million": million,
    "speed-ranking": ranking,
    "speed-latency": latency,
    "speed-latency-busy-2": latency,
    "speed-evaluate": evaluating,
    "speed-closed-form-gowalla": closed_form,
}
"""Name of a stored result -> the maker of its table, in the order of docs/results.md."""
