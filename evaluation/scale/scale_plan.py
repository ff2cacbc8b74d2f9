"""The plan for a billion interactions in docs/scale.md, computed from the kept measurements.

    python -m evaluation scale_plan            # prints the tables
    python -m evaluation scale_plan --write    # and puts them into docs/scale.md

Each row scales one measured rate up by the formula that the row names. Rates come from
`evaluation/results/scale-*.json` and the other kept results; a row whose measurement is not there
names the command that makes it. Costs are core-hours times an assumed price (`--core-hour`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evaluation.kit.tables import has_result, read_result
from recae.models.linear._solve import SPARE

USERS, ITEMS, INTERACTIONS = 10**8, 10**7, 10**9
PAIRS = 27 * INTERACTIONS
"""Pairs of items of the same user: lengths with a mean of 10 and a lognormal spread of 1."""
K, LATENT, SWEEPS, EPOCHS = 100, 64, 15, 5
CORES, CORE_HOUR = 64, 0.05
"""Cores of the machine of the plan, and the assumed price of a core for an hour, in USD."""
CLOSED = ("EASE", "EDLAE", "SVDAE", "SparseEASE", "ELSA")
GOWALLA, MEASURED_CORES = 40_981, 2
"""Items of the data of closed-forms.json, and the cores it was measured on."""
BUSY = 3.0
"""Load average, with that of the measurement, above which it is marked: the machine was busy."""
PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
BEGIN, END = "<!-- plan -->\n", "<!-- end of plan -->\n"
HEAD = ("stage", "measured", "scaled up by", "core-hours", f"on {CORES} cores", "USD")
MARK = " (busy machine)"

Row = tuple[str, str, str, float | None, int]
"""Stage, measured rate, formula, core-hours, and the cores that it can use."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables, and writes them into the page if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--core-hour", type=float, default=CORE_HOUR, help="USD (%(default)s)")
    parser.add_argument("--write", action="store_true", help="into docs/scale.md")
    options = parser.parse_args(argv)
    text = tables(options.core_hour)
    print(text, end="")
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + text + END + after, encoding="utf-8")
    return 0


def tables(core_hour: float = CORE_HOUR) -> str:
    """The tables of the page, as Markdown."""
    return "\n".join(
        f"{title}\n\n{table}"
        for title, table in (
            ("### Time and cost", times_table(core_hour)),
            ("### Memory and disk", memory_table()),
            ("### Closed forms and what replaces them", closed_table()),
            ("### The largest catalogue of EASE", limits_table()),
        )
    )


def times_table(core_hour: float) -> str:
    """Core-hours, hours on one machine and costs of each stage."""
    lines = []
    for stage, measured, formula, hours, cores in stages():
        cells = ["", "", ""]
        if hours is not None:
            cells = [_short(hours), _time(hours / cores), _short(hours * core_hour)]
        lines.append((stage, measured, formula, *cells))
    return _markdown(HEAD, lines)


def stages() -> Iterator[Row]:
    """Every stage of the plan, in order."""
    yield from (measure() for measure in (ingest, als, pure_svd, mult_vae, elsa, sparse_ease))
    yield from (measure() for measure in (export, *loads(), serve))


def ingest() -> Row:
    """`recae ingest` of all interactions, by one process, which uses two cores at most."""
    stage, formula = "ingest", "interactions"
    if not has_result("scale-ingest"):
        return _missing(stage, "scale_ingest", formula)
    found = read_result("scale-ingest")
    rate = found["rows_a_second"]
    seconds = INTERACTIONS / rate
    return (
        stage,
        _measured(f"{rate:,} rows/s", "scale-ingest", found),
        formula,
        2 * seconds / 3600,
        2,
    )


def als() -> Row:
    """Sweeps of ALS."""
    return _fit(
        "als", f"ALS, {SWEEPS} sweeps", "interactions x factors^2",
        lambda one: SWEEPS * one["seconds"] * INTERACTIONS / one["nnz"],
    )  # fmt: skip


def pure_svd() -> Row:
    """One randomised singular value decomposition."""
    return _fit(
        "pure-svd", "PureSVD", "interactions x factors",
        lambda one: one["seconds"] * INTERACTIONS / one["nnz"],
    )  # fmt: skip


