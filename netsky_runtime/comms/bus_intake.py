"""From the actors' inboxes into the database, a fair share of each at a time.

An envelope is claimed, entered into the ledger, and lies among the claimed until its answer is
written. Whatever a crash leaves is claimed again and known there: at least once on the disk,
exactly once in a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from netsky_runtime.comms import bus_answers
from netsky_runtime.comms.bus import folders
from netsky_runtime.comms.bus.addresses import is_actors, is_address, is_workers
from netsky_runtime.comms.bus.folders import CLAIMED, DELIVERED, INBOX, Channel
from netsky_runtime.comms.bus.taking import Claim, claims
from netsky_runtime.db import actors, bus_envelopes
from netsky_runtime.errors import Conflict, DatabaseError, NetskyError, NotFound, UsageError
from netsky_runtime.states import ActorKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.comms.bus.envelope import BusEnvelope
    from netsky_runtime.comms.bus_ledger import Ledger
    from netsky_runtime.comms.bus_log import BusLog
    from netsky_runtime.db.connection import Database

AT_ONCE = 64
"""Files taken from one inbox before it is others' turn."""
BACKLOG = 256
"""Open inputs of one actor that came by the bus; what is more waits in its inbox."""
UNFINISHED_SECONDS = 2.0
"""How long a file may take to become an envelope after it was last written to."""
NOBODY_SECONDS = 300.0
"""How long an envelope waits for a worker that is not there yet, or for its ``netsky codex``."""
STALE_SECONDS = 60.0
"""After which a claim that was never stored is taken for forgotten."""
LEFTOVER_SECONDS = 3600.0
"""After which half a file is taken for what a dead writer left."""


