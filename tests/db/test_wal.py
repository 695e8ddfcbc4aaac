"""A log that lost acknowledged commits is told from one that a crash cut."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsky_runtime.db import migrate, wal
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import DatabaseError

COMMITS = 8
PAGE, HEADER = 4096, 32
FRAME = PAGE + 24


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A database as a daemon leaves it that is killed, with a log of several commits."""
    folder = tmp_path_factory.mktemp("killed")
    live = folder / "live.db"
    with closing(sqlite3.connect(live, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (number INTEGER PRIMARY KEY, text TEXT)")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for number in range(COMMITS):
            database.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 9_000))
        for end in ("", "-wal"):
            shutil.copy(f"{live}{end}", f"{folder}/meta.db{end}")
    return folder


def damaged(killed, folder, change):
    for end in ("", "-wal"):
        shutil.copy(killed / f"meta.db{end}", folder / f"meta.db{end}")
    log = folder / "meta.db-wal"
    log.write_bytes(change(log.read_bytes()))
    return folder / "meta.db"


def survivors(path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT count(*) FROM t").fetchone()[0]


def flipped(at: int):
    def change(content: bytes) -> bytes:
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return change


def test_a_whole_log_is_whole(killed, tmp_path):
    wal.inspect(damaged(killed, tmp_path, lambda content: content))
    assert survivors(tmp_path / "meta.db") == COMMITS


def test_no_log_is_no_damage(tmp_path):
    wal.inspect(tmp_path / "meta.db")


@pytest.mark.parametrize("cut", [1, 100, FRAME, FRAME + 1, 2 * FRAME])
def test_what_a_crash_cut_off_is_no_damage(killed, tmp_path, cut):
    wal.inspect(damaged(killed, tmp_path, lambda content: content[:-cut]))


def test_the_rest_of_an_older_log_behind_a_new_one_is_no_damage(tmp_path):
    with closing(sqlite3.connect(tmp_path / "live.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (number INTEGER PRIMARY KEY, text TEXT)")
        for number in range(COMMITS):
            database.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 9_000))
        database.execute("PRAGMA wal_checkpoint(RESTART)")
        database.execute("INSERT INTO t VALUES (99, 'short')")
        wal.inspect(tmp_path / "live.db")


@pytest.mark.parametrize("at", [16, HEADER + 9, HEADER + 24 + 100, HEADER + FRAME * 2 + 30])
def test_damage_in_front_of_acknowledged_commits_is_refused(killed, tmp_path, at):
    path = damaged(killed, tmp_path, flipped(at))
    with pytest.raises(DatabaseError, match="commits in it cannot be read") as told:
        wal.inspect(path)
    assert "netsky restore" in told.value.hint
    assert survivors(path) < COMMITS  # SQLite says nothing


@given(st.integers(0, 10**9), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_wherever_a_bit_turns_no_more_than_the_last_commit_goes_without_a_word(
    killed, tmp_path_factory, place: int, dice: random.Random
):
    size = (killed / "meta.db-wal").stat().st_size
    path = damaged(killed, tmp_path_factory.mktemp("turned"), flipped(place % size))
    try:
        wal.inspect(path)
    except DatabaseError:
        return
    assert survivors(path) >= COMMITS - 1 or place % size < 12  # its own format is not told


async def test_a_daemon_does_not_start_on_a_damaged_log_and_leaves_it_as_it_was(
    killed, tmp_path, clock
):
    path = tmp_path / "meta.db"
    migrate.prepare(path, backups=tmp_path, now=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        for number in range(COMMITS):
            database.execute("INSERT INTO settings VALUES (?, ?, 1)", (f"k{number}", "x" * 9_000))
        content = path.with_name("meta.db-wal").read_bytes()
        aside = tmp_path / "aside"
        aside.mkdir()
        shutil.copy(path, aside / "meta.db")
    (aside / "meta.db-wal").write_bytes(flipped(HEADER + FRAME + 50)(content))
    before = (aside / "meta.db-wal").read_bytes()
    with pytest.raises(DatabaseError, match="is damaged"):
        await Database.open(aside / "meta.db", backups=aside, clock=clock)
    assert (aside / "meta.db-wal").read_bytes() == before
