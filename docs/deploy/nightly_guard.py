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
MEASURE = ("metric", "targets")
"""The settings that tell what is measured: with others, nights cannot be compared."""
CHECKS = (
    "hours",
    "lost",
    "span",
    "rows",
    "repeats",
    "returning",
    "popular",
    "users",
    "level",
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
    level: float = 0.6  # the metric, as a share of the usual: at least
    loss: float = 0.01  # so much lower than yesterday's model may tonight's be, if that is shown
    drop: float = 0.1  # and so much, if it may be chance
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


def synced(folder):
    """Waits until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


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
            note = " ".join(str(message).split())
            if note not in self.notes:
                self.notes.append(note)
                print(f"note: {note}", flush=True)

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
    latest of them are the targets, so yesterday's model has seen no target. Those at the same time
    are in random order: times may be dates.
    """
    guard, times = job.guard, data.times
    check_rows(job, night, days)
    if before is None:  # the newest day, or the last tenth, is new
        last = np.sort(times)[-max(1, min(data.nnz // 10, [*days.values()][-1]))]
        known = times < last
        none = (
            len(days) > 1 and sum(days.values()) == data.nnz
        )  # all rows of all files are distinct
        again = np.zeros(data.nnz, bool) if none else None
    else:
        first, last = before.history_.times.min(), before.history_.times.max()
        known, theirs = known_pairs(data, before.history_)
        again = known & (times > theirs)
        lost = 1 - known.sum() / before.history_.nnz
        night.check("lost", lost <= guard.lost, f"{lost:.1%} of the known interactions are gone")
        all_times = float(max(last, times.max())) - float(min(first, times.min()))
        span = all_times / (last - first + 1)
        night.check("span", span <= guard.span, f"the data cover {span:.2f} times as long")
    new = np.flatnonzero(~known)
    if not len(new):
        night.settle()
        raise DataError("no pair of user and item is new: there is nothing to judge by")
    check_new(job, night, data, known, again)
    order = np.lexsort((np.random.default_rng(job.seed).random(len(new)), times[new]))
    targets = new[order[-max(1, round(len(new) * guard.targets)) :]]
    moments = times.copy()
    moments[targets] = cut = times.max() + 1
    timed = recae.Interactions(data.matrix, data.users, data.items, moments)
    split = recae.GlobalTime(validation=None, test=int(cut)).split(timed)
    return split.test, split.train


def check_rows(job, night, days):
    """New days must have as many rows as others; the others may get more, up to a limit."""
    guard = job.guard
    before = night.former[-1]["days"] if night.former else dict([*days.items()][:-1])
    usual = median([n for day, n in days.items() if before.get(day) == n][-FORMER:] or [0])
    for day, rows in days.items() if usual else ():
        if before.get(day) != rows:
            least = guard.least * usual if day not in before else 0
            night.check(
                "rows",
                least <= rows <= guard.most * usual,
                f"{day} has {rows:,} rows, usual are {usual:,.0f}",
            )


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
    """The new rows must be as usual: none of these figures depends on how many they are.

    again: which pairs came again, (nnz,) bool; None on a first night, unless none ever did.
    """
    guard, new, items = job.guard, ~known, data.matrix.indices
    users = np.repeat(np.arange(data.n_users), np.diff(data.matrix.indptr))
    old = np.bincount(users[known], minlength=data.n_users)  # rows of each user
    counts = np.bincount(items[known], minlength=data.n_items)
    popular = counts[items[new]].mean() / max(counts[items[known]].mean(), 1) if old.any() else 1

    def compared(name, value, what, passed):
        usual = median([f[name] for f in night.former if name in f] or [value])
        night.facts[name] = float(value)
        night.check(name, passed(usual), f"{what} {value:.3f}, usual is {usual:.3f}")

    if again is not None:
        share = again.sum() / (new | again).sum()
        compared(
            "repeats",
            share,
            "share of the new rows that repeat a known pair",
            lambda usual: abs(share - usual) <= guard.repeats * usual + 0.01,
        )
    share = (old[users[new]] > 0).mean()
    compared(
        "returning",
        share,
        "share of the new rows that are of known users",
        lambda usual: share >= guard.returning * usual,
    )
    compared(
        "popular",
        popular,
        "popularity of the items of new rows, relative to old rows,",
        lambda usual: popular >= guard.popular * usual,
    )


def fitted(job, model, data, checkpoint):
    """The model, fitted; a killed fit goes on from its checkpoint, where the model has one."""
    more = {"checkpoint": checkpoint} if model.uses_checkpoint else {}
    return model.fit(data, seed=job.seed, **more)


def judged(job, work, fold, train, before, model):
    """The reports of tonight's settings, fitted without the targets, and of yesterday's model; on
    the first night of popularity."""
    files = [work / "tonight.json", work / "yesterday.json"]
    if not files[1].exists():
        if model is not before:
            model = fitted(job, model, train, work / "judge.checkpoint")
        for file, one in zip(files, (model, before or recae.Popularity().fit(train)), strict=True):
            report = recae.evaluate(one, fold, [job.guard.metric], seed=job.seed)
            report.save(file, per_user=True, overwrite=True)
    return {file.stem: recae.Report.load(file) for file in files}


def check_models(job, night, first):
    """The metric may not be far below the usual, which mixed-up users or items do; and tonight's
    model may not be shown to be worse than yesterday's, nor be far worse by chance."""
    guard = job.guard
    row = recae.compare(night.reports, guard.metric, baseline="yesterday").iloc[0]
    values = night.reports["tonight"].per_user[guard.metric].dropna()
    value, theirs, users = float(row["mean_a"]), float(row["mean_b"]), len(values)
    change = (value - theirs) / theirs if theirs else 0.0
    night.facts |= {"metric": value, "change": change, "judged_users": users}
    night.check("users", users >= guard.users, f"{users:,} users have a target")
    alike = [f for f in night.former if all(f["guard"][n] == getattr(guard, n) for n in MEASURE)]
    usual = median([f["metric"] for f in alike] or [value])
    error = float(np.std(values)) / users**0.5  # of few users
    night.check(
        "level",
        value + 2 * error >= guard.level * usual,
        f"{guard.metric} {value:.4f}, usual is {usual:.4f}",
    )
    shown = row["better"] == "yesterday" and change < -guard.loss
    night.check(
        "loss",
        not shown and (first or change >= -guard.drop),
        f"{guard.metric} {value:.4f}, of yesterday's model {theirs:.4f} "
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
