"""Looks after the turns that run: who gives no sign of life is taken up the ladder.

On monotonic time, which stands still while the machine sleeps; what netsky slept through counts
as nobody's silence.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.agents.restart_policy import AT_ONCE
from netsky_runtime.agents.rungs import Climb, Patience, due
from netsky_runtime.db import rungs, turns, views
from netsky_runtime.errors import NetskyError
from netsky_runtime.machine import Gap, Moment, between
from netsky_runtime.states import ActorStatus, Evidence, RungName, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from netsky_runtime.agents.ladder import Hands, Ladder
    from netsky_runtime.agents.pulses import Pulse, Pulses
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log
    from netsky_runtime.supervise import Supervisor

LOOK_SECONDS: Final = 5.0
"""How often it looks; four times within the shortest patience when that is shorter."""
BEAT_MS: Final = 15_000
"""How old what is stored of a turn's live text may get."""
RECONCILE_SECONDS: Final = 60.0
"""How long one actor's history may take to be compared after a gap."""


class Watchdog:
    """Looks every few seconds; costs nothing while no turn runs, and never asks a model."""

    def __init__(
        self,
        *,
        pulses: Pulses,
        ladder: Ladder,
        fleet: Hands,
        patience: Patience,
        database: Database,
        supervisor: Supervisor,
        clock: Clock,
        boottime: Callable[[], float],
        log: Log,
    ) -> None:
        self._pulses = pulses
        self._ladder = ladder
        self._fleet = fleet
        self._patience = patience
        self._database = database
        self._supervisor = supervisor
        self._clock = clock
        self._boottime = boottime
        self._log = log
        self._climbs: dict[str, Climb] = {}
        self._busy: set[str] = set()
        self._stored: dict[str, int] = {}
        self._left = False
        """Whether it is written down where an earlier netsky ended."""
        self._comparing = asyncio.Semaphore(AT_ONCE)
        self._every = min(LOOK_SECONDS, patience.turn / 4, patience.command / 4)

    async def run(self) -> None:
        """Look until cancelled."""
        before = self._moment()
        while True:
            if not self._left:
                await self._guarded("", self._leave())
            await self._clock.sleep(self._every)
            after = self._moment()
            gap = between(before, after, expected=self._every)
            before = after
            if gap:
                self._after(gap)
            self._look()

    async def _leave(self) -> None:
        await self._ladder.leave()
        self._left = True

    def _moment(self) -> Moment:
        return Moment(
            monotonic=self._clock.monotonic(), boot=self._boottime(), wall=self._clock.now()
        )

    def _look(self) -> None:
        """Follow every turn that runs; begin work only for those that need some."""
        running = self._fleet.turns()
        for actor_id, turn_id in running.items():
            thread = self._fleet.session_of(actor_id)
            if thread is None:
                continue
            mute = not self._fleet.tells_text(actor_id)
            pulse = self._pulses.follow(actor_id, thread.thread_id, turn_id, mute=mute)
            if self._stale(actor_id, pulse):
                self._begin(actor_id, self._store(actor_id, pulse, Evidence.LIVE_TEXT))
            if actor_id not in self._climbs and self._silent(pulse):
                self._climbs[actor_id] = Climb(
                    actor_id=actor_id,
                    thread_id=pulse.thread_id,
                    turn_id=turn_id,
                    signs=self._pulses.signs(actor_id),
                    silent_since=pulse.heard,
                )
        for actor_id, climb in self._climbs.items():
            if actor_id not in self._busy:
                self._begin(actor_id, self._see_to(climb))

    def _begin(self, actor_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside all else: one actor's slow rung keeps nobody waiting."""
        self._busy.add(actor_id)
        self._supervisor.spawn(f"watchdog of {actor_id}", self._guarded(actor_id, work))

    async def _guarded(self, actor_id: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (NetskyError, sqlite3.Error) as error:
            fields = {"actor": actor_id, "error": str(error)} if actor_id else {"error": str(error)}
            self._log("error", "watchdog could not do its work", fields)
        finally:
            self._busy.discard(actor_id)

    def _silent(self, pulse: Pulse) -> bool:
        return self._clock.monotonic() - pulse.heard >= self._patience.of(pulse)

    def _stale(self, actor_id: str, pulse: Pulse) -> bool:
        """Whether the last sign is stored nowhere, and what is stored is old."""
        known = self._stored.get(actor_id, 0)
        return pulse.fragment and actor_id not in self._busy and pulse.at - known > BEAT_MS

    async def _store(self, actor_id: str, pulse: Pulse, evidence: Evidence) -> None:
        at = self._stored[actor_id] = pulse.at
        await self._database.write(
            lambda tx: rungs.beat(
                tx,
                actor_id=actor_id,
                thread_id=pulse.thread_id,
                turn_id=pulse.turn_id,
                evidence=evidence,
                at=at,
            )
        )

    async def _see_to(self, climb: Climb) -> None:
        """Look whether the turn stirs or is excused; else climb, if it is time."""
        state = await self._database.read(partial(_state, climb=climb))
        unheard = self._fleet.turns().get(climb.actor_id) == climb.turn_id
        if state.over and not unheard:
            return await self._over(climb, "the turn is over")
        if self._pulses.signs(climb.actor_id) > climb.signs:
            return await self._over(climb, "the turn went on")
        if state.excuse:
            self._pulses.excuse(climb.actor_id)
            return await self._over(climb, f"the turn waits: {state.excuse}")
        pulse = self._pulses.of(climb.actor_id)
        if pulse is not None and pulse.calls:
            self._pulses.excuse(climb.actor_id)
            return await self._over(climb, "the turn waits for netsky's answer to a tool call")
        if state.parked is not (climb.rung is RungName.PARK):
            # The owner has parked it, or wants it to go on: then the turn gets fresh patience.
            self._pulses.excuse(climb.actor_id)
            return await self._over(climb, f"the actor is {'parked' if state.parked else 'back'}")
        if self._fleet.session_of(climb.actor_id) is None:
            return None  # its runner brings the thread back, or has a human told
        patience = self._patience.turn if pulse is None else self._patience.of(pulse)
        now = self._clock.monotonic()
        rung = due(climb, patience=patience, now=now)
        if state.over and climb.rung is RungName.RECONCILE:
            rung = RungName.REATTACH  # history has told its end: there is nothing to interrupt
        if rung is None:
            return None
        evidence = self._evidence(climb, pulse, now)
        if await self._ladder.climb(climb, rung, evidence=evidence):
            self._pulses.beat(climb.actor_id, fragment=False)
            if pulse is not None:
                await self._store(climb.actor_id, pulse, Evidence.HISTORY)
            self._climbs.pop(climb.actor_id, None)
            await self._fleet.listen(climb.actor_id, False)
        return None

    async def _over(self, climb: Climb, detail: str) -> None:
        self._climbs.pop(climb.actor_id, None)
        await self._ladder.over(climb, detail)

    @staticmethod
    def _evidence(climb: Climb, pulse: Pulse | None, now: float) -> str:
        silent = _span(now - climb.silent_since)
        doing = next(iter(pulse.working.values()), "") if pulse is not None else ""
        what = f" ({doing.replace('_', ' ')} running)" if doing else ""
        after = f", {climb.rung.value} did not help" if climb.rung is not None else ""
        return f"no sign of life of its turn for {silent}{what}{after}"

    def _after(self, gap: Gap) -> None:
        """Give everybody fresh patience after time that netsky slept through, and look."""
        fields = {"seconds": round(gap.missed, 1), "clock set by": round(gap.jumped, 1)}
        self._log("warning", "time was missed", fields)
        if gap.missed:
            self._pulses.excuse_all()
            for climb in self._climbs.values():
                climb.silent_since = climb.ended = self._clock.monotonic()
        for actor_id in self._fleet.attached():
            self._fleet.wake(actor_id)  # what rests until a time of the old clock
            if gap.missed and actor_id not in self._busy:
                self._begin(actor_id, self._compare(actor_id))

    async def _compare(self, actor_id: str) -> None:
        async with self._comparing:  # everybody's at once would be the next gap
            try:
                async with asyncio.timeout(RECONCILE_SECONDS):
                    await self._fleet.reconcile(actor_id)
            except TimeoutError:
                self._log("warning", "history was not read in time", {"actor": actor_id})


@dataclass(frozen=True, slots=True)
class _State:
    """What the rows say of a turn that seems to hang."""

    over: bool
    excuse: str
    parked: bool


async def _state(tx: Tx, *, climb: Climb) -> _State:
    view = await views.actor_view(tx, climb.actor_id)
    turn = await turns.get(tx, climb.thread_id, climb.turn_id)
    status = view.actor.status if view is not None else ActorStatus.STOPPED
    excuse = ""
    if view is not None and view.pending_approvals:
        excuse = "a question of its has no answer yet"
    elif view is not None and view.session is not None and view.session.blocked:
        excuse = "its screen waits for a human"
    over = status is ActorStatus.STOPPED
    over = over or (turn is not None and turn.status is not TurnStatus.IN_PROGRESS)
    return _State(over=over, excuse=excuse, parked=status is ActorStatus.PARKED)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
