"""Dates over times of any unit, and settings of other types in every splitter."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError, Interactions
from recae.data.splits import RollingTime, WeakKFold
from recae.data.splits.moments import duration_of, moment_of, unit_of

SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAY = 86_400
START = 1_577_836_800  # 2020-01-01, by `date -d 2020-01-01Z +%s`
CUT = START + 4 * DAY


def log(unit: str = "s") -> pd.DataFrame:
    """Ten users with an interaction in each of ten days, at noon."""
    users, days = np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10)
    times = (START + days * DAY + DAY // 2) * SECONDS[unit]
    return pd.DataFrame(
        {"user_id": users, "item_id": (users + days * 3) % 17, "timestamp": times}
    ).drop_duplicates(["user_id", "item_id"])


DATES = [
    "2020-01-05",
    " 2020-01-05T00:00:00Z",
    "20200105",
    np.str_("2020-01-05"),
    datetime.date(2020, 1, 5),
    datetime.datetime(2020, 1, 5),
    datetime.datetime(2020, 1, 5, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    np.datetime64("2020-01-05"),
    np.datetime64("2020-01-05T00:00:00.000"),
    pd.Timestamp("2020-01-05"),
]


@pytest.mark.parametrize("unit", SECONDS)
@pytest.mark.parametrize("date", DATES, ids=repr)
def test_a_date_cuts_times_of_every_unit(unit: str, date: Any) -> None:
    frame = log(unit)
    moment, note = moment_of("test", date, frame["timestamp"].to_numpy())
    assert moment == CUT * SECONDS[unit]
    assert (str(moment) in note) == (unit != "ns")


@pytest.mark.parametrize("unit", SECONDS)
def test_the_split_is_that_of_the_integer(unit: str) -> None:
    frame = log(unit)
    by_date = recae.GlobalTime("2020-01-03", datetime.date(2020, 1, 5)).split(frame)
    cuts = [(START + days * DAY) * SECONDS[unit] for days in (2, 4)]
    by_integer = recae.GlobalTime(*cuts).split(frame)
    for fold in ("validation", "test"):
        one, two = getattr(by_date, fold), getattr(by_integer, fold)
        assert one.fingerprint() == two.fingerprint() and one.target.nnz
    assert by_integer.notes == () and len(by_date.notes) == (0 if unit == "ns" else 2)
    assert all(str(cut) in repr(by_date) for cut in cuts) == (unit != "ns")


def test_a_date_cuts_the_bundled_movielens() -> None:
    data = recae.load_dataset("ml-latest-small").interactions
    split = recae.GlobalTime(None, "2015-01-01").split(data)
    assert split.train.times.max() < 1_420_070_400 <= split.test.target.times.min()


def test_a_part_of_a_unit_belongs_to_the_later_one() -> None:
    times = np.array([CUT - 1, CUT, CUT + 1])
    assert moment_of("test", "2020-01-05T00:00:00.5", times)[0] == CUT + 1
    assert moment_of("test", "2020-01-04T23:59:59.000000001", times)[0] == CUT


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ([0, 50], None),  # steps
        ([0, CUT], None),  # 0 stands for unknown
        ([315_532_800, 4_102_444_799], "s"),  # 1980-01-01 and the end of 2099
        ([315_532_799, CUT], None),
        ([CUT, 4_102_444_800], None),
        ([CUT, CUT * 1000], None),  # of two units
        ([-157_766_400 * 10**9, 0], "ns"),  # 1965, read from dates
        ([18_262, 18_263], None),  # days
    ],
)
def test_units_are_guessed_where_one_alone_is_plausible(times: list[int], unit: Any) -> None:
    assert unit_of(np.array(times)) == unit


@pytest.mark.parametrize(
    "splitter",
    [
        recae.GlobalTime(None, "2020-01-05"),
        recae.GlobalTime(datetime.date(2020, 1, 5), 0.1),
        recae.StrongGeneralization(held_out=2, moment="2020-01-05"),
        RollingTime(2, "1D"),
    ],
    ids=repr,
)
def test_a_date_over_whole_numbers_of_no_unit_is_refused(splitter: Any) -> None:
    frame = log().assign(timestamp=lambda f: range(len(f)))
    with pytest.raises(DataError, match=r"\b0 .*") as caught:
        splitter.split(frame)
    assert caught.value.parameter in ("test", "validation", "moment", "window")
    assert str(len(frame) - 1) in str(caught.value)


def test_a_cut_in_another_unit_is_named() -> None:
    with pytest.raises(DataError, match=f"{CUT} .*nanoseconds.* seconds"):
        recae.GlobalTime(None, CUT).split(log("ns"))


@pytest.mark.parametrize(
    "value",
    ["05/01/2020", "5.1.2020", "1/2020", "Jan 5 2020", "now", "", str(CUT), "2020-13-01", b"2020"]
    + [None, [1], 1 + 2j, pd.NaT, np.datetime64("NaT"), np.True_, float("nan"), float("inf")],
    ids=repr,
)
def test_only_iso_dates_are_dates(value: Any) -> None:
    for splitter in (recae.GlobalTime(None, value), recae.GlobalTime(value or "x", 0.1)):
        with pytest.raises(ConfigError) as caught:
            splitter.split(log())
        assert caught.value.parameter in ("test", "validation")


@pytest.mark.parametrize(
    ("plain", "scalar"),
    [
        (recae.GlobalTime(0.25, 0.25), recae.GlobalTime(np.float32(0.25), np.float16(0.25))),
        (recae.GlobalTime(None, CUT), recae.GlobalTime(None, np.int64(CUT))),
        (
            recae.LeaveLastOut(1, 2, latest=2),
            recae.LeaveLastOut(np.int8(1), np.uint64(2), latest=2),
        ),
        (recae.LeaveLastOut(0, 0.25), recae.LeaveLastOut(np.int8(0), np.float32(0.25))),
        (recae.RandomSplit(0.25, 0.25), recae.RandomSplit(np.float32(0.25), Fraction(1, 4))),
        (
            recae.StrongGeneralization(0.25, 0.5, 2),
            recae.StrongGeneralization(np.float32(0.25), np.float64(0.5), np.int16(2)),
        ),
        (
            recae.StrongGeneralization(2, 0.5, 2),
            recae.StrongGeneralization(np.int64(2), np.float32(0.5), np.int16(2)),
        ),
    ],
    ids=repr,
)
def test_numbers_of_numpy_are_numbers(plain: Any, scalar: Any) -> None:
    one, two = (splitter.split(log(), seed=np.int64(3)) for splitter in (plain, scalar))
    assert one.test.fingerprint() == two.test.fingerprint()
    assert one.train.fingerprint() == two.train.fingerprint()


WRONG = ["5", 1.5, None, True, [1], np.nan, Decimal("0.1"), -1]


@pytest.mark.parametrize(
    ("splitter", "names"),
    [
        (recae.RandomSplit, ["test", "validation", "by", "history"]),
        (recae.LeaveLastOut, ["test", "validation", "history", "latest", "users"]),
        (recae.GlobalTime, ["test", "history", "latest", "cold"]),
        (
            recae.StrongGeneralization,
            ["held_out", "fold_in", "min_target", "target", "moment", "validation"],
        ),
        (recae.UserKFold, ["folds", "fold_in", "min_target"]),
        (RollingTime, ["folds", "window", "validation", "history", "latest", "cold"]),
        (WeakKFold, ["folds", "by", "validation", "history"]),
    ],
)
def test_settings_of_another_type_are_our_errors(splitter: Any, names: list[str]) -> None:
    data = Interactions.from_frame(log())
    refused = 0
    for name in names:
        for value in WRONG:
            try:
                splitter(**{name: value}).split(data)
            except ConfigError as error:
                refused += error.parameter == name
            except DataError:
                pass  # such as a moment before all times
    assert refused >= len(names) * (len(WRONG) - 3)


def test_lengths_of_time_are_in_the_unit_of_the_times() -> None:
    for unit, size in SECONDS.items():
        times = log(unit)["timestamp"].to_numpy()
        for length in ("1D", "24h", datetime.timedelta(days=1), np.timedelta64(1, "D")):
            assert duration_of("window", length, times) == DAY * size
        assert duration_of("window", 7, times) == 7
    for wrong in ("soon", "-1D", 0, None, pd.NaT, True, b"1D"):
        with pytest.raises(ConfigError) as caught:
            duration_of("window", wrong, times)
        assert caught.value.parameter == "window"