def mult_vae() -> Row:
    """Epochs of Mult-VAE with the sampled softmax: the million-item run where it was kept."""
    stage, formula = f"Mult-VAE, sampled, {EPOCHS} epochs", "interactions x items^s"
    if not (has_result("speed-million") and has_result("speed-scaling")):
        return _missing(stage, "speed million", formula)
    found = read_result("speed-million")
    slope = read_result("speed-scaling")["slopes"]["sampled by items"]
    options, nnz = found["options"], _interactions(found["data"])
    seconds = found["epoch_seconds"] * options["threads"] * INTERACTIONS / nnz
    seconds *= (ITEMS / options["items"]) ** slope
    rate = f"{nnz / found['epoch_seconds']:,.0f} interactions/s at {options['items']:,} items"
    formula += f", s = {slope}"
    return stage, _measured(rate, "speed-million", found), formula, EPOCHS * seconds / 3600, CORES


def elsa() -> Row:
    """Epochs of ELSA, whose loss needs every cell of the matrix of users and items."""
    cells = USERS * ITEMS
    return _fit(
        "elsa", f"ELSA, {EPOCHS} epochs", "users x items x latent",
        lambda one: EPOCHS * one["seconds"] * cells / (one["users"] * one["items"]),
    )  # fmt: skip


def sparse_ease() -> Row:
    """SparseEASE: co-occurrences of items, and one small system for each item."""
    return _fit(
        "sparse-ease", "SparseEASE", "items, or pairs of items of a user",
        lambda one: one["seconds"] * max(ITEMS / one["items"], PAIRS / one["pairs"]),
    )  # fmt: skip


def export() -> Row:
    """Lists for all users over all items."""
    stage, formula = f"export, {K} of all items for each user", "users x items"
    if not has_result("scale-export"):
        return _missing(stage, "scale_export", formula)
    found = read_result("scale-export")
    seconds = 2 * USERS / found["users_a_second"] * ITEMS / found["items"]
    rate = f"{found['users_a_second']:,} users/s of {found['items']:,} items on two cores"
    return stage, _measured(rate, "scale-export", found), formula, seconds / 3600, CORES


def loads() -> list[Callable[[], Row]]:
    """Loading the export into each database that was measured."""

    def load(name: str) -> Row:
        stage, formula = f"load into {name}", "users x k"
        if not has_result("scale-load"):
            return _missing(stage, "scale_load", formula)
        found = read_result("scale-load")
        rate = found["databases"][name]["rows_a_second"]
        measured = _measured(f"{rate:,} rows/s", "scale-load", found)
        return stage, measured, formula, USERS * K / rate / 3600, 1

    known = read_result("scale-load")["databases"] if has_result("scale-load") else ["databases"]
    return [lambda name=name: load(name) for name in known]


def serve() -> Row:
    """A million requests that score all items."""
    stage, formula = "serve a million requests, all items scored", "items"
    if not has_result("speed-ranking"):
        return _missing(stage, "speed ranking", formula)
    found = read_result("speed-ranking")
    items = max(found["items"], key=int)
    rate = found["items"][items]["users_a_second"]["recae"]
    seconds = 1e6 / rate * ITEMS / int(items) * LATENT / found["latent"] * found["threads"]
    measured = f"{rate:,} users/s of {int(items):,} items, {found['latent']} factors, one core"
    return stage, _measured(measured, "speed-ranking", found), formula, seconds / 3600, CORES


def _fit(name: str, stage: str, formula: str, seconds: Callable[[dict[str, Any]], float]) -> Row:
    """A row of `scale_fit`."""
    if not has_result("scale-fit"):
        return _missing(stage, "scale_fit", formula)
    found = read_result("scale-fit")
    one = found["models"][name]
    rate = f"{one['seconds']:g} s for {one['users']:,} x {one['items']:,}, {one['nnz']:,}"
    return stage, _measured(rate, "scale-fit", found), formula, seconds(one) / 3600, CORES


def closed_table() -> str:
    """Quality, time and memory of the closed forms and what replaces them, on the same data."""
    found = read_result("closed-forms")
    names = {one["model"].partition("(")[0]: one for one in found["models"].values()}
    rows = [
        (
            names[name]["model"],
            f"{names[name]['metrics']['recall@20']:.4f}",
            f"{names[name]['seconds']:g}",
            f"{names[name]['peak_gb']:g} GB",
            names[name]["formula"],
            f"{names[name]['largest_catalogue']:,}",
        )
        for name in CLOSED
    ]
    head = ("model", "recall@20", "seconds", "peak", "what must fit", "most items in 24 GB")
    return _markdown(head, rows)


