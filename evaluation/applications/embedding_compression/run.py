"""Item embeddings in 32 to 1,024 bytes: NDCG kept, compared with PCA, quantisation and PQ.

    python -m evaluation embedding_compression DATA --models FOLDER

DATA is a folder with train.parquet, test.parquet and optionally valid.parquet (columns user and
item), such as ml-1m_infae or gowalla. A recommender whose scores are inner products is fitted and
saved in FOLDER for the next run. Its item vectors are compressed by every method of `vector_codecs`
and by `compress_embeddings`, and users get recommendations from the compressed vectors.

For every budget the best variant of a method counts. It is chosen on valid by the metric of the
protocol, or without valid by the squared error of the scores of training users, which uses no
label. Every method except truncation may work in the space where squared errors equal those of
users' scores. The mean vector is free for all methods, because it moves all scores of a user
equally. The test is read once for each budget and method. Shared parts (dictionary, codebooks,
axes) are counted separately: `bytes` are those of an item; `amortised` adds the shared bytes,
divided by the number of items.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import recae
from evaluation.applications.embedding_compression.cases import Case, case, measured, score_error
from evaluation.applications.embedding_compression.picture import curves
from evaluation.applications.embedding_compression.speed import speed
from evaluation.applications.embedding_compression.vector_codecs import METHODS, Decoded
from evaluation.kit.provenance import RESULTS, commit, keep
from recae.apply.compress import compress_embeddings
from recae.apply.compress.embedding_codes import Space

BUDGETS = (32, 64, 128, 256, 1024)
OURS = "sparse codes"
UNITS = (256, 512, 1024)
TRAINING_USERS = 2000
SLOW = {"OPQ": (32, 64, 128)}
"""Methods that are too slow for all budgets; at the others they would be nearly lossless."""


class Small(NamedTuple):
    """Compressed item vectors: the function that scores queries, and the cost."""

    scores: Callable[[np.ndarray], np.ndarray]
    item_bytes: int
    shared_bytes: int
    about: str
    seconds: float


def variants(
    method: str, budget: int, vectors: np.ndarray, users: np.ndarray, units_tried: Sequence[int]
) -> Iterator[Small]:
    """The vectors compressed by a method to this many bytes, one variant after the other."""
    spaces = {"users' errors": Space.of(vectors, users), "plain": Space.of(vectors, None)}
    if method == OURS:
        for units in (u for u in units_tried if u <= len(vectors) // 4):
            started = time.perf_counter()
            small = compress_embeddings(vectors, budget, users=users, units=units)
            about = f"users' errors, {units} units: {small.layout}"
            seconds = time.perf_counter() - started
            scores = small.index().scores
            yield Small(scores, small.bytes_per_item, small.shared_bytes, about, seconds)
        return
    if method == "truncation":
        spaces.pop("users' errors")
    for space_name, space in spaces.items():
        rows = space.inwards(vectors)
        for name, codec in METHODS[method].items():
            started = time.perf_counter()
            found = codec(rows, budget)
            if found is not None:
                yield _small(found, space, f"{space_name}, {name}", time.perf_counter() - started)


def _small(found: Decoded, space: Space, about: str, seconds: float) -> Small:
    decoded = torch.from_numpy(np.ascontiguousarray(found.rows, dtype=np.float32))

    def scores(queries: np.ndarray) -> np.ndarray:
        turned = torch.from_numpy((queries @ space.inverse).astype(np.float32))
        return (turned @ decoded.t()).numpy()

    return Small(scores, found.item_bytes, found.shared_bytes, about, seconds)


def run(
    case: Case, methods: Sequence[str], budgets: Sequence[int], units: Sequence[int], path: Path
) -> dict[str, Any]:
    """Every method at every budget. Results that are in `path` are not computed again."""
    vectors = np.array(case.model.item_embeddings_)
    everybody = case.model.embed_users(case.train)
    some = everybody[np.random.default_rng(1).permutation(len(everybody))[:TRAINING_USERS]]
    exact = some @ vectors.T
    full = measured(case, lambda queries: queries @ vectors.T, case.test)
    result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"rows": []}
    result |= {
        "data": case.name,
        "model": repr(case.model),
        "items": len(vectors),
        "width": vectors.shape[1],
        "test_users": len(full.per_user),
        "metrics": case.metrics,
        "full": full.mean | {"bytes": 4 * vectors.shape[1]},
    }
    done = {(row["method"], row["budget"]) for row in result["rows"]}
    for budget in budgets:
        for method in (m for m in methods if budget in SLOW.get(m, BUDGETS)):
            if (method, budget) in done:
                continue
            tried = []
            for small in variants(method, budget, vectors, everybody, units):
                error = score_error(exact, small.scores(some))
                worth = -error
                if case.validation is not None:
                    worth = measured(case, small.scores, case.validation)[case.metrics[0]]
                print(
                    f"  {method} {budget}: {small.about}: {worth:.5f}, error {error:.5f}",
                    flush=True,
                )
                tried.append((worth, -len(tried), error, small))
            if not tried:
                continue
            _, _, error, best = max(tried, key=lambda each: each[:2])
            report = measured(case, best.scores, case.test)
            row = {
                "method": method,
                "budget": budget,
                "bytes": best.item_bytes,
                "shared_bytes": best.shared_bytes,
                "amortised": round(best.item_bytes + best.shared_bytes / len(vectors), 1),
                "error": round(error, 6),
                "seconds": round(best.seconds, 1),
                "variant": best.about,
                "commit": commit(),
                **{name: round(report[name], 6) for name in case.metrics},
            }
            report.save(_report(path, method, budget), per_user=True, overwrite=True)
            result["rows"].append(row)
            path.write_text(json.dumps(result, indent=2))
            print(json.dumps(row), flush=True)
    full.save(_report(path, "uncompressed", 0), per_user=True, overwrite=True)
    result["paired"] = paired(case, result["rows"], path)
    return result


def _report(path: Path, method: str, budget: int) -> Path:
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    return folder / f"{method.replace(' ', '-').replace(',', '')}-{budget}.json"


def steps(case: Case, size: int) -> list[dict[str, Any]]:
    """The effect of each step of the sparse codes, at one budget, with 256 units.

    Measured on the validation users if there are any; the autoencoder's own codes come first.
    """
    vectors, users = np.array(case.model.item_embeddings_), case.model.embed_users(case.train)
    some = users[np.random.default_rng(1).permutation(len(users))[:TRAINING_USERS]]
    found = []
    for about, rounds, seen in (
        ("the autoencoder's own codes", 0, users),
        ("codes by pursuit", 1, users),
        ("codes and dictionary refined", 6, users),
        ("the same, without the users' vectors", 6, None),
    ):
        small = compress_embeddings(vectors, size, users=seen, units=256, rounds=rounds)
        scores = small.index().scores
        row = {"codes": about, "error": score_error(some @ vectors.T, scores(some))}
        if case.validation is not None:
            row |= measured(case, scores, case.validation).mean
        found.append(row)
        print(row, flush=True)
    return found


def paired(case: Case, rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Our codes against every other method of the same budget, over the users of the test."""
    found = []
    for budget in sorted({row["budget"] for row in rows}):
        names = [row["method"] for row in rows if row["budget"] == budget]
        if OURS not in names or len(names) < 2:
            continue
        reports = {name: recae.Report.load(_report(path, name, budget)) for name in names}
        reports["uncompressed"] = recae.Report.load(_report(path, "uncompressed", 0))
        for metric in case.metrics:
            table = recae.compare(reports, metric, baseline=OURS)
            found += [{"budget": budget} | row for row in table.to_dict("records")]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a row for every method and budget, and which is better."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--models", type=Path, required=True, help="folder that keeps work")
    parser.add_argument("--users", type=int, default=0, help="test users to draw; 0 for all")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--units", default=",".join(map(str, UNITS)), help="dictionaries to try")
    parser.add_argument("--methods", default=",".join((OURS, *METHODS)).replace(", ", "; "))
    options = parser.parse_args(argv)
    options.models.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    budgets = [int(budget) for budget in options.budgets.split(",")]
    methods = [name.replace("; ", ", ") for name in options.methods.split(",")]
    found = case(options.data, options.models, options.users)
    print(f"{found.name}: {found.model!r}", flush=True)
    path = options.models / f"{found.name}.json"
    units = [int(number) for number in options.units.split(",")]
    result = run(found, methods, budgets, units, path)
    result["steps"] = steps(found, 64)
    result["speed"] = speed(found.model, found.train, 64)
    name = f"embedding-compression-{found.name.replace('_', '-')}"
    keep(name, result)
    curves(result, RESULTS / f"{name}.png")
    for row in result["paired"]:
        print({key: row[key] for key in ("budget", "metric", "a", "b", "difference", "better")})
    print(json.dumps(result["speed"], indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
