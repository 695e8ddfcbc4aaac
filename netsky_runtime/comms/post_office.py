"""The daemon at the file bus: envelopes become messages, and each gets its one answer.

An envelope is claimed, stored with its message and input in one transaction, and lies among the
claimed until its answer is written. Whatever a crash leaves is claimed again and known by its
key: at least once on the disk, exactly once in a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from watchfiles import Change, awatch

from netsky_runtime.comms import bus_answers
from netsky_runtime.comms.bus import folders
from netsky_runtime.comms.bus.addresses import is_actors, is_address
from netsky_runtime.comms.bus.folders import CLAIMED, DELIVERED, INBOX, Channel
from netsky_runtime.comms.bus.names import is_envelope
from netsky_runtime.comms.bus.taking import Claim, claims
from netsky_runtime.db import actors, bus_envelopes, messages, posting
from netsky_runtime.db.bus_envelopes import TakenEnvelope
from netsky_runtime.errors import Conflict, DatabaseError, NetskyError, NotFound, UsageError
from netsky_runtime.records import ActorKind, MessageKind, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.comms.bus.envelope import BusEnvelope
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.db.posting import Posted
    from netsky_runtime.records import ActorInput, Message

POLL_SECONDS = 5.0
"""How often the folders are looked at unasked: a new folder's first file can be missed."""
AT_ONCE = 64
"""Envelopes taken from one inbox, and answers written, before it is others' turn."""
UNFINISHED_SECONDS = 2.0
"""How long a file may take to become an envelope after it was last written to."""
DEBOUNCE_MS = 50
STEP_MS = 10


