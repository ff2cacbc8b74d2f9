"""Hostile model folders are refused with a DataError, before memory is spent on them."""

import json
import os
import resource
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.estimators.saved import checked_arrays, write_arrays
from recae.system.digests import sha256, sha256_of_json

CONFIG, ARRAYS, ITEMS = "config.json", "model.safetensors", "items.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = recae.Interactions.from_csr(sp.csr_matrix(np.eye(6, dtype=np.float32) + 1))
    return recae.PureSVD(latent=2).fit(data).save(tmp_path / "model")


def seal(folder: Path, **changes) -> None:
    """Digests that vouch for whatever the files hold: an attacker can compute them, too."""
    config = json.loads((folder / CONFIG).read_text())
    config.pop("digest")
    for name in config["files"]:
        if (folder / name).is_file():
            config["files"][name] = sha256(folder / name)
    config |= changes
    config["digest"] = sha256_of_json(config)
    (folder / CONFIG).write_text(json.dumps(config))


def refused(folder: Path) -> str:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for verify in (True, False):
        with pytest.raises(recae.DataError) as caught:
            recae.load(folder, verify=verify)
    spent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB on Linux
    assert spent < 300 * 1024
    return str(caught.value)


NAMES = ["../model.safetensors", "/etc/hostname", "a/b", "a\\b", "..", ".", "", "C:x", "a\0b"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_that_lead_out_of_the_folder(folder, name):
    files = json.loads((folder / CONFIG).read_text())["files"]
    seal(folder, files=files | {name: "0"})
    refused(folder)


@pytest.mark.parametrize("name", [CONFIG, ARRAYS, ITEMS])
def test_links_out_of_the_folder(folder, name, tmp_path):
    os.replace(folder / name, tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    assert name in refused(folder)


def test_a_link_to_the_folder_and_links_inside_are_fine(folder, tmp_path):
    os.replace(folder / ARRAYS, folder / "weights")
    (folder / ARRAYS).symlink_to("weights")
    (tmp_path / "current").symlink_to(folder)
    assert recae.load(tmp_path / "current").recommend_ids([0], 1)[0]


@pytest.mark.parametrize("name", [CONFIG, ARRAYS, ITEMS])
@pytest.mark.parametrize("what", ["pipe", "device", "directory", "dangling"])
def test_what_is_no_regular_file(folder, name, what):
    (folder / name).unlink()
    if what == "pipe":
        os.mkfifo(folder / name)
    elif what == "directory":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero" if what == "device" else "nowhere")
    assert name in refused(folder)


def rewritten(folder: Path, header: bytes | dict, body: bytes = b"", length: int | None = None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    (folder / ARRAYS).write_bytes(struct.pack("<Q", size) + text + body)
    seal(folder)


def array(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HEADERS = {
    "longer than the file": (b"{}", b"", 2**63),
    "longer than it may be": (b"{}", b"", 2**40),
    "no JSON": (b"{", b"", None),
    "no table": (b"[]", b"", None),
    "deep": (b"[" * 100_000, b"", None),
    "a key twice": (b'{"x":1,"x":1}', b"", None),
    "a key twice inside": (b'{"x":{"dtype":"F32","dtype":"F32"}}', b"", None),
    "a huge integer": (b'{"x":{"dtype":"F32","shape":[' + b"9" * 5000 + b"]}}", b"", None),
    "a huge shape": ({"item_factors": array([10**9, 10**9], 0, 4 * 10**18)}, b"", None),
    "beyond the file": ({"item_factors": array([6, 2], 0, 48)}, b"1234", None),
    "overlapping": ({"a": array([2], 0, 8), "b": array([2], 4, 12)}, bytes(12), None),
    "a gap": ({"a": array([1], 0, 4), "b": array([1], 8, 12)}, bytes(12), None),
    "more bytes": ({"a": array([1], 0, 4)}, bytes(12), None),
    "negative": ({"a": array([-1], 0, -4)}, b"", None),
    "no offsets": ({"a": {"dtype": "F32", "shape": [1]}}, bytes(4), None),
    "an unknown type": ({"a": array([1], 0, 4, "X32")}, bytes(4), None),
    "a truth for a size": ({"a": array([True], 0, 4)}, bytes(4), None),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_of_the_weights_that_lie(folder, case):
    rewritten(folder, *HEADERS[case])
    refused(folder)


@pytest.mark.parametrize("shape, dtype", [([12], "F32"), ([2, 6], "F32"), ([6, 2], "I32")])
def test_weights_of_another_type_or_shape(folder, shape, dtype):
    spans = {"input_factors": (0, 48), "item_factors": (48, 96)}
    arrays = {name: array(shape, *span, dtype) for name, span in spans.items()}
    rewritten(folder, arrays, bytes(96))
    assert "factors" in refused(folder)
    word = {"F32": "float32", "I32": "int32"}[dtype]
    seal(folder, arrays={name: [word, *shape] for name in arrays})  # the config lies, too
    assert ARRAYS in refused(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(folder, value):
    data = bytearray((folder / ARRAYS).read_bytes())
    data[-4:] = struct.pack("<f", value)
    (folder / ARRAYS).write_bytes(data)
    seal(folder)
    with pytest.raises(recae.DataError):
        recae.load(folder)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("place", [0, 7, 99, 3_000_000, -1])  # in different parts of the array
def test_one_number_that_is_none_among_millions(kind, place, tmp_path):
    numbers = torch.zeros(5_000_000, dtype=kind)
    write_arrays(tmp_path / ARRAYS, {"few": torch.ones(2), "x": numbers})
    assert torch.equal(checked_arrays(tmp_path / ARRAYS, None)["x"], numbers)
    for bad in (np.nan, -np.inf):
        numbers[place] = bad
        write_arrays(tmp_path / ARRAYS, {"few": torch.ones(2), "x": numbers})
        with pytest.raises(ValueError, match="^x "):
            checked_arrays(tmp_path / ARRAYS, None)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_large_numbers_are_fine_though_their_sum_is_infinite(kind, tmp_path):
    numbers = torch.full((3, 50), torch.finfo(kind).max, dtype=kind)
    write_arrays(tmp_path / ARRAYS, {"x": numbers})
    assert torch.equal(checked_arrays(tmp_path / ARRAYS, None)["x"], numbers)


@pytest.mark.parametrize("known", ["no checksum", "a wrong checksum"])
def test_without_a_checksum_that_fits_the_sha_256_decides(folder, known):
    expected = recae.load(folder).recommend_ids([0], 3)
    config = json.loads((folder / CONFIG).read_text())
    fast = config.pop("checksum")
    assert isinstance(fast, str) and len(fast) == 64
    if known == "a wrong checksum":
        config["checksum"] = fast[::-1]
    (folder / CONFIG).write_text(json.dumps(config))
    seal(folder)
    assert recae.load(folder).recommend_ids([0], 3) == expected  # as of an older recae
    content = bytearray((folder / ARRAYS).read_bytes())
    content[-2] ^= 1
    (folder / ARRAYS).write_bytes(content)
    with pytest.raises(recae.DataError, match="altered"):
        recae.load(folder)


@pytest.mark.parametrize("place", ["top", "settings"])
def test_a_key_twice_in_the_config(folder, place):
    text = (folder / CONFIG).read_text()
    key = '"kind"' if place == "top" else '"params"'
    (folder / CONFIG).write_text(text.replace(key, f'{key}: "EASE", {key}', 1))
    assert key.strip('"') in refused(folder)


TEXTS = [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 10**6, b'{"format": ' + b"9" * 10**5 + b"}"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:12]))
def test_what_is_no_config(folder, text):
    (folder / CONFIG).write_bytes(text)
    assert CONFIG in refused(folder)


def test_a_config_of_gigabytes(folder):
    with open(folder / CONFIG, "r+b") as opened:
        opened.truncate(10 * 2**30)  # sparse: it takes no space
    assert CONFIG in refused(folder)


def write_items(folder: Path, ids: pa.Array, **options) -> None:
    users = pa.array(np.ones(len(ids), dtype=np.int64))
    pq.write_table(pa.table({"item_id": ids, "users": users}), folder / ITEMS, **options)
    seal(folder)


def test_a_vocabulary_that_inflates_to_gigabytes(folder):
    word = pa.array(["x" * 2**20])
    ids = pa.DictionaryArray.from_arrays(np.zeros(20_000, dtype=np.int32), word)
    write_items(folder, ids, compression="zstd", store_schema=False)
    assert (folder / ITEMS).stat().st_size < 2**20  # and 20 GB as plain text
    assert ITEMS in refused(folder)


def test_a_vocabulary_of_a_repeated_number(folder):
    write_items(folder, pa.array(np.zeros(2_000_000, dtype=np.int64)), compression="zstd")
    refused(folder)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 64 + b"PAR1"])
def test_a_vocabulary_that_is_no_parquet(folder, content):
    (folder / ITEMS).write_bytes(content)
    seal(folder)
    refused(folder)


@pytest.mark.parametrize("rows", [0, 5, 7])
def test_a_vocabulary_of_another_length(folder, rows):
    write_items(folder, pa.array(np.arange(rows)))
    refused(folder)


@pytest.mark.parametrize(
    "kind", ["os.system", "Interactions", "Recommender", "", None, 5, ["EASE"]]
)
def test_kinds_that_are_none(folder, kind):
    seal(folder, kind=kind)
    refused(folder)


@pytest.mark.parametrize("name", [ARRAYS, ITEMS])
def test_a_damaged_file_is_never_served_by_default(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(recae.DataError):
        recae.load(folder)


def test_a_header_that_lies_is_refused_before_its_bytes_are_read(folder):
    with open(folder / ARRAYS, "r+b") as opened:
        opened.truncate(2**40)  # sparse: it takes no space, and hours to read
    assert ARRAYS in refused(folder)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_claim_of_ten_gigabytes_under_a_limit_of_memory(folder):
    """A fork that loads it may take one GB more than it has; more would be a MemoryError."""
    rewritten(folder, {"item_factors": array([10**9, 3], 0, 12 * 10**9)})
    seal(folder, arrays={"item_factors": ["float32", 10**9, 3]})
    child = os.fork()
    if not child:
        refused = False
        try:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * 4096 + 2**30
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
            recae.load(folder)
        except recae.DataError:
            refused = True
        finally:
            os._exit(0 if refused else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
