"""A folder of entries: all of them, and only if they were measured on the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

from recae import ConfigError, DataError
from recae.errors import StorageError
from recae.report import Entry, html, load_entries, markdown


@pytest.fixture
def on(report):
    """An entry on data of one's own."""

    def entry(name: str, **data: str) -> Entry:
        return Entry(name, [report({"ndcg@5": [0.5, 0.7]}, **data)])

    return entry


def test_entries_come_by_name(on, tmp_path: Path) -> None:
    for name in ("pop", "als", "ease"):
        on(name).save(tmp_path / f"folder-of-{name}")
    (tmp_path / "report.html").write_text("a page")
    (tmp_path / ".als.12345678.part").mkdir()  # what a killed writer leaves
    assert [entry.name for entry in load_entries(tmp_path)] == ["als", "ease", "pop"]


def test_nothing_is_skipped(on, tmp_path: Path) -> None:
    on("als").save(tmp_path / "als")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="empty .*no entry"):
        load_entries(tmp_path)
    (tmp_path / "empty").rmdir()
    (tmp_path / "als" / "report-1.json").write_text("{}")
    with pytest.raises(StorageError, match=r"report-1\.json .*saved"):
        load_entries(tmp_path)


def test_a_folder_without_entries(on, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no entry: .*Entry\.save"):
        load_entries(tmp_path)
    with pytest.raises(StorageError, match="read .*nowhere"):
        load_entries(tmp_path / "nowhere")
    on("als").save(tmp_path / "als")
    with pytest.raises(StorageError, match="als is .*entry: .*folder"):
        load_entries(tmp_path / "als")


def test_two_of_one_name(on, tmp_path: Path) -> None:
    on("als").save(tmp_path / "a")
    on("als").save(tmp_path / "b")
    with pytest.raises(ConfigError, match="two entries .*'als'"):
        load_entries(tmp_path)


@pytest.mark.parametrize("part", ["target", "history", "mask"])
def test_entries_of_different_data_are_refused(on, tmp_path: Path, part: str) -> None:
    entries = [on("als"), on("ease", **{part: "changed"})]
    message = f"'ease' .*another {part} .*'als' .changed and {part[0] * 8}."
    for entry in entries:
        entry.save(tmp_path / entry.name)
    for mixed in (
        lambda: load_entries(tmp_path),
        lambda: markdown(entries),
        lambda: html(entries, tmp_path / "page.html"),
    ):
        with pytest.raises(DataError, match=message):
            mixed()
    assert not (tmp_path / "page.html").exists()


def test_seeds_of_different_data_are_refused(report) -> None:
    entry = Entry("a", [report({"ndcg@5": [0.5]}), report({"ndcg@5": [0.5]}, mask="other")])
    with pytest.raises(DataError, match="report 2 .*'a' .*another mask"):
        markdown([entry])


def test_a_report_without_fingerprints_does_not_pass_for_any_other(on, report) -> None:
    unknown = Entry("b", [report({"ndcg@5": [0.5]}, target=None)])
    with pytest.raises(DataError, match="'b' .*another target"):
        markdown([on("a"), unknown])


def test_a_suite_refuses_results_of_data_that_have_changed(on, tmp_path: Path) -> None:
    on("als", target="old").save(tmp_path / "als")
    assert [e.name for e in load_entries(tmp_path, target="old")] == ["als"]
    with pytest.raises(DataError, match="'als' .*old .*new"):
        load_entries(tmp_path, target="new")


def test_what_is_no_entry(report) -> None:
    with pytest.raises(ConfigError, match="no entries"):
        markdown([])
    with pytest.raises(ConfigError, match=r"recae\.report\.Entry .*, not Report"):
        markdown([report({"ndcg@5": [0.5]})])
