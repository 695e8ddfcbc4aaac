"""Questions from Codex: stored before they are shown, decided before they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.codex import answers
from netsky_runtime.codex.base import ApprovalGone, Decision, RuntimeFailure, ThreadSession
from netsky_runtime.db import approvals
from netsky_runtime.errors import Conflict, Refused, UsageError
from netsky_runtime.states import ApprovalKind, ApprovalStatus, DecisionWord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.db.connection import Database
    from netsky_runtime.log import Log
    from netsky_runtime.records import Approval

_STATUS_OF = {
    DecisionWord.ACCEPT: ApprovalStatus.ACCEPTED,
    DecisionWord.ACCEPT_FOR_SESSION: ApprovalStatus.ACCEPTED_FOR_SESSION,
    DecisionWord.DECLINE: ApprovalStatus.DECLINED,
    DecisionWord.CANCEL: ApprovalStatus.CANCELLED,
}
_WORD_OF = {status: word for word, status in _STATUS_OF.items()} | {
    ApprovalStatus.ANSWERED: DecisionWord.ACCEPT
}
_ASKS_FOR_WORDS = frozenset({ApprovalKind.USER_INPUT, ApprovalKind.ELICITATION})


class ApprovalDesk:
    """Keeps every approval until somebody decides it. Nothing is accepted by waiting."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        session_of: Callable[[str], ThreadSession | None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._session_of = session_of

    async def requested(self, actor_id: str, session: ThreadSession, event: CodexEvent) -> None:
        """Store a question; one that was decided already is answered from the record."""
        data = event.data
        now = self._clock.now()
        approval, new = await self._database.write(
            lambda tx: approvals.store(
                tx,
                engine_id=session.engine_id,
                request_id=str(data["request_id"]),
                thread_id=event.thread_id,
                turn_id=event.turn_id,
                item_id=event.item_id,
                actor_id=actor_id,
                kind=ApprovalKind(data["kind"]),
                command=str(data.get("command") or ""),
                cwd=str(data.get("cwd") or ""),
                reason=str(data.get("reason") or ""),
                patch=str(data.get("patch") or ""),
                questions=tuple(data.get("questions") or ()),
                available_decisions=tuple(data.get("available_decisions") or ()),
                raw=data.get("raw") or {},
                now=now,
            )
        )
        if not new and (word := _WORD_OF.get(approval.status)) is not None:
            await self._send(session, approval, Decision(word=word, answer=approval.answer))

    async def resolved(self, session: ThreadSession, event: CodexEvent) -> None:
        """Somebody answered: if it was not netsky, say so in the record."""
        await self._database.write(
            lambda tx: approvals.settle_request(
                tx,
                session.engine_id,
                str(event.data["request_id"]),
                ApprovalStatus.RESOLVED_ELSEWHERE,
                now=self._clock.now(),
            )
        )

    async def decide(
        self,
        approval_id: str,
        word: DecisionWord,
        *,
        answer: Mapping[str, Any] | None,
        decided_by: str,
    ) -> Approval:
        """Store the decision, then send it.

        Raises ``NotFound``, ``Conflict`` when it is not pending any more, ``UsageError`` when an
        answer is needed or the decision is not on offer.
        """
        approval = await self._database.read(lambda tx: approvals.require(tx, approval_id))
        decision = Decision(word=word, answer=answer)
        _check(approval, decision)
        status = _STATUS_OF[word]
        if approval.kind in _ASKS_FOR_WORDS and word is DecisionWord.ACCEPT:
            status = ApprovalStatus.ANSWERED
        decided = await self._database.write(
            lambda tx: approvals.decide(
                tx,
                approval_id,
                status=status,
                answer=answer,
                decided_by=decided_by,
                now=self._clock.now(),
            )
        )
        session = self._session_of(decided.actor_id)
        if session is None or session.engine_id != decided.engine_id:
            # The thread is not attached just now: Codex asks again when it is, and the stored
            # decision answers.
            self._log("info", "decision stored for later", {"approval": approval_id})
            return decided
        if not await self._send(session, decided, decision):
            msg = f"Approval {approval_id} had been answered elsewhere before."
            raise Conflict(msg, hint="Codex did not get this decision.")
        return decided

    async def _send(self, session: ThreadSession, approval: Approval, decision: Decision) -> bool:
        """Say a stored decision to Codex; false when Codex had its answer already."""
        try:
            await session.decide(approval.request_id, decision)
        except ApprovalGone:
            await self._database.write(lambda tx: approvals.taken_elsewhere(tx, approval.id))
            self._log("warning", "decision came too late", {"approval": approval.id})
            return False
        except UsageError as error:
            await self._database.write(lambda tx: approvals.reopen(tx, approval.id))
            fields = {"approval": approval.id, "error": str(error)}
            self._log("error", "decision was no answer to its question", fields)
        except RuntimeFailure as error:
            # It stays stored: the request is repeated when the thread is attached again.
            fields = {"approval": approval.id, "error": str(error)}
            self._log("warning", "decision could not be sent", fields)
        else:
            now = self._clock.now()
            await self._database.write(lambda tx: approvals.sent(tx, approval.id, now=now))
        return True


def _check(approval: Approval, decision: Decision) -> None:
    word = decision.word
    if approval.available_decisions and word.value not in approval.available_decisions:
        offered = ", ".join(_typed(each) for each in approval.available_decisions)
        msg = f"Approval {approval.id} does not offer {_typed(word.value)}."
        raise Refused(msg, hint=f"It offers: {offered}.")
    answers.check(
        kind=approval.kind, questions=approval.questions, raw=approval.raw, decision=decision
    )


def _typed(word: str) -> str:
    """Return a decision as the command line takes it."""
    return word.replace("_", "-")
