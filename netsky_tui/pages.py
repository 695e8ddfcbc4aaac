"""Opens pages: what there is to read about a row, the keys, the notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.attention.items import EVERYBODY
from netsky_runtime.states import AttentionKind, InputStatus
from netsky_tui.drawing import attention, details
from netsky_tui.drawing.paragraphs import approval_document, offered
from netsky_tui.keymap import SCOPES, pretty
from netsky_tui.screens.approval import ApprovalScreen
from netsky_tui.screens.notices import NoticesScreen
from netsky_tui.screens.page import PageScreen

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_tui.app import RoomApp

_OF_ACTORS: Final = frozenset(
    {
        AttentionKind.BLOCKED,
        AttentionKind.PARKED,
        AttentionKind.CRASH_LOOP,
        AttentionKind.BUDGET,
    }
)
"""Things of which the actor's own page, and its thread's way, say most."""


class Pages:
    """Reads when a page is opened, from the source of that moment."""

    def __init__(self, app: RoomApp, *, clock: Clock) -> None:
        self._app, self._clock = app, clock

    def actor(self, actor_id: str) -> None:
        """Show an actor with its session and turns."""

        async def read() -> Any:
            if (source := self._app.feed.source) is None:
                return ()
            found = await source.actor(actor_id)
            lacks = self._app.store.lacks(actor_id)
            key = self._app.own_keys.say("actors.attach")
            return details.actor_page(*found, self._clock.now(), lacks=lacks, attach=key)

        self._app.push_screen(PageScreen(actor_id, read))

    def task(self, task_id: str) -> None:
        """Show a task with its notes and messages."""

        async def read() -> Any:
            if (source := self._app.feed.source) is None:
                return ()
            return details.task_page(*await source.task(task_id), self._clock.now())

        self._app.push_screen(PageScreen(f"task {task_id}", read))

    def message(self, message_id: str) -> None:
        """Show a message with its path; let the operator decide about an uncertain one."""

        async def read() -> Any:
            if (source := self._app.feed.source) is None:
                return ()
            now = self._clock.now()
            return details.message_page(*await source.message(message_id, now=now), now)

        fact = self._app.store.message(message_id)
        if fact is not None and fact.input_status is InputStatus.UNCERTAIN and fact.input_id:
            self._app.do(self._app.operations.resolve_input(fact.input_id), "uncertain input")
            return
        self._app.push_screen(PageScreen("message", read))

    def trace(self, asked: str) -> None:
        """Show the way of what an id names through netsky."""
        if not asked:
            return

        async def read() -> Any:
            if (source := self._app.feed.source) is None:
                return ()
            now = self._clock.now()
            return details.trace_page(await source.trace(asked, now=now), now)

        self._app.push_screen(PageScreen(f"trace of {asked}", read))

    def trace_thread(self, actor_id: str) -> None:
        """Show what an actor's thread has heard, and what came of it."""
        fact = self._app.store.facts(actor_id)
        if fact is None or fact.session is None or not fact.session.thread_id:
            self._app.say(f"{actor_id or 'Nobody'} has no thread yet.", bad=True)
            return
        self.trace(fact.session.thread_id)

    def approval(self, approval_id: str) -> None:
        """Show a question as large as the terminal."""
        approval = self._app.store.approval(approval_id)
        if approval is None:
            return
        keys = self._app.own_keys.deciding(offered(approval))
        foot = f"{keys} · Esc closes"
        self._app.push_screen(ApprovalScreen(approval, self._lookup, foot=foot))

    def waiting(self, key: str) -> None:
        """Show what something that waits is about."""
        kind, _, ref = key.partition(":")
        item = self._app.store.item(key)
        if kind == AttentionKind.APPROVAL:
            self.approval(ref)
        elif item is None:
            return
        elif item.about.message_id:
            self.message(item.about.message_id)
        elif kind in _OF_ACTORS and item.actor != EVERYBODY:
            self.actor(ref)
        elif kind in {AttentionKind.STUCK, AttentionKind.STALLED}:
            self.task(ref)
        elif kind == AttentionKind.LOST:
            self._lost_approval(ref)
        else:
            self._app.push_screen(PageScreen(ref, attention.document(item, self._clock.now())))

    def _lost_approval(self, approval_id: str) -> None:
        async def read() -> Any:
            if (source := self._app.feed.source) is None:
                return ()
            return approval_document(await source.approval(approval_id))

        self._app.push_screen(PageScreen(approval_id, read))

    def trace_waiting(self, key: str) -> None:
        """Show the way through netsky of something that waits."""
        kind, _, ref = key.partition(":")
        item = self._app.store.item(key)
        if item is not None and item.actor == EVERYBODY:
            self._app.say("That holds everybody: there is nothing to trace.", bad=True)
        elif kind in _OF_ACTORS:
            self.trace_thread(ref)
        elif kind == AttentionKind.UNATTACHED:
            self.trace_thread(item.actor if item is not None else "")
        elif kind == AttentionKind.QUARANTINED:
            self._app.say("Nobody was given that file: there is nothing to trace.", bad=True)
        else:
            self.trace(ref)

    def _lookup(self, approval_id: str) -> Any:
        return self._app.store.approval(approval_id), self._app.store.doing(approval_id)

    def keys(self) -> None:
        """Show all keys."""
        if not isinstance(self._app.screen, PageScreen):
            self._app.push_screen(PageScreen("keys", details.help_page(self._app.own_keys)))

    def notices(self) -> None:
        """Show all notices, whole."""
        if isinstance(self._app.screen, PageScreen):
            return
        (key,) = SCOPES["notices"]
        foot = f"{pretty(self._app.own_keys.of(key))} {key.help} · Esc closes"
        store = self._app.store
        document = details.notices_page(store.notices)

        def put_away() -> None:
            self._app.changed(store.put_notices_away())

        self._app.push_screen(NoticesScreen(document, foot=foot, put_away=put_away))
