"""A recommender that is made anew every night. Copy this file and change what you need.

    python nightly.py run job.toml         # one night: read, fit, judge, export, swap `current`
    python nightly.py rollback job.toml    # `current` becomes the version before
    python nightly.py status job.toml      # the versions, and the nights that the guard stopped

`steps` is the night; `Place` is the output folder: its link `current` leads to the newest good
folder of `versions/`, and `stopped/` has reports. The checks are in nightly_guard.py.
docs/nightly.md explains the settings, which are the fields of `Job` and `Guard`.

Exit codes: 0 a new version, or nothing to do; 2 a wrong setting; 3 unusable input; 4 a file cannot
be written; 5 anything else that recae explains; 10 the guard stopped the night; 75 another run is
at work; 130 Ctrl-C. A night that ends with one of the codes 2 to 75 leaves `current` as it was.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tomllib
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nightly_guard import (
    CHECKS,
    Guard,
    Night,
    Stopped,
    check_age,
    check_final,
    check_input,
    check_lists,
    check_models,
    facts_of,
    fitted,
    judged,
    synced,
    write,
)

import recae
from recae.errors import ConfigError, DataError, RecaeError, StorageError


@dataclass(frozen=True)
class Job:
    """What is done every night. Paths are relative to the folder of the TOML file."""

    input: str  # a folder of Parquet, with a file or a folder for each day; or one of recae.ingest
    output: str
    model: str = "ease"
    settings: dict = field(default_factory=dict)  # hyperparameters of the model
    read: dict = field(default_factory=dict)  # arguments of recae.read_parquet, as user = "who"
    k: int = 100
    seed: int = 0
    rules: dict = field(default_factory=dict)  # as JSON has them, see docs/rules.md
    items: str = ""  # a file of facts about items, if the rules need it
    refit: int = 1  # fit every so many nights; else the model only gets the new histories
    keep: int = 7  # so many versions, those that were rolled back not counted
    guard: Guard = field(default_factory=Guard)


class InUse(Exception):
    """Another process works in the output folder."""


CODES = {Stopped: 10, InUse: 75, ConfigError: 2, DataError: 3, StorageError: 4, RecaeError: 5}
CODES |= {OSError: 4, KeyboardInterrupt: 130}


def read_job(path):
    """The Job of a TOML file. Raises ConfigError for unknown names and impossible values."""

    def checked(kind, given, where):
        known = {f.name: f.type for f in fields(kind)}
        for name, value in given.items():
            if name not in known:
                raise ConfigError(f"{where} has no setting {name!r}. Known: {', '.join(known)}")
            number = known[name] in (int, float)
            if not isinstance(value, (int, known[name]) if number else known[name]) or (
                number and (isinstance(value, bool) or not 0 <= value < 1e9)
            ):
                raise ConfigError(f"{name} in {where} cannot be {value!r}")
        if missing := {"input", "output"} & {*known} - {*given}:
            raise ConfigError(f"{where} lacks the setting {min(missing)!r}")
        return kind(**given)

    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None
    if isinstance(given.get("guard"), dict):
        given["guard"] = checked(Guard, given["guard"], f"[guard] of {path}")
    job, here = checked(Job, given, path), Path(path).resolve().parent
    if min(job.k, job.keep, job.refit) < 1 or not 0 < job.guard.targets <= 1:
        raise ConfigError(f"{path}: k, keep and refit must be >= 1, and targets in (0, 1]")
    if not job.input or not job.output or "path" in job.read:
        raise ConfigError(f"{path}: input and output must be folders, and read cannot have a path")
    places = ("input", "output", "items")
    job = replace(job, **{name: str(here / given[name]) for name in places if given.get(name)})
    source, target = Path(job.input).resolve(), Path(job.output).resolve()
    if source == target or source in target.parents:
        raise ConfigError(f"{path}: the output {target} is in the input, and would be read as data")
    return job


class Place:
    """The output folder. `current` leads to the newest version that was not rolled back; if a run
    was killed before it could see to that, the next one does."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.current, self.work = self.folder / "current", self.folder / "work"

    def numbered(self, kind):
        """The folders of `versions` or `stopped`, oldest first. They are complete: see `add`."""
        found = (self.folder / kind).glob("[0-9]*")
        return sorted(path for path in found if path.name.isdigit() and path.is_dir())

    def good(self):
        return [path for path in self.numbered("versions") if not (path / "rolled-back").exists()]

    @contextmanager
    def locked(self):
        """Raises InUse if another process is in here. A killed one is not: its lock is gone."""
        for kind in ("versions", "stopped"):
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"another run is at work in {self.folder}: let it end first") from None
            yield

    def swap(self):
        """Leads `current` to where it belongs, by one rename."""
        if good := self.good():
            if self.current.is_dir() and not self.current.is_symlink():
                raise StorageError(f"{self.current} is a folder, not a link: move it away")
            link = self.folder / ".current"
            link.unlink(missing_ok=True)
            link.symlink_to(Path("versions") / good[-1].name)
            os.replace(link, self.current)
            synced(self.folder)

    def add(self, folder, kind):
        """Gives a finished folder the next number, by one rename."""
        names = [path.name for name in ("versions", "stopped") for path in self.numbered(name)]
        target = self.folder / kind / f"{max(map(int, names), default=0) + 1:06d}"
        os.replace(folder, target)
        synced(target.parent)
        return target

    def prune(self, keep):
        """Deletes what is older than so many good versions, or so many stopped nights."""
        for kind, those in (("versions", self.good()), ("stopped", self.numbered("stopped"))):
            for path in self.numbered(kind):
                if len(those) > keep and path.name < those[-keep].name:
                    os.replace(path, self.folder / f".old-{path.name}")
        for path in self.folder.glob(".old-*"):
            shutil.rmtree(path)


