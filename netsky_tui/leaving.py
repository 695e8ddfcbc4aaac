"""The ways out of the room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.counting import count
from netsky_runtime.errors import NetskyError
from netsky_tui.screens.dialogs import ChoiceScreen, Option
from netsky_tui.store import LinkState

if TYPE_CHECKING:
    from netsky_tui.app import RoomApp
    from netsky_tui.link import Connector


class Leaving:
    """Asks when something would be lost, ends the daemon this room hosts, then the room."""

    def __init__(self, app: RoomApp, *, connector: Connector) -> None:
        self._app, self._connector = app, connector
        self._under_way = False

    def ask(self) -> None:
        """Leave, asking first when turns run or others watch."""
        if not self._under_way:
            self._app.run_worker(self._ask(), name="quit", group="quit", exit_on_error=False)

    async def _ask(self) -> None:
        if self._app.store.daemon.link is not LinkState.HOSTING:
            self._app.exit(0)
            return
        try:
            answer = await self._app.operations.call("status")
        except NetskyError:
            answer = {}
        else:
            self._app.changed(self._app.store.set_status(answer))
        running = int((answer.get("counts") or {}).get("turns_running") or 0)
        rooms = int(answer.get("rooms") or 0)
        if not running and not rooms:
            await self.leave(keep_engine=False)
            return
        parts = [count(running, "turn runs", "turns run")] if running else []
        if rooms:
            parts.append(count(rooms, "other client is attached", "other clients are attached"))
        text = " and ".join(parts) + "."
        options = [
            Option("stop", "s", "stop everything: turns are interrupted"),
            Option("stay", "t", "stay"),
        ]
        if self._app.store.daemon.survives:
            on = (
                "a room that is attached goes on with it" if rooms else "netsky ends, Codex goes on"
            )
            keep = Option("keep", "l", f"leave them working: {on}")
            options.insert(0, keep)
        elif running:
            text += " They cannot go on alone: what runs them here ends together with netsky."
        screen = ChoiceScreen(
            "Leave the room?", text, options, safe="stay", hurried=self._app.hurried
        )
        choice = await self._app.push_screen_wait(screen)
        if choice in {"keep", "stop"}:
            await self.leave(keep_engine=choice == "keep")

    def soon(self, keep_engine: bool) -> None:
        """Leave without asking: a signal, or somebody else's `netsky stop`."""
        leave = self.leave(keep_engine=keep_engine)
        self._app.run_worker(leave, name="stop", group="quit", exit_on_error=False)

    async def leave(self, *, keep_engine: bool) -> None:
        """End the daemon this room hosts, if it does, and the room."""
        if self._under_way:
            return
        self._under_way = True
        self._app.changed(self._app.store.set_link(LinkState.STOPPING))
        await self._app.attaching.end()
        goes_on = keep_engine and self._app.store.daemon.survives
        self._app.say("Leaving; Codex goes on." if goes_on else "Stopping…")
        try:
            await self._connector.stop(keep_engine=keep_engine)
        finally:
            self._app.exit(0)
