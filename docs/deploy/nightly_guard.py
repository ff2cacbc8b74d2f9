"""The guard of nightly.py: what a night must fulfil before its lists are used.

Each function adds checks to the `Night`; `Night.settle` stops it where one failed. Change the
limits in the TOML file, and the checks here. docs/nightly.md explains them.
"""

import json
import os
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

import recae
from recae.errors import DataError, RecaeWarning, StorageError

FORMER = 7
"""A night is compared with so many nights before."""
SAMPLE = 20_000
"""The lists of so many users are read again."""
CHECKS = (
    "hours",
    "lost",
    "span",
    "rows",
    "repeats",
    "returning",
    "popular",
    "users",
    "loss",
    "final",
    "listed",
    "coverage",
    "seen",
    "blocked",
    "overlap",
)


@dataclass(frozen=True)
class Guard:
    """What a night must fulfil. Shares are fractions."""

    metric: str = "ndcg@20"  # by which both models are judged
    targets: float = 0.5  # the latest of the new interactions, this share, are the targets
    users: int = 20  # with a target: at least
    drop: float = 0.1  # so much lower than yesterday's model may tonight's be, if by chance
    hours: float = 36  # without new data: at most
    lost: float = 0.05  # share of the known interactions that are missing tonight: at most
    span: float = 3.0  # the time that the data cover may become so many times as long
    least: float = 0.6  # rows of a new day, as a share of what is usual: at least
    most: float = 3.0  # and at most
    repeats: float = 0.25  # so far, as a share of the usual, may the share of rows that repeat a
    # pair be from the usual; and by 1 % of the new rows
    returning: float = 0.25  # new rows of known users, as a share of the usual: at least
    popular: float = 0.75  # popularity of the items of new rows, as a share of the usual: at least
    listed: float = 0.9  # users with a list, as a share of yesterday's: at least
    coverage: float = 0.7  # items in any list, as a share of yesterday's: at least
    overlap: float = 0.3  # share of a user's list that was in yesterday's: at least, on average


class Stopped(Exception):
    """The guard stopped the night."""


