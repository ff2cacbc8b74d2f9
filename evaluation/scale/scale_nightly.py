"""The nightly job on MovieLens 100K: three nights with a bad one, and what its guard stops.

    python -m evaluation scale_nightly DATA [--quick]

DATA has ratings.parquet with the columns user, item, rating and timestamp (ml-100k). Each month is
a day of input. Four parts:

story    docs/deploy/nightly.py as a program: a first night on five months, a good night, a night
         whose new file has its items shifted by one, the same night with the mended file, a third
         night, and a rollback.
faults   each of many planted faults, in each of the three nights: which checks fail. Those that
         fail first stop the night; the others are found by accepting all failures.
chance   good nights of random samples of the users: how many are stopped. And models that are
         worse by known amounts: from which loss on the check `loss` stops them.
kills    a night is killed by SIGKILL at random moments and run again: the model and the lists must
         be those of an undisturbed night.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

import recae
from evaluation.kit.provenance import keep

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
STOPPED = 10
"""The exit code of a night that the guard stopped."""
FIRST = 5
"""The months of the first night."""
JOB = """input = "plays"
output = "out"
model = "ease"
settings = {l2 = 200.0}
read = {user = "user", item = "item", weight = "rating", min_weight = 4.0}
k = 20
"""
Change = Callable[[pd.DataFrame], pd.DataFrame]


class House:
    """The folder of a job: input, settings and output."""

    def __init__(self, folder: Path, months: list[pd.DataFrame], job: str = JOB) -> None:
        self.folder, self.months = folder, months
        self.plays, self.job, self.out = folder / "plays", folder / "job.toml", folder / "out"
        if not folder.exists():
            self.plays.mkdir(parents=True)
            self.job.write_text(job)
            for month in range(FIRST):
                self.deliver(month)

    def deliver(self, month: int, change: Change = lambda frame: frame) -> Path:
        """Writes the file of a month."""
        file = self.plays / f"month-{month}.parquet"
        change(self.months[month]).to_parquet(file, index=False)
        return file

    def copy(self, name: str) -> House:
        """The same state in another folder."""
        target = self.folder.with_name(name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.folder, target, symlinks=True)
        return House(target, self.months)

    def run(self, *more: str) -> int:
        """A night in this process, in silence; its exit code."""
        with open(os.devnull, "w") as nothing:
            with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
                code: int = import_module("nightly").main(["run", str(self.job), *more])
        return code

    def night(self, stopped: bool = False) -> dict[str, Any]:
        """What the current version, or the last stopped night, says of itself."""
        last = sorted((self.out / "stopped").iterdir())[-1:] if stopped else [self.out / "current"]
        found: dict[str, Any] = json.loads((last[0] / "night.json").read_text())
        return found


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if a bad night of the story or a kill went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with ratings.parquet")
    parser.add_argument("--quick", action="store_true", help="a few faults, samples and kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    months = read(options.data)
    sys.path.insert(0, str(DEPLOY))
    start = time.perf_counter()
    no_charts = patch("recae.report.page.can_draw", return_value=False)  # of hundreds of reports
    with tempfile.TemporaryDirectory() as folder, no_charts:
        place, quick = Path(folder), options.quick
        result: dict[str, Any] = {"story": story(House(place / "story", months), quick)}
        houses = before_each_night(House(place / "base", months))
        result["faults"] = faults(houses[:1] if quick else houses, 4 if quick else 1)
        seeds = range(options.seed, options.seed + (1 if quick else 10))
        result["chance"] = chance(place, months, seeds, LOSSES[::4] if quick else LOSSES)
        result["kills"] = kills(houses[0], 3 if quick else 50, options.seed)
    sys.path.remove(str(DEPLOY))
    result["seconds"] = round(time.perf_counter() - start, 1)
    print(f"{result['seconds']} s in all")
    if not options.quick:
        keep("scale-nightly", result)
    codes = [step["code"] for step in result["story"]]
    return int(codes != [0, 0, STOPPED, 0, 0, 0, 0] or result["kills"]["wrong"] > 0)


def read(folder: Path) -> list[pd.DataFrame]:
    """The ratings of each month, from the first on."""
    path = folder / "ratings.parquet"
    if not path.exists():
        raise recae.DataError(f"{folder} has no ratings.parquet: pass the folder of ml-100k")
    frame = pd.read_parquet(path, columns=["user", "item", "rating", "timestamp"])
    months = pd.to_datetime(frame["timestamp"], unit="s").dt.strftime("%Y-%m")
    return [rows for _, rows in frame.groupby(months)]


def story(house: House, quick: bool) -> list[dict[str, Any]]:
    """The nights as a program, with the seconds that each took; if quick, in this process."""
    steps: list[tuple[str, str, Callable[[], Any]]] = [
        ("first night, five months", "run", lambda: None),
        ("a good night", "run", lambda: house.deliver(FIRST)),
        ("items shifted by one", "run", lambda: house.deliver(FIRST + 1, shifted("item"))),
        ("the mended file", "run", lambda: house.deliver(FIRST + 1)),
        ("the next night", "run", lambda: house.deliver(FIRST + 2)),
        ("rolled back", "rollback", lambda: None),
        ("run again, same data", "run", lambda: None),
    ]
    done = []
    for what, command, prepare in steps:
        prepare()
        start = time.perf_counter()
        code, output, error = ran(command, house, quick)
        took = round(time.perf_counter() - start, 2)
        said = "".join((error if code else output).strip().splitlines()[-1:])
        current = (house.out / "current").resolve().name
        step = {"what": what, "code": code, "said": said, "current": current}
        if command == "run":
            night = house.night(stopped=code == STOPPED)
            step |= {"checks": night["checks"], "step_seconds": night["seconds"]}
        done.append(step | {"seconds": took})
        print(f"{what}: code {code}, current {current}, {took} s\n  {said}")
        for check in step.get("checks", []) if "again" not in what else []:
            mark = " " if check["passed"] else "!"
            print(f"  {mark} {check['check']:<10}{check['found']}", flush=True)
    return done


def ran(command: str, house: House, quick: bool) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command."""
    words = [command, str(house.job)]
    if not quick:
        call = [sys.executable, str(DEPLOY / "nightly.py"), *words]
        ended = subprocess.run(call, capture_output=True, text=True)
        return ended.returncode, ended.stdout, ended.stderr
    with contextlib.redirect_stdout(io.StringIO()) as output:
        with contextlib.redirect_stderr(io.StringIO()) as error:
            code: int = import_module("nightly").main(words)
    return code, output.getvalue(), error.getvalue()


