from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime import watching as kernel
from netsky_runtime.clock import Clock, SystemClock
from netsky_runtime.codex.events import CodexEvent
from netsky_runtime.codex.rollout import RolloutReader, RolloutWatch, follow, tail
from netsky_runtime.codex.rollout.tail import Position, read
from tests.codex.rollout_files import events, path
from tests.support.fakes import ManualClock

PATIENCE = 20
DAY = "sessions/2026/11/21"
NAME = "rollout-2026-11-21T14-41-58-01a1fe8e-8f55-78b0-a902-f22a9589f656.jsonl"


@asynccontextmanager
async def watching(
    home: Path, *, clock: Clock | None = None, roots: tuple[Path, ...] = ()
) -> AsyncIterator[RolloutWatch]:
    logged: list[Any] = []

    def log(level: str, message: str, fields: dict[str, Any]) -> None:
        logged.append((level, message, fields))

    watch = RolloutWatch(home, clock=clock or SystemClock(), log=log, roots=roots)
    await watch.open()
    try:
        async with asyncio.timeout(PATIENCE):
            yield watch
    finally:
        await watch.close()
    assert logged == []


def rollout(home: Path, content: bytes = b"") -> Path:
    file = home / DAY / NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def append(file: Path, content: bytes) -> None:
    with file.open("ab") as out:
        out.write(content)


async def take(source: AsyncIterator[bytes], number: int) -> list[bytes]:
    return [await anext(source) for _ in range(number)]


# One read.


def drained(file: Path, position: Position) -> tuple[Position, list[bytes]]:
    found: list[bytes] = []
    while True:
        position, lines = read(file, position)
        found += lines
        if not lines:
            return position, found


@given(st.binary(max_size=120), st.lists(st.integers(0, 120), max_size=6))
def test_a_file_that_grows_in_any_pieces_gives_its_whole_lines(
    content: bytes, cuts: list[int]
) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.touch()
        position, found = Position(), []
        for end in [*sorted(cuts), len(content)]:
            file.write_bytes(content[:end])
            position, lines = drained(file, position)
            found += lines

    assert found == content.split(b"\n")[:-1]
    assert position.restarts == 0
    assert position.offset == content.rfind(b"\n") + 1


@pytest.mark.parametrize("longest", [8, 16, 31])
def test_a_line_that_is_too_long_is_left_out_and_no_other(
    longest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "CHUNK", 8)
    monkeypatch.setattr(tail, "LONGEST", longest)
    file = tmp_path / "file"
    file.write_bytes(b"before\n" + b"x" * 90)
    position, found = drained(file, Position())
    append(file, b"x" * 50)
    position, more = drained(file, position)
    append(file, b"x\nafter\nand")
    position, rest = drained(file, position)

    assert (found, more, rest) == ([b"before"], [], [b"after"])
    append(file, b" on\n")
    assert drained(file, position)[1] == [b"and on"]


def test_a_line_longer_than_one_read_comes_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "CHUNK", 4)
    file = tmp_path / "file"
    file.write_bytes(b"a" * 1000 + b"\nb\n")

    assert drained(file, Position())[1] == [b"a" * 1000, b"b"]


def test_a_file_that_was_cut_is_read_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one\ntwo\n")
    position, _ = read(file, Position())
    file.write_bytes(b"new\n")

    position, lines = read(file, position)

    assert (lines, position.restarts) == ([b"new"], 1)


def test_another_file_in_its_place_is_read_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one\n")
    position, _ = read(file, Position())
    other = tmp_path / "other"
    other.write_bytes(b"something longer\nthan before\n")
    other.rename(file)

    position, lines = read(file, position)

    assert (lines, position.restarts) == ([b"something longer", b"than before"], 1)


def test_a_longer_file_that_got_the_old_ones_number_is_seen_to_be_another(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one\n")
    position, _ = read(file, Position())
    file.write_bytes(b"a longer one\n")

    assert read(file, position)[1] == [b"a longer one"]


def test_a_file_that_vanishes_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "file"
    position, lines = read(file, Position())
    assert (position, lines) == (Position(), [])
    file.write_bytes(b"one\n")
    position, _ = read(file, Position())
    file.unlink()

    assert read(file, position) == (position, [])


# Following.


async def test_lines_that_are_appended_come_whole_and_in_order(tmp_path: Path) -> None:
    file = rollout(tmp_path, b"one\ntw")
    async with watching(tmp_path) as watch:
        lines = watch.lines(file)
        assert await take(lines, 1) == [b"one"]
        append(file, b"o\nthree\nfo")
        assert await take(lines, 2) == [b"two", b"three"]
        append(file, b"ur\n")
        assert await take(lines, 1) == [b"four"]


async def test_following_can_begin_at_a_later_line(tmp_path: Path) -> None:
    file = rollout(tmp_path, b"one\ntwo\n")
    async with watching(tmp_path) as watch:
        lines = watch.lines(file, offset=4)
        assert await take(lines, 1) == [b"two"]
        assert lines.restarts == 0


async def test_a_file_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / DAY / NAME
    async with watching(tmp_path) as watch:
        lines = watch.lines(file)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(take(lines, 1))
            rollout(tmp_path, b"one\n")

    assert first.result() == [b"one"]


async def test_a_file_that_was_cut_or_replaced_is_told_again(tmp_path: Path) -> None:
    file = rollout(tmp_path, b"one\ntwo\n")
    async with watching(tmp_path) as watch:
        lines = watch.lines(file)
        await take(lines, 2)
        file.write_bytes(b"cut\n")
        assert await take(lines, 1) == [b"cut"]
        assert lines.restarts == 1
        other = tmp_path / "other"
        other.write_bytes(b"another\n")
        other.rename(file)
        assert await take(lines, 1) == [b"another"]
        assert lines.restarts == 2


async def test_two_can_follow_one_file_and_one_leaving_does_not_end_the_other(
    tmp_path: Path,
) -> None:
    file = rollout(tmp_path, b"one\n")
    async with watching(tmp_path) as watch:
        first, second = watch.lines(file), watch.lines(file)
        assert await take(first, 1) == await take(second, 1) == [b"one"]
        first.close()
        append(file, b"two\n")
        assert await take(second, 1) == [b"two"]
        assert [line async for line in first] == []


async def test_a_read_that_is_cancelled_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rollout(tmp_path, b"one\ntwo\n")
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*args: Any) -> tuple[Position, list[bytes]]:
        found = read(*args)
        loop.call_soon_threadsafe(reading.set)
        return found

    monkeypatch.setattr(follow, "read", slow)
    async with watching(tmp_path) as watch:
        lines = watch.lines(file)
        async with asyncio.TaskGroup() as group:
            cancelled = group.create_task(take(lines, 1))
            await reading.wait()
            cancelled.cancel()
        lines.wake()
        assert await take(lines, 2) == [b"one", b"two"]


