"""Folders that are watched, and how it is heard that they are not any more."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime import watching
from netsky_runtime.watching import changes
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def test_a_name_that_is_no_utf_8_ends_it_with_the_reason(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE), aclosing(changes(tmp_path, step=10, debounce=50)) as told:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(anext(told))
            number = 0
            while not first.done():  # it watches as soon as it has told of one
                number += 1
                await asyncio.to_thread((tmp_path / f"{number}").touch)
        assert str(tmp_path) in next(iter(first.result()))[1]
        await asyncio.to_thread(os.mknod, os.fsencode(tmp_path) + b"/\xff")
        with pytest.raises(OSError, match=r"Unable to decode path .*xFF"):
            async for _ in told:
                pass


async def test_a_folder_that_is_not_there_is_told_likewise(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No path was found"):
        await anext(changes(tmp_path / "gone", step=10, debounce=50))


async def test_an_error_that_is_not_the_kernels_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_roots: Path, **_options: Any) -> AsyncIterator[Any]:
        raise ExceptionGroup("in a group", [OSError("no watches left"), KeyError("a bug")])
        yield

    monkeypatch.setattr(watching, "awatch", broken)
    with pytest.raises(ExceptionGroup, match="in a group"):
        await anext(changes(tmp_path, step=10, debounce=50))


async def test_who_is_cancelled_while_it_fails_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def broken(*_roots: Path, **_options: Any) -> AsyncIterator[Any]:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails_at_the_end())
            await asyncio.Event().wait()
        yield

    async def fails_at_the_end() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("Unable to decode path")

    monkeypatch.setattr(watching, "awatch", broken)
    task = asyncio.ensure_future(anext(changes(tmp_path, step=10, debounce=50)))
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
