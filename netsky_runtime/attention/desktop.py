"""A notification on the desktop that the daemon runs on, through the desktop's own program.

Not by escape sequences (OSC 9, OSC 777): a daemon without a terminal has nowhere to write them,
terminals disagree on what they mean, tmux passes none of them on, and some print them. The bell
passes through everything, and terminals make of it what their owner has chosen.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.process import Child

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS: Final = 5.0
"""How long the program may take; without a desktop session it can hang."""
REST_SECONDS: Final = 600.0
"""How long a desktop that took nothing is left alone."""
_TITLE: Final = "netsky"
# Some servers read markup in a notification, and none may be made of somebody's name.
_MARKUP = re.compile(r"[<>&\x00-\x1f\x7f]")
_SCRIPT: Final = (
    "on run argv",
    "display notification (item 1 of argv) with title (item 2 of argv)",
    "end run",
)


def command(text: str, *, path: str | None, platform: str = sys.platform) -> tuple[str, ...]:
    """Return the program with its arguments, no shell between; empty when there is none.

    Only absolute folders of ``path`` are looked in: the daemon's own may be one that actors
    write to.
    """
    said = _MARKUP.sub(" ", text)
    folders = (folder for folder in (path or "").split(os.pathsep))
    path = os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())
    if platform == "darwin":
        program = shutil.which("osascript", path=path)
        lines = [word for line in _SCRIPT for word in ("-e", line)]
        return (program, *lines, said, _TITLE) if program else ()
    program = shutil.which("notify-send", path=path)
    return (program, f"--app-name={_TITLE}", "--", _TITLE, said) if program else ()


class Desktop:
    """Shows one notification at a time."""

    def __init__(self, *, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    async def tell(self, text: str) -> bool:
        """Show ``text``; return whether the desktop has taken it, within ``SECONDS``."""
        argv = command(text, path=self._environ.get("PATH", ""))
        if not argv:
            return False
        try:
            child = await Child.spawn(argv, env=self._environ)
        except WireError:
            return False
        try:
            async with asyncio.timeout(SECONDS):
                return await child.exited() == 0
        except TimeoutError:
            return False
        finally:
            await child.end(grace=0.0)