async def test_what_the_kernel_does_not_tell_is_found_by_looking(tmp_path: Path) -> None:
    clock = ManualClock()
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_bytes(b"one\n")
    home = tmp_path / "home"
    async with watching(home, clock=clock) as watch:
        lines = watch.lines(elsewhere)
        assert await take(lines, 1) == [b"one"]
        append(elsewhere, b"two\n")
        async with asyncio.TaskGroup() as group:
            second = group.create_task(take(lines, 1))
            while not second.done():
                await clock.pass_next()
                await asyncio.to_thread(lambda: None)

    assert second.result() == [b"two"]


async def test_a_kernel_that_will_not_watch_is_said_and_made_up_for_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*roots: Path, **options: Any) -> AsyncIterator[Any]:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr(kernel, "awatch", refused)
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.01)
    logged: list[tuple[str, str]] = []
    file = rollout(tmp_path, b"one\n")
    watch = RolloutWatch(
        tmp_path,
        clock=SystemClock(),
        log=lambda level, message, fields: logged.append((level, fields["reason"])),
    )
    async with asyncio.timeout(PATIENCE):
        await watch.open()
        lines = watch.lines(file)
        assert await take(lines, 1) == [b"one"]
        append(file, b"two\n")
        assert await take(lines, 1) == [b"two"]
        await watch.close()

    assert logged == [("warning", "[Errno 28] OS file watch limit reached")]


async def test_files_of_other_folders_are_followed_by_the_same_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "attach"
    other.mkdir()
    clock = ManualClock()  # nothing is found by looking
    home = tmp_path / "home"
    async with watching(home, clock=clock, roots=(other,)) as watch:
        lines = watch.lines(other / "notify.jsonl")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(take(lines, 1))
            await until_watched(watch, home, monkeypatch)
            (other / "notify.jsonl").write_bytes(b"one\n")

    assert first.result() == [b"one"]


async def until_watched(watch: RolloutWatch, home: Path, patch: pytest.MonkeyPatch) -> None:
    """Return when the kernel tells of changes: it was asked to in another thread."""
    file = home / "sessions" / NAME
    told = asyncio.Event()
    follow = watch.lines(file)
    patch.setattr(follow, "wake", told.set)
    while not told.is_set():
        append(file, b"watched?\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await told.wait()


async def test_a_rollout_in_the_folder_of_a_new_day_is_followed_by_what_the_kernel_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()  # nothing is found by looking
    async with watching(tmp_path, clock=clock) as watch:
        await until_watched(watch, tmp_path, monkeypatch)
        lines = watch.lines(tmp_path / DAY / NAME)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(take(lines, 2))
            file = rollout(tmp_path, b"one\n")
            append(file, b"two\n")

    assert first.result() == [b"one", b"two"]


async def test_closing_ends_those_who_wait(tmp_path: Path) -> None:
    file = rollout(tmp_path, b"one\n")
    async with watching(tmp_path) as watch:
        lines = watch.lines(file)
        assert await take(lines, 1) == [b"one"]
        async with asyncio.TaskGroup() as group:
            followed = group.create_task(collected(lines))
            await watch.close()
            await watch.close()

    assert followed.result() == []


async def collected(source: AsyncIterator[Any]) -> list[Any]:
    return [thing async for thing in source]


async def test_a_thread_that_grows_line_by_line_tells_the_same_as_its_whole_file(
    tmp_path: Path,
) -> None:
    said = path("0.163.0-tui").read_bytes().splitlines(keepends=True)
    wanted = events("0.163.0-tui")
    file = rollout(tmp_path)
    reader = RolloutReader()
    found: list[CodexEvent] = []
    async with watching(tmp_path) as watch:
        lines = watch.lines(file)
        for number in range(0, len(said), 9):
            append(file, b"".join(said[number : number + 9])[:-3])
            append(file, b"".join(said[number : number + 9])[-3:])
        for line in await take(lines, len(said)):
            found += reader.feed(line)

    assert found == wanted
