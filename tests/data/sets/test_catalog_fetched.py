"""What becomes of data sets that are fetched: the cache, checksums, preprocessing, mistakes."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from recae.data import dataset_card, dataset_folder, dataset_state, load_dataset
from recae.errors import ConfigError, DataError, DownloadError, RecaeWarning, StorageError
from recae.system.machine import cache_folder

# User 1 likes 10, 20 and 30, user 2 likes 10 and 20 but 20 only with 3 stars, user 3 likes 10.
RATINGS = b"1,10,5\n1,20,4\n1,30,4\n2,10,4\n2,20,3\n3,10,5\n"
LAYOUT = {
    "file": "r.txt",
    "separator": ",",
    "encoding": "utf-8",
    "columns": ["user_id", "item_id", "weight"],
}
COUNTS = {"users": 3, "rated_items": 3, "interactions": 6}
CARD = {"interactions": LAYOUT, "counts": COUNTS}


def test_fetched_once_into_the_cache(publish, site, tmp_path) -> None:
    publish({"r.txt": RATINGS}, **CARD)
    assert dataset_state(dataset_card("tiny")) == "to fetch"
    assert load_dataset("tiny").interactions.nnz == 6
    assert dataset_state(dataset_card("tiny")) == "cached"
    assert dataset_folder(dataset_card("tiny")) == tmp_path / "cache" / "tiny"
    assert [file.name for file in (tmp_path / "cache" / "tiny").iterdir()] == ["r.txt"]
    assert load_dataset("tiny", download=False).interactions.nnz == 6
    assert len(site.asked) == 1


def test_a_folder_of_the_users_choice(publish, site, tmp_path) -> None:
    publish({"r.txt": RATINGS}, **CARD)
    load_dataset("tiny", tmp_path / "mine")
    assert (tmp_path / "mine" / "tiny" / "r.txt").read_bytes() == RATINGS
    assert not (tmp_path / "cache").exists()


def test_nothing_is_fetched_against_the_users_will(publish, site, tmp_path) -> None:
    publish({"r.txt": RATINGS}, **CARD)
    with pytest.raises(DataError, match=r"not in .*tiny \(missing: r\.txt\); pass download=True"):
        load_dataset("tiny", download=False)
    assert site.asked == [] and not (tmp_path / "cache").exists()


def test_the_environment_decides_where_the_cache_is(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("RECAE_DATA", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "recae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "recae"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "recae"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert cache_folder() == tmp_path / "Local" / "recae"
    monkeypatch.setenv("RECAE_DATA", "~/data")
    assert cache_folder() == tmp_path / "data"


def test_what_cannot_be_fetched(publish, site) -> None:
    publish({"r.txt": RATINGS}, **CARD)
    site.files["r.txt"] = RATINGS + b"9,9,9\n"
    with pytest.raises(DownloadError, match=r"r\.txt"):
        load_dataset("tiny")
    del site.files["r.txt"]
    with pytest.raises(DownloadError, match="404"):
        load_dataset("tiny")


def test_a_file_that_changed_on_the_disk(publish, tmp_path) -> None:
    publish({"r.txt": RATINGS}, **CARD)
    load_dataset("tiny")
    (tmp_path / "cache" / "tiny" / "r.txt").write_bytes(RATINGS[:-1])
    with pytest.raises(DataError, match=r"r\.txt .*damaged.*Delete"):
        load_dataset("tiny")


def test_a_file_without_a_known_checksum_is_pinned(publish, site, tmp_path) -> None:
    publish({"r.txt": RATINGS}, pinned=False, **CARD)
    with pytest.warns(RecaeWarning, match=r"checksum.* r\.txt .*sha256:") as caught:
        load_dataset("tiny")
    assert caught[0].filename == __file__
    folder = tmp_path / "cache" / "tiny"
    assert sorted(file.name for file in folder.iterdir()) == ["r.txt", "r.txt.sha256"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset("tiny")
    (folder / "r.txt").write_bytes(RATINGS + b"\n")
    with pytest.raises(DataError, match=r"r\.txt\.sha256 beside it"):
        load_dataset("tiny")
    (folder / "r.txt").unlink()
    site.files["r.txt"] = RATINGS + b"\n"  # replaced by the publisher
    with pytest.raises(DataError, match=r"r\.txt\.sha256 beside it.*Delete both"):
        load_dataset("tiny")


@pytest.mark.parametrize("came", [b"<html>Please log in</html>", RATINGS[:20]])
def test_what_proves_wrong_is_not_pinned(publish, site, tmp_path, came) -> None:
    publish({"r.txt": RATINGS}, pinned=False, **CARD)
    site.files["r.txt"] = came
    for _ in range(2):  # not the second time either
        with pytest.raises(DataError, match=r"delete .*r\.txt"):
            load_dataset("tiny")
    file = tmp_path / "cache" / "tiny" / "r.txt"
    assert os.listdir(file.parent) == ["r.txt"]
    site.files["r.txt"] = RATINGS
    file.unlink()
    with pytest.warns(RecaeWarning, match=r"checksum.* r\.txt"):
        assert load_dataset("tiny").interactions.nnz == 6


@pytest.mark.parametrize("text", ["", "00ff  r.txt", "sha256:12", "md5:" + 32 * "0", "\xff"])
def test_a_damaged_pin_is_named(publish, tmp_path, text) -> None:
    publish({"r.txt": RATINGS}, pinned=False, **CARD)
    with pytest.warns(RecaeWarning):
        load_dataset("tiny")
    (tmp_path / "cache" / "tiny" / "r.txt.sha256").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"r\.txt\.sha256 .*checksum.*delete"):
        load_dataset("tiny")


def test_other_counts_than_the_card(publish) -> None:
    publish({"r.txt": RATINGS}, interactions=LAYOUT, counts=COUNTS | {"users": 4, "items": 9})
    with pytest.raises(DataError, match="users: 3 instead of 4; items: 3 instead of 9"):
        load_dataset("tiny")


def test_the_published_preprocessing(publish) -> None:
    # 4 stars or more: 1 with 10, 20, 30; 2 with 10; 3 with 10. Users with 3 of them: user 1.
    steps = {"source": "a paper", "min_weight": 4.0, "min_per_user": 3, "binarise": True}
    few = {"users": 1, "rated_items": 3, "interactions": 3}
    publish({"r.txt": RATINGS}, **CARD, published_preprocessing=steps, counts_preprocessed=few)
    data = load_dataset("tiny", preprocessed=True)
    assert data.interactions.users.ids.tolist() == [1]
    assert data.interactions.items.ids.tolist() == [10, 20, 30]
    assert not data.interactions.weighted
    assert load_dataset("tiny").interactions.nnz == 6
    publish(
        {"r.txt": RATINGS}, **CARD, published_preprocessing=steps, counts_preprocessed={"users": 2}
    )
    with pytest.raises(DataError, match="once preprocessed: users: 1 instead of 2"):
        load_dataset("tiny", preprocessed=True)


def test_no_published_preprocessing(publish, site) -> None:
    publish({"r.txt": RATINGS}, **CARD)
    with pytest.raises(ConfigError, match=r"preprocessing.* 'tiny'.*Interactions\.filter"):
        load_dataset("tiny", preprocessed=True)
    assert site.asked == []


def test_a_set_that_is_fetched_by_hand(publish, site, tmp_path) -> None:
    publish({"r.txt": RATINGS}, pinned=False, **CARD, steps="1. ask\n2. wait\n")
    assert dataset_state(dataset_card("tiny")) == "by hand"
    with pytest.raises(DataError, match=r"(?s)by hand; missing in .*: r\.txt\.\n1\. ask\n2\. wait"):
        load_dataset("tiny")
    assert site.asked == []
    (tmp_path / "mine" / "tiny").mkdir(parents=True)
    (tmp_path / "mine" / "tiny" / "r.txt").write_bytes(RATINGS)
    with pytest.warns(RecaeWarning, match=r"checksum.* r\.txt"):
        assert load_dataset("tiny", tmp_path / "mine").interactions.nnz == 6
    assert sorted(os.listdir(tmp_path / "mine" / "tiny")) == ["r.txt", "r.txt.sha256"]
    (tmp_path / "mine" / "tiny" / "r.txt").write_bytes(RATINGS.replace(b"5", b"4"))  # same counts
    with pytest.raises(DataError, match=r"r\.txt\.sha256 beside it"):
        load_dataset("tiny", tmp_path / "mine")


def test_a_folder_that_cannot_be_made(publish, tmp_path) -> None:
    publish({"r.txt": RATINGS}, **CARD)
    Path(tmp_path / "cache").write_text("in the way")
    with pytest.raises(StorageError, match=r"cache.*tiny"):
        load_dataset("tiny")
