"""Folders watched through the kernel, and one way to hear that this ends."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from watchfiles import Change


async def changes(
    *roots: Path,
    step: int,
    debounce: int,
    only: Callable[[Change, str], bool] | None = None,
    ignore_permission_denied: bool = False,
) -> AsyncGenerator[set[tuple[Change, str]], None]:
    """Tell what changes below ``roots``, also that ``only`` it says, until it cannot be told.

    Changes are told once nothing more happens for ``step`` ms, or after ``debounce`` ms. With
    ``ignore_permission_denied`` folders that cannot be read, or are not there, are passed over.

    Raises ``OSError`` with the reason: the kernel has no watches left, a root is gone, or a file
    has a name that is no UTF-8, which watchfiles cannot tell. Anybody who may write in a folder
    can make one, so whoever listens has to look at the folders himself then, and to ask again.
    """
    told = awatch(
        *roots,
        watch_filter=only,
        step=step,
        debounce=debounce,
        ignore_permission_denied=ignore_permission_denied,
    )
    try:
        async with aclosing(told):
            async for each in told:
                yield each
    except RuntimeError as error:  # while it begins: watchfiles' own errors are of this kind
        raise OSError(str(error)) from error
    except ExceptionGroup as group:  # later: it reads in a group of tasks
        if group.split((OSError, RuntimeError))[1] is not None:
            raise
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # such a group forgets that
            raise asyncio.CancelledError from group
        raise OSError(str(group.exceptions[0])) from group
