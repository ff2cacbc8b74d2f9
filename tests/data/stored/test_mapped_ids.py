"""Id maps on disk answer as those in memory do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recae
from recae.data import IdMap
from recae.data.stored import mapped_ids
from recae.data.stored.mapped_ids import MappedIds

IDS: dict[str, list[Any]] = {
    "int": [-(2**63), -5, 0, 3, 2**40, 2**63 - 1],
    "str": ["", "A", "a", "aa", "ä", "\U0001f600"],
}
OTHERS: dict[str, list[Any]] = {"int": [-6, 1, 2**41], "str": ["B", "aaa", "ü"]}


@pytest.fixture(params=["int", "str"])
def maps(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[IdMap, IdMap, list[Any]]:
    ids = IDS[request.param]
    monkeypatch.setattr(mapped_ids, "MANY_IDS", 1)
    data = recae.Interactions.from_csr(np_eye(len(ids)), users=ids)
    stored = recae.ingest(data, tmp_path / "data").users
    assert isinstance(stored, MappedIds) and "ids" not in vars(stored)
    return stored, IdMap(ids, "user"), OTHERS[request.param]


def np_eye(n: int) -> Any:
    import scipy.sparse as sp

    return sp.identity(n, format="csr")


def test_they_answer_alike(maps: tuple[IdMap, IdMap, list[Any]]) -> None:
    stored, known, others = maps
    ids = known.ids.tolist()
    asked = [*ids[::-1], *others, *ids]
    wanted = [*range(len(ids))[::-1], *[-1] * len(others), *range(len(ids))]
    assert stored.lookup(asked).tolist() == wanted == known.lookup(asked).tolist()
    assert stored.seek(asked).tolist() == wanted
    assert stored.find(asked) == known.find(asked)
    assert stored.encode(ids).tolist() == [*range(len(ids))]
    assert stored.lookup([]).tolist() == [] and stored.find([]) == ([], 0)
    with pytest.raises(recae.DataError, match="unknown user"):
        stored.encode(others)
    codes = np.array([[5, 0], [1, 1]])
    found = stored.decode(codes)
    assert found.tolist() == known.decode(codes).tolist() and found.dtype == known.ids.dtype
    assert all(id in stored for id in ids) and not any(id in stored for id in others)
    assert 3.0 not in stored and True not in stored and None not in stored
    assert len(stored) == len(known) and stored.kind == known.kind and repr(stored) == repr(known)
    assert stored.to_bytes() == known.to_bytes()
    assert "ids" not in vars(stored), "all ids were read"
    assert stored == known and known == stored and stored != IdMap(others, "user")
    assert stored.union(IdMap(others, "user")) == known.union(IdMap(others, "user"))
    assert stored.ids.tolist() == ids and not stored.ids.flags.writeable


def test_ids_of_another_kind(maps: tuple[IdMap, IdMap, list[Any]]) -> None:
    stored, known, _ = maps
    wrong: Any = ["x"] if known.kind == "int" else [1]
    for ask in ("lookup", "find", "seek", "encode"):
        with pytest.raises(recae.DataError) as found:
            getattr(stored, ask)(wrong)
        with pytest.raises(recae.DataError) as wanted:
            getattr(known, ask)(wrong)
        assert str(found.value) == str(wanted.value)
    assert wrong[0] not in stored
    if known.kind == "int":
        with pytest.raises(recae.DataError):
            stored.find([2**70])
