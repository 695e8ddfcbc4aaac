"""Handing waiting inputs to the thread: one turn in flight, nothing sent twice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netsky_runtime.agents.attach import start_thread
from netsky_runtime.agents.batching import next_batch
from netsky_runtime.agents.reconcile import reconcile
from netsky_runtime.codex.base import (
    AnswerLost,
    Batch,
    InputRejected,
    NoActiveTurn,
    RuntimeFailure,
    ThreadSession,
    ThreadUnavailable,
    TurnRunning,
)
from netsky_runtime.db import actors, inputs, messages
from netsky_runtime.records import ActorInput, ActorStatus, InputMode, InputStatus, Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.db.connection import Tx

RETRY_MS = (500, 1_000, 2_000, 5_000, 10_000, 30_000)
"""How long an input rests after the nth time that Codex could not take it."""


class Dispatcher:
    """Takes what waits for one actor to its thread."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._interrupted = ""

    async def dispatch(self) -> float | None:
        """Hand over what can be handed now.

        Returns the seconds after which to try again, ``None`` when only an event can change
        anything. Raises ``ThreadUnavailable`` or ``HistoryUnavailable`` when the thread must be
        attached anew.
        """
        seat, kit = self._seat, self._seat.kit
        async with seat.lock:
            while True:
                now = kit.clock.now()
                waiting, found, rests = await kit.database.read(partial(self._waiting, now=now))
                if not waiting:
                    return rests
                thread = seat.thread
                if thread is not None and any(item.batch_id for item in waiting):
                    await reconcile(seat, thread)  # may have been sent: history knows
                    return None if seat.busy else 1.0
                if seat.busy and thread is not None:
                    await self._while_busy(thread, waiting, found)
                    return None
                await self._submit(thread, next_batch(waiting, found), found)

    async def _waiting(
        self, tx: Tx, *, now: int
    ) -> tuple[list[ActorInput], Mapping[str, Message], float | None]:
        actor = await actors.require(tx, self._seat.actor_id)
        if actor.status is not ActorStatus.ACTIVE:
            return [], {}, None
        queued = [
            item
            for item in await inputs.open_for(tx, actor.id)
            if item.status is InputStatus.QUEUED
        ]
        ready = [item for item in queued if item.not_before <= now]
        rests = min((item.not_before for item in queued if item.not_before > now), default=None)
        found = {item.message_id: await messages.require(tx, item.message_id) for item in ready}
        return ready, found, None if rests is None else (rests - now) / 1_000

    async def _while_busy(
        self, thread: ThreadSession, waiting: Sequence[ActorInput], found: Mapping[str, Message]
    ) -> None:
        """Steer what wants to be steered; stop the turn for what cannot wait."""
        turn_id = thread.active_turn
        if not turn_id:
            return
        for item in waiting:
            if item.mode is InputMode.STEER:
                await self._steer(thread, turn_id, item, found)
        urgent = any(item.mode is InputMode.INTERRUPT for item in waiting)
        if urgent and self._interrupted != turn_id:
            self._interrupted = turn_id
            try:
                await thread.interrupt(turn_id)
            except NoActiveTurn:
                pass  # it ended by itself: its end wakes us
            except RuntimeFailure as error:
                self._interrupted = ""
                raise ThreadUnavailable(error.message) from error

    async def _steer(
        self, thread: ThreadSession, turn_id: str, item: ActorInput, found: Mapping[str, Message]
    ) -> None:
        batch = await self._intend(thread, (item,), found)
        try:
            await thread.steer(batch, turn_id=turn_id)
        except (NoActiveTurn, TurnRunning):
            await self._requeue(batch, "the turn had ended: sent as a turn of its own")
            self._seat.wake.set()
        except InputRejected as error:
            await self._cancel(batch, error)
        except ThreadUnavailable as error:
            await self._requeue(batch, error.message)
            raise
        except AnswerLost:
            await self._hand(batch)  # the turn's end compares with history
        else:
            await self._hand(batch)

    async def _submit(
        self,
        thread: ThreadSession | None,
        chosen: Sequence[ActorInput],
        found: Mapping[str, Message],
    ) -> None:
        seat = self._seat
        try:
            thread = thread or await start_thread(seat)
        except InputRejected as error:
            await self._reject(chosen, error)
            return
        batch = await self._intend(thread, chosen, found)
        seat.awaiting = batch.id
        try:
            await thread.submit(batch)
        except TurnRunning:
            seat.awaiting = ""
            await self._requeue(batch, "somebody else's turn runs on the thread")
        except InputRejected as error:
            seat.awaiting = ""
            await self._cancel(batch, error)
        except ThreadUnavailable as error:
            seat.awaiting = ""
            await self._requeue(batch, error.message, rest=max(i.attempts for i in chosen))
            raise
        except AnswerLost:
            await reconcile(seat, thread)
        else:
            await self._hand(batch)

    async def _intend(
        self, thread: ThreadSession, chosen: Sequence[ActorInput], found: Mapping[str, Message]
    ) -> Batch:
        """Store what is about to be sent: after a crash, history is asked for exactly this."""
        kit = self._seat.kit
        tag = self._seat.row.tag if self._seat.row else ""
        texts = {
            item.id: item.envelope or kit.envelopes.render(item, found[item.message_id], tag=tag)
            for item in chosen
        }
        batch = Batch(
            id=kit.ids.new("b"),
            text=kit.envelopes.join(tuple(texts.values())),
            input_ids=tuple(texts),
        )
        await kit.database.write(
            lambda tx: inputs.attempt(tx, texts, batch_id=batch.id, thread_id=thread.thread_id)
        )
        return batch

    async def _hand(self, batch: Batch) -> None:
        kit = self._seat.kit

        async def body(tx: Tx) -> None:
            # The thread's events may have come first: what is seen already stays seen.
            rows = await inputs.by_ids(tx, batch.input_ids)
            ids = [item.id for item in rows if item.status is InputStatus.QUEUED]
            await inputs.hand(tx, ids, now=kit.clock.now())

        await kit.database.write(body)

    async def _requeue(self, batch: Batch, reason: str, *, rest: int | None = None) -> None:
        kit = self._seat.kit
        not_before = 0
        if rest is not None:
            not_before = kit.clock.now() + RETRY_MS[min(rest, len(RETRY_MS) - 1)]
        await kit.database.write(
            lambda tx: inputs.requeue(tx, batch.input_ids, reason=reason, not_before=not_before)
        )
        kit.log("info", "input stays queued", {"actor": self._seat.actor_id, "reason": reason})

    async def _cancel(self, batch: Batch, error: RuntimeFailure) -> None:
        await self._end(batch.input_ids, InputStatus.CANCELLED, error)

    async def _reject(self, chosen: Sequence[ActorInput], error: RuntimeFailure) -> None:
        await self._end([item.id for item in chosen], InputStatus.CANCELLED, error)

    async def _end(
        self, input_ids: Sequence[str], status: InputStatus, error: RuntimeFailure
    ) -> None:
        kit = self._seat.kit
        reason = f"Codex refused it: {error.message}"
        now = kit.clock.now()
        await kit.database.write(
            lambda tx: inputs.settle(tx, input_ids, status, reason=reason, now=now)
        )
        kit.log("error", "input refused", {"actor": self._seat.actor_id, "reason": reason})
