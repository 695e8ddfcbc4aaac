"""Copies of the database: whole, private, taken beside a writer, and refused when they are not."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing

import pytest

from netsky_runtime.db import backup, events, settings
from netsky_runtime.errors import Conflict, DatabaseError, Unhealthy
from tests.support.fakes import START_MS


def put(key: str):
    return lambda tx: settings.set_(tx, key, "x" * 500, now=1)


async def take(database, target):
    return await asyncio.to_thread(backup.take, database.path, target)


def keys(path) -> list[str]:
    with closing(sqlite3.connect(path)) as copy:
        return [row[0] for row in copy.execute("SELECT key FROM settings ORDER BY key")]


async def test_a_copy_has_what_was_committed_and_is_one_private_file(database, tmp_path):
    await database.write(put("first"))
    target = tmp_path / "copies" / "copy.db"
    copy = await take(database, target)
    await database.write(put("second"))
    assert keys(target) == ["first"]
    assert copy.rows["settings"] == 1
    assert copy.bytes == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]


async def test_a_copy_taken_beside_a_writer_is_of_one_moment(database, tmp_path):
    """Two rows that are always written together are both there, or neither."""

    async def pair(tx, number: int):
        await settings.set_(tx, f"left{number}", "x" * 2_000, now=1)
        await settings.set_(tx, f"right{number}", "x" * 2_000, now=1)

    async def write():
        for number in range(200):
            await database.write(lambda tx, number=number: pair(tx, number))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        copies = 0
        while not writing.done():
            copies += 1
            await take(database, tmp_path / f"copy{copies}.db")
    assert copies
    for number in range(1, copies + 1):
        found = set(keys(tmp_path / f"copy{number}.db"))
        assert {key.replace("left", "right") for key in found if "left" in key} <= found
        assert {key.replace("right", "left") for key in found if "right" in key} <= found


async def test_a_file_that_is_there_is_not_written_over(database, tmp_path):
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(Conflict, match="exists already"):
        await take(database, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"


async def test_a_folder_that_takes_nothing_is_a_sentence_and_leaves_nothing(database, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unhealthy, match="cannot be written"):
        await take(database, tmp_path / "file" / "copy.db")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "home"}


async def test_a_copy_with_a_damaged_page_is_found_out(database, tmp_path):
    await database.write(lambda tx: events.upsert_many(tx, many(2_000)))
    target = tmp_path / "copy.db"
    await take(database, target)
    assert backup.verify(target).rows["events"] == 2_000
    content = bytearray(target.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 2048] = b"\xff" * 2048
    target.write_bytes(content)
    with pytest.raises(DatabaseError, match="damaged"):
        backup.verify(target)


async def test_a_copy_whose_rows_point_nowhere_is_found_out(database, tmp_path):
    target = tmp_path / "copy.db"
    await take(database, target)
    with closing(sqlite3.connect(target)) as copy, copy:
        copy.execute(
            "INSERT INTO threads (id, actor_id, session_id, runtime, created_at)"
            " VALUES ('th', 'nobody', 's', 'scripted', 1)"
        )
    with pytest.raises(DatabaseError, match="point at rows"):
        backup.verify(target)


def many(count: int) -> list[events.Fact]:
    return [
        ("th", "u", f"i{n}", "item.completed", "a", n, '{"text":"words"}') for n in range(count)
    ]


def test_the_newest_copies_are_kept_and_other_files_are_never_touched(tmp_path):
    times = [START_MS + day * 86_400_000 for day in range(4)]
    for at in times:
        backup.free_name(tmp_path, at).write_text("copy")
    twice = backup.free_name(tmp_path, times[-1])
    twice.write_text("copy")
    others = {"meta-v8-1763600000000.db", "replaced-20260101T000000Z.db", "mine.db"}
    for name in others:
        (tmp_path / name).write_text("kept")
    assert backup.taken_at(backup.kept(tmp_path)[0]) == times[0] // 1000 * 1000
    assert backup.kept(tmp_path)[-1] == twice
    backup.prune(tmp_path, keep=2, now=times[-1])
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {backup.name(times[-1]), twice.name, *others}