def limits_table() -> str:
    """The most items of EASE by memory, and the time of its inverse there."""
    found = read_result("closed-forms")["models"]["ease"]
    cubed = found["seconds"] * MEASURED_CORES / GOWALLA**3
    rows = []
    for gigabytes in (24, 64, 256, 1024):
        most = {size: int((SPARE * gigabytes * 2**30 / size) ** 0.5) for size in (4, 8)}
        hours = cubed * most[4] ** 3 / 3600
        counts = [f"{round(most[size], -3):,}" for size in (8, 4)]
        rows.append((f"{gigabytes} GB", *counts, f"{_short(hours)} core-hours"))
    head = ("memory", "items in float64", "items in float32", "time in float32, as items^3")
    return _markdown(head, rows)


def memory_table() -> str:
    """Bytes of each stage by its formula."""
    n, items, users = INTERACTIONS, ITEMS, USERS
    rows = [
        ("data folder, on disk", "16 interactions + 16 users + 8 items", 16 * n + 16 * users),
        ("ingest, in memory", "`memory=`, a share of the machine by default", None),
        ("EASE, X'X in float64", "8 items^2", 8 * items**2),
        ("EASE, X'X and weights in float32", "4 items^2", 4 * items**2),
        ("SparseEASE, co-occurrences", "28 x pairs of items of a user", 28 * PAIRS),
        ("ALS", f"4 x {LATENT} (users + items) + 24 interactions",
         4 * LATENT * (users + items) + 24 * n),
        ("PureSVD", f"10 x {LATENT} (users + items) + 20 interactions",
         10 * LATENT * (users + items) + 20 * n),
        ("ELSA, training", f"40 x {LATENT} items", 40 * LATENT * items),
        ("Mult-VAE, sampled, training", f"20 x 2 x {LATENT} items", 40 * LATENT * items),
        ("the same, of each of R processes", "divided by R", None),
        ("export, in memory", f"4 x {LATENT} items + 16 users + a batch of scores",
         4 * LATENT * items + 16 * users),
        ("export, on disk", f"{_row_bytes():.1f} x k x users", int(_row_bytes() * K * users)),
        ("serve", f"5 x {LATENT} items (with the coarse copy)", 5 * LATENT * items),
    ]  # fmt: skip
    return _markdown(
        ("what", "bytes", f"at {users:,} x {items:,}, {n:,}"),
        [(what, formula, "" if size is None else _bytes(size)) for what, formula, size in rows],
    )


def _row_bytes() -> float:
    """Bytes of a row of an export."""
    return float(read_result("scale-export")["bytes_a_row"]) if has_result("scale-export") else 6.0


def _missing(stage: str, command: str, formula: str) -> Row:
    module = f"evaluation.{command}" if command.startswith("speed") else f"evaluation {command}"
    return stage, f"not kept yet: `python -m {module}`", formula, None, 1


def _measured(rate: str, name: str, found: dict[str, Any]) -> str:
    """The rate, its file, and whether other work ran beside it."""
    busy = MARK if found.get("load_average", 0) > BUSY else ""
    return f"{rate} (`{name}.json`){busy}"


def _interactions(data: str) -> int:
    """The number in the repr of Interactions."""
    return int(data.partition(" items, ")[2].partition(" interactions")[0].replace(",", ""))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _short(number: float) -> str:
    """Two significant digits."""
    return f"{float(f'{number:.2g}'):,.10g}"


def _time(hours: float) -> str:
    if hours < 1:
        return f"{_short(max(hours * 60, 0.1))} minutes"
    return f"{_short(hours)} hours" if hours < 100 else f"{_short(hours / 24)} days"


def _bytes(size: float) -> str:
    for unit, step in (("TB", 1e12), ("GB", 1e9)):
        if size >= step:
            return f"{_short(size / step)} {unit}"
    return f"{_short(size / 1e6)} MB"


if __name__ == "__main__":
    raise SystemExit(main())
