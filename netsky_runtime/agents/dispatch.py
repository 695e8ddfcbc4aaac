"""Handing waiting inputs to the thread: one turn in flight, nothing sent twice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netsky_runtime.agents.attach import start_thread
from netsky_runtime.agents.batching import next_batch
from netsky_runtime.agents.blocking import set_blocked
from netsky_runtime.agents.interrupts import interrupt
from netsky_runtime.agents.naming import learn_name
from netsky_runtime.agents.reconcile import doubt, reconcile
from netsky_runtime.codex.base import (
    AnswerLost,
    Batch,
    InputRejected,
    NoActiveTurn,
    RuntimeFailure,
    ThreadBlocked,
    ThreadSession,
    ThreadUnavailable,
    TurnRunning,
)
from netsky_runtime.db import actors, inputs, messages
from netsky_runtime.errors import Conflict
from netsky_runtime.states import ActorStatus, InputMode, InputStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.budgets import Hold
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import ActorInput, Message

RETRY_MS = (500, 1_000, 2_000, 5_000, 10_000, 30_000)
"""How long an input rests after the nth time that Codex could not take it."""

HELD_SECONDS = 60.0
"""How often a held queue is looked at, whatever it waits for."""
LOOK_SECONDS = 2.0
OVERDUE_SECONDS = 120.0
"""How often and how long history is read for a batch that a living engine did not answer."""


class Dispatcher:
    """Takes what waits for one actor to its thread."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._interrupted = ""
        self._alone: set[str] = set()
        """Inputs that were refused in company."""
        self._hold = ""
        """Why what waits was last held."""

    async def dispatch(self) -> float | None:
        """Hand over what can be handed now.

        Returns the seconds after which to try again, ``None`` when only an event can change
        anything. Raises ``ThreadUnavailable`` or ``HistoryUnavailable`` when the thread must be
        attached anew.
        """
        seat, kit = self._seat, self._seat.kit
        async with seat.lock:
            while not seat.held:
                thread = seat.thread
                if seat.overdue is not None and thread is not None:
                    return await self._look_for_overdue(thread, since=seat.overdue)
                now = kit.clock.now()
                waiting, found, rests, hold = await kit.database.read(
                    partial(self._waiting, now=now)
                )
                if not waiting:
                    return rests
                if thread is not None and any(item.batch_id for item in waiting):
                    await reconcile(seat, thread)  # may have been sent: history knows
                    return None if seat.busy else 1.0
                self._tell_hold(hold)
                if hold is not None:
                    return _patience(hold, now)
                if seat.busy and thread is not None:
                    await self._while_busy(thread, waiting, found)
                    return None
                await self._submit(thread, next_batch(waiting, found, alone=self._alone), found)
        return None

    async def _look_for_overdue(self, thread: ThreadSession, *, since: float) -> float | None:
        """Look for a batch that was sent and not answered, on an engine that lives.

        A slow engine may still take it: it is never sent again by itself. When history does not
        show it for ``OVERDUE_SECONDS`` a human decides.
        """
        seat = self._seat
        await reconcile(seat, thread)
        if seat.overdue is None or seat.busy_with_a_turn:
            seat.overdue = None
            return 0.0
        if seat.kit.clock.monotonic() - since < OVERDUE_SECONDS:
            return LOOK_SECONDS
        await doubt(seat, "Codex never answered, and history does not show it")
        return 0.0

    async def _waiting(
        self, tx: Tx, *, now: int
    ) -> tuple[list[ActorInput], Mapping[str, Message], float | None, Hold | None]:
        actor = await actors.require(tx, self._seat.actor_id)
        if actor.status is not ActorStatus.ACTIVE:
            return [], {}, None, None
        queued = [
            item
            for item in await inputs.open_for(tx, actor.id)
            if item.status is InputStatus.QUEUED
        ]
        # While what recovers a cut turn rests, nothing overtakes it.
        queued = [item for item in queued if item.recovers] or queued
        ready = [item for item in queued if not _rest(item, now)]
        rests = min((_rest(item, now) for item in queued if _rest(item, now)), default=None)
        found = {item.message_id: await messages.require(tx, item.message_id) for item in ready}
        hold = await self._seat.kit.gate(tx, actor.id) if ready else None
        return ready, found, None if rests is None else rests / 1_000, hold

    def _tell_hold(self, hold: Hold | None) -> None:
        reason = hold.reason if hold is not None else ""
        if reason != self._hold:
            self._hold = reason
            fields = {"actor": self._seat.actor_id, "reason": reason}
            self._seat.kit.log("info", "inputs are held" if reason else "inputs go again", fields)

    async def _while_busy(
        self, thread: ThreadSession, waiting: Sequence[ActorInput], found: Mapping[str, Message]
    ) -> None:
        """Steer what wants to be steered; stop the turn for what cannot wait.

        Where the door can do neither, both wait for the turn's end.
        """
        turn_id = thread.active_turn
        if not turn_id:
            return
        can = self._seat.capabilities
        for item in waiting:
            if item.mode is InputMode.STEER and can.steer:
                await self._steer(thread, turn_id, item, found)
        urgent = any(item.mode is InputMode.INTERRUPT for item in waiting)
        if urgent and can.interrupt and self._interrupted != turn_id:
            self._interrupted = turn_id
            try:
                await interrupt(self._seat, thread, turn_id)
            except NoActiveTurn:
                pass  # it ended by itself: its end wakes us
            except ThreadBlocked as error:
                self._interrupted = ""
                await set_blocked(self._seat, error.message)
            except RuntimeFailure as error:
                self._interrupted = ""
                raise ThreadUnavailable(error.message) from error

    async def _steer(
        self, thread: ThreadSession, turn_id: str, item: ActorInput, found: Mapping[str, Message]
    ) -> None:
        batch = await self._intend(thread, (item,), found)
        if batch is None:
            return
        try:
            await thread.steer(batch, turn_id=turn_id)
        except (NoActiveTurn, TurnRunning):
            await self._requeue(batch, "the turn had ended: sent as a turn of its own")
            self._seat.wake.set()
        except InputRejected as error:
            await self._refused((item,), error)
        except ThreadBlocked as error:
            await self._blocked(batch, error, rest=item.attempts)
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
            await self._refused(chosen, error)
            return
        batch = await self._intend(thread, chosen, found)
        if batch is None:
            return
        seat.awaiting = batch.id
        attempts = max(item.attempts for item in chosen)
        try:
            await thread.submit(batch)
        except TurnRunning:
            seat.awaiting = ""
            rest = 0 if thread.active_turn else attempts
            await self._requeue(batch, "somebody else's turn runs on the thread", rest=rest)
        except InputRejected as error:
            seat.awaiting = ""
            if len(chosen) > 1:
                self._alone.update(batch.input_ids)
                await self._requeue(batch, "refused together with others: sent alone")
            else:
                await self._refused(chosen, error)
        except ThreadBlocked as error:
            seat.awaiting = ""
            await self._blocked(batch, error, rest=attempts)
        except ThreadUnavailable as error:
            seat.awaiting = ""
            await self._requeue(batch, error.message, rest=attempts)
            raise
        except AnswerLost as error:
            if error.connected:
                seat.overdue = seat.kit.clock.monotonic()
            await reconcile(seat, thread)
        else:
            await learn_name(seat, thread)
            await self._hand(batch)
            await set_blocked(seat, "")

    async def _intend(
        self, thread: ThreadSession, chosen: Sequence[ActorInput], found: Mapping[str, Message]
    ) -> Batch | None:
        """Store what is about to be sent: after a crash, history is asked for exactly this.

        Returns ``None`` when some of it waits no longer (it was cancelled, or heard in the
        thread), or when it is held: nothing that spends tokens is sent past the gate.
        """
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

        async def body(tx: Tx) -> bool:
            if await kit.gate(tx, self._seat.actor_id) is not None:
                return False
            await inputs.attempt(tx, texts, batch_id=batch.id, thread_id=thread.thread_id)
            return True

        try:
            return batch if await kit.database.write(body) else None
        except Conflict:
            return None

    async def _hand(self, batch: Batch) -> None:
        kit = self._seat.kit

        async def body(tx: Tx) -> None:
            # The thread's events may have come first: what is seen already stays seen.
            rows = await inputs.by_ids(tx, batch.input_ids)
            ids = [item.id for item in rows if item.status is InputStatus.QUEUED]
            await inputs.hand(tx, ids, now=kit.clock.now())

        await kit.database.write(body)

    async def _blocked(self, batch: Batch, error: ThreadBlocked, *, rest: int) -> None:
        """Keep what could not be typed, and let a human see why."""
        await set_blocked(self._seat, error.message)
        await self._requeue(batch, error.message, rest=rest)

    async def _requeue(self, batch: Batch, reason: str, *, rest: int | None = None) -> None:
        kit = self._seat.kit
        not_before = 0
        if rest is not None:
            not_before = kit.clock.now() + RETRY_MS[min(rest, len(RETRY_MS) - 1)]
        await kit.database.write(
            lambda tx: inputs.requeue(tx, batch.input_ids, reason=reason, not_before=not_before)
        )
        kit.log("info", "input stays queued", {"actor": self._seat.actor_id, "reason": reason})

    async def _refused(self, chosen: Sequence[ActorInput], error: RuntimeFailure) -> None:
        """Cancel inputs that Codex will never take, and tell those who wait for an answer."""
        kit = self._seat.kit
        now = kit.clock.now()
        ids = [item.id for item in chosen]

        async def body(tx: Tx) -> frozenset[str]:
            actor = await actors.require(tx, self._seat.actor_id)
            rows = await inputs.by_ids(tx, ids)
            found = {item.message_id: await messages.require(tx, item.message_id) for item in rows}
            return await kit.refuse(
                tx, actor=actor, inputs=rows, messages=found, reason=error.message, now=now
            )

        await kit.database.write(body, then=self._wake)
        fields = {"actor": self._seat.actor_id, "inputs": ids, "reason": error.message}
        kit.log("error", "input refused", fields)

    def _wake(self, actor_ids: frozenset[str]) -> None:
        for actor_id in actor_ids:
            self._seat.kit.wake(actor_id)


def _patience(hold: Hold, now: int) -> float:
    """Return the seconds after which a held queue is looked at again.

    Sooner than the hold's end when that is far: the wall clock may jump, and a limit be raised by
    somebody who wakes nobody.
    """
    if hold.until is None:
        return HELD_SECONDS
    return min(max((hold.until - now) / 1_000, 0.01), HELD_SECONDS)


def _rest(item: ActorInput, now: int) -> int:
    """Return how many more milliseconds an input rests; 0 when its time has come.

    Nothing rests for longer than the longest of ``RETRY_MS``: what seems to has its time from a
    clock that was set back since.
    """
    left = item.not_before - now
    return left if 0 < left <= RETRY_MS[-1] else 0
