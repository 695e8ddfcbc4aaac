"""One pane: what it shows, and what is typed into it only while it still shows the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.codex.resident.control import Control, quote
from netsky_runtime.codex.resident.screen import Capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.codex.resident.control import Block

STATE: Final = (
    "#{pane_id} #{pane_dead} #{pane_in_mode} #{cursor_flag} #{cursor_x} #{cursor_y} "
    "#{window_activity}"
)
"""The state of a pane as ``captures`` and the watch read it: its id and numbers."""
LAST_WORDS: Final = 40
"""Lines of its history that are shown of a pane whose program has ended."""
_STATE_LINE = re.compile(r"(%\d+) (\d?) (\d*) (\d?) (\d+) (\d+) \d+")


class Pane:
    """A pane by its id, which tmux gives to no other as long as its server lives."""

    def __init__(self, pane_id: str, *, session: str, control: Control) -> None:
        self.id = pane_id
        self.session = session
        self._control = control
        self._buffer = f"netsky-{pane_id.removeprefix('%')}"

    async def look(self) -> Capture:
        """Return what it shows now. Raises ``ControlLost``, ``ThreadUnavailable`` if gone."""
        said = await self._control.ask([look_at(self.id)])
        shown = captures(said).get(self.id)
        if shown is None:
            msg = f"The pane {self.session} is gone."
            raise ThreadUnavailable(msg)
        return shown

    async def load(self, text: str) -> None:
        """Give tmux the text that ``paste`` pastes. Raises ``ControlLost``."""
        await self._control.load(text, buffer=self._buffer)

    async def paste(self, *, onto: Capture) -> bool:
        """Paste what was loaded as a terminal does, if the pane still stands as it was captured.

        Returns whether it did: a cursor that has moved says that somebody types. To paste into a
        pane whose program has ended would crash the server (tmux 3.3a). Raises ``ControlLost``.
        """
        return await self._if_still(onto, f"paste-buffer -p -d -b {self._buffer} -t {self.id}")

    async def press(self, key: str, *, on: Capture) -> bool:
        """Press a key, if the pane still stands as it was captured. Raises ``ControlLost``."""
        return await self._if_still(on, f"send-keys -t {self.id} {key}")

    async def _if_still(self, capture: Capture, command: str) -> bool:
        form = "#{pane_dead}#{pane_in_mode}#{cursor_flag}/#{cursor_x}/#{cursor_y}"
        wanted = f"{int(capture.dead)}{int(capture.scrolled)}{int(capture.cursor_shown)}"
        wanted += f"/{capture.cursor_x}/{capture.cursor_y}"
        # tmux runs both in one breath: nothing it hears in between can come first.
        still = f"if-shell -F -t {self.id} {quote(f'#{{==:{form},{wanted}}}')} "
        said = await self._control.ask([still + quote(f"{command} ; display-message -p {_DONE}")])
        return bool(said) and said[-1].text == _DONE


def look_at(pane_id: str) -> str:
    """Return the commands whose three blocks ``captures`` understands.

    On one line tmux runs them in one breath: the cursor belongs to the screen. When a program
    ends, tmux says so in a line of its own and moves the others up: last words are in history.
    """
    dead = f"capture-pane -p -e -S -{LAST_WORDS} -t {pane_id}"
    living = f"capture-pane -p -e -t {pane_id}"
    return (
        f"display-message -p -t {pane_id} {quote(STATE)} ; "
        f"if-shell -F -t {pane_id} '#{{pane_dead}}' {quote(dead)} {quote(living)}"
    )


def captures(blocks: Sequence[Block]) -> dict[str, Capture]:
    """Return pane to what it shows: a block with its state, that of ``if-shell``, the screen."""
    found: dict[str, Capture] = {}
    for state, screen in zip(blocks, blocks[2:], strict=False):
        # A screen has many lines, so that none can pass for a state.
        if state.ok and screen.ok and (words := _STATE_LINE.fullmatch(state.text)):
            pane, dead, scrolled, shown, x, y = words.groups()
            found[pane] = Capture(
                text=screen.text,
                cursor_x=int(x),
                cursor_y=int(y),
                cursor_shown=shown == "1",
                dead=dead == "1",
                scrolled=scrolled not in {"", "0"},
            )
    return found


_DONE: Final = "netsky-done"
