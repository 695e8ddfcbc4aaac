"""Having a lost question asked again: by telling its actor what it had asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.beside import beside
from netsky_runtime.db import approvals, posting
from netsky_runtime.errors import Conflict
from netsky_runtime.records import OWNER
from netsky_runtime.states import ApprovalStatus, MessageKind, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.db.posting import Posted

_TEXT: Final = """\
You had asked for an approval ({id}) that was lost before Codex heard an answer:
{told}
Look whether it was done all the same. If it was not and you still need it, do it again, so that \
the approval is asked for anew; else say that you do not need it."""
_QUOTE: Final = 4000
"""Characters quoted of a command, a reason or a patch."""


class Asking:
    """Tells actors to ask again, once for each lost question."""

    def __init__(
        self, *, database: Database, clock: Clock, ids: Ids, wake: Callable[[str], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._wake = wake

    async def ask_again(self, approval_id: str, *, source: Source) -> Posted:
        """Queue one input for the actor that quotes what it had asked.

        Raises ``NotFound``; ``Conflict`` when the approval is not lost, when it was asked again
        already, by this verb or by the actor itself, or when its actor is stopped.
        """

        async def body(tx: Tx) -> Posted:
            approval = await approvals.require(tx, approval_id)
            _check(approval)
            draft = posting.Draft(
                source=source,
                kind=MessageKind.TEXT,
                sender=OWNER,
                target=approval.actor_id,
                body=text(approval),
                metadata={"approval": approval.id},
            )
            now = self._clock.now()
            posted = await posting.post(tx, draft, ids=self._ids, now=now)
            if posted.input is None:
                msg = f"{approval.actor_id} takes no input."
                raise Conflict(msg)
            await approvals.asked_again(tx, approval, posted.input.id, by=OWNER, now=now)
            return posted

        return await self._database.write(
            body, then=lambda posted: self._wake(posted.message.target)
        )


def text(approval: Approval) -> str:
    """Return what its actor is told: what it had asked, and that it has to ask anew."""
    told = {
        "kind": approval.kind.value.replace("_", " "),
        "command": approval.command,
        "also": "; ".join(beside(approval.raw)),
        "folder": approval.cwd,
        "reason": approval.reason,
        "question": "; ".join(
            str(question.get("question") or question.get("header") or "")
            for question in approval.questions
        ),
        "patch": approval.patch,
    }
    lines = [f"{name}: {_quote(value)}" for name, value in told.items() if value.strip()]
    return _TEXT.format(id=approval.id, told="\n".join(lines))


def _check(approval: Approval) -> None:
    if approval.successor_id:
        msg = f"Approval {approval.id} was asked again already, as {approval.successor_id}."
        raise Conflict(msg)
    if approval.asked_again_input:
        msg = f"Approval {approval.id} was asked again already, by {approval.asked_again_input}."
        raise Conflict(msg, hint="Its actor has not come to it yet, or does not need it any more.")
    if approval.status is not ApprovalStatus.LOST:
        became = approval.status.value.replace("_", " ")
        msg = f"Approval {approval.id} is {became}, not lost: there is nothing to ask again."
        raise Conflict(msg)


def _quote(value: str) -> str:
    return f"{value[:_QUOTE]}…" if len(value) > _QUOTE else value
