"""A program in a tmux of its own: what a human would see of it, and the keys to press."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PATIENCE = 30.0
"""Seconds until a wait counts as a hang."""
_LOOK_SECONDS = 0.05
PASTE_SECONDS = 0.3
"""Codex takes an Enter that comes sooner after fast keys for a new line of something pasted."""


class Pane:
    """Use as an async context manager; the program and its tmux server are gone after it."""

    def __init__(self, argv: Sequence[str], *, environ: Mapping[str, str], cwd: Path) -> None:
        self._argv = argv
        self._environ = environ
        self._cwd = cwd
        # A socket's path is short, and pytest's folders are not.
        self._folder = Path(tempfile.mkdtemp(prefix="pane"))

    async def __aenter__(self) -> Self:
        settings = (f"{name}={value}" for name, value in self._environ.items())
        await self._tmux(
            *("new-session", "-d", "-x", "140", "-y", "50", "-c", str(self._cwd)),
            *("env", "-i", "TERM=xterm-256color", *settings, *self._argv),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._tmux("kill-server")
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder)

    async def screen(self) -> str:
        """Return what is to be seen now."""
        return await self._tmux("capture-pane", "-p")

    async def until(self, *words: str) -> str:
        """Return the screen as soon as it shows one of the words."""
        shown = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    shown = await self.screen()
                    if any(word in shown for word in words):
                        return shown
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not to be seen: {words}\n{shown}") from None

    async def type(self, text: str) -> None:
        """Type a line and send it off, once it is to be seen."""
        await self._tmux("send-keys", "-l", text)
        await self.until(text)
        await asyncio.sleep(PASTE_SECONDS)
        await self.press("Enter")

    async def press(self, *keys: str) -> None:
        """Press keys by their tmux names."""
        await self._tmux("send-keys", *keys)

    async def press_away(self, words: str, key: str) -> None:
        """Press a key until the words are gone: a dialog that has just come may not take it."""
        async with asyncio.timeout(PATIENCE):
            while words in await self.screen():
                await self.press(key)
                await asyncio.sleep(PASTE_SECONDS)

    async def _tmux(self, *words: str) -> str:
        child = await asyncio.create_subprocess_exec(
            *("tmux", "-S", str(self._folder / "tmux"), "-f", "/dev/null", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, wrong = await child.communicate()
        assert child.returncode == 0 or words[0] == "kill-server", wrong.decode()
        return told.decode()
