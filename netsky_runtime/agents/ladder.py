"""What is done about a turn that hangs, rung by rung, each on its own evidence and logged.

reconcile: the thread's history is read, which settles a turn whose end was missed, and its live
text is listened to from here on. interrupt: Codex is asked to stop the turn. reattach: the thread
is let go of and loaded afresh. move: it goes through another door. park: the actor gets no more
work, and the owner is told. No model is ever asked anything.

What "afresh" means depends on the door, and never touches another actor's turn. app_server: the
engine carries everybody's threads, so it is never ended; where no turn runs any more it unloads
this one thread, else the thread is only resumed on the same engine. mcp_server: the process
carries many threads and knows those alone, so the thread is attached to again and stays loaded.
resident: the pane carries this one thread, and where no turn runs any more it is ended and another
begun. A turn that runs on, deaf to its interruption, keeps its thread where it is: another door
would be a second writer, so the actor is parked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from netsky_runtime.agents.rungs import BUDGET
from netsky_runtime.codex.base import HistoryUnavailable, NoActiveTurn
from netsky_runtime.counting import count
from netsky_runtime.db import rungs, sessions
from netsky_runtime.errors import NetskyError
from netsky_runtime.states import RungName, RungOutcome, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from netsky_runtime.agents.rungs import Climb
    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log
    from netsky_runtime.records import Session
    from netsky_runtime.states import RuntimeName

READS: Final = 3
"""How often history is asked for: an engine that answers nobody is found out by that."""
_MORE: Final = "For more patience: netsky settings set silent_turn_seconds SECONDS"


class Hands(Protocol):
    """What the fleet does for the ladder; see ``Fleet``."""

    def session_of(self, actor_id: str) -> ThreadSession | None:
        """Return the actor's live thread."""
        ...

    def turns(self) -> Mapping[str, str]:
        """Return actor to turn id for every turn that runs, or whose end was not recorded yet."""
        ...

    def attached(self) -> Sequence[str]:
        """Return the actors that have a live thread."""
        ...

    def tells_text(self, actor_id: str) -> bool:
        """Whether live text of the actor's turns can be heard."""
        ...

    def wake(self, actor_id: str) -> None:
        """Let an actor look at its queue."""
        ...

    async def listen(self, actor_id: str, on: bool) -> None:
        """Hear the actor's live text, whether or not anybody looks."""
        ...

    async def reconcile(self, actor_id: str) -> None:
        """Compare the actor's inputs with its thread's history."""
        ...

    async def reattach(self, actor_id: str, reason: str) -> bool:
        """Attach to the thread anew; say whether it was loaded afresh."""
        ...

    async def ways(self, actor_id: str) -> Mapping[RuntimeName, str]:
        """Return all doors, each with why the thread cannot go there, if so."""
        ...

    async def move(self, actor_id: str, runtime: RuntimeName, *, interrupt: bool) -> Session:
        """Take the thread to another door."""
        ...

    async def park(self, actor_id: str, reason: str) -> None:
        """Give the actor no more work."""
        ...


