"""Two exports side by side, against sets and loops over the rows of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recae
from recae import ConfigError, DataError
from recae.recommend.export import aligned, blocks

from .test_overlap import rbo


def rows(lists: dict[Any, list[Any]]) -> pd.DataFrame:
    """The rows of an export of these lists, in their order."""
    owners = [user for user, items in lists.items() for _ in items]
    ranks = [place + 1 for items in lists.values() for place in range(len(items))]
    found = pd.DataFrame({"user_id": owners, "item_id": sum(lists.values(), []), "rank": ranks})
    return found.assign(score=1 / found["rank"].astype("float32"))


def written(path: Path, lists: dict[Any, list[Any]], **more: Any) -> Path:
    frame = rows(lists).assign(**more)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def random_lists(seed: int, users: list[Any], items: list[Any], k: int) -> dict[Any, list[Any]]:
    rng = np.random.default_rng(seed)
    return {
        user: [items[at] for at in rng.permutation(len(items))[: rng.integers(1, k + 1)]]
        for user in users
    }


def expected(before: dict[Any, list[Any]], after: dict[Any, list[Any]], k: int) -> dict[str, Any]:
    before, after = ({user: items[:k] for user, items in one.items()} for one in (before, after))
    both = [user for user in before if user in after]
    pairs = [(before[user], after[user]) for user in both]
    listed = [{item for items in one.values() for item in items} for one in (before, after)]
    return {
        "k": k,
        "users": len(both),
        "only_before": len(before) - len(both),
        "only_after": len(after) - len(both),
        "overlap": np.mean([len({*a} & {*b}) / max(len(a), len(b)) for a, b in pairs]),
        "rbo": np.mean([rbo(a, b) for a, b in pairs]),
        "changed": np.mean([a != b for a, b in pairs]),
        "items_before": len(listed[0]),
        "items_after": len(listed[1]),
        "items_both": len(listed[0] & listed[1]),
    }


@pytest.fixture(params=["integers", "text"])
def ids(request: pytest.FixtureRequest) -> tuple[list[Any], list[Any]]:
    """150 users and 12 items; as text, u10 comes before u9."""
    if request.param == "integers":
        return [7 * user - 300 for user in range(150)], [900 - 3 * item for item in range(12)]
    return sorted(f"u{user}" for user in range(150)), [f"ü{item}" for item in range(12)]


@pytest.mark.parametrize("order", ["ascending", "shuffled", "mixed ranks"])
@pytest.mark.parametrize("k", [None, 3])
def test_all_numbers(ids, tmp_path, monkeypatch, capsys, order, k) -> None:
    users, items = ids
    before = random_lists(0, users[:120], items, 8)
    after = random_lists(1, users[40:], items, 6) | {user: before[user] for user in users[50:60]}
    paths = [written(tmp_path / "a.parquet", before), tmp_path / "b.parquet"]
    frame = rows(after)
    if order == "shuffled":
        rng = np.random.default_rng(2)
        frame = rows({user: after[user] for user in rng.permutation([*after]).tolist()})
    elif order == "mixed ranks":
        frame = frame.sort_values(["user_id", "rank"], ascending=[True, False])
    else:
        frame = frame.sort_values(["user_id", "rank"])
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), paths[1], row_group_size=9)
    monkeypatch.setattr(blocks, "ROWS", 11)  # lists that several blocks share
    monkeypatch.setattr(aligned, "BUCKET_ROWS", 100)
    found = recae.compare_exports(*paths, k, progress=True)
    assert ("sorted" in capsys.readouterr().err) == (order != "ascending")
    longest = [max(map(len, one.values())) for one in (before, after)]
    wanted = expected(before, after, k or min(longest))
    assert {name: getattr(found, name) for name in wanted} == pytest.approx(wanted)
    most = found.most_changed
    both = [user for user in before if user in after]
    cut = {user: (before[user][: wanted["k"]], after[user][: wanted["k"]]) for user in both}
    nearest = sorted(both, key=lambda user: (round(rbo(*cut[user]), 12), user))[:10]
    assert len(most) == 10 and most["rbo"].tolist() == pytest.approx(
        [rbo(*cut[user]) for user in nearest]
    )
    for row in most.itertuples():
        old, now = cut[row.user_id]
        assert row.new == [item for item in now if item not in old]
        assert row.gone == [item for item in old if item not in now]
        assert row.overlap == len({*old} & {*now}) / max(len(old), len(now))


def test_exports_of_a_model(text_data, tmp_path) -> None:
    models = [recae.EASE(l2=l2).fit(text_data) for l2 in (1.0, 300.0)]
    places = [tmp_path / "one", tmp_path / "two.parquet"]
    for model, place in zip(models, places, strict=True):
        model.export(place, k=4, titles={"i1": "Alien"})
    same = recae.compare_exports(places[0], recae.open_export(places[0]))
    assert (same.users, same.overlap, same.rbo, same.changed) == (35, 1, 1, 0)
    assert len(same.most_changed) == 0 and same.items_both == same.items_before
    found = recae.compare_exports(*places)
    lists = [model.recommend(k=4).groupby("user_id")["item_id"].agg(list) for model in models]
    wanted = expected(lists[0].to_dict(), lists[1].to_dict(), 4)
    assert {name: getattr(found, name) for name in wanted} == pytest.approx(wanted)
    assert ("Alien" in str(found)) == any(
        "i1" in [*row.new[:5], *row.gone[:5]] for row in found.most_changed.itertuples()
    )


def test_nothing_in_common(tmp_path) -> None:
    one = written(tmp_path / "a.parquet", {1: [5, 6], 2: [5]})
    two = written(tmp_path / "b.parquet", {3: [7]})
    found = recae.compare_exports(one, two)
    assert (found.users, found.only_before, found.only_after) == (0, 2, 1)
    assert np.isnan([found.overlap, found.rbo, found.changed]).all()
    assert (found.items_before, found.items_after, found.items_both) == (1, 1, 0)  # at k = 1
    assert "2 only before" in str(found) and len(found.most_changed) == 0
    assert "nan" not in str(found) and found.to_dict()["rbo"] is None


def test_exports_without_rows(text_data, tmp_path) -> None:
    model = recae.EASE(l2=3.0).fit(text_data)
    for name in ("a", "b.parquet"):
        model.export(tmp_path / name, users=[], k=3)
    found = recae.compare_exports(tmp_path / "a", tmp_path / "b.parquet")
    assert (found.users, found.only_before, found.items_both) == (0, 0, 0)


def test_titles_and_most(tmp_path) -> None:
    one = written(tmp_path / "a.parquet", {1: [5, 6], 2: [5, 6]}, title="old")
    two = written(tmp_path / "b.parquet", {1: [7, 6], 2: [8, 9]})
    assert "old" in str(recae.compare_exports(one, two))
    told = str(recae.compare_exports(one, two, titles={7: "Brazil", 6: "Alien"}, most=1))
    assert "Alien" in told and "Brazil" not in told and "old" not in told  # of user 2 alone
    found = recae.compare_exports(one, two, most=0)
    assert len(found.most_changed) == 0 and found.changed == 1
    assert found.to_dict()["most_changed"] == [] and "2 users" in repr(found)


def test_what_cannot_be_compared(text_data, int_data, tmp_path) -> None:
    one = written(tmp_path / "a.parquet", {1: [5, 6]})
    for users, column in (({"1": [5]}, "user_id"), ({1: ["5"]}, "item_id")):
        with pytest.raises(DataError, match=rf"{column} is int64 .*a\.parquet and"):
            recae.compare_exports(one, written(tmp_path / "b.parquet", users))
    with pytest.raises(ConfigError, match="k is 3.* 2 ") as error:
        recae.compare_exports(one, one, k=3)
    assert error.value.parameter == "k"
    for options, name in (({"k": 0}, "k"), ({"most": -1}, "most"), ({"most": 1.5}, "most")):
        with pytest.raises(ConfigError) as error:
            recae.compare_exports(one, one, **options)
        assert error.value.parameter == name
    with pytest.raises(DataError, match=r"absent\.parquet"):
        recae.compare_exports(one, tmp_path / "absent.parquet")
    nothing = tmp_path / "c.parquet"
    table = pq.read_table(one)
    pq.write_table(table.set_column(0, "user_id", pa.nulls(2, pa.int64())), nothing)
    with pytest.raises(DataError, match="2 rows .*user_id"):
        recae.compare_exports(one, nothing)


def test_a_damaged_column_of_titles_is_named(tmp_path) -> None:
    """Only the lists of the users that changed most are read with all columns."""
    one = written(tmp_path / "a.parquet", {1: [5, 6], 2: [5, 6]}, title="old")
    two = written(tmp_path / "b.parquet", {1: [7, 6], 2: [8, 9]})
    chunk = pq.read_metadata(one).row_group(0).column(4)
    assert chunk.path_in_schema == "title"
    content = bytearray(one.read_bytes())
    start = chunk.dictionary_page_offset
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    one.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet"):
        recae.compare_exports(one, two)