def run(job, accepted=()):
    """One night. Returns a sentence about what was done. Raises Stopped, and what recae raises."""
    place = Place(job.output)
    with place.locked():
        place.swap()
        night = Night(place.good(), sorted(accepted))
        with night.listening(), redirect_stderr(sys.stdout):  # what is left is the reason
            try:
                said = steps(job, place, night)
            except (Stopped, RecaeError, OSError) as error:
                keep_report(job, place, night, error)
                raise
        try:
            if place.work.exists():
                shutil.rmtree(place.work)
            place.prune(job.keep)
        except OSError as error:  # the night has gone well all the same
            print(f"nightly: old files could not be deleted: {error}", file=sys.stderr)
        return said


def keep_report(job, place, night, error):
    """Keeps the report of a night that was stopped, unless it is that of the last one."""
    if isinstance(error, DataError) and "content" in night.facts:
        shutil.rmtree(place.work, ignore_errors=True)  # what is damaged is not used again
    title, last = f"stopped: {error}", place.numbered("stopped")[-1:]
    with suppress(OSError):  # the disk may be full, and the error is worth more
        if not last or facts_of(last[0])["title"] != title:
            folder = place.work / "stopped"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            night.save(folder, title)
            place.add(folder, "stopped")
            place.prune(job.keep)


def steps(job, place, night):
    """read -> check -> compare with yesterday -> fit -> export -> check the lists -> swap. What a
    killed run has finished is not done again, if data and settings are the same."""
    model, rules = checked_settings(job)
    good, work, guard = place.good(), place.work, job.guard
    with night.step("read"):
        before = recae.load(good[-1] / "model", recae.Recommender) if good else None
        data, days = read(job)
        content = digest(job, data, days)
    against = good[-1].name if good else None
    night.facts |= {"content": content, "against": against, "days": days, "guard": asdict(guard)}
    for version in place.numbered("versions"):
        if facts_of(version)["content"] == content and version not in good[:-1]:
            check_age(job, night, facts_of(version))
            night.settle()
            what = "is current" if version in good else "was rolled back"
            return f"nothing to do: version {version.name} of the same data and settings {what}"
    version = begun(work, [content, against, guard.metric, guard.targets, recae.__version__])

    with night.step("check the input"):
        fold, train = check_input(job, night, data, days, before)
    night.settle()

    age = night.former[-1]["age"] + 1 if good else job.refit
    fits = age >= job.refit or repr(before) != repr(model)
    night.facts["age"] = 0 if fits else age
    with night.step("compare with yesterday"):
        night.reports = judged(job, work, fold, train, before, model if fits else before)
        check_models(job, night, first=not good)
    night.settle()

    with night.step("fit"):
        if not (version / "model").exists():
            final = fitted(job, model, data, work / "fit.checkpoint") if fits else before
            final.save(version / "model", with_history=True)
        final = recae.load(version / "model", recae.Recommender)
    with night.step("export"):
        if not (version / "lists" / "_SUCCESS").exists():  # else a killed run got so far
            since = None if fits else good[-1] / "lists"  # only new histories are ranked
            export(job, final, data, version / "lists", rules, since)
    with night.step("check the lists"):
        check_final(job, night, final, fold)
        check_lists(job, night, data, version / "lists", good[-1] / "lists" if good else None)
    night.settle()

    night.save(
        version,
        f"{len(days)} days, {data.nnz:,} interactions, {guard.metric} "
        f"{night.facts['metric']:.4f} ({night.facts['change']:+.1%})",
    )
    for part in version.glob(".*"):  # of a killed run
        shutil.rmtree(part)
    added = place.add(version, "versions")
    place.swap()
    return f"version {added.name} is current"


