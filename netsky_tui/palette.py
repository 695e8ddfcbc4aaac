"""The command palette: everything the room can do, by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider

from netsky_runtime.states import DecisionWord
from netsky_tui.keymap import SCOPES, pretty
from netsky_tui.store import LinkState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from netsky_tui.app import RoomApp


Command = tuple[str, str, "Callable[[], None]"]
"""Name, help, what to do."""


def commands(app: RoomApp) -> Iterator[Command]:
    """Yield everything the room can do at this moment."""
    for name, about, work in app.operations.commands():
        yield name, about, partial(_start, app, work, name)
    for target in app.store.targets:
        yield f"Write to {target}", "change the composer's target", partial(app.aim, target)
    for entry in SCOPES["room"]:
        if entry.action.startswith("go(") and not entry.priority:
            name = entry.action.split("'")[1]
            go = partial(app.room.action_go, name)
            if name == "attention":
                yield "What waits for you: go to", _deciding(app), go
            else:
                yield f"Go to {name}", pretty(app.own_keys.of(entry)), go
    yield "Theme…", "colours of the room", app.search_themes
    count = len(app.store.notices)
    yield "Notices", f"what netsky has to tell you, whole ({count} now)", app.action_notices
    yield "Keys", "everything a key does", app.action_help
    if app.store.daemon.link is LinkState.HOSTING and app.store.daemon.survives:
        leave = partial(app.stop_soon, True)
        yield "Leave, Codex goes on", "keep the engine and quit", leave
    if app.store.daemon.link is LinkState.STOPPED:
        yield "Host netsky here", "somebody has stopped it", app.action_host
    yield "Quit", "asks first when turns run", app.leaving.ask


def _start(app: RoomApp, work: Callable[[], Awaitable[None]], name: str) -> None:
    app.do(work(), name)


def _deciding(app: RoomApp) -> str:
    """Say which keys decide; a command that decides could hit what was not read."""
    return "decide there: " + app.own_keys.deciding(tuple(DecisionWord))


class RoomCommands(Provider):
    """Offers what ``commands`` lists."""

    def _commands(self) -> Iterator[Command]:
        app: RoomApp = self.app  # type: ignore[assignment]  # the one app that uses this provider
        return commands(app)

    async def discover(self) -> Hits:
        """Offer everything while nothing is typed."""
        for name, about, do in self._commands():
            yield DiscoveryHit(name, do, help=about)

    async def search(self, query: str) -> Hits:
        """Offer what matches."""
        matcher = self.matcher(query)
        for name, about, do in self._commands():
            score = matcher.match(f"{name} {about}")
            if score > 0:
                yield Hit(score, matcher.highlight(name), do, help=about)
