"""A database that netsky cannot work with: one clear error, what to do, and the file untouched."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from netsky_runtime.db import faults, migrate
from netsky_runtime.db.connection import Database, ReadDatabase
from netsky_runtime.errors import DatabaseError


@pytest.fixture
def made(path: Path) -> Path:
    migrate.prepare(path, backups=path.parent / "backups", now=1)
    return path


def open_raw(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def newer(path: Path) -> None:
    with open_raw(path) as raw:
        raw.execute("PRAGMA user_version = 999")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("dear diary\n" * 50)


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


def scribbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)


def foreign(path: Path) -> None:
    path.unlink()
    with open_raw(path) as raw:
        raw.execute("CREATE TABLE bookmarks (url TEXT)")


BROKEN = {
    newer: ("newer netsky: schema 999", "Update netsky"),
    emptied: ("is empty", "Move the file away"),
    text: ("not a database", "Move the file away"),
    short: ("not a database", "Move the file away"),
    cut: ("cut off: 20000 of", "Move the file away"),
    scribbled: ("damaged", "Move the file away"),
    foreign: ("another program", "NETSKY_HOME"),
}


@pytest.mark.parametrize("how", BROKEN, ids=lambda how: how.__name__)
@pytest.mark.parametrize("reading", [False, True], ids=["owner", "reader"])
async def test_a_file_that_is_not_usable_is_refused_and_left_as_it_was(made, clock, how, reading):
    how(made)
    before = made.read_bytes()
    opening = (
        ReadDatabase.open(made)
        if reading
        else Database.open(made, backups=made.parent / "backups", clock=clock)
    )
    with pytest.raises(DatabaseError) as refused:
        await opening
    message, hint = BROKEN[how]
    assert message in refused.value.message
    assert str(made) in refused.value.message
    assert hint in refused.value.hint
    assert made.read_bytes() == before
    assert not (made.parent / "backups").exists()


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
async def test_a_database_that_another_program_holds_is_refused(made, clock, monkeypatch, lock):
    monkeypatch.setattr(migrate, "BUSY_MS", 50)
    with open_raw(made) as holder:
        holder.execute(f"BEGIN {lock}")
        before = made.read_bytes()
        with pytest.raises(DatabaseError, match="locked by another process") as refused:
            await Database.open(made, backups=made.parent, clock=clock)
        assert "End the program" in refused.value.hint
        assert made.read_bytes() == before
    database = await Database.open(made, backups=made.parent, clock=clock)
    await database.close()


LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM logs").fetchone()[0])
connection.close()
"""


async def test_a_look_from_this_process_leaves_the_log_safe_from_other_programs(made, clock):
    async def add(tx):
        await tx.execute("INSERT INTO logs (at, level, component, message) VALUES (1, '', '', '')")

    database = await Database.open(made, backups=made.parent, clock=clock)
    try:
        reader = await ReadDatabase.open(made)
        await reader.close()
        for count in (1, 2):
            await database.write(add)
            command = [sys.executable, "-c", LOOK, str(made)]
            told = await asyncio.to_thread(subprocess.check_output, command)
            assert int(told) == count
    finally:
        await database.close()


async def test_a_reader_of_a_database_that_is_not_there_makes_none(path):
    with pytest.raises(DatabaseError, match="There is no database"):
        await ReadDatabase.open(path)
    assert not path.exists()


async def test_a_reader_of_an_older_database_leaves_it_to_the_owner(made):
    with open_raw(made) as raw:
        raw.execute("PRAGMA user_version = 0")
    with pytest.raises(DatabaseError, match="older netsky") as refused:
        await ReadDatabase.open(made)
    assert "Start netsky once" in refused.value.hint


async def test_a_new_database_is_private_and_marked_as_ours(path, clock):
    before = os.umask(0)
    try:
        database = await Database.open(path, backups=path.parent, clock=clock)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    await database.close()
    with open_raw(path) as raw:
        assert raw.execute("PRAGMA application_id").fetchone() == (faults.APPLICATION_ID,)


async def test_a_database_is_never_made_beside_the_log_of_a_lost_one(path, clock):
    log = path.with_name("meta.db-wal")
    log.write_bytes(b"precious")
    with pytest.raises(DatabaseError, match=r"gone, but meta\.db-wal is still there"):
        await Database.open(path, backups=path.parent, clock=clock)
    assert log.read_bytes() == b"precious"
    assert not path.exists()


async def test_what_a_killed_first_start_left_is_swept_away(path, clock):
    path.with_name("meta.db.new").write_bytes(b"half a data")
    database = await Database.open(path, backups=path.parent, clock=clock)
    await database.close()
    assert [file.name for file in path.parent.iterdir()] == ["meta.db"]


async def test_a_file_name_with_special_characters_is_only_a_name(tmp_path, clock):
    folder = tmp_path / "50% #1? & more"
    folder.mkdir()
    database = await Database.open(folder / "meta.db", backups=folder, clock=clock)
    reader = await ReadDatabase.open(folder / "meta.db")
    await reader.close()
    await database.close()
    assert [file.name for file in folder.iterdir()] == ["meta.db"]


async def test_a_folder_that_is_not_there_is_said(tmp_path, clock):
    with pytest.raises(DatabaseError, match="cannot be made") as refused:
        await Database.open(tmp_path / "none" / "meta.db", backups=tmp_path, clock=clock)
    assert "writable" in refused.value.hint


ATTEMPT = """
import asyncio, os, sys
from pathlib import Path
from netsky_runtime.clock import SystemClock
from netsky_runtime.db import migrate
from netsky_runtime.db.connection import Database, ReadDatabase
from netsky_runtime.errors import DatabaseError
async def main(path, how):
    await asyncio.to_thread(migrate.shipped)  # what is imported late is imported now
    if os.getuid() == 0:  # root may write everywhere
        os.setgid(65534)
        os.setuid(65534)
    try:
        if how == "read":
            database = await ReadDatabase.open(path)
        else:
            database = await Database.open(path, backups=path.parent, clock=SystemClock())
    except DatabaseError as error:
        print(error)
    else:
        await database.close()
        print("opened")
asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("present", "how", "says"),
    [
        (False, "write", "cannot be made"),
        (True, "write", "cannot be opened"),
        (True, "read", "cannot be opened"),
    ],
)
def test_a_folder_that_is_read_only_is_said(present, how, says):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "home"
        folder.mkdir()
        path = folder / "meta.db"
        if present:
            migrate.prepare(path, backups=folder, now=1)
            with open_raw(path) as raw:
                raw.execute("PRAGMA journal_mode = WAL")
            path.chmod(0o444)
        before = path.read_bytes() if present else None
        Path(name).chmod(0o755)
        folder.chmod(0o555)
        # Imported from where it is, by a user who need not be allowed to look around there.
        ended = subprocess.run(
            [sys.executable, "-c", ATTEMPT, str(path), how],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
        )
        folder.chmod(0o755)
        assert says in ended.stdout, ended.stderr
        assert "writable" in ended.stdout
        assert (path.read_bytes() if present else None) == before
