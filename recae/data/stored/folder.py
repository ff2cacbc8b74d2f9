"""A data folder: interactions as arrays on disk, opened without reading them.

data.json                        written last: counts, options, checksums of the files
users.npy, items.npy             ids, int64; text as *.offsets.npy and *.text.npy
indptr.npy, indices.npy          the rows of the matrix; int32, or int64 for 2^31 interactions
weights.npy, times.npy           float32 and int64, one for each interaction; times may be absent
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from recae.data.interactions import Interactions
from recae.data.stored.arrays import HEAD, ascends, blocks, mapped
from recae.data.stored.id_files import read_ids
from recae.data.stored.mapped_ids import open_ids
from recae.data.tables.columns import DUPLICATES
from recae.data.tables.paths import DATA_JSON
from recae.errors import CapacityError, ConfigError, DataError, explained
from recae.system.digests import checksum, sha256_of_json
from recae.system.files import as_path
from recae.system.safely import check_file, parsed, read_text

ABOUT, FORMAT = DATA_JSON, 1
SIZES = ("users", "items", "interactions")


def as_stored(given: Any) -> str | os.PathLike[str] | None:
    """The path of a data folder, if a path or a list of one path names one."""
    if isinstance(given, list | tuple) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str | os.PathLike) or not os.fspath(given):
        return None
    try:
        return given if (Path(given).expanduser() / ABOUT).is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def merged_by(folder: str | os.PathLike[str], duplicates: str) -> str:
    """The rule by which repeated rows of a data folder were merged.

    Raises ConfigError where `duplicates` asks for another one, DataError if the folder is damaged.
    """
    with _damage(folder):
        used = str(read_about(Path(folder).expanduser())["options"]["duplicates"])
    if duplicates not in (DUPLICATES[0], used):
        raise ConfigError(
            f"the data folder {folder} was made with duplicates={used!r}; make it again for "
            f"{duplicates!r}",
            parameter="duplicates",
            value=duplicates,
        )
    return used


@explained
def open_data(folder: str | os.PathLike[str], *, verify: bool = False) -> Interactions:
    """The interactions of a data folder, which `recae.ingest` wrote; nothing is read but the users.

    The arrays are read-only maps of the files: the system reads their pages when they are used and
    drops them when memory is short, so interactions larger than memory work. The files must not be
    altered while they are in use; the folder may be renamed. A million ids and more stay on disk
    too, if they ascend; `ids` of their map reads all of them. verify: compare the checksums of all
    files, which reads them once; without it only their sizes are compared.

    Raises DataError for a folder that is none, is incomplete, damaged or of a later version of
    recae; CapacityError where the process may not map so many bytes.

    >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]})
    >>> recae.ingest(plays, "plays").nnz
    2
    >>> recae.open_data("plays", verify=True).items.ids.tolist()
    [7, 8]
    """
    path = as_path(folder).expanduser()
    if as_stored(path) is None:
        found = "has no" if path.is_dir() else "is no folder with a"
        raise DataError(
            f"{folder} {found} {ABOUT}, so it is no data folder: recae.ingest (recae ingest) makes "
            "one"
        )
    with _damage(folder):
        about = read_about(path)
        if verify:
            verify_files(path, about)
        return _opened(path, about)


@contextmanager
def _damage(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Makes what malformed files lead to a DataError, and a lack of address space a
    CapacityError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise CapacityError(f"{folder} cannot be mapped into memory: {error}") from error
        reason = " ".join(str(error).split())
        raise DataError(
            f"the data folder {folder} is damaged: {reason}; make it again with recae.ingest "
            "(recae ingest --overwrite)"
        ) from error


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Writes data.json, with the fingerprint, and the size and the checksum of every other file."""
    files = sorted(file for file in folder.iterdir() if file.name != ABOUT)
    about["fingerprint"] = _fingerprint(folder, about)
    about["files"] = {f.name: {"bytes": f.stat().st_size, "checksum": checksum(f)} for f in files}
    about["sha256"] = sha256_of_json(about)
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _fingerprint(folder: Path, about: dict[str, Any]) -> str:
    """`Interactions.fingerprint` of the files, which are read a block at a time."""
    digest = hashlib.sha256()
    for what in ("user", "item"):
        kind = about["ids"][what]["kind"]
        digest.update(f"{kind} {about[f'{what}s']} ".encode())
        for ids in read_ids(folder, what, kind):
            numbers = ids if kind == "int" else pc.utf8_length(ids)
            digest.update(numbers.to_numpy().astype("<i8").data)
        if kind == "str":
            for text in blocks(folder / f"{what}s.text.npy", "|u1"):
                digest.update(text.data)
    width = index_type(about["interactions"])
    for name, stored, hashed in (
        ("indptr", width, "<i8"),
        ("indices", width, "<i8"),
        ("weights", "<f4", "<f4"),
    ):
        for part in blocks(folder / f"{name}.npy", stored):
            digest.update(part.astype(hashed).data)
    return digest.hexdigest()[:16]


