"""`checksum` against its definition in plain integers, and the damage it must find."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from recae.system import digests
from recae.system.digests import checksum, sha256_of_arrays


def slow(content: bytes, lanes: int, rows: int) -> str:
    """The definition of `checksum` with Python's integers."""
    found = b""
    for start in range(0, len(content), rows * lanes * 8):
        part = content[start : start + rows * lanes * 8]
        part += bytes(-len(part) % (lanes * 8))
        sums = [0] * lanes
        for word in range(len(part) // 8):
            sums[word % lanes] += int.from_bytes(part[8 * word : 8 * word + 8], "little")
        found += b"".join((one % 2**64).to_bytes(8, "little") for one in sums)
    return hashlib.sha256(found + str(len(content)).encode()).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 8, 39, 40, 41, 159, 160, 161, 1000])
def test_it_is_what_its_docstring_says(size, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "LANES", 5)
    monkeypatch.setattr(digests, "PART", 4 * 5 * 8)
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "file").write_bytes(content)
    assert checksum(tmp_path / "file") == slow(content, lanes=5, rows=4)


def test_every_altered_byte_and_every_length_is_found(tmp_path: Path):
    file, content = tmp_path / "file", np.random.default_rng(0).bytes(300)
    file.write_bytes(content)
    found = {checksum(file)}
    for place in range(300):
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        for one in (bytes(altered), content[:place], content + bytes(place + 1)):
            file.write_bytes(one)
            found.add(checksum(file))
    assert len(found) == 1 + 3 * 300


def test_pages_that_change_places_are_found_in_a_file_of_several_parts(tmp_path: Path):
    file = tmp_path / "file"
    pages = np.random.default_rng(0).integers(256, size=(5000, 4096), dtype=np.uint8)
    pages.tofile(file)
    assert file.stat().st_size > 2 * digests.PART
    found = {checksum(file)}
    for one, other in ((0, 1), (7, 8), (0, 1024), (0, 4999), (100, 2150)):
        pages[[one, other]] = pages[[other, one]]
        pages.tofile(file)
        found.add(checksum(file))
        pages[[one, other]] = pages[[other, one]]
    assert len(found) == 6


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 9])
def test_texts_are_hashed_as_one_list(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "TEXTS", 4)
    texts = np.array(["a", "it's", '"', "ü, b", "[", "]", ", ", "", "\n"][:n], dtype=object)
    expected = f"object ({n},) " + repr(texts.tolist())
    assert sha256_of_arrays(texts) == hashlib.sha256(expected.encode()).hexdigest()
