"""Files of data sets, and members of zip and tar archives, which are never extracted."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from recae.errors import DataError

Layout = dict[str, Any]
"""What a card says of a table; see `recae.data.sets.layouts`."""

BLOCK_BYTES = 1 << 24
"""Text read at a time."""


@contextmanager
def opened(folder: Path, layout: Layout, file: str) -> Iterator[IO[bytes]]:
    """A file of a set, or the member of it that the layout names, to read.

    Whatever fails while it is read becomes a DataError naming the file and the member.
    """
    path, member = folder / file, layout.get("member")
    place = f"{path}" if member is None else f"{member} in {path}"
    try:
        with ExitStack() as stack:
            try:
                stream = _open(stack, path, member)
            except KeyError:
                raise DataError(
                    f"there is no {place}: it is another archive than its card says"
                ) from None
            yield stream
    except DataError as error:
        raise error if place in str(error) else DataError(f"{place}: {error}") from None
    except (
        *(OSError, EOFError, UnicodeDecodeError, ValueError, NotImplementedError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error, tarfile.TarError, pa.ArrowException),
    ) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{place} is damaged or of another format: {reason}") from None


def _open(stack: ExitStack, path: Path, member: str | None) -> IO[bytes]:
    if member is None:
        return stack.enter_context(open(path, "rb"))
    if zipfile.is_zipfile(path):
        return stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open(member))
    archive = stack.enter_context(tarfile.open(path))
    found = archive.extractfile(member)
    if found is None:
        raise KeyError(member)
    return stack.enter_context(found)


def files_of(layout: Layout) -> list[str]:
    """The names of the files that hold a table."""
    file = layout["file"]
    return [file] if isinstance(file, str) else list(file)