def before_each_night(house: House) -> list[House]:
    """The state before each of the three nights."""
    houses = []
    for month in range(FIRST, len(house.months)):
        if house.run():
            raise recae.DataError(f"a good night was stopped: {house.night(True)['title']}")
        houses.append(house.copy(f"before-{month}"))
        house.deliver(month)
    return houses


# Faults of the new file, of all files, and of the settings.


def shifted(column: str) -> Change:
    """Ids plus one."""
    return lambda frame: frame.assign(**{column: frame[column] + 1})


def permuted(column: str) -> Change:
    """Ids that are mapped to each other at random, as by a wrong table of ids."""
    moved = 1 + np.random.default_rng(0).permutation({"user": 943, "item": 1682}[column])
    return lambda frame: frame.assign(**{column: moved[frame[column] - 1]})


def joined_wrongly(frame: pd.DataFrame) -> pd.DataFrame:
    """The items belong to other rows."""
    return frame.assign(item=np.random.default_rng(0).permutation(frame["item"].to_numpy()))


NEW: dict[str, Change] = {
    "empty": lambda frame: frame.head(0),
    "half of the rows": lambda frame: frame.sample(frac=0.5, random_state=0),
    "second half of the time missing": lambda f: f[f["timestamp"] < f["timestamp"].median()],
    "every row four times": lambda frame: pd.concat([frame] * 4),
    "every row twice (harmless)": lambda frame: pd.concat([frame] * 2),
    "items shifted by one": shifted("item"),
    "items mixed up": permuted("item"),
    "users shifted by one": shifted("user"),
    "users mixed up": permuted("user"),
    "users with new ids": lambda frame: frame.assign(user=frame["user"] + 10_000),
    "joined wrongly": joined_wrongly,
    "weights reversed": lambda frame: frame.assign(rating=6 - frame["rating"]),
    "milliseconds": lambda frame: frame.assign(timestamp=frame["timestamp"].astype("int64") * 1000),
    "one date in 2099": lambda frame: frame.assign(
        timestamp=frame["timestamp"]
        .astype("int64")
        .where(frame.index != frame.index[-1], 4_070_908_800)
    ),
    "ids as text": lambda frame: frame.assign(item=frame["item"].astype(str)),
    "a column renamed": lambda frame: frame.rename(columns={"item": "product"}),
    "weights missing": lambda frame: frame.assign(rating=np.nan),
}
ALL: dict[str, Change] = {
    "all items shifted by one": shifted("item"),
    "all users mixed up": permuted("user"),
    "half of all rows": lambda frame: frame.sample(frac=0.5, random_state=0),
    "all weights reversed": lambda frame: frame.assign(rating=6 - frame["rating"]),
}
SETTINGS = {
    "l2 a million times as large": "settings = {l2 = 200000000.0}",
    "random lists": 'model = "random"\nsettings = {}',
}


