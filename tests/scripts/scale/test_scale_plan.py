"""The plan of docs/scale.md: rates scaled up by arithmetic written out here."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.__main__ import modules
from evaluation.scale import scale_plan


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The kept results, which a test fills."""
    results: dict[str, Any] = {}
    monkeypatch.setattr(scale_plan, "has_result", lambda name: name in results)
    monkeypatch.setattr(scale_plan, "read_result", lambda name: results[name])
    return results


def test_the_page_holds_the_tables_of_the_kept_results() -> None:
    page = scale_plan.PAGE.read_text(encoding="utf-8")
    _, _, rest = page.partition(scale_plan.BEGIN)
    assert rest.partition(scale_plan.END)[0] == scale_plan.tables(), (
        "docs/scale.md is older than evaluation/results/: python -m evaluation scale_plan --write"
    )


def test_without_results_every_row_names_a_command_that_exists(kept) -> None:
    known = modules()
    for _, measured, _, hours, _ in scale_plan.stages():
        assert hours is None
        command = measured.partition("`python -m evaluation")[2].rstrip("`")
        assert command.startswith(".speed ") or command.strip() in known


def test_rates_are_scaled_up_by_their_formulas(kept) -> None:
    fit = {"users": 10**5, "items": 10**5, "nnz": 10**6, "pairs": 27 * 10**6, "seconds": 3.6}
    kept["scale-fit"] = {
        "models": dict.fromkeys(("als", "pure-svd", "elsa", "sparse-ease"), fit),
        "load_average": 0.5,
    }
    kept["scale-ingest"] = {"rows_a_second": 1_000_000, "load_average": 9.0}
    kept["scale-export"] = {"users_a_second": 1000.0, "items": 10**5, "bytes_a_row": 5.0}
    kept["scale-load"] = {"databases": {"duckdb": {"rows_a_second": 10**6}}}
    rows = {stage.partition(",")[0]: (hours, cores, measured)
            for stage, measured, _, hours, cores in scale_plan.stages()}  # fmt: skip
    # 10^9 interactions are 1,000 times those of the fit, which took a thousandth of an hour.
    assert rows["PureSVD"][0] == pytest.approx(1.0)
    assert rows["ALS"][0] == pytest.approx(15.0)
    # 10^15 cells are 100,000 times the 10^10 of the fit; 5 epochs.
    assert rows["ELSA"][0] == pytest.approx(5 * 100_000 / 1000)
    # 27 x 10^9 pairs are 1,000 times as many, the items 100 times.
    assert rows["SparseEASE"][0] == pytest.approx(1.0)
    # 10^9 rows at 10^6 a second, on two cores.
    assert rows["ingest"][:2] == (pytest.approx(2 * 1000 / 3600), 2)
    assert "busy" in rows["ingest"][2] and "busy" not in rows["PureSVD"][2]
    # 10^8 users at 1,000 a second on two cores, over 100 times the items.
    assert rows["export"][0] == pytest.approx(2 * 10**5 * 100 / 3600)
    # 10^10 rows at 10^6 a second.
    assert rows["load into duckdb"][0] == pytest.approx(10**4 / 3600)


def test_memory_is_that_of_the_formulas(kept) -> None:
    table = scale_plan.memory_table()
    sizes = {line.split(" | ")[0].strip("| "): line for line in table.splitlines()}
    assert "400 TB" in sizes["EASE, X'X and weights in float32"]  # 4 x 10^14
    assert "18 GB" in sizes["data folder, on disk"]  # 16 x (10^9 + 10^8), rounded
    assert "4.2 GB" in sizes["export, in memory"]  # 4 x 64 x 10^7 + 16 x 10^8


@pytest.mark.parametrize(
    ("number", "text"), [(1234.0, "1,200"), (0.0456, "0.046"), (10.0, "10"), (2.5, "2.5")]
)
def test_two_digits(number, text) -> None:
    assert scale_plan._short(number) == text
