"""Codex's own screen in the room's place: the room steps aside, and comes back when it ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from textual.app import SuspendNotSupported

from netsky_runtime.errors import NetskyError
from netsky_tui import terminal
from netsky_tui.guest import Guest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.clock import Clock
    from netsky_tui.app import RoomApp
    from netsky_tui.terminal import Screen

_TERMINAL: Final = 0
"""Where Textual reads keys."""
_SWITCHED_OFF: Final = "\x1b[?1049l\x1b[r\x1b[<u\x1b[?1007l"
"""Ends what a Codex that was killed leaves on and the room does not know of: its alternate
screen, its scroll region, its keyboard protocol and its way with the wheel."""


class Attaching:
    """Shows one screen at a time. The daemon that the room hosts works on meanwhile."""

    def __init__(self, app: RoomApp, *, environ: Mapping[str, str], clock: Clock) -> None:
        self._app, self._environ, self._clock = app, environ, clock
        self._guest: Guest | None = None
        self._busy = False

    @property
    def away(self) -> bool:
        """Whether the terminal belongs to Codex just now."""
        return self._guest is not None

    async def attach(self, actor_id: str) -> None:
        """Show Codex's own screen of the actor's thread until it ends, and say how it did."""
        if self._busy or self._app.store.facts(actor_id) is None:
            return
        if why := self._app.store.lacks(actor_id).get("terminal"):
            self._app.say(f"No screen of {actor_id}: {why}.", bad=True)
            return
        self._busy = True
        try:
            answer = await self._app.operations.call("actors.terminal", {"actor_id": actor_id})
            problem = await self._show(terminal.screen(actor_id, answer, self._environ))
        except NetskyError as error:
            problem = str(error)
        except SuspendNotSupported:
            problem = f"This terminal cannot be lent: netsky actors attach {actor_id}"
        finally:
            self._busy = False
        if problem:
            self._app.say(problem, bad=True)
        else:
            self._app.say(f"Back from Codex's screen of {actor_id}.")

    async def _show(self, screen: Screen) -> str:
        """Lend the terminal; return what went wrong, in words."""
        with self._app.suspend():
            self._app.look_away()
            # The room draws on standard error, so that is the terminal.
            sys.stderr.write(screen.told + "\n")
            sys.stderr.flush()
            try:
                self._guest = guest = Guest.start(screen, terminal=_TERMINAL, clock=self._clock)
            except OSError as error:
                return f"{screen.command[0]} cannot be started: {error.strerror or error}."
            try:
                status = await guest.wait()
            finally:
                await self.end()
            if status:
                sys.stderr.write(_SWITCHED_OFF)
                sys.stderr.flush()
        if not status:
            return ""
        how = f"with status {status}" if status > 0 else f"by signal {-status}"
        return f"Codex's screen of {screen.actor_id} ended {how}. {screen.again} shows why."

    async def end(self) -> None:
        """Take the terminal back, within bounded time. Idempotent."""
        if self._guest is not None:
            await self._guest.end()
            self._guest = None