class Ladder:
    """Climbs one rung at a time and writes down what came of it."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        fleet: Hands,
        tell: Callable[[str], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._fleet = fleet
        self._tell = tell

    async def climb(self, climb: Climb, rung: RungName, *, evidence: str) -> bool:
        """Do what the rung says, within its budget; return whether the turn was seen to live.

        It is written down before anything is done. What a door or history refuses is an outcome,
        not an error.
        """
        climb.rung, climb.outcome = rung, RungOutcome.TRYING
        now = self._clock.now()
        climb.seq = await self._database.write(
            lambda tx: rungs.begin(
                tx,
                actor_id=climb.actor_id,
                thread_id=climb.thread_id,
                turn_id=climb.turn_id,
                rung=rung,
                evidence=evidence,
                now=now,
            )
        )
        fields = {"actor": climb.actor_id, "turn": climb.turn_id, "rung": rung.value}
        self._log("warning", "turn hangs", {**fields, "evidence": evidence})
        lives = False
        try:
            async with asyncio.timeout(BUDGET[rung]):
                lives, outcome, detail = await self._do(climb, rung, evidence)
        except TimeoutError:
            outcome, detail = RungOutcome.FAILED, f"not done within {BUDGET[rung]:g} s"
        except NetskyError as error:
            outcome, detail = RungOutcome.FAILED, error.message
        await self.note(climb, outcome, detail)
        return lives

    async def note(self, climb: Climb, outcome: RungOutcome, detail: str) -> None:
        """Write down what came of the climb's last rung, or what is known of it by now."""
        climb.outcome, climb.ended = outcome, self._clock.monotonic()
        now = self._clock.now()
        await self._database.write(
            lambda tx: rungs.end(tx, climb.seq, outcome, detail=detail, now=now)
        )
        fields = {"actor": climb.actor_id, "turn": climb.turn_id, "outcome": outcome.value}
        rung = climb.rung.value if climb.rung is not None else ""
        self._log("info", "rung is done with", {**fields, "rung": rung, "detail": detail})

    async def over(self, climb: Climb, detail: str) -> None:
        """Write down that the turn hangs no more, and listen no closer than others ask for."""
        if climb.seq:
            await self.note(climb, RungOutcome.HELPED, detail)
        await self._fleet.listen(climb.actor_id, False)

    async def leave(self) -> None:
        """Write down that an earlier netsky ended in the middle of its rungs.

        What that one could not attach is told anew by this one, if it cannot either.
        """
        now = self._clock.now()

        async def body(tx: Tx) -> None:
            await rungs.leave(tx, reason="netsky ended meanwhile", now=now)
            await sessions.none_unattached(tx)

        await self._database.write(body)

    async def _do(
        self, climb: Climb, rung: RungName, evidence: str
    ) -> tuple[bool, RungOutcome, str]:
        match rung:
            case RungName.RECONCILE:
                return await self._reconcile(climb)
            case RungName.INTERRUPT:
                return await self._interrupt(climb, evidence)
            case RungName.REATTACH:
                return await self._reattach(climb, evidence)
            case RungName.MOVE:
                return await self._move(climb)
            case RungName.PARK:
                return await self._park(climb, evidence)

    async def _reconcile(self, climb: Climb) -> tuple[bool, RungOutcome, str]:
        await self._fleet.listen(climb.actor_id, True)
        for _ in range(READS - 1):
            try:
                return await self._read(climb)
            except HistoryUnavailable as error:
                fields = {"actor": climb.actor_id, "error": error.message}
                self._log("info", "history is asked for again", fields)
        return await self._read(climb)

    async def _read(self, climb: Climb) -> tuple[bool, RungOutcome, str]:
        await self._fleet.reconcile(climb.actor_id)
        return await self._look(climb)

    async def _look(self, climb: Climb) -> tuple[bool, RungOutcome, str]:
        """Read history: whether the turn has ended there, or shows more than before."""
        thread = self._fleet.session_of(climb.actor_id)
        if thread is None:
            return False, RungOutcome.FAILED, "the actor has no live thread just now"
        history = await thread.history()
        turn = next((turn for turn in history if turn.id == climb.turn_id), None)
        if turn is None:
            return False, RungOutcome.NO_CHANGE, "history does not show the turn"
        if turn.status is not TurnStatus.IN_PROGRESS:
            await self._fleet.reconcile(climb.actor_id)
            ended = f"history shows it {turn.status.value}"
            if thread.active_turn != climb.turn_id:
                return True, RungOutcome.HELPED, ended
            return False, RungOutcome.NO_CHANGE, f"{ended}, its door has not heard of that"
        before, climb.items = climb.items, len(turn.items)
        if before is not None and climb.items > before:
            more = climb.items - before
            told = f"history shows {count(more, 'more item')}: the turn lives"
            return True, RungOutcome.HELPED, told
        told = f"history shows it running, {count(climb.items, 'item')}"
        return False, RungOutcome.NO_CHANGE, told

    async def _interrupt(self, climb: Climb, evidence: str) -> tuple[bool, RungOutcome, str]:
        try:
            lives, outcome, detail = await self._look(climb)
        except HistoryUnavailable:
            lives = False  # silence alone has to do
        if lives:
            return lives, outcome, detail
        thread = self._fleet.session_of(climb.actor_id)
        if thread is None:
            return False, RungOutcome.FAILED, "the actor has no live thread just now"
        now = self._clock.now()
        await self._database.write(lambda tx: rungs.say(tx, climb.seq, now=now))
        try:
            await thread.interrupt(climb.turn_id)
        except NoActiveTurn:
            await self._database.write(lambda tx: rungs.say(tx, climb.seq, now=None))
            await self._fleet.reconcile(climb.actor_id)
            return False, RungOutcome.NO_CHANGE, "Codex says that no such turn runs"
        self._tell(f"{climb.actor_id} was interrupted: {evidence}. {_MORE}")
        return False, RungOutcome.NO_CHANGE, "Codex was asked to stop the turn"

    async def _reattach(self, climb: Climb, evidence: str) -> tuple[bool, RungOutcome, str]:
        afresh = await self._fleet.reattach(climb.actor_id, evidence)
        if self._fleet.session_of(climb.actor_id) is None:
            return False, RungOutcome.FAILED, "the thread did not come back"
        how = "loaded afresh" if afresh else "resumed where it is: its turn runs on there"
        return False, RungOutcome.NO_CHANGE, f"the thread was {how}"

    async def _move(self, climb: Climb) -> tuple[bool, RungOutcome, str]:
        doors = await self._fleet.ways(climb.actor_id)
        to = next((door for door, why in doors.items() if not why), None)
        if to is None:
            return False, RungOutcome.FAILED, "no other door can continue the thread"
        await self._fleet.move(climb.actor_id, to, interrupt=True)
        return False, RungOutcome.NO_CHANGE, f"the thread is on {to.value} now"

    async def _park(self, climb: Climb, evidence: str) -> tuple[bool, RungOutcome, str]:
        await self._fleet.park(climb.actor_id, f"Its turn hangs: {evidence}.")
        return False, RungOutcome.NO_CHANGE, "the actor is parked; the owner decides"
