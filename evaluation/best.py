"""What `recae.find_best` chooses within a time, and what a full search chooses, side by side.

The full search has more seconds, the same split, and every model that a search can tune on these
data, so that it shows what the short one missed. Both are tested on the same fold; paired tests say
whether the choice of the short one is worse.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import recae
from evaluation.kit.provenance import RESULTS, keep
from recae.evaluation.comparison import verdicts
from recae.tuning import Best
from recae.tuning.candidates import USUAL

MORE = ("user-knn", "rdlae", "infinite-ae", "sparse-ease", "bpr", "elsa", "mult-dae", "rec-vae")
"""Models of the full search beside those of `find_best`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Searches twice, compares the choices, prints and keeps the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a table of interactions, or the name of a known data set")
    parser.add_argument("--seconds", type=float, default=300.0, help="of find_best")
    parser.add_argument("--full-seconds", type=float, default=3600.0, help="of the full search")
    parser.add_argument("--metric", default="ndcg@20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the kept result")
    for name in ("user", "item"):
        parser.add_argument(f"--{name}", default=f"{name}_id", help=f"the column of {name}s")
    parser.add_argument("--weight", default="weight", help="the column of weights; '' for none")
    parser.add_argument("--min-weight", type=float, help="keep interactions of at least this")
    parser.add_argument("--min-per-item", type=int, default=5)
    parser.add_argument("--min-per-user", type=int, default=5)
    options = parser.parse_args(argv)
    data, name = read(options)
    print(f"{name}: {data}", flush=True)

    def search(title: str, seconds: float, models: Sequence[str]) -> Best:
        print(f"\n{title}, {seconds:.0f} s", flush=True)
        return recae.find_best(
            data,
            seconds=seconds,
            metric=options.metric,
            models=models,
            seed=options.seed,
            progress=False,
            on_step=lambda line: print(f"  {line}", flush=True),
        )

    short = search("find_best", options.seconds, USUAL)
    full = search("the full search", options.full_seconds, (*USUAL, *MORE))
    for title, best in (("find_best", short), ("the full search", full)):
        print(f"\n{title}, {best.seconds:.0f} s\n{best.table.to_string(index=False)}")
    chosen = {
        f"find_best ({short.name})": short.report,
        f"full search ({full.name})": full.report,
    }
    said = verdicts(recae.compare(chosen, options.metric))
    print("\n" + "\n".join(said))
    result = {
        "suite": "best",
        "data": f"{name}: {data!r}",
        "protocol": repr(short.protocol),
        "metric": options.metric,
        "seed": options.seed,
        "verdicts": said,
        "per_user": {
            title: " ".join(f"{value:.4f}" for value in report.per_user[options.metric])
            for title, report in chosen.items()
        },
    }
    for title, best in (("find_best", short), ("full", full)):
        table = best.table.astype(object).where(best.table.notna(), None)
        result[title] = {
            "chosen": repr(best.model),
            "seconds": round(best.seconds, 1),
            "models": table.to_dict("records"),
            "verdict": best.verdict.splitlines(),
        }
    print(f"\nkept in {keep(f'best-{name}', result, options.out)}")
    return 0


def read(options: argparse.Namespace) -> tuple[recae.Interactions, str]:
    """The filtered interactions, and a name for them."""
    if Path(options.data).exists():
        path = Path(options.data)
        data = recae.read_table(
            path, user=options.user, item=options.item, weight=options.weight or None
        )
        name = path.name if path.is_dir() else path.parent.resolve().name
    else:
        data, name = recae.load_dataset(options.data).interactions, options.data
    filters = {key: getattr(options, key) for key in ("min_weight", "min_per_item", "min_per_user")}
    return data.filter(**filters), name


if __name__ == "__main__":
    raise SystemExit(main())
