"""Pauses of the whole fleet: the owner's, and those that Codex's account asks for.

Running turns are left alone; what waits goes when the pause is over, one actor after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.clock import iso
from netsky_runtime.codex import limits
from netsky_runtime.db import holds, inputs, ledger, pauses
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import LedgerKind, PauseKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.budgets import Hold, Pause
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log

LIMITED = "ended by Codex's usage limit"
"""Why a turn failed that goes on at the reset."""
UNTOLD_MS = 15 * 60 * 1_000
"""How long the fleet rests after a turn that failed by a limit whose reset nobody told."""
SAME_MS = 60_000
"""Resets closer together than this are the same one: Codex counts them from each answer."""
STAGGER_MS = 1_000
"""After a pause one actor begins in this time."""


class Pauses:
    """Begins and ends pauses."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        wake_all: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._wake_all = wake_all
        self._reset: limits.Reached | None = None
        """The last limit that Codex told to be reached."""

    async def noticed(self, raw: Any) -> None:
        """Take in what Codex tells of its limits; one that is reached pauses until its reset.

        Not again for a reset whose pause the owner has ended: only a turn that fails tells then
        that it still holds.
        """
        found = limits.reached(raw)
        now = self._clock.now()
        if found is None or found.resets_at <= now:
            return
        self._reset = found

        async def body(tx: Tx) -> Pause | None:
            before = await pauses.last(tx, PauseKind.LIMIT)
            known = before.resumes_at if before is not None else None
            if known is not None and abs(found.resets_at - known) < SAME_MS:
                return None
            return await pauses.begin(
                tx, PauseKind.LIMIT, found.name, resumes_at=found.resets_at, now=now
            )

        pause = await self._database.write(body)
        if pause is not None:
            self._say(pause, now)

    async def limited(self, tx: Tx, *, at: int) -> None:
        """Pause for a turn that failed by a limit at this time, in the transaction that ends it.

        Until the reset that Codex told last, else for a quarter of an hour.
        """
        now = self._clock.now()
        told = self._reset
        if told is not None and told.resets_at > now:
            name, resets_at = told.name, told.resets_at
        else:
            name, resets_at = "Codex's usage limit, whose reset was not told", at + UNTOLD_MS
        lasting = await pauses.current(tx, now)
        if resets_at <= now or (lasting is not None and lasting.kind is PauseKind.LIMIT):
            return  # long past, as an old turn in a thread's history; or known
        self._say(await pauses.begin(tx, PauseKind.LIMIT, name, resumes_at=resets_at, now=now), now)

    async def pause(self, *, until: int | None) -> Pause:
        """Pause for the owner, until a time or until ``unpause``."""
        now = self._clock.now()

        async def body(tx: Tx) -> Pause:
            entry = {"by": OWNER, "until": "" if until is None else iso(until)}
            await ledger.append(tx, LedgerKind.PAUSED, entry, now=now)
            return await pauses.begin(
                tx, PauseKind.OWNER, "by the owner", resumes_at=until, now=now
            )

        pause = await self._database.write(body)
        self._log("info", "paused", {"until": until})
        return pause

    async def unpause(self) -> tuple[Pause, ...]:
        """End every pause that lasts, whatever began it, and return them."""
        now = self._clock.now()

        async def body(tx: Tx) -> tuple[Pause, ...]:
            over = await pauses.end(tx, now=now)
            if over:
                entry = {"by": OWNER, "ended": "; ".join(each.reason for each in over)}
                await ledger.append(tx, LedgerKind.UNPAUSED, entry, now=now)
            return over

        over = await self._database.write(body)
        if over:
            self._log("info", "not paused any more", {"pauses": [each.reason for each in over]})
        self._wake_all()
        return over

    def _say(self, pause: Pause, now: int) -> None:
        self._log("warning", "fleet paused", {"reason": holds.paused(pause, now=now).reason})


class Gate:
    """Says before every dispatch whether an actor's inputs may go, and if not, why and until when.

    After a pause the actors that waited begin one after the other, manager0 first: all at once
    they would run into the limit again.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._places: tuple[int, Mapping[str, int]] = (0, {})
        """When the last pause ended, and who waited then, in the order they go."""

    async def __call__(self, tx: Tx, actor_id: str) -> Hold | None:
        """Return what holds the actor's inputs now; asked in the transaction that would send."""
        now = self._clock.now()
        return await holds.of_actor(tx, actor_id, now=now) or await self._turn(tx, actor_id, now)

    async def _turn(self, tx: Tx, actor_id: str, now: int) -> Hold | None:
        over = await pauses.ended(tx, now)
        if over is None:
            return None
        if self._places[0] != over:
            waiting = await inputs.queues(tx)
            ordered = sorted(waiting, key=_rank)
            self._places = over, {each: place for place, each in enumerate(ordered)}
        due = over + self._places[1].get(actor_id, 0) * STAGGER_MS
        return holds.waits_its_turn(due) if now < due else None


def _rank(actor_id: str) -> tuple[bool, bool, str]:
    return actor_id != MANAGER0, not actor_id.startswith("manager"), actor_id