def broken(file: Path, share: float) -> None:
    """The beginning of a file, as of one that is still being written."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def faults(houses: list[House], every: int) -> list[dict[str, Any]]:
    """What became of each fault, or of every so many, in each night: the exit code and the checks
    that failed."""
    found, number = [], itertools.count()

    def tried(fault: str, prepare: Callable[[House, int], Any]) -> None:
        if next(number) % every:
            return
        codes, stopped, others = [], set[str](), set[str]()
        for month, before in enumerate(houses, FIRST):
            house = before.copy("tried")
            prepare(house, month)
            codes.append(house.run())
            first = failures(house.night(stopped=True)) if codes[-1] == STOPPED else set[str]()
            if codes[-1] == STOPPED:
                names = import_module("nightly_guard").CHECKS
                if not house.run(*(word for name in names for word in ("--accept", name))):
                    others |= failures(house.night()) - first
            stopped |= first
        row = {"fault": fault, "codes": codes, "by": sorted(stopped), "also": sorted(others)}
        found.append(row)
        print(f"{fault:<34}{codes}  {', '.join(row['by']):<28}{', '.join(row['also'])}", flush=True)

    def changed(house: House, change: Change, months: range) -> None:
        for month in months:
            house.deliver(month, change)

    print(f"\n{'fault':<34}{'exit codes':<11}{'stopped by':<28}would also fail")
    tried("none", lambda house, month: house.deliver(month))
    for fault, change in NEW.items():
        tried(fault, lambda h, m, c=change: changed(h, c, range(m, m + 1)))  # type: ignore[misc]
    tried("half of the file's bytes", lambda h, m: broken(h.deliver(m), 0.5))
    tried("no byte yet", lambda h, m: broken(h.deliver(m), 0))
    tried("the month before once more", lambda h, m: shutil.copy(
        h.plays / f"month-{m - 1}.parquet", h.plays / f"month-{m}.parquet"))  # fmt: skip
    for fault, change in ALL.items():
        tried(fault, lambda h, m, c=change: changed(h, c, range(m + 1)))  # type: ignore[misc]
    for fault, text in SETTINGS.items():
        kept = [line for line in JOB.splitlines() if line.split()[0] not in text.split()]
        job = "\n".join([*kept, text])
        tried(fault, lambda h, m, j=job: (h.deliver(m), h.job.write_text(j)))  # type: ignore[misc]
    return found


def failures(night: dict[str, Any]) -> set[str]:
    """The checks that failed."""
    return {check["check"] for check in night["checks"] if not check["passed"]}


LOSSES = [
    ("the same", "settings = {l2 = 200.0}"),
    ("l2 2,000", "settings = {l2 = 2000.0}"),
    ("l2 20,000", "settings = {l2 = 20000.0}"),
    ("SVD of 4", 'model = "pure-svd"\nsettings = {latent = 4}'),
    ("SVD of 1", 'model = "pure-svd"\nsettings = {latent = 1}'),
    ("SVD of 128", 'model = "pure-svd"\nsettings = {latent = 128}'),
    ("l2 0.1", "settings = {l2 = 0.1}"),
    ("l2 0.001", "settings = {l2 = 0.001}"),
    ("random", 'model = "random"\nsettings = {}'),
]
"""Settings of the last night, in place of those of the first."""


def chance(
    place: Path, months: list[pd.DataFrame], seeds: range, losses: list[tuple[str, str]]
) -> dict[str, Any]:
    """Samples of 80 % of the users: how many good nights are stopped, and worse models."""
    good: list[set[str]] = []
    told: dict[str, list[tuple[float, bool]]] = {name: [] for name, _ in losses}
    for seed in seeds:
        users = np.unique(pd.concat(months)["user"])
        kept = np.random.default_rng(seed).choice(users, int(0.8 * len(users)), replace=False)
        some = [month[month["user"].isin(kept)] for month in months]
        shutil.rmtree(place / "sample", ignore_errors=True)
        house = House(place / "sample", some)
        for month in range(FIRST, len(months)):
            code = house.run("--accept", "users")
            good.append(failures(house.night(stopped=code == STOPPED)))
            house.deliver(month)
        before = house.copy("sampled")
        for name, text in losses:
            before.job.write_text(
                "\n".join(
                    line
                    for line in JOB.splitlines()
                    if line.split()[0] not in ("model", "settings")
                )
                + ("\n" if "model" in text else '\nmodel = "ease"\n')
                + text
            )
            trial = before.copy("trial")
            code = trial.run("--accept", "users")
            night = trial.night(stopped=code == STOPPED)
            told[name].append((night["change"], "loss" in failures(night)))
    stops = [names - {"users"} for names in good]
    result: dict[str, Any] = {
        "good_nights": len(good),
        "stopped": sum(map(bool, stops)),
        "by": sorted(set().union(*stops)),
        "too_few_users": sum("users" in names for names in good),
    }
    print(f"\n{result['stopped']} of {len(good)} good nights of samples are stopped", *result["by"])
    for name, pairs in told.items():
        change, share = np.mean([pair[0] for pair in pairs]), np.mean([pair[1] for pair in pairs])
        result.setdefault("losses", []).append(
            {"model": name, "change": round(float(change), 4), "stopped": round(float(share), 3)}
        )
        print(f"{name:<12}{change:+8.1%} in NDCG: stopped in {share:.0%} of {len(pairs)} nights")
    return result


def kills(before: House, times: int, seed: int) -> dict[str, Any]:
    """Kills a night at random moments and runs it again."""
    house = before.copy("undisturbed")
    house.deliver(FIRST)
    start = time.perf_counter()
    house.run()
    length, right, rng = time.perf_counter() - start, content(house), np.random.default_rng(seed)
    found = {"kills": 0, "ended_before": 0, "wrong": 0}
    for _ in range(times):
        house = before.copy("killed")
        house.deliver(FIRST)
        child = os.fork()
        if not child:
            os._exit(house.run())
        time.sleep(float(rng.uniform(0, 1.1 * length)))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        found["kills" if os.WIFSIGNALED(status) else "ended_before"] += 1
        found["wrong"] += house.run() != 0 or content(house) != right
    print(f"\nkilled at random moments of {length:.1f} s: {found}")
    return found


def content(house: House) -> tuple[Any, ...]:
    """The state after a night: the version, its model, its lists, and no leftovers."""
    current = house.out / "current"
    export = recae.open_export(current / "lists")
    names = sorted(path.name for path in house.out.iterdir())
    digests = [part["sha256"] for part in export.manifest["parts"]]
    model = recae.load(current / "model", recae.Recommender).fingerprint()
    return current.resolve().name, model, digests, names


if __name__ == "__main__":
    raise SystemExit(main())