def index_type(interactions: int) -> str:
    """The type of indices and indptr, as scipy chooses it."""
    return "<i4" if interactions < 2**31 else "<i8"


def read_about(folder: Path) -> dict[str, Any]:
    """data.json, checked. Raises ValueError and what malformed content leads to."""
    about: dict[str, Any] = parsed(read_text(folder, ABOUT))
    if not isinstance(about, dict) or "format" not in about:
        raise ValueError(f"{ABOUT} is not that of a data folder")
    if about["format"] != FORMAT:
        raise ValueError(
            f"{ABOUT} has format {about['format']!r:.40}, and this version of recae reads format "
            f"{FORMAT}"
        )
    if sha256_of_json({k: v for k, v in about.items() if k != "sha256"}) != about["sha256"]:
        raise ValueError(f"{ABOUT} was altered")
    return about


def verify_files(folder: Path, about: dict[str, Any]) -> None:
    """Compares sizes and checksums of all files. Raises ValueError and OSError."""
    for name, known in about["files"].items():
        if (
            check_file(folder, name) != known["bytes"]
            or checksum(folder / name) != (known["checksum"])
        ):
            raise ValueError(f"{name} is not what was written: cut short or altered")


def _opened(folder: Path, about: dict[str, Any]) -> Interactions:
    """The interactions of a data folder, all arrays mapped. Raises ValueError for files of another
    size than data.json says, and for row boundaries that do not ascend."""
    for name, known in about["files"].items():
        if check_file(folder, name) != known["bytes"]:
            raise ValueError(
                f"{name} has {check_file(folder, name):,} bytes, and {known['bytes']:,} are "
                "expected"
            )
    n_users, n_items, nnz = (about[name] for name in SIZES)
    width = index_type(nnz)
    indptr = mapped(folder / "indptr.npy", width, n_users + 1)
    if indptr[0] != 0 or indptr[-1] != nnz or not ascends(indptr):
        raise ValueError("indptr.npy does not ascend from 0 to the number of interactions")
    users, items = (
        open_ids(
            folder,
            what,
            about["ids"][what]["kind"],
            size,
            about["files"].get(f"{what}s.text.npy", {"bytes": HEAD})["bytes"] - HEAD,
            about["ids"][what]["ascending"],
        )
        for what, size in (("user", n_users), ("item", n_items))
    )
    data = Interactions._owning(
        users,
        items,
        mapped(folder / "weights.npy", "<f4", nnz),
        mapped(folder / "indices.npy", width, nnz),
        indptr,
        mapped(folder / "times.npy", "<i8", nnz) if about["times"] else None,
    )
    # Known, so that nobody reads everything to find out.
    vars(data).update(weighted=bool(about["weighted"]), _fingerprint=str(about["fingerprint"]))
    return data
