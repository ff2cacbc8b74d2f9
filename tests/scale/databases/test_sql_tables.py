"""What is special to PostgreSQL and DuckDB: rights, dependents, schemas, new files."""

from __future__ import annotations

from pathlib import Path

import pytest

from recae.errors import StorageError
from recae.recommend.export import Export
from recae.scale import load_export

from .contents import Place, loaded, sql, stopping, written


def test_a_replaced_table_keeps_its_rights_and_readers_its_rows(
    place: Place, exports: dict[str, Path]
) -> None:
    import psycopg

    url = place("postgresql")
    load_export(exports["int"], url)
    sql(
        url,
        'DROP ROLE IF EXISTS "web\'s", keeper',
        'CREATE ROLE "web\'s" LOGIN',
        "CREATE ROLE keeper",
        "ALTER TABLE lists OWNER TO keeper",
        "GRANT INSERT ON lists TO PUBLIC",
        'GRANT SELECT (user_id, item_id, rank) ON lists TO "web\'s" WITH GRANT OPTION',
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    )
    load_export(exports["other"], url, overwrite=True)
    sql(url, "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC")
    reader = url.partition("?")[0].replace("tester@", "web's@")
    name = url.partition("table=")[2]
    with psycopg.connect(reader) as connection:
        query = f"SELECT item_id FROM {name} WHERE user_id = 107 ORDER BY rank"
        found = [str(row[0]) for row in connection.execute(query).fetchall()]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT score FROM {name}")
    assert found == [item for user, item in written(exports["other"]) if user == "107"]
    assert sql(url, "SELECT tableowner FROM pg_tables WHERE tablename = 'lists'") == [("keeper",)]
    assert sql(url, "SELECT has_table_privilege('keeper', 'lists', 'DELETE')") == [(True,)]
    rights = "SELECT privilege_type FROM information_schema.{} WHERE table_name = 'lists' AND "
    by_table = rights.format("role_table_grants") + "grantee IN ('PUBLIC', 'web''s')"
    assert sql(url, by_table) == [("INSERT",)]
    by_column = rights.format("column_privileges") + "grantee = 'web''s' AND is_grantable = 'YES'"
    assert sql(url, by_column) == [("SELECT",)] * 3
    plan = sql(url, "SET enable_seqscan = off", "EXPLAIN SELECT * FROM lists WHERE user_id = 7")
    assert "Index" in plan[0][0]
    sql(url, "DROP TABLE lists", 'DROP ROLE "web\'s", keeper')


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ('VIEW "v of lists" AS SELECT * FROM lists', "v of"),
        ("TABLE of_lists (u bigint, r int, FOREIGN KEY (u, r) REFERENCES lists)", "of_"),
        ("FUNCTION f_lists(lists) RETURNS int LANGUAGE sql AS 'SELECT 1'", "f_"),
        ("POLICY p ON lists", "row security"),
    ],
)
def test_a_table_that_cannot_be_replaced_is_found_before_the_load(
    what: str,
    match: str,
    place: Place,
    exports: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = place("postgresql")
    load_export(exports["int"], url)
    sql(url, f"CREATE {what}", *["ALTER TABLE lists ENABLE ROW LEVEL SECURITY"] * ("POL" in what))
    monkeypatch.setattr(Export, "verify", lambda self: pytest.fail("it is checked first"))
    with pytest.raises(StorageError, match=match):
        load_export(exports["other"], url, overwrite=True)


def test_a_schema_with_the_name_of_the_file(place: Place, exports: dict[str, Path]) -> None:
    url = place("duckdb")
    load_export(exports["int"], url)
    with pytest.raises(StorageError, match="shop"):
        load_export(exports["other"], url.replace("lists", "shop.lists"), overwrite=True)
    assert loaded(url) == written(exports["int"])
    sql(url, "CREATE SCHEMA shop")
    for which in ("other", "one"):
        load_export(exports[which], url.replace("lists", "shop.lists"), overwrite=True)
    assert sql(url, "SELECT count(*) FROM shop.shop.lists") == [(len(written(exports["one"])),)]
    assert sql(url, "SELECT count(*) FROM shop.main.lists") == [(len(written(exports["int"])),)]


def test_a_file_of_another_program_that_appears_meanwhile_stays(
    place: Place, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "shop.duckdb"
    stopping(monkeypatch, lambda: file.write_text("theirs") and None)
    with pytest.raises(StorageError):
        load_export(exports["int"], place("duckdb"))
    assert file.read_text() == "theirs"