def checked_settings(job):
    """The model and the rules: what is wrong in the settings is found before the data are read."""
    model = recae.MODELS[job.model](**job.settings)
    model.check_params()
    (metric,) = recae.metrics.parse_metrics([job.guard.metric])
    if not metric.of_hits or recae.metrics.less_is_better(str(metric)):
        raise ConfigError(f"the guard needs a metric of hits, such as ndcg@20, not {metric}")
    return model, recae.Rules.from_json(job.rules, job.items or None) if job.rules else None


def begun(work, stamp):
    """The folder of the version to be; what a killed run left is kept if its stamp is the same."""
    stamp = json.dumps(stamp)
    if not (work / "stamp").exists() or (work / "stamp").read_text() != stamp:
        shutil.rmtree(work, ignore_errors=True)
        (work / "version").mkdir(parents=True)
        write(work / "stamp", stamp)
    return work / "version"


def read(job):
    """All interactions, and the number of rows of each day, by the name of its file or folder."""
    folder = Path(job.input)
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")

    def files():  # those that recae.read_parquet reads
        return {
            f: (f.stat().st_size, f.stat().st_mtime_ns)
            for f in sorted(folder.rglob("*"))
            if f.suffix.lower() in (".parquet", ".pq")
            and not any(part.startswith((".", "_")) for part in f.relative_to(folder).parts)
            and f.is_file()
        }

    days = {}
    try:
        found = files()
        data = recae.read_parquet(folder, **job.read)
        for file in found:
            day = file.relative_to(folder).parts[0]
            days[day] = days.get(day, 0) + pq.read_metadata(file).num_rows
        same = files() == found
    except (FileNotFoundError, pa.ArrowException):
        same = False
    if not same:
        raise DataError(f"{folder} has changed while it was read: run again when it is complete")
    if data.times is None:
        raise DataError(f"{folder} has no column of times, by which new is told from old")
    return data, days or {folder.name: data.nnz}


def digest(job, data, days):
    """Changes with all that a version depends on: data and settings, but not the guard."""
    about = {
        name: value
        for name, value in asdict(job).items()
        if name not in ("guard", "input", "output", "keep")
    }
    about["days"] = days  # an empty day is no data, and no night on which nothing came
    about["items"] = Path(job.items).read_bytes().hex() if job.rules and job.items else ""
    found = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    found.update(data.fingerprint().encode())
    found.update(np.ascontiguousarray(data.times))
    return found.hexdigest()[:16]


def export(job, model, data, path, rules, since):
    """Writes a list for every user; those of `since` are kept where history and rules are equal."""
    how = {"rules": rules, "on_unknown": "popular"}
    try:
        model.export(path, data, job.k, since=since, **how)
    except ConfigError:
        if since is None:
            raise
        model.export(path, data, job.k, overwrite=True, **how)  # other rules, or another k


def rollback(job):
    """Leads `current` to the version before it."""
    place = Place(job.output)
    with place.locked():
        served = place.current.resolve().name
        before = [path for path in place.good() if path.name < served]
        if not before:
            raise DataError(f"{place.folder} has no version before the current one")
        for path in reversed(place.good()[len(before) :]):  # a killed run may have left a newer one
            write(path / "rolled-back", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}\n")
        place.swap()
        return f"version {before[-1].name} is current, {served} was rolled back"


def status(job):
    """A line for each version and each stopped night, the newest last."""
    place, lines = Place(job.output), []
    for path in sorted(
        [*place.numbered("versions"), *place.numbered("stopped")], key=lambda path: path.name
    ):
        state = "current" if path in place.good()[-1:] else "rolled back"
        state = "passed" if path in place.good()[:-1] else state
        facts = facts_of(path)
        lines.append(f"{path.name}  {facts['date']}  {state:<11}  {facts['title']}")
    return "\n".join(lines) or "no night yet"


def main(argv=None):
    """Runs a command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["run", "rollback", "status"])
    parser.add_argument("job", help="a TOML file")
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        choices=CHECKS,
        help="pass the night although this check fails; may be repeated",
    )
    args = parser.parse_args(argv)
    try:
        job = read_job(args.job)
        commands = {
            "run": lambda: run(job, args.accept),
            "rollback": lambda: rollback(job),
            "status": lambda: status(job),
        }
        print(commands[args.command]())
    except tuple(CODES) as error:
        print(f"nightly: {' '.join(str(error).split()) or 'interrupted'}", file=sys.stderr)
        return next(code for kind, code in CODES.items() if isinstance(error, kind))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
