"""Questions from Codex: stored before they are shown, decided before they are answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from netsky_runtime.agents import rules
from netsky_runtime.codex import answers
from netsky_runtime.codex.base import ApprovalGone, Decision, RuntimeFailure, ThreadSession
from netsky_runtime.db import approval_ends, approvals
from netsky_runtime.errors import Conflict, NetskyError, Refused, UsageError
from netsky_runtime.states import ApprovalKind, ApprovalStatus, DecisionWord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log

REPEAT_SECONDS: Final = 0.5
"""How long a thread that came back is given to ask again what it holds: Codex does so at once."""

_STATUS_OF = {
    DecisionWord.ACCEPT: ApprovalStatus.ACCEPTED,
    DecisionWord.ACCEPT_FOR_SESSION: ApprovalStatus.ACCEPTED_FOR_SESSION,
    DecisionWord.DECLINE: ApprovalStatus.DECLINED,
    DecisionWord.CANCEL: ApprovalStatus.CANCELLED,
}
_WORD_OF = {status: word for word, status in _STATUS_OF.items()} | {
    ApprovalStatus.ANSWERED: DecisionWord.ACCEPT
}
_GIVEN_UP = frozenset({ApprovalStatus.RESOLVED_ELSEWHERE, ApprovalStatus.LOST})
_ASKS_FOR_WORDS = frozenset({ApprovalKind.USER_INPUT, ApprovalKind.ELICITATION})


@dataclass(slots=True)
class _Talk:
    """What was asked and answered on one attachment of a thread, by approval."""

    asked: dict[str, asyncio.Event] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)

    def asking(self, approval_id: str) -> asyncio.Event:
        """Return what is set once the question has been asked here."""
        return self.asked.setdefault(approval_id, asyncio.Event())


class ApprovalDesk:
    """Keeps every approval until somebody decides it. Nothing is accepted by waiting."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        session_of: Callable[[str], ThreadSession | None],
        wake: Callable[[str], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._session_of = session_of
        self._wake = wake
        self._talks: WeakKeyDictionary[ThreadSession, _Talk] = WeakKeyDictionary()
        self._sending: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def requested(self, actor_id: str, session: ThreadSession, event: CodexEvent) -> None:
        """Store a question, in the same transaction with the rule that answers it, if one does.

        What was decided already is answered from the record.
        """
        data = event.data
        kind = ApprovalKind(data["kind"])
        cwd = str(data.get("cwd") or "")
        folder = await rules.resolved(cwd) if kind is ApprovalKind.COMMAND else ""
        now = self._clock.now()

        async def body(tx: Tx) -> Approval:
            approval, new = await approvals.store(
                tx,
                engine_id=session.engine_id,
                request_id=str(data["request_id"]),
                thread_id=event.thread_id,
                turn_id=event.turn_id,
                item_id=event.item_id,
                actor_id=actor_id,
                kind=kind,
                command=str(data.get("command") or ""),
                cwd=cwd,
                reason=str(data.get("reason") or ""),
                patch=str(data.get("patch") or ""),
                questions=tuple(data.get("questions") or ()),
                available_decisions=tuple(data.get("available_decisions") or ()),
                raw=data.get("raw") or {},
                now=now,
            )
            if new:
                return await self._decide_by_rule(tx, approval, folder)
            return await _asked_anew(tx, approval, now=now)

        approval = await self._database.write(body)
        self._talk(session).asking(approval.id).set()
        if approval.status in _WORD_OF:
            await self._send(session, approval.id, repeated=True)

    async def resolved(self, session: ThreadSession, event: CodexEvent) -> None:
        """Somebody answered: if it was not netsky, say so in the record.

        What went with its turn is settled with that, see ``approval_ends``; the turns of a
        sub-agent's thread are nobody's to settle.
        """
        own = event.thread_id == session.thread_id
        if own and event.turn_id and event.turn_id != session.active_turn:
            return
        await self._database.write(
            lambda tx: approval_ends.resolved(
                tx, session.engine_id, str(event.data["request_id"]), now=self._clock.now()
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
        decision = Decision(word=word, answer=answer)

        async def body(tx: Tx) -> Approval:
            approval = await approvals.require(tx, approval_id)
            _check(approval, decision)
            status = _STATUS_OF[word]
            if approval.kind in _ASKS_FOR_WORDS and word is DecisionWord.ACCEPT:
                status = ApprovalStatus.ANSWERED
            return await approvals.decide(
                tx,
                approval_id,
                status=status,
                answer=answer,
                decided_by=decided_by,
                now=self._clock.now(),
            )

        decided = await self._database.write(body)
        session = self._session_of(decided.actor_id)
        if session is None or session.engine_id != decided.engine_id:
            # The thread is not attached just now: Codex asks again when it is, and the stored
            # decision answers.
            self._log("info", "decision stored for later", {"approval": approval_id})
            self._wake(decided.actor_id)
            return decided
        if not await self._send(session, approval_id):
            msg = f"Approval {approval_id} had been answered elsewhere before."
            raise Conflict(msg, hint="Codex did not get this decision.")
        return decided

    async def decide_all(
        self, ids: Sequence[str], word: DecisionWord, *, decided_by: str
    ) -> dict[str, Approval | NetskyError]:
        """Decide several, each by itself: what does not go through says why, the rest goes on."""
        out: dict[str, Approval | NetskyError] = {}
        for approval_id in dict.fromkeys(ids):
            try:
                out[approval_id] = await self.decide(
                    approval_id, word, answer=None, decided_by=decided_by
                )
            except NetskyError as error:
                out[approval_id] = error
        return out

    async def _decide_by_rule(self, tx: Tx, approval: Approval, folder: str) -> Approval:
        rule = await rules.answering(tx, approval, folder)
        if rule is None:
            return approval
        return await approvals.decide(
            tx,
            approval.id,
            status=ApprovalStatus.ACCEPTED,
            decided_by=f"rule {rule.id}",
            rule_id=rule.id,
            now=self._clock.now(),
        )

    async def _send(
        self, session: ThreadSession, approval_id: str, *, repeated: bool = False
    ) -> bool:
        """Say a stored decision to Codex; false when Codex had its answer already.

        Once on each attachment of a thread, and on a second one only when it is asked there.
        """
        lock = self._sending.setdefault(approval_id, asyncio.Lock())
        async with lock:
            approval = await self._database.read(lambda tx: approvals.require(tx, approval_id))
            word = _WORD_OF.get(approval.status)
            talk = self._talk(session)
            if word is None or approval_id in talk.sent or (approval.sent_at and not repeated):
                return approval.status is not ApprovalStatus.RESOLVED_ELSEWHERE
            decision = Decision(word=word, answer=approval.answer)
            return await self._say(session, talk, approval, decision)

    async def _say(
        self, session: ThreadSession, talk: _Talk, approval: Approval, decision: Decision
    ) -> bool:
        fields = {"approval": approval.id}
        try:
            try:
                await session.decide(approval.request_id, decision)
            except ApprovalGone:
                if not await self._asked_within(talk, approval.id, REPEAT_SECONDS):
                    raise
                await session.decide(approval.request_id, decision)
        except ApprovalGone:
            now = self._clock.now()
            await self._database.write(
                lambda tx: approval_ends.taken_elsewhere(tx, approval.id, now=now)
            )
            self._log("warning", "decision came too late", fields)
            return False
        except UsageError as error:
            why = f"Codex refused the decision: {error.message}"
            now = self._clock.now()
            await self._database.write(
                lambda tx: approvals.reopen(tx, approval.id, why=why, now=now)
            )
            self._log("error", "decision was no answer to its question", fields | {"error": why})
        except RuntimeFailure as error:
            # It stays stored: the request is repeated when the thread is attached again.
            fields["error"] = str(error)
            self._log("warning", "decision could not be sent", fields)
        else:
            talk.sent.add(approval.id)
            now = self._clock.now()
            await self._database.write(lambda tx: approvals.sent(tx, approval.id, now=now))
        return True

    async def _asked_within(self, talk: _Talk, approval_id: str, seconds: float) -> bool:
        """Wait for a thread that has just come back to ask; false when it has, or does not."""
        asked = talk.asking(approval_id)
        if asked.is_set():
            return False  # it was asked here, and is gone
        try:
            async with asyncio.timeout(seconds):
                await asked.wait()
        except TimeoutError:
            return False
        return True

    def _talk(self, session: ThreadSession) -> _Talk:
        return self._talks.setdefault(session, _Talk())


async def _asked_anew(tx: Tx, approval: Approval, *, now: int) -> Approval:
    """Let a question wait again that had been given up, and that Codex holds all the same.

    That nobody asks any more is no proof that somebody answered, and a thread that was left may
    be come back to.
    """
    undecided = approval.status is ApprovalStatus.CANCELLED and not approval.decided_by
    if approval.status not in _GIVEN_UP and not undecided:
        return approval
    await approvals.reopen(tx, approval.id, why="Codex asks it again", now=now)
    return await approvals.require(tx, approval.id)


def _check(approval: Approval, decision: Decision) -> None:
    if approval.status is not ApprovalStatus.PENDING:
        return  # whoever decided it is named before what it offered
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