@dataclass(frozen=True, slots=True)
class _Round:
    """What one look at an inbox brought."""

    taken: list[Claim] = field(default_factory=list)
    poisoned: list[tuple[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)

    def note(self, name: str, reason: str, *, poisoned: bool) -> None:
        (self.poisoned if poisoned else self.left).append((name, reason))

    @property
    def size(self) -> int:
        return len(self.taken) + len(self.poisoned)


class Intake:
    """Takes what is sent to actors."""

    def __init__(
        self,
        *,
        root: Path,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        log: BusLog,
    ) -> None:
        self._root = root
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._log = log

    async def collect(self) -> bool:
        """Store what lies in the inboxes of the actors; return whether there is more."""
        more = False
        for folder in await self._each_actors(lambda channel: bool(channel.pending())):
            actor = await self._database.read(partial(actors.get, actor_id=folder))
            if actor is None and is_workers(folder):
                more |= await self._take(folder, waited=NOBODY_SECONDS)
            elif actor is None or actor.kind is not ActorKind.SIDECAR:
                more |= await self._take(folder)
            # A sidecar's wait for `netsky codex N --drain`.
        return more

    async def recover(self) -> None:
        """Let whatever an earlier netsky claimed be taken again, and remove its half files."""
        before = self._clock.now() / 1000 - LEFTOVER_SECONDS

        def work(channel: Channel) -> bool:
            channel.sweep(before=before)
            return bool(channel.return_claims())

        await self._each_actors(work)

    async def return_stale(self) -> None:
        """Put claims that were never stored, and are old, back into their inboxes."""
        before = self._clock.now() / 1000 - STALE_SECONDS
        for folder in await self._each_actors(lambda channel: bool(channel.pending(CLAIMED))):
            await self.return_claims(folder, before=before)

    async def return_claims(self, folder: str, *, before: float | None = None) -> None:
        """Put an actor's claims that were never stored back into its inbox.

        With ``before`` (seconds since the epoch) only older ones. Raises ``Unhealthy``.
        """
        stored = await self._database.read(partial(bus_envelopes.open_files, actor_id=folder))
        channel = Channel(self._root, folder)
        await asyncio.to_thread(channel.return_claims, before=before, but=stored)

    async def _each_actors(self, look: Callable[[Channel], bool]) -> list[str]:
        """Return the actors' folders of which ``look`` is true; one that fails is told of."""
        broken: list[tuple[str, str]] = []

        def work() -> list[str]:
            found = []
            for name in folders.addresses(self._root):
                if not is_address(name) or not is_actors(name):
                    continue
                try:
                    if look(Channel(self._root, name)):
                        found.append(name)
                except NetskyError as error:
                    broken.append((name, error.message))
            return found

        found = await asyncio.to_thread(work)
        for name, reason in broken:
            self._log.once("error", "inbox cannot be used", name, reason)
        return found

    async def _take(self, folder: str, *, waited: float = 0.0) -> bool:
        """Take some of an inbox; return whether there is more to take now.

        With ``waited`` only what has lain there for so many seconds.
        """
        waiting = await self._database.read(partial(bus_envelopes.backlog, actor_id=folder))
        room = min(AT_ONCE, BACKLOG - waiting)
        if room <= 0:
            reason = f"{BACKLOG} of its envelopes have no end yet"
            self._log.once("warning", "envelopes wait in the inbox", folder, reason)
            return False
        channel, seen = Channel(self._root, folder), _Round()
        now = self._clock.now() / 1000
        find = partial(
            claims,
            channel,
            passed_over=seen.note,
            unfinished_since=now - UNFINISHED_SECONDS,
            before=now - waited if waited else None,
            most=room,
        )

        def claim() -> None:
            for each in find():
                seen.taken.append(each)

        try:
            await asyncio.to_thread(claim)
        except NetskyError as error:  # what was taken before is stored all the same
            self._log.once("error", "inbox cannot be used", folder, error.message)
        for name, reason in seen.poisoned:
            self._log.poisoned(folder, name, reason)
        for name, reason in seen.left:
            self._log.once("warning", "envelope cannot be read", f"{folder}/{name}", reason)
        await self._accept_all(channel, seen.taken)
        return seen.size == AT_ONCE

    async def _accept_all(self, channel: Channel, taken: list[Claim]) -> None:
        for at, claim in enumerate(taken):
            try:
                await self._accept(channel, claim)
            except (DatabaseError, sqlite3.Error):
                for left in taken[at:]:
                    with suppress(NotFound):
                        await asyncio.to_thread(channel.move, left.name, CLAIMED, INBOX)
                raise
            except NetskyError as error:
                where = f"{channel.folder}/{claim.name}"
                self._log.once("error", "envelope cannot be put away", where, error.message)

    async def _accept(self, channel: Channel, claim: Claim) -> None:
        envelope = claim.envelope
        try:
            taken, posted = await self._ledger.enter(
                channel.folder, envelope, file=claim.file, name=claim.name
            )
        except (NotFound, Conflict, UsageError) as error:
            await self._refuse(channel, claim, error.message)
            return
        if taken.requires_ack and not envelope.answers:
            ack = bus_answers.acknowledgement(taken, file=claim.file)
            await self._tell_sender(ack, at_ms=taken.created_at)
        again = posted is None and taken.file != claim.name
        if again or taken.answered_at is not None:
            await asyncio.to_thread(channel.move, claim.name, CLAIMED, DELIVERED)

    async def _refuse(self, channel: Channel, claim: Claim, reason: str) -> None:
        now = self._clock.now()
        if not claim.envelope.answers:
            told = bus_answers.refusal(
                claim.envelope, by=channel.folder, file=claim.file, reason=reason, now=now
            )
            await self._tell_sender(told, at_ms=now)
        moved = await asyncio.to_thread(channel.quarantine, claim.name, reason, CLAIMED)
        self._log.poisoned(channel.folder, moved, reason)

    async def _tell_sender(self, envelope: BusEnvelope, *, at_ms: int) -> None:
        try:
            await asyncio.to_thread(bus_answers.write, self._root, envelope, at_ms=at_ms)
        except NetskyError as error:
            self._log.once("error", "sender cannot be told", envelope.to, error.message)
