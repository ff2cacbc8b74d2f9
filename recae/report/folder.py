"""All entries of a folder, if they were measured on the same data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recae.errors import ConfigError, DataError, StorageError
from recae.report.entry import Entry
from recae.report.saving import ENTRY
from recae.system.files import as_path

DATA = ("target", "history", "mask")
"""What the provenance of a report says about its data: a fingerprint each."""


def load_entries(folder: str | Path, *, target: str | None = None) -> list[Entry]:
    """The entries of a folder that holds a directory for each, in the order of their names.

    target: the fingerprint of the targets that they must have been measured on, such as
    `split.test.target.fingerprint()`. Every directory must be a whole entry (hidden ones are no
    entries: a killed writer may leave one behind); files beside them do not matter. Raises
    StorageError for a folder that is absent or without entries and for a directory that is none;
    DataError if they were measured on other data than each other or than `target`.

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
        raise StorageError(f"{folder} holds no entry: save one there with Entry.save")
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
        raise StorageError(f"{folder} is one entry: name the folder that holds it")
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise StorageError(f"could not read the folder {folder}: {error.strerror}") from error


def check_measured(entries: Sequence[Entry], target: str) -> None:
    """Raises DataError for an entry that was measured on other targets than those."""
    for entry in entries:
        found = entry.reports[0].provenance.get("target")
        if found != target:
            raise DataError(
                f"{entry.name!r} was measured on targets {found}, not on {target}: "
                "the data have changed since, measure it again"
            )


def check_entries(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a report as a list: at least one, names apart, all measured on the same data.

    Raises ConfigError for no entry, for what is none and for a name that comes twice; DataError,
    with both sides, where targets, histories or masks differ.
    """
    entries = list(entries)
    if not entries:
        raise ConfigError("there are no entries to show: give at least one recae.report.Entry")
    names: set[str] = set()
    for entry in entries:
        if not isinstance(entry, Entry):
            raise ConfigError(
                f"a report is made of recae.report.Entry, not of {type(entry).__name__}"
            )
        if entry.name in names:
            raise ConfigError(f"two entries are called {entry.name!r}: rename one")
        names.add(entry.name)
    for part in DATA:
        first = entries[0].reports[0].provenance.get(part)
        for entry in entries:
            for number, report in enumerate(entry.reports, start=1):
                found = report.provenance.get(part)
                if found != first:
                    raise DataError(
                        f"report {number} of {entry.name!r} was measured on another {part} than "
                        f"{entries[0].name!r} ({found} and {first}): entries of different data "
                        "cannot stand in one report"
                    )
    return entries
