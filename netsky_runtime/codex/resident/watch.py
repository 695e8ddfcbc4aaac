"""The health of all panes, looked at once a second in one round trip.

tmux 3.3a now and then never hears that a pane's program has ended: its process is asked, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.resident.control import Control, ControlLost, quote
from netsky_runtime.codex.resident.pane import STATE, captures, look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.resident.screen import Capture

TICK_SECONDS: Final = 1.0
PATIENCE: Final = 3
"""Ticks without an answer until those who watch are told."""
ALIVE_TICKS: Final = 10
"""Every so many ticks it is looked whether the programs still live, 0.1 ms each."""
_LIST: Final = f"list-panes -a -F {quote(STATE)}"


class Watcher:
    """Who wants to know about a pane."""

    def __init__(
        self,
        pane_id: str,
        *,
        seen: Callable[[Capture], None],
        gone: Callable[[str], None],
        silent: Callable[[str], None],
        lives: Callable[[], bool],
    ) -> None:
        self.pane_id = pane_id
        self.seen = seen
        """Told what a pane shows when that may have changed."""
        self.gone = gone
        """Told why the pane is no more; nothing is told afterwards."""
        self.silent = silent
        """Told that tmux does not say what became of the pane, which may well live; nothing is
        told afterwards."""
        self.lives = lives
        """Asked, in a thread, whether the pane's program has not ended."""
        self.ended = False
        """Whether it has, whatever tmux says."""
        self.since = 0
        """The second in which the pane was last looked at."""
        self.state = ""

    def look_again(self) -> None:
        """Tell at the next tick what the pane shows, changed or not."""
        self.since = 0


class Watch:
    """Looks at the panes that somebody watches."""

    def __init__(self, *, control: Control, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        self._watchers: dict[str, Watcher] = {}
        self._silent = 0
        self._ticks = 0

    def add(self, watcher: Watcher) -> None:
        """Watch a pane from the next tick on."""
        self._watchers[watcher.pane_id] = watcher

    def remove(self, pane_id: str) -> None:
        """Watch it no longer."""
        self._watchers.pop(pane_id, None)

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            if self._watchers:
                await self.tick()

    async def tick(self) -> None:
        """Look once: the state of every pane, and the screens of those that have changed."""
        watchers = dict(self._watchers)
        self._ticks += 1
        if self._ticks % ALIVE_TICKS == 0:
            await asyncio.to_thread(_look_for_ends, list(watchers.values()))
        # tmux itself compares, so that one exchange will do: it notes the second of a pane's last
        # output, and a pane that wrote in the second of the last look may have written after it.
        asked = [_LIST]
        asked += [
            f"if-shell -F -t {pane} {quote(f'#{{e|>=:#{{window_activity}},{watcher.since}}}')} "
            + quote(look_at(pane))
            for pane, watcher in watchers.items()
        ]
        try:
            listed, *shown = await self._control.ask(asked)
        except ControlLost as error:
            self._silent += 1
            if self._silent >= PATIENCE:
                self._silent = 0
                self._give_up(watchers, error.message)
            return
        self._silent = 0
        states = {line.split(" ", 1)[0]: line for line in listed.text.splitlines()}
        screens = captures(shown)
        for pane, watcher in watchers.items():
            if self._watchers.get(pane) is watcher:
                self._tell(watcher, states.get(pane), screens.get(pane), at=listed.at)

    def _tell(
        self, watcher: Watcher, state: str | None, screen: Capture | None, *, at: int
    ) -> None:
        if state is None:
            self.remove(watcher.pane_id)
            watcher.gone("its pane was killed")
            return
        changed = state != watcher.state
        watcher.state = state
        if screen is None:
            if changed:
                watcher.look_again()  # shown at the next tick: scrolled, say, without any output
            return
        watcher.since = at
        if watcher.ended and not screen.dead:
            screen = replace(screen, dead=True)
            watcher.look_again()  # it never changes any more
        watcher.seen(screen)  # which may want to look again

    def _give_up(self, watchers: dict[str, Watcher], reason: str) -> None:
        for pane, watcher in watchers.items():
            if self._watchers.get(pane) is watcher:
                self.remove(pane)
                watcher.silent(reason)


def _look_for_ends(watchers: Sequence[Watcher]) -> None:
    """Have those looked at whose program has ended: then tmux knows by now, or never will."""
    for watcher in watchers:
        if watcher.ended or not watcher.lives():
            watcher.ended = True
            watcher.look_again()