def facts_of(folder):
    """What `Night.save` wrote into a folder."""
    try:
        return json.loads((folder / "night.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{folder}/night.json is damaged ({error}): move {folder} away"
        ) from None


def write(path, text):
    """Writes a text file, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


class Night:
    """What one night finds: checks, figures, seconds and the reports of the models."""

    def __init__(self, former, accepted):
        self.former, self.accepted = [facts_of(folder) for folder in former[-FORMER:]], accepted
        self.checks, self.notes, self.facts, self.seconds, self.reports = [], [], {}, {}, {}

    @contextmanager
    def step(self, name):
        print(f"{datetime.now(UTC):%H:%M:%S} {name}", flush=True)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)

    @contextmanager
    def listening(self):
        """Warnings become lines of the log and of the report."""

        def show(message, *_):
            self.notes.append(" ".join(str(message).split()))
            print(f"note: {self.notes[-1]}", flush=True)

        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = show
            yield

    def check(self, name, passed, found):
        self.checks.append({"check": name, "passed": bool(passed), "found": found})

    def settle(self):
        """Raises Stopped if a check failed that nobody has accepted."""
        failed = [c for c in self.checks if not c["passed"] and c["check"] not in self.accepted]
        if failed:
            raise Stopped("; ".join(f"{c['check']}: {c['found']}" for c in failed))

    def save(self, folder, title):
        """Writes night.json and report.md; and report.html, once the models are judged."""
        about = {"title": title, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        for name in ("checks", "accepted", "seconds", "notes"):
            about[name] = getattr(self, name)
        write(folder / "night.json", json.dumps(self.facts | about, indent=2))
        results = [
            (c["check"], "" if c["passed"] else "**failed**", c["found"]) for c in self.checks
        ]
        rows = [("check", "", "found"), ("---", "---", "---"), *results]
        steps = [f"- {name}: {took} s" for name, took in self.seconds.items()]
        notes = [f"- {note}" for note in self.notes]
        table = ["| " + " | ".join(row) + " |" for row in rows]
        text = [f"# {title}", *table, "## Seconds", *steps, "## Notes", *(notes or ["- none"])]
        write(folder / "report.md", "\n".join(text) + "\n")
        if self.reports:
            entries = [recae.report.Entry(name, [one]) for name, one in self.reports.items()]
            lines = [": ".join(filter(None, row)).replace("**", "") for row in results]
            page = folder / "report.html"
            recae.report.html(entries, page, title=title, notes=lines, overwrite=True)


def check_age(job, night, version):
    """Without new data there is nothing to do, for a while."""
    hours = (datetime.now(UTC) - datetime.fromisoformat(version["date"])).total_seconds() / 3600
    night.check("hours", hours <= job.guard.hours, f"no new data for {hours:,.0f} hours")


def check_input(job, night, data, days, before):
    """Checks the input by itself and returns the fold and the training part to judge by.

    New interactions are pairs of a user and an item that the current model was not fitted on. The
    latest of them are the targets, so yesterday's model has seen no target. A pair that comes again
    keeps its former time, and belongs to the history.
    """
    guard, times, former = job.guard, data.times, night.former[-1] if night.former else None
    if before is None:  # the newest day, or the last tenth, is new
        last = np.sort(times)[-max(1, min(data.nnz // 10, [*days.values()][-1]))]
        known = times < last
    else:
        first, last = before.history_.times.min(), before.history_.times.max() + 1
        known, theirs = known_pairs(data, before.history_)
        lost, span = 1 - known.sum() / before.history_.nnz, (times.max() - first) / (last - first)
        night.check("lost", lost <= guard.lost, f"{lost:.1%} of the known interactions are gone")
        night.check("span", span <= guard.span, f"the data cover {span:.2f} times as long")
    fresh = [day for day in days if day not in (former["fitted_on"] if former else [*days][:-1])]
    usual = median([rows for day, rows in days.items() if day not in fresh][-FORMER:] or [0])
    for day in fresh if usual else ():
        night.check(
            "rows",
            guard.least <= days[day] / usual <= guard.most,
            f"{day} has {days[day]:,} rows, usual are {usual:,.0f}",
        )
    if not known.all():
        check_new(job, night, data, known, known & (times >= last))
    times = times if before is None else np.where(known, theirs, times)
    late = np.sort(times[~known & (times >= last)])
    if not len(late):
        night.settle()
        raise DataError("no new interaction is later than those of yesterday: nothing to judge by")
    timed = recae.Interactions(data.matrix, data.users, data.items, times)
    cut = int(late[int(len(late) * (1 - guard.targets))])
    split = recae.GlobalTime(validation=None, test=cut).split(timed)
    return split.test, split.train


def known_pairs(data, before):
    """Which interactions earlier data have too, (nnz,) bool, and the times there, (nnz,)."""

    def codes(some, users, items):
        rows, columns = np.repeat(users, np.diff(some.matrix.indptr)), items[some.matrix.indices]
        return np.where((rows < 0) | (columns < 0), -1, rows * before.n_items + columns)

    ours = codes(data, before.users.lookup(data.users.ids), before.items.lookup(data.items.ids))
    theirs = codes(before, np.arange(before.n_users), np.arange(before.n_items))  # ascending
    places = np.minimum(np.searchsorted(theirs, ours), len(theirs) - 1)
    return theirs[places] == ours, before.times[places]


def check_new(job, night, data, known, again):
    """The new rows must be as usual: none of these figures depends on how many they are."""
    guard, new, items = job.guard, ~known, data.matrix.indices
    users = np.repeat(np.arange(data.n_users), np.diff(data.matrix.indptr))
    old = np.bincount(users[known], minlength=data.n_users)  # rows of each user
    counts = np.bincount(items[known], minlength=data.n_items)
    tonight = {
        "repeats": again.sum() / (new | again).sum(),
        "returning": (old[users[new]] > 0).mean(),
        "popular": counts[items[new]].mean() / max(counts[items[known]].mean(), 1)
        if old.any()
        else 1,
    }
    tonight = {name: float(value) for name, value in tonight.items()}
    usual = {name: median([f[name] for f in night.former] or [tonight[name]]) for name in tonight}
    found = {name: f"{tonight[name]:.3f}, usual is {usual[name]:.3f}" for name in tonight}
    night.facts |= tonight
    night.check(
        "repeats",
        abs(tonight["repeats"] - usual["repeats"]) <= guard.repeats * usual["repeats"] + 0.01,
        f"share of the new rows that repeat a known pair {found['repeats']}",
    )
    night.check(
        "returning",
        tonight["returning"] >= guard.returning * usual["returning"],
        f"share of the new rows that are of known users {found['returning']}",
    )
    night.check(
        "popular",
        tonight["popular"] >= guard.popular * usual["popular"],
        f"popularity of the items of new rows, relative to old rows, {found['popular']}",
    )


def check_models(job, night, first):
    """Tonight's model may not be shown to be worse, nor be far worse by chance."""
    row = recae.compare(night.reports, job.guard.metric, baseline="yesterday").iloc[0]
    users = int(night.reports["tonight"].provenance["users"])
    change = float(row["difference"] / row["mean_b"]) if row["mean_b"] else 0.0
    night.facts |= {"metric": float(row["mean_a"]), "change": change, "judged_users": users}
    night.check("users", users >= job.guard.users, f"{users:,} users have a target")
    night.check(
        "loss",
        row["better"] != "yesterday" and (first or change >= -job.guard.drop),
        f"{job.guard.metric} {row['mean_a']:.4f}, of yesterday's model {row['mean_b']:.4f} "
        f"({change:+.1%}; p = {row['p_mean_holm']:.2g})",
    )


def check_final(job, night, final, fold):
    """The model of all data has seen the targets: it must find them at least as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecaeWarning)  # that it has seen them
        value = recae.evaluate(final, fold, [job.guard.metric])[job.guard.metric]
    night.check(
        "final",
        value >= night.facts["metric"] * (1 - job.guard.drop),
        f"{job.guard.metric} {value:.4f} once it has seen the targets",
    )


def check_lists(job, night, data, path, old):
    """Reads the lists again: everybody, finite scores, nothing seen or blocked, not all new."""
    export = recae.open_export(path)
    export.verify()
    night.facts |= {"list_users": export.users, "list_rows": export.rows}
    if old is not None:
        found = recae.compare_exports(old, path, progress=False)
        night.facts["lists"] = found.to_dict() | {"most_changed": None}
        usual = found.users + found.only_before
        passed = export.users >= usual * job.guard.listed
        night.check("listed", passed, f"{export.users:,} users have a list, yesterday {usual:,}")
        now, usual = found.items_after, found.items_before
        passed = now >= usual * job.guard.coverage
        night.check("coverage", passed, f"{now:,} items are in a list, yesterday {usual:,}")
        passed = not found.users or found.overlap >= job.guard.overlap
        share = f"{found.overlap:.1%} of a list stay, {found.changed:.1%} of the lists have changed"
        night.check("overlap", passed, share)
    some = data.users.ids[:: max(1, data.n_users // SAMPLE)]
    wanted = ds.field("user_id").isin(pa.array(some))
    ours = export.dataset().to_table(filter=wanted).to_pandas()
    seen = data.select_users(data.users.lookup(some)).to_frame()[["user_id", "item_id"]]
    bad = len(ours.merge(seen)) + int((~np.isfinite(ours["score"])).sum())
    night.check("seen", not bad, f"{bad:,} rows are seen items or have no score")
    if isinstance(block := job.rules.get("block"), list):
        bad = int(ours["item_id"].isin(block).sum())
        night.check("blocked", not bad, f"{bad:,} rows are blocked items")
