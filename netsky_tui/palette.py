"""The command palette: everything the room can do, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netsky_tui.app import RoomApp


class RoomCommands(Provider):
    """Offers what ``RoomApp.commands`` lists."""

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        app: RoomApp = self.app  # type: ignore[assignment]  # the one app that uses this provider
        yield from app.commands()

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
