"""Entry: one model of a report, with its reports for one or more seeds, its costs and its files.

entry/entry.json      format, version of recae, all but the reports, the SHA-256 of that, and the
                      SHA-256 of every other file
entry/report-1.json   the report of the first seed, with the file of its values per user beside it
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from recae.data.splits import Fold
from recae.errors import ConfigError, DataError, RecaeError, StorageError, explained
from recae.estimators.saved import CANNOT
from recae.evaluation import Report
from recae.evaluation.same_data import check_same_data, fingerprints
from recae.metrics import uses_weights
from recae.system.digests import check_digests, digests, reason, sha256_of_json
from recae.system.files import as_path, atomic_directory, plain
from recae.system.machine import __version__

FORMAT = 1
ENTRY = "entry.json"


@explained
@dataclass(frozen=True)
class Published:
    """A published figure of one metric.

    value: a fraction; source: the paper or file it was read in; comparable: whether its protocol is
    the one of the report; note: differences in the protocol, or other remarks.

    >>> recae.report.Published(0.2214, "Sachdeva et al. 2022, table 1").comparable
    True
    """

    value: float
    source: str
    comparable: bool = True
    note: str = ""


@explained
@dataclass(frozen=True)
class Entry:
    """A model in a report.

    name: how it is called there, unique. reports: one for each seed, at least one. fit_seconds: one
    for each report (of the fit of the settings alone). tuning_seconds: of choosing the settings.
    peak_gb: the most memory of the process, in 10^9 bytes. epochs: of the first fit, `{"number",
    "loss", "seconds", "metrics": {name: value}}` each. trials: of choosing the settings,
    `{"params": {...}, "value", "seconds", "state"}` each. published: metric -> figure. provenance:
    where it all comes from.

    >>> values = pd.DataFrame({"ndcg@5": [0.5, 0.7]}, index=[1, 2])
    >>> entry = recae.report.Entry("ease", [recae.Report("EASE()", values)])
    >>> entry.value("ndcg@5")
    0.6
    """

    name: str
    reports: Sequence[Report]
    fit_seconds: Sequence[float] = ()
    tuning_seconds: float | None = None
    peak_gb: float | None = None
    epochs: Sequence[Mapping[str, Any]] = ()
    trials: Sequence[Mapping[str, Any]] = ()
    published: Mapping[str, Published] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        several = isinstance(self.reports, Sequence) and not isinstance(self.reports, str)
        if not several or not all(isinstance(report, Report) for report in self.reports):
            raise ConfigError(
                f"the entry {self.name!r} needs a list of reports, one for each seed",
                parameter="reports",
                value=self.reports,
            )
        if not self.reports:
            raise ConfigError(f"the entry {self.name!r} has no report", parameter="reports")
        seconds = self.fit_seconds
        if not np.iterable(seconds) or not all(map(_is_seconds, seconds)):
            raise ConfigError(
                f"the entry {self.name!r} needs a list of fit_seconds, one for each report",
                parameter="fit_seconds",
                value=self.fit_seconds,
            )

    def value(self, metric: str) -> float:
        """The metric's mean over users, and over the seeds. Raises ConfigError for an unknown one.

        >>> entry.value("ndcg@5")
        0.6
        """
        return float(np.mean([report[metric] for report in self.reports]))

    @property
    def seconds(self) -> float | None:
        """The median of the seconds of a fit that are known, None if none is."""
        known = [took for took in self.fit_seconds if took is not None and np.isfinite(took)]
        return float(np.median(known)) if known else None

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the entry to a directory of its own, whole or not at all. Returns the path.

        The directory holds `entry.json` and a report for each seed, with its values per user.
        overwrite: an entry that is there is replaced. NaN becomes None. Raises StorageError if it
        cannot be written, DataError for values that JSON cannot represent.

        >>> entry.save("ease").name
        'ease'
        """
        about = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "reports"}
        about["published"] = {name: asdict(figure) for name, figure in self.published.items()}
        try:
            entry = json.loads(json.dumps(_finite(about), default=plain, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise DataError(f"the entry {self.name!r} cannot be saved: {error}") from error
        with atomic_directory(folder, overwrite=overwrite, marker=ENTRY) as part:
            names = [f"report-{number}.json" for number in range(1, len(self.reports) + 1)]
            for name, report in zip(names, self.reports, strict=True):
                report.save(part / name, per_user=True)
            content = {
                "format": FORMAT,
                "recae": __version__,
                "entry": entry,
                "sha256": sha256_of_json(entry),
                "reports": names,
                "files": digests(part),
            }
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (part / ENTRY).write_text(text + "\n", encoding="utf-8")
        return as_path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Entry:
        """The entry that `save` wrote.

        Raises StorageError for a directory without an entry, and for one that is not whole: a file
        missing, altered, or there without being part of it.

        >>> recae.report.Entry.load(entry.save("saved")).value("ndcg@5")
        0.6
        """
        folder = as_path(folder)
        try:
            text = (folder / ENTRY).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise StorageError(f"{folder} holds no entry: {error}") from error
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise StorageError(
                    f"{folder} has format {content['format']}; this recae {__version__} reads "
                    f"format {FORMAT}: it was saved by recae {content.get('recae')}, save it again"
                )
            if sha256_of_json(content["entry"]) != content["sha256"]:
                raise ValueError(f"{ENTRY} is not what was saved")
            names, files = list(content["reports"]), dict(content["files"])
            check_digests(folder, files)
            more = {file.name for file in folder.iterdir()} - {ENTRY, *files}
            if more:
                raise ValueError(f"{min(more)} is not part of the entry: remove it")
            if unlisted := {*names} - {*files}:
                raise ValueError(f"{min(unlisted)} is missing")
            about = dict(content["entry"])
            published = {name: Published(**figure) for name, figure in about["published"].items()}
            reports = [Report.load(folder / name) for name in names]
            return cls(**(about | {"published": published, "reports": reports}))
        except StorageError:
            raise
        except (*CANNOT, RecaeError) as error:
            raise StorageError(
                f"{folder / ENTRY} cannot be loaded: {reason(error)}; measure again and save it "
                "again"
            ) from error


@explained
def load_entries(folder: str | Path, *, target: str | Fold | None = None) -> list[Entry]:
    """The entries of a folder that holds a directory for each, in the order of their names.

    target: the fold that they must have been measured on, such as `split.test`, or the fingerprint
    of its targets, `split.test.target.fingerprint()`. Every directory must be a whole entry (hidden
    ones are no entries: a killed writer may leave one behind); files beside them do not matter.
    Raises StorageError for a folder that is absent or without entries and for a directory that is
    not an entry. Raises DataError if they were measured on other data than each other or than
    `target`.

    >>> values = pd.DataFrame({"ndcg@5": [0.5, 0.7]}, index=[1, 2])
    >>> import pathlib
    >>> pathlib.Path("results").mkdir()
    >>> for name in ("ease", "als"):
    ...     path = recae.report.Entry(name, [recae.Report(name, values)]).save(f"results/{name}")
    >>> [entry.name for entry in recae.report.load_entries("results")]
    ['als', 'ease']
    """
    places = entry_places(folder)
    if not places:
        raise StorageError(
            f"{folder} holds no entry: save one there with Entry.save, or with recae evaluate "
            f"--entries {folder}"
        )
    entries = sorted((Entry.load(place) for place in places), key=lambda entry: entry.name)
    check_entries(entries)
    if target is not None:
        check_measured(entries, target)
    return entries


def entry_places(folder: str | Path) -> list[Path]:
    """The directories of a folder that should each hold an entry, in the order of their names.

    Raises StorageError if it cannot be read, or is an entry itself.
    """
    folder = as_path(folder)
    if (folder / ENTRY).is_file():
        raise StorageError(f"{folder} is itself an entry: pass the folder that contains it")
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise StorageError(f"could not read the folder {folder}: {error.strerror}") from error


def check_measured(entries: Sequence[Entry], on: str | Fold) -> None:
    """Raises DataError for an entry that was measured on other data than those.

    on: the fingerprint of the targets, or the fold, whose mask and history must then be those of
    the entries too.
    """
    remedy = "the data have changed since; evaluate the model again"
    for entry in entries:
        found = entry.reports[0].provenance
        if isinstance(on, Fold):
            now = fingerprints(on)
        else:
            now = {**found, "target": on, "target_pairs": on}
        check_same_data({"the data of now": now, repr(entry.name): found}, remedy=remedy)


def _is_seconds(value: object) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return value is None or number


def check_entries(entries: Iterable[Entry]) -> list[Entry]:
    """The entries of a report as a list: at least one, names apart, all measured on the same data.

    Raises ConfigError for no entry, for anything else than entries and for a repeated name;
    DataError, with both sides, where targets, histories or masks differ.
    """
    if not isinstance(entries, Iterable) or isinstance(entries, Entry):
        raise ConfigError(
            f"a report needs a list of recae.report.Entry objects, not {type(entries).__name__}",
            parameter="entries",
            value=entries,
        )
    entries = list(entries)
    if not entries:
        raise ConfigError("there are no entries to show: give at least one recae.report.Entry")
    names: set[str] = set()
    for entry in entries:
        if not isinstance(entry, Entry):
            raise ConfigError(
                f"a report needs recae.report.Entry objects, not {type(entry).__name__}"
            )
        if entry.name in names:
            raise ConfigError(f"two entries are called {entry.name!r}: rename one")
        names.add(entry.name)
    provenances = {
        f"report {number} of {entry.name!r}": report.provenance
        for entry in entries
        for number, report in enumerate(entry.reports, start=1)
    }
    weights = any(uses_weights(m) for e in entries for r in e.reports for m in r.metrics)
    remedy = "entries of different data do not belong in one report"
    check_same_data(provenances, weights=weights, remedy=remedy)
    return entries


def _finite(value: Any) -> Any:
    """The same in plain lists and dicts, with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if not isinstance(value, str) and hasattr(value, "item"):
        value = value.item()  # of numpy
    return None if isinstance(value, float) and not math.isfinite(value) else value
