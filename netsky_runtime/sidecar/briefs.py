"""What a sidecar's turn is about: words of the command line, or the next envelope that waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.clock import iso
from netsky_runtime.comms.bus.addresses import AGENT0, bus_id_of
from netsky_runtime.comms.bus.envelope import BusEnvelope, check
from netsky_runtime.comms.bus.folders import CLAIMED, DELIVERED, INBOX, Channel
from netsky_runtime.comms.bus.taking import Claim, claims
from netsky_runtime.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.comms.post_office import PostOffice

MOST_TOLD = 20
"""Files in poison that one call names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """One envelope, and its file among the claimed if it has one."""

    envelope: BusEnvelope
    file: str = ""
    name: str = ""
    poisoned: tuple[dict[str, str], ...] = ()
    """``file`` and ``reason`` of what lay before it and was bad."""


class Briefs:
    """Finds what the next turn is about."""

    def __init__(self, *, root: Path, office: PostOffice, clock: Clock, ids: Ids) -> None:
        self._root = root
        self._office = office
        self._clock = clock
        self._ids = ids

    def written(self, actor_id: str, prompt: str) -> Brief:
        """Return a brief of agent0. Raises ``UsageError`` for words that no envelope carries."""
        envelope = BusEnvelope(
            sender=AGENT0,
            text=prompt,
            ts=iso(self._clock.now()),
            id=self._ids.new("e"),
            to=bus_id_of(actor_id),
            kind="brief",
        )
        check(envelope)
        return Brief(envelope=envelope)

    async def drained(self, actor_id: str) -> Brief:
        """Claim the next envelope that has not been taken before; raises ``NotFound``."""
        channel = Channel(self._root, actor_id)
        poisoned: list[dict[str, str]] = []

        def note(name: str, reason: str, **_where: bool) -> None:
            if len(poisoned) < MOST_TOLD:
                poisoned.append({"file": name, "reason": reason})

        def claim() -> Claim | None:
            return next(claims(channel, passed_over=note), None)

        await self._office.intake.return_claims(actor_id)  # of a call that died with one in hand
        while (found := await asyncio.to_thread(claim)) is not None:
            if not await self._office.ledger.knows(actor_id, found.envelope):
                return Brief(
                    envelope=found.envelope,
                    file=found.file,
                    name=found.name,
                    poisoned=tuple(poisoned),
                )
            await asyncio.to_thread(channel.move, found.name, CLAIMED, DELIVERED)
        told = "; ".join(f"{each['file']}: {each['reason']}" for each in poisoned)
        msg = f"No envelope waits for {bus_id_of(actor_id)}."
        raise NotFound(msg, hint=f"Passed over: {told}" if told else "")

    async def give_back(self, actor_id: str, brief: Brief) -> None:
        """Put what was drained back into the inbox."""
        if brief.name:
            channel = Channel(self._root, actor_id)
            await asyncio.to_thread(channel.move, brief.name, CLAIMED, INBOX)
