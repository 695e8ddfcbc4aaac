"""From one schema to the next, or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from netsky_runtime.db import migrate
from netsky_runtime.db.migrate import Migration
from netsky_runtime.errors import DatabaseError

FIRST = Migration(1, "0001_first.sql", "CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT);")
SECOND = Migration(
    2,
    "0002_second.sql",
    "ALTER TABLE pets ADD COLUMN age INTEGER;\nUPDATE pets SET age = 1;\n",
)
BROKEN = Migration(
    2,
    "0002_broken.sql",
    "UPDATE pets SET name = 'lost';\nDROP TABLE pets;\nINSERT INTO none VALUES (1);",
)


def schema(path: Path) -> tuple[object, ...]:
    with closing(sqlite3.connect(path)) as raw:
        tables = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name")
        return tuple(tables.fetchall()), raw.execute("PRAGMA user_version").fetchone()


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        return [row[0] for row in raw.execute("SELECT name FROM pets ORDER BY id")]


@pytest.fixture
def backups(path: Path) -> Path:
    return path.parent / "backups"


@pytest.fixture
def old(path: Path, backups: Path) -> Path:
    migrate.prepare(path, backups=backups, now=1, migrations=[FIRST])
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("INSERT INTO pets (name) VALUES ('rex')")
        raw.commit()
    return path


def test_a_migrated_schema_is_the_fresh_one(tmp_path, old, backups):
    fresh = tmp_path / "fresh.db"
    migrate.prepare(fresh, backups=backups, now=2, migrations=[FIRST, SECOND])
    migrate.prepare(old, backups=backups, now=2, migrations=[FIRST, SECOND])
    assert schema(old) == schema(fresh)


def test_every_shipped_version_leads_to_the_fresh_schema(tmp_path):
    steps = migrate.shipped()
    fresh = tmp_path / "fresh.db"
    migrate.prepare(fresh, backups=tmp_path, now=1)
    for known in range(1, len(steps) + 1):
        path = tmp_path / f"from{known}.db"
        migrate.prepare(path, backups=tmp_path / "backups", now=1, migrations=steps[:known])
        migrate.prepare(path, backups=tmp_path / "backups", now=2)
        assert schema(path) == schema(fresh)


def test_the_database_is_copied_before_it_changes(old, backups):
    migrate.prepare(old, backups=backups, now=77, migrations=[FIRST, SECOND])
    copy = backups / "meta-v1-77.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert schema(copy)[1] == (1,)
    assert names(copy) == ["rex"]


def test_a_migration_that_fails_in_the_middle_leaves_the_old_version_and_a_copy(old, backups):
    before = schema(old)
    with pytest.raises(DatabaseError, match="0002_broken") as refused:
        migrate.prepare(old, backups=backups, now=77, migrations=[FIRST, BROKEN])
    assert schema(old) == before
    assert names(old) == names(backups / "meta-v1-77.db") == ["rex"]
    assert str(backups / "meta-v1-77.db") in refused.value.hint


def test_a_step_that_breaks_a_reference_is_taken_back(path, backups):
    tables = Migration(
        1,
        "0001_tables.sql",
        "CREATE TABLE a (id INTEGER PRIMARY KEY);\nCREATE TABLE b (a_id REFERENCES a (id));\n"
        "INSERT INTO a VALUES (1);\nINSERT INTO b VALUES (1);",
    )
    careless = Migration(2, "0002_careless.sql", "DELETE FROM a;")
    migrate.prepare(path, backups=backups, now=1, migrations=[tables])
    with pytest.raises(DatabaseError, match="rows of b would point at rows of a"):
        migrate.prepare(path, backups=backups, now=2, migrations=[tables, careless])
    assert schema(path)[1] == (1,)


def test_a_first_migration_that_fails_leaves_no_file(path, backups):
    with pytest.raises(DatabaseError):
        migrate.prepare(path, backups=backups, now=1, migrations=[FIRST, BROKEN])
    assert list(path.parent.iterdir()) == []


def test_what_is_up_to_date_is_neither_changed_nor_copied(old, backups):
    before = old.read_bytes()
    migrate.prepare(old, backups=backups, now=2, migrations=[FIRST])
    assert old.read_bytes() == before
    assert not backups.exists()


def test_statements_end_where_sqlite_says_not_at_every_semicolon():
    script = """-- a comment; with a semicolon
CREATE TABLE a (t TEXT DEFAULT ';');

CREATE TRIGGER r AFTER INSERT ON a BEGIN
    UPDATE a SET t = 'x;y';
    DELETE FROM a;
END;
-- the end;
"""
    found = list(migrate.statements(script))
    assert [statement.split()[1] for statement in found] == ["TABLE", "TRIGGER"]
    with closing(sqlite3.connect(":memory:")) as raw:
        for statement in found:
            raw.execute(statement)


def test_a_statement_without_an_end_is_an_error():
    with pytest.raises(RuntimeError, match="unfinished"):
        list(migrate.statements("CREATE TABLE a (t TEXT)"))


def test_every_table_is_strict(path, backups):
    migrate.prepare(path, backups=backups, now=1)
    with closing(sqlite3.connect(path)) as raw:
        lists = raw.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
        lax = [name for name, strict in lists if not strict and not name.startswith("sqlite_")]
    assert lax == []
