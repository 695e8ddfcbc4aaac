"""What an actor does with the events of its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.agents import matching, overheard
from netsky_runtime.agents.blocking import set_blocked
from netsky_runtime.agents.naming import learn_name
from netsky_runtime.agents.pause import LIMITED
from netsky_runtime.agents.reconcile import reconcile
from netsky_runtime.agents.settlement import settle_turn
from netsky_runtime.codex.base import (
    ApprovalGone,
    HistoricItem,
    HistoryUnavailable,
    RuntimeFailure,
    ThreadSession,
    ThreadUnavailable,
    ToolResult,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import inputs, sessions, turns
from netsky_runtime.records import Thread, Turn
from netsky_runtime.states import InputStatus, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.supervise import Supervisor

_WORDS = frozenset({"user_message", "agent_message"})


class Listener:
    """Follows one thread until it is lost: facts to the store, turns to their end."""

    def __init__(self, seat: Seat, thread: ThreadSession, *, supervisor: Supervisor) -> None:
        self._seat = seat
        self._thread = thread
        self._supervisor = supervisor
        self._turn_id = ""
        self._whole = False
        """Whether the running turn was heard from its very start."""
        self._limited = ""
        """The turn that has told of the account's limit as its error."""
        self._words: list[HistoricItem] = []
        self._foreign: set[str] = set()
        self._model = ""
        """What somebody else has last chosen, as far as heard."""

    async def run(self) -> str:
        """Listen until the session ends; return the reason it was lost for, empty if closed.

        Of a thread that turns out to be another actor's, nothing is kept.
        """
        kit = self._seat.kit
        async for event in self._thread.events():
            kit.live.fold(self._seat.actor_id, event)
            kit.pulses.hear(self._seat.actor_id, self._thread.thread_id, event)
            if not event.is_fact:
                continue
            if self._is_seated:
                try:
                    await learn_name(self._seat, self._thread)  # a human may have begun it
                except ThreadUnavailable as error:
                    return error.message
            await kit.facts.put(self._seat.actor_id, event)
            if event.kind is EventKind.SESSION_LOST:
                return str(event.data.get("reason") or "the connection was lost")
            if self._is_seated:
                await self._handle_limits(event)
                await self._handle(event)
        return ""

    @property
    def _is_seated(self) -> bool:
        """Whether the thread has not been left for another door.

        What is still heard of one that was is only kept: the session is the other door's, and
        what was missed is read there in its history.
        """
        return self._seat.thread is self._thread

    async def _handle_limits(self, event: CodexEvent) -> None:
        if event.kind is EventKind.RATE_LIMITS:
            await self._seat.kit.pauses.noticed(event.data.get("raw"))
        elif event.kind is EventKind.ERROR and event.data.get("usage_limit"):
            self._limited = event.turn_id

    async def _handle(self, event: CodexEvent) -> None:
        seat, kit = self._seat, self._seat.kit
        match event.kind:
            case EventKind.APPROVAL_REQUESTED:
                await kit.desk.requested(seat.actor_id, self._thread, event)
            case EventKind.APPROVAL_RESOLVED:
                await kit.desk.resolved(self._thread, event)
            case EventKind.TOOL_REQUESTED:
                self._supervisor.spawn(f"tool call of {seat.actor_id}", self._tool(event))
            case EventKind.THREAD_STARTED:
                await self._foreign_thread(event)
            case EventKind.RESYNC:
                await self._resync()
            case EventKind.BLOCKED:
                await set_blocked(seat, str(event.data.get("reason") or ""))
            case _ if event.thread_id != self._thread.thread_id:
                pass  # a sub-agent's thread: its facts are kept, its turns are not ours to settle
            case EventKind.TURN_STARTED:
                await self._turn_started(event)
            case EventKind.ITEM_COMPLETED if event.data.get("type") in _WORDS:
                await self._words_spoken(event)
            case EventKind.TURN_COMPLETED:
                await self._turn_completed(event)
            case EventKind.MODEL:
                await self._model_changed(str(event.data.get("model") or ""))
            case _:
                pass

    async def _resync(self) -> None:
        """Facts were missed: mark it durably, then fill the gap from history."""
        thread_id = self._thread.thread_id
        await self._seat.kit.database.write(lambda tx: sessions.set_resync(tx, thread_id, True))
        self._whole = False
        async with self._seat.lock:
            self._seat.open_turn = self._thread.active_turn  # its end may have been missed
            await reconcile(self._seat, self._thread)
        self._seat.wake.set()

    async def _model_changed(self, model: str) -> None:
        """Say that the thread runs on another model than its session asks for."""
        seat, row = self._seat, self._seat.row
        if row is None or not model or model == self._model:
            return
        self._model = model
        told = list(self._thread.differences)
        if model != row.model:
            told.append(f"Somebody changed the model to {model}.")
            fields = {"actor": seat.actor_id, "model": model, "asked": row.model}
            seat.kit.log("warning", "model was changed", fields)
        differences = "; ".join(told)
        await seat.kit.database.write(lambda tx: sessions.set_differences(tx, row.id, differences))
        seat.changed(differences=differences)

    async def _turn_started(self, event: CodexEvent) -> None:
        self._turn_id, self._whole = event.turn_id, True
        self._words.clear()
        self._seat.open_turn = event.turn_id
        self._seat.wake.set()  # who wants to steer or to interrupt can do so now
        turn = Turn(
            thread_id=event.thread_id,
            id=event.turn_id,
            actor_id=self._seat.actor_id,
            status=TurnStatus.IN_PROGRESS,
            started_at=event.data.get("started_at") or event.at,
        )
        await self._seat.kit.database.write(lambda tx: turns.start(tx, turn))

    async def _words_spoken(self, event: CodexEvent) -> None:
        if event.turn_id != self._turn_id:
            self._turn_id, self._whole = event.turn_id, False
            self._words.clear()
        item = HistoricItem(id=event.item_id, type=str(event.data["type"]), data=event.data)
        self._words.append(item)
        if item.type == "user_message":
            await self._consumed(item, event)
            await self._overhear(event, self._words)

    async def _consumed(self, item: HistoricItem, event: CodexEvent) -> None:
        """Mark the inputs that this user message carried as seen.

        Also one that is to be sent anew: where words are typed, a human may have sent them.
        """
        seat = self._seat

        async def body(tx: Tx) -> None:
            ours = [
                candidate
                for candidate in await inputs.unsettled_for(tx, seat.actor_id)
                if candidate.attempts and candidate.status is not InputStatus.SEEN
            ]
            seen = matching.carried(item, ours, input_ids=seat.input_ids)
            if seen:
                await inputs.see(
                    tx,
                    sorted(seen),
                    thread_id=event.thread_id,
                    turn_id=event.turn_id,
                    now=seat.kit.clock.now(),
                )

        await seat.kit.database.write(body)

    async def _overhear(self, event: CodexEvent, items: Sequence[HistoricItem]) -> None:
        """Keep what somebody else than netsky said in this turn."""
        found = overheard.said(self._seat, event.thread_id, event.turn_id, items, at=event.at)
        await overheard.keep(self._seat, found)

    async def _turn_completed(self, event: CodexEvent) -> None:
        seat = self._seat
        turn = Turn(
            thread_id=event.thread_id,
            id=event.turn_id,
            actor_id=seat.actor_id,
            status=TurnStatus(event.data.get("status", TurnStatus.COMPLETED)),
            started_at=event.data.get("started_at") or event.at,
            completed_at=event.data.get("completed_at"),
            error=str(event.data.get("error") or ""),
            stopped_by=LIMITED if self._by_limit(event) else "",
        )
        async with seat.lock:
            items = await self._items_of(event.turn_id)
            await self._overhear(event, items)
            await settle_turn(seat, turn, items)
            self._turn_id, self._whole = "", False
            self._words.clear()
            seat.open_turn = ""
            if await self._unseen():
                # Accepted, but the turn ended without it (an interrupted steer, for one).
                await reconcile(seat, self._thread)
            else:
                seat.turn_over()
        seat.wake.set()

    def _by_limit(self, event: CodexEvent) -> bool:
        # Some doors tell the kind of an error with it, and not again with the turn's end.
        return bool(event.data.get("usage_limit")) or event.turn_id == self._limited

    async def _items_of(self, turn_id: str) -> tuple[HistoricItem, ...]:
        """Return the turn's messages: as heard, or from history when heard only in part."""
        if self._whole and turn_id == self._turn_id:
            return tuple(self._words)
        try:
            history = await self._thread.history()
        except HistoryUnavailable:
            return tuple(self._words) if turn_id == self._turn_id else ()
        return next((turn.items for turn in history if turn.id == turn_id), ())

    async def _unseen(self) -> bool:
        open_inputs = await self._seat.kit.database.read(
            lambda tx: inputs.open_for(tx, self._seat.actor_id)
        )
        return any(i.batch_id and i.status is not InputStatus.SEEN for i in open_inputs)

    async def _tool(self, event: CodexEvent) -> None:
        kit = self._seat.kit
        call_id = str(event.data["call_id"])
        try:
            result = await kit.call_tool(
                actor_id=self._seat.actor_id,
                thread_id=event.thread_id,
                turn_id=event.turn_id,
                call_id=call_id,
                tool=str(event.data["tool"]),
                arguments=event.data.get("arguments") or {},
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it was rolled back, and an
            # unanswered call would hold the turn for ever.
            kit.log("error", "tool call failed", {"call": call_id, "error": repr(error)})
            result = ToolResult(text=f"netsky could not do it: {error}", success=False)
        try:
            await self._thread.answer_tool(call_id, result)
        except ApprovalGone:
            kit.log("info", "tool answer came too late", {"call": call_id})
        except RuntimeFailure as error:
            # Its effect is recorded: Codex asks again on resume and is answered from the record.
            kit.log("warning", "tool answer was lost", {"call": call_id, "error": str(error)})
        finally:
            kit.pulses.answered(self._seat.actor_id, call_id)

    async def _foreign_thread(self, event: CodexEvent) -> None:
        row = self._seat.row
        if row is None or event.thread_id in {self._thread.thread_id, *self._foreign}:
            return
        self._foreign.add(event.thread_id)
        thread = Thread(
            id=event.thread_id,
            actor_id=self._seat.actor_id,
            session_id=row.id,
            parent_id=str(event.data.get("parent_id") or self._thread.thread_id),
            runtime=row.runtime,
            created_at=event.at,
        )
        await self._seat.kit.database.write(lambda tx: sessions.insert_thread(tx, thread))
