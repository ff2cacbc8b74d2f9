"""Synthetic users: the usefulness of a model fitted on them, and what they leak about real users.

    python -m evaluation synthetic_users DATA

DATA is the folder of MovieLens 1M (ratings.parquet), or of another data set with such a file.
Ratings of 4 and more are kept. 15 % of the users are held out for choosing settings and 15 % for
the test; no model is trained on them. The temperature is the one at which EASE fitted on synthetic
users is best on the validation users, among temperatures whose users are no nearer to training
users than validation users are. Then, for each seed, a MultVAE is fitted, as many synthetic users
as training users are drawn, and compared with the test users (`synthetic_report`). The first seed
also draws four times as many users, users from the posterior of real ones, and users from the
prior. Finally, it interpolates between pairs of test users, along straight and spherical paths.
Results are stored in synthetic-users.json, with a plot.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import recae
from evaluation.kit.provenance import RESULTS, commit, keep, peak_gb
from recae.apply.generate import SyntheticReport, UserGenerator, synthesise, synthetic_report
from recae.apply.generate.interpolation import coherence, kept, mixed, walk
from recae.apply.generate.measures import attack, nearest
from recae.data.splits import Split

TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8)
METRIC = "ndcg@100"
STEPS, LONG = 7, 10


def load(folder: Path) -> recae.Interactions:
    """The ratings of 4 and more, of items and users with 5 or more of them."""
    path = folder / "ratings.parquet"
    if not path.is_file():
        raise recae.DataError(f"{folder} has no ratings.parquet: pass the folder of MovieLens 1M")
    names = pq.read_schema(path).names
    columns = {part: part if part in names else f"{part}_id" for part in ("user", "item")}
    data = recae.read_parquet(path, **columns, weight="rating", time=None)
    return data.filter(min_weight=4, min_per_item=5, min_per_user=5, binarise=True)


def whole(fold: recae.Fold) -> recae.Interactions:
    """The histories of a fold joined with their targets."""
    matrix = fold.history.matrix + fold.target.matrix
    users = fold.history.users
    return recae.Interactions.from_csr(matrix, users=users, items=fold.history.items)


def model_for(users: int) -> recae.MultVAE:
    """Settings by the number of training users, chosen on validation users."""
    if users < 2000:
        return recae.MultVAE(latent=32, hidden=(200,), epochs=60, dropout=0.7)
    return recae.MultVAE(latent=64, hidden=(300,), dropout=0.7, epochs=40, batch_size=200, lr=2e-3)


def downstream_for(users: int) -> list[recae.EASE]:
    """The models to fit on real and on synthetic users, with settings chosen on validation users.

    On few real users l2=100 is much better than 1,000, which would favour synthetic users. On the
    4,224 of MovieLens 1M, 1,000 is the best of these, and trying only this value takes a third of
    the time.
    """
    return [recae.EASE(l2=l2) for l2 in ((100.0, 300.0, 1000.0) if users < 2000 else (1000.0,))]


def choose(model: Any, split: Split) -> tuple[float, list[dict[str, float]]]:
    """The chosen temperature, and the result of each temperature on validation users."""
    assert split.validation is not None
    real, found = split.train.matrix, []
    theirs = nearest(whole(split.validation).matrix, real)
    for temperature in TEMPERATURES:
        made = synthesise(model, split.train.n_users, temperature=temperature)
        fitted = [each.fit(made, progress=False) for each in downstream_for(split.train.n_users)]
        tried = {
            "temperature": temperature,
            METRIC: max(recae.evaluate(one, split.validation, [METRIC])[METRIC] for one in fitted),
            "nearer": attack(nearest(made.matrix[:2000], real), theirs).auc,
        }
        found.append(tried)
        print(tried, flush=True)
    far = [tried for tried in found if tried["nearer"] <= 0.5] or found[-1:]
    return max(far, key=lambda tried: tried[METRIC])["temperature"], found


def stream(generator: UserGenerator, users: int) -> dict[str, float]:
    """Seconds and additional memory of writing this many users to a file."""
    before, started, worked = peak_gb(), time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        rows = generator.write(Path(folder) / "users.parquet", users)
        size = (Path(folder) / "users.parquet").stat().st_size
    seconds = time.perf_counter() - started
    return {
        "users": users,
        "rows": rows,
        "seconds": round(seconds, 1),
        "processor_seconds": round(time.process_time() - worked, 1),
        "file_mb": round(size / 1e6, 1),
        "gb_above": round(peak_gb() - before, 3),
    }


def ways(model: Any, people: recae.Interactions, data: Any, pairs: int) -> dict[str, Any]:
    """Means over pairs of users, step by step, along straight and spherical paths."""
    order = np.random.default_rng(0).permutation(people.n_users)
    pairs = min(pairs, people.n_users // 2)
    a, b = people.matrix[order[:pairs]], people.matrix[order[pairs : 2 * pairs]]
    found: dict[str, Any] = {"pairs": pairs}
    for path in ("straight", "spherical"):
        walks = walk(model, a, b, STEPS, LONG, path)
        one, other = kept(walks.items, 0), kept(walks.items, -1)
        falls = (np.diff(one, axis=1) <= 0).mean(), (np.diff(other, axis=1) >= 0).mean()
        found[path] = {
            "likelihood_a": walks.likelihood_a.mean(0).tolist(),
            "likelihood_b": walks.likelihood_b.mean(0).tolist(),
            "worse_of_both": np.minimum(walks.likelihood_a, walks.likelihood_b).mean(0).tolist(),
            "kept_a": one.mean(0).tolist(),
            "kept_b": other.mean(0).tolist(),
            "steps_that_do_not_turn_back": float(np.mean(falls)),
            "coherence": np.nanmean(coherence(walks.items, data.matrix), axis=0).tolist(),
            "mixed": np.nanmean(coherence(mixed(walks.items), data.matrix), axis=0).tolist(),
        }
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Prints every report; stores the numbers and the plot of the first one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with ratings.parquet")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--pairs", type=int, default=400, help="pairs of users to interpolate between"
    )
    parser.add_argument("--stream", type=int, default=100_000, help="users written to a file")
    parser.add_argument("--picture", type=Path, help="path of the plot of the first report")
    options = parser.parse_args(argv)
    commit()  # the commit of the running code
    data = load(options.data)
    split = recae.StrongGeneralization(held_out=0.15).split(data)
    assert split.validation is not None and split.test is not None
    test, n = whole(split.test), split.train.n_users
    print(f"{split}", flush=True)

    def fit(seed: int) -> recae.MultVAE:
        return model_for(n).fit(split.train, split.validation, seed=seed, progress=False)

    def report(generator: UserGenerator, users: int, seed: int) -> SyntheticReport:
        started = time.perf_counter()
        made = generator.sample(users, seed=seed)
        seconds = time.perf_counter() - started
        found = synthetic_report(split.train, made, test, downstream=downstream_for(n), seed=seed)
        print(
            f"\n{generator}, seed {seed}, {users:,} users in {seconds:.1f} s\n{found}", flush=True
        )
        return found

    first = fit(0)
    accuracy = recae.evaluate(first, split.test, [METRIC])[METRIC]
    temperature, tried = choose(first, split)
    result: dict[str, Any] = {
        "data": repr(data),
        "split": repr(split),
        "model": repr(first),
        f"model_{METRIC}": accuracy,
        "temperature": temperature,
        "on_validation": tried,
        "downstream": [repr(model) for model in downstream_for(n)],
    }
    reports: dict[str, Any] = {}
    for seed in range(options.seeds):
        model = fit(seed) if seed else first
        generator = recae.apply.generate.UserGenerator.fit(
            model, temperature=temperature, seed=seed
        )
        if not seed:
            result["streamed"] = stream(generator, options.stream)
            print(result["streamed"], flush=True)
        found = report(generator, n, seed)
        reports[f"mixture, seed {seed}"] = found.summary()
        if not seed:
            found.plot(options.picture or RESULTS / "synthetic-users.png", overwrite=True)
            reports["mixture, 4 x users"] = report(generator, 4 * n, seed).summary()
    for codes in ("posterior", "prior"):
        generator = recae.apply.generate.UserGenerator.fit(
            first, codes=codes, temperature=temperature
        )
        reports[codes] = report(generator, n, 0).summary()
    result |= {"reports": reports, "ways": ways(first, test, split.train, options.pairs)}
    print(result["ways"])
    if options.picture is None:
        keep("synthetic-users", result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
