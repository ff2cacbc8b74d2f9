"""Files, pipes and open files as streams of UTF-8, in pieces that end with a line."""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from recae.data.tables.paths import (
    STDIN,
    file_errors,
    is_stream,
    named,
    no_permission,
    partitions,
)
from recae.errors import DataError

SAMPLE = 1 << 18
"""Bytes at the beginning of a file that decide about its separator."""

BLOCK_BYTES = 1 << 24
LONGEST_LINE = 1 << 28

_MAGIC = {
    b"PAR1": "a Parquet file: read it with read_parquet, under a name that ends in .parquet",
    b"PK\x03\x04": "a zip archive: unpack it",
}


def pieces(stream: IO[bytes], skip: int, size: int | None = None) -> Iterator[tuple[bytes, bool]]:
    """Text after some bytes in pieces that end with a line, and whether it is the last piece.

    size: bytes of a piece, about; by default BLOCK_BYTES.
    """
    rest = b""
    while chunk := stream.read(size or BLOCK_BYTES):
        if skip:
            chunk, skip = chunk[skip:], max(0, skip - len(chunk))
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            rest += chunk
            if len(rest) > LONGEST_LINE:
                raise DataError(f"a line is longer than {LONGEST_LINE:,} bytes")
            continue
        yield rest + chunk[:cut], False
        rest = chunk[cut:]
    if rest:
        yield rest, True


def first_lines(stream: IO[bytes]) -> bytes:
    """The first lines of a file."""
    sample = b""
    while True:
        more = stream.read(SAMPLE)
        sample += more
        if not more or len(sample) > LONGEST_LINE:
            return sample
        cut = sample.rfind(b"\n")
        if cut >= 0 and sample[: cut + 1].strip():
            return sample[: cut + 1]


class Input:
    """A file, standard input or an open file, as a stream of UTF-8 without a byte order mark."""

    def __init__(self, given: Any, encoding: str | None) -> None:
        self.given, self.encoding = given, encoding
        self.is_open = hasattr(given, "read")
        self.name = str(getattr(given, "name", "the text")) if self.is_open else str(given)
        if self.name in STDIN:
            self.name = "standard input"
        self.partitions = {} if self.is_open else partitions(Path(given))

    @property
    def size(self) -> int:
        """The bytes of the file as it is stored; of what is not stored, more than is small."""
        known = not self.is_open and Path(self.given).is_file()
        return Path(self.given).stat().st_size if known else 1 << 40

    @cached_property
    def _copy(self) -> IO[bytes]:
        """What can be read only once, in a temporary file."""
        copy = tempfile.TemporaryFile()
        weakref.finalize(self, copy.close)
        if self.is_open:
            first = self.given.read(BLOCK_BYTES)
            while first:
                copy.write(first.encode() if isinstance(first, str) else first)
                first = self.given.read(BLOCK_BYTES)
        elif str(self.given) in STDIN:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with open(self.given, "rb") as pipe:
                shutil.copyfileobj(pipe, copy)
        return copy

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The stream; errors become a DataError that names the file."""
        with ExitStack() as stack:
            raw: Any
            if self.is_open or is_stream(self.given):
                stack.enter_context(_named(self.name))
                self._copy.seek(0)
                raw = open(os.dup(self._copy.fileno()), "rb")  # Arrow closes what it unpacks
            else:
                raw = open(stack.enter_context(file_errors(self.given)), "rb")
            stack.enter_context(raw)
            head = raw.read(4)
            raw.seek(0)
            if head in _MAGIC:
                raise DataError(f"this is {_MAGIC[head]}")
            if head[:2] == b"\x1f\x8b":
                raw = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "gzip")
                head = b""
            yield _Lines(_utf8(raw, self.encoding))


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise error if str(error).startswith(name) else named(error, name) from None
    except PermissionError:
        raise no_permission(name) from None
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} is damaged or of another format: {reason}") from None


def _utf8(raw: Any, encoding: str | None) -> Any:
    """A stream of UTF-8 of one in another encoding, without its byte order mark."""
    head = raw.read(4)
    if encoding is None and head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16"
    if encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return _Joined(head.removeprefix(codecs.BOM_UTF8), raw)
    return _Transcoded(_Joined(head, raw), encoding)


class _Lines:
    """A stream with \\n where lines end in \\r alone. Its length stays, so that places are the same
    however it is read."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def read(self, size: int) -> bytes:
        """About `size` bytes, none at the end."""
        chunk: bytes = self.raw.read(size)
        while chunk.endswith(b"\r"):
            more = self.raw.read(1)
            if not more:
                break
            chunk += more
        if chunk.count(b"\r") == chunk.count(b"\r\n"):
            return chunk
        return re.sub(rb"\r(?!\n)", b"\n", chunk)


class _Joined:
    """A stream whose first bytes have been read."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self.head, self.rest = head, rest

    def read(self, size: int) -> bytes:
        """At most about `size` bytes, none at the end."""
        head, self.head = self.head[:size], self.head[size:]
        more: bytes = self.rest.read(size - len(head)) if size > len(head) else b""
        return head + more if head else more


class _Transcoded:
    """A stream of UTF-8 of one in another encoding."""

    def __init__(self, raw: _Joined, encoding: str) -> None:
        self.raw, self.encoding, self.ready, self.line = raw, encoding, b"", 1
        self.decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        while len(self.ready) < size:
            chunk = self.raw.read(max(size, io.DEFAULT_BUFFER_SIZE))
            try:
                text = self.decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = self.line + error.object[: error.start].count(b"\n")
                bad = " ".join(f"0x{byte:02x}" for byte in error.object[error.start :][:2])
                raise DataError(
                    f"line {line} is not {self.encoding} (bytes {bad}); name another encoding= "
                    "(--encoding)"
                ) from None
            self.line += text.count("\n")
            self.ready += text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")
            if not chunk:
                break
        part, self.ready = self.ready[:size], self.ready[size:]
        return part
