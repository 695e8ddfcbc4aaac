"""What an operator can ask of a daemon about messages and the inputs that they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.budgets import PARKED, Hold
from netsky_runtime.db import actors, holds, inputs, messages, posting
from netsky_runtime.errors import Conflict, Refused, UsageError
from netsky_runtime.records import OWNER, Actor, ActorInput
from netsky_runtime.states import ActorStatus, InputMode, InputStatus, MessageKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import Capabilities
    from netsky_runtime.comms.receiving import Inbox
    from netsky_runtime.control import protocol
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.verbs import Verb, Wake


class MessageVerbs:
    """Verbs about what actors are told.

    ``look_again`` reads an actor's history, ``capabilities_of`` returns what its door can do; both
    are left out where there are no threads.
    """

    def __init__(
        self,
        *,
        database: Database,
        inbox: Inbox,
        clock: Clock,
        wake: Wake,
        look_again: Callable[[str], Awaitable[None]] | None = None,
        capabilities_of: Callable[[str], Awaitable[Capabilities | None]] | None = None,
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._clock = clock
        self._wake = wake
        self._look_again = look_again
        self._capabilities_of = capabilities_of

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {
            "send": self.send,
            "inputs.cancel": self.cancel_input,
            "inputs.resolve": self.resolve_input,
            "messages.read": self.read_messages,
        }

    async def send(self, request: protocol.Send) -> dict[str, Any]:
        """Store a message of the owner's and queue it for its actor.

        ``held`` says why it is not sent for now, ``remedy`` which command ends that.
        """
        if request.target == OWNER:
            msg = "The owner is you."
            raise UsageError(msg, hint="Send to an actor: `netsky actors list` names them.")
        if request.mode is InputMode.STEER:
            await self._check_steer(request.target)
        posted = await self._inbox.receive(
            source=request.source,
            kind=MessageKind.TEXT,
            sender=OWNER,
            target=request.target,
            body=request.body,
            mode=request.mode,
            in_reply_to=request.in_reply_to,
            resume=request.resume,
        )
        if posted.input is None:
            msg = f"{request.target} takes no input."
            raise Conflict(msg)
        now = self._clock.now()

        async def held(tx: Tx) -> Hold | None:
            actor = await actors.require(tx, request.target)
            hold = await holds.of_actor(tx, actor.id, now=now)
            if hold is not None and actor.park_reason.startswith(PARKED):
                return hold  # to resume it alone would send nothing: more tokens do
            return _parked(actor) or hold

        hold = await self._database.read(held)
        return {
            "message_id": posted.message.id,
            "input_id": posted.input.id,
            "status": posted.input.status.value,
            "held": hold.reason if hold is not None else None,
            "remedy": hold.remedy if hold is not None else None,
        }

    async def cancel_input(self, request: protocol.InputId) -> dict[str, Any]:
        """Take back an input that was not sent yet."""

        async def body(tx: Tx) -> None:
            row = await inputs.require(tx, request.input_id)
            if row.status is not InputStatus.QUEUED or row.batch_id:
                msg = f"Input {row.id} is {row.status.value} and cannot be taken back."
                raise Conflict(msg, hint="`netsky actors interrupt` stops a running turn.")
            await inputs.settle(
                tx,
                [row.id],
                InputStatus.CANCELLED,
                reason="taken back by the owner",
                now=self._clock.now(),
            )

        await self._database.write(body)
        return {"status": InputStatus.CANCELLED.value}

    async def resolve_input(self, request: protocol.ResolveInput) -> dict[str, Any]:
        """Let the owner decide what becomes of an uncertain input.

        History is read once more before: what it shows by now was consumed and is not sent again.
        """
        before = await self._database.read(lambda tx: inputs.require(tx, request.input_id))
        if self._look_again is not None:
            await self._look_again(before.actor_id)

        async def body(tx: Tx) -> ActorInput:
            row = await inputs.require(tx, request.input_id)
            if row.status is not InputStatus.UNCERTAIN:
                msg = f"Input {row.id} is {row.status.value}, not uncertain: nothing to resolve."
                raise Conflict(msg)
            if request.action == "resend":
                await posting.check_target(tx, row.actor_id)
                await inputs.requeue(tx, [row.id], reason=inputs.RESENT)
            else:
                await inputs.settle(
                    tx,
                    [row.id],
                    InputStatus.CANCELLED,
                    reason="dropped by the owner's decision",
                    now=self._clock.now(),
                )
            return await inputs.require(tx, row.id)

        row = await self._database.write(body)
        self._wake(row.actor_id)
        return {"status": row.status.value}

    async def read_messages(self, request: protocol.ReadMessages) -> dict[str, Any]:
        """Record that the owner's eyes were on these messages."""
        now = self._clock.now()
        await self._database.write(lambda tx: messages.mark_read(tx, request.ids, now))
        return {}

    async def _check_steer(self, actor_id: str) -> None:
        """Refuse what would wait like a queued message though it was meant for this very turn."""
        can = await self._capabilities_of(actor_id) if self._capabilities_of else None
        if can is not None and not can.steer:
            msg = f"The door to {actor_id} cannot add to a running turn."
            hint = "Queue it, and it goes in when the turn ends; or interrupt the turn with it."
            raise Refused(msg, hint=hint)


def _parked(actor: Actor) -> Hold | None:
    """Say of a parked actor's messages why they wait and how they go."""
    if actor.status is not ActorStatus.PARKED:
        return None
    why = f"{actor.id} is parked: {actor.park_reason or 'its owner decides'}"
    return Hold(reason=why, until=None, remedy=f"netsky actors resume {actor.id}")