class Log(Protocol):
    """Takes one structured line."""

    def __call__(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """Keep it."""
        ...


class PostOffice:
    """Carries between the actors' inboxes below ``root`` and the database."""

    def __init__(
        self,
        *,
        root: Path,
        database: Database,
        clock: Clock,
        ids: Ids,
        wake: Callable[[str], None],
        log: Log,
    ) -> None:
        self._root = root
        self._database = database
        self._clock = clock
        self._ids = ids
        self._wake = wake
        self._log = log
        self._due = asyncio.Event()
        self._files = True
        """Something may lie in an inbox."""
        self._owing = True
        """An envelope may be without its answer."""
        self._told: set[tuple[str, str]] = set()
        database.on_commit(self._committed)

    async def run(self) -> None:
        """Serve until cancelled."""
        await asyncio.to_thread(self._root.mkdir, mode=0o700, exist_ok=True)
        await self._return_claims()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._tick())
            group.create_task(self._serve())

    async def collect(self) -> None:
        """Store what lies in the inboxes of the actors."""
        for folder in await self._each_actors(lambda channel: channel.pending()):
            actor = await self._database.read(partial(actors.get, actor_id=folder))
            if actor is not None and actor.kind is ActorKind.SIDECAR:
                continue  # waits for `netsky codex N --drain`
            await self._take(folder)

    async def answer(self) -> None:
        """Write the answers of all envelopes whose inputs have ended."""
        owed = await self._database.read(lambda tx: bus_envelopes.owed(tx, limit=AT_ONCE))
        for taken, ended in owed:
            try:
                await self._answer(taken, ended)
            except (NetskyError, OSError) as error:
                self._tell("error", "answer cannot be written", taken.message_id, str(error))
        self._owing = bool(await self._database.read(bus_envelopes.open_count))
        if len(owed) == AT_ONCE:
            self._due.set()

    async def accept(self, actor_id: str, envelope: BusEnvelope, *, file: str, name: str) -> Posted:
        """Store an envelope that was claimed as ``name``; one that is known is not stored again.

        Raises ``NotFound`` for an unknown actor, ``Conflict`` for a stopped one and for a copy
        of what was taken before.
        """
        taken, posted = await self._store(actor_id, envelope, file=file, name=name)
        if posted is None:
            msg = f"{actor_id} has had this envelope before, as {taken.message_id}."
            raise Conflict(msg, hint="Give another id or key to what is to be sent again.")
        return posted

    async def knows(self, actor_id: str, envelope: BusEnvelope) -> bool:
        """Whether a copy of the envelope was taken before."""
        found = await self._database.read(
            lambda tx: bus_envelopes.find(
                tx,
                actor_id,
                key=bus_answers.key_of(envelope),
                sender=envelope.sender,
                envelope_id=envelope.id,
            )
        )
        return found is not None

    async def _each_actors(self, look: Callable[[Channel], list[str]]) -> list[str]:
        """Return the actors' folders in which ``look`` finds files; one that fails is told of."""
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
            self._tell("error", "inbox cannot be used", name, reason)
        return found

    async def _take(self, folder: str) -> None:
        channel = Channel(self._root, folder)
        passed: list[tuple[str, str, bool]] = []

        def note(name: str, reason: str, *, poisoned: bool) -> None:
            passed.append((name, reason, poisoned))

        since = self._clock.now() / 1000 - UNFINISHED_SECONDS

        def claim() -> list[Claim]:
            found = claims(channel, passed_over=note, unfinished_since=since)
            return list(islice(found, AT_ONCE))

        try:
            taken = await asyncio.to_thread(claim)
        except NetskyError as error:
            self._tell("error", "inbox cannot be used", folder, error.message)
            return
        for name, reason, poisoned in passed:
            if poisoned:
                self._poisoned(channel, name, reason)
            else:
                self._tell("warning", "envelope cannot be read", f"{folder}/{name}", reason)
        for each in taken:
            await self._accept(channel, each)
        if len(taken) == AT_ONCE:
            self._look()

    async def _accept(self, channel: Channel, claim: Claim) -> None:
        envelope = claim.envelope
        try:
            taken, posted = await self._store(
                channel.folder, envelope, file=claim.file, name=claim.name
            )
        except (NotFound, Conflict, UsageError) as error:
            await self._refuse(channel, claim, error.message)
            return
        except (DatabaseError, sqlite3.Error):
            await asyncio.to_thread(channel.move, claim.name, CLAIMED, INBOX)
            raise
        if taken.requires_ack and not envelope.answers:
            ack = bus_answers.acknowledgement(taken, file=claim.file)
            await asyncio.to_thread(bus_answers.write, self._root, ack, at_ms=taken.created_at)
        again = posted is None and taken.file != claim.name
        if again or taken.answered_at is not None:
            await self._archive(channel, claim.name)

    async def _store(
        self, actor_id: str, envelope: BusEnvelope, *, file: str, name: str
    ) -> tuple[TakenEnvelope, Posted | None]:
        key, now = bus_answers.key_of(envelope), self._clock.now()

        async def body(tx: Tx) -> tuple[TakenEnvelope, Posted | None]:
            found = await bus_envelopes.find(
                tx, actor_id, key=key, sender=envelope.sender, envelope_id=envelope.id
            )
            if found is not None:
                return found, None
            posted = await posting.post(
                tx, _draft(actor_id, envelope, file=file), ids=self._ids, now=now
            )
            taken = TakenEnvelope(
                actor_id=actor_id,
                key=key,
                file=name,
                message_id=posted.message.id,
                sender=envelope.sender,
                envelope_id=envelope.id,
                thread=envelope.thread,
                swarm=envelope.swarm,
                requires_ack=envelope.requires_ack,
                created_at=now,
                answered_at=now if envelope.answers else None,
            )
            await bus_envelopes.insert(tx, taken)
            return taken, posted

        def then(result: tuple[TakenEnvelope, Posted | None]) -> None:
            if result[1] is not None:
                self._owing = True
                self._wake(actor_id)

        return await self._database.write(body, then=then)

    async def _refuse(self, channel: Channel, claim: Claim, reason: str) -> None:
        now = self._clock.now()
        if not claim.envelope.answers:
            told = bus_answers.refusal(
                claim.envelope, by=channel.folder, file=claim.file, reason=reason, now=now
            )
            await asyncio.to_thread(bus_answers.write, self._root, told, at_ms=now)
        moved = await asyncio.to_thread(channel.quarantine, claim.name, reason, CLAIMED)
        self._poisoned(channel, moved, reason)

    async def _answer(self, taken: TakenEnvelope, ended: ActorInput) -> None:
        async def look(tx: Tx) -> tuple[Message, Message | None]:
            cause = await messages.require(tx, taken.message_id)
            return cause, await messages.get(tx, ended.reply_id) if ended.reply_id else None

        cause, reply = await self._database.read(look)
        now = self._clock.now()
        envelope = bus_answers.answer(taken, cause, ended, reply, now=now)
        at_ms = ended.settled_at or now
        await asyncio.to_thread(bus_answers.write, self._root, envelope, at_ms=at_ms)
        await self._database.write(
            lambda tx: bus_envelopes.answered(tx, taken, reply_id=ended.reply_id, now=now)
        )
        await self._archive(Channel(self._root, taken.actor_id), taken.file)

    async def _archive(self, channel: Channel, name: str) -> None:
        if not name:
            return  # it came without a file
        try:
            await asyncio.to_thread(channel.move, name, CLAIMED, DELIVERED)
        except NotFound:
            return  # a crash came between: it lies there already

    async def _return_claims(self) -> None:
        await self._each_actors(lambda channel: channel.return_claims())

    async def _serve(self) -> None:
        while True:
            self._due.clear()
            try:
                if self._files:
                    self._files = False
                    await self.collect()
                await self.answer()
            except (NetskyError, OSError, sqlite3.Error) as error:
                self._tell("error", "the bus stands still", "", str(error))
            await self._due.wait()

    async def _watch(self) -> None:
        while True:
            try:
                async for _ in awatch(
                    self._root, watch_filter=_arrives, debounce=DEBOUNCE_MS, step=STEP_MS
                ):
                    self._look()
            except (OSError, RuntimeError) as error:  # no more watches, or the folder is gone
                self._tell("warning", "the bus is only looked at now and then", "", str(error))
            await self._clock.sleep(POLL_SECONDS)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(POLL_SECONDS)
            self._look()

    def _look(self) -> None:
        self._files = True
        self._due.set()

    def _committed(self) -> None:
        if self._owing:
            self._due.set()

    def _poisoned(self, channel: Channel, name: str, reason: str) -> None:
        fields = {"where": f"{channel.folder}/{name}", "reason": reason}
        self._log("warning", "envelope went to poison", fields)

    def _tell(self, level: str, what: str, where: str, reason: str) -> None:
        """Log what stays wrong once, however often it is met again."""
        if (what, where) in self._told:
            return
        self._told.add((what, where))
        self._log(level, what, {"where": where, "reason": reason} if where else {"reason": reason})


def _draft(actor_id: str, envelope: BusEnvelope, *, file: str) -> posting.Draft:
    body = envelope.text
    if not body.strip():
        body = f"({envelope.kind} without words)"
    return posting.Draft(
        source=Source.BUS,
        kind=MessageKind.TEXT,
        sender=envelope.sender,
        target=actor_id,
        body=body,
        metadata={
            "bus": {
                "kind": envelope.kind,
                "id": envelope.id,
                "in_reply_to": envelope.in_reply_to,
                "file": file,
            }
        },
    )


def _arrives(change: Change, path: str) -> bool:
    file = Path(path)
    return change is not Change.deleted and file.parent.name == INBOX and is_envelope(file.name)
