"""What an operator can ask of a daemon about approvals and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime import likeness
from netsky_runtime.db import actors, approvals
from netsky_runtime.errors import Conflict, NetskyError, UsageError
from netsky_runtime.records import OWNER
from netsky_runtime.states import ApprovalStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.agents.approvals import ApprovalDesk
    from netsky_runtime.agents.asking import Asking
    from netsky_runtime.agents.rules import RuleBook
    from netsky_runtime.approval_records import Rule
    from netsky_runtime.control import protocol
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.verbs import Verb

_MOST = 1000
"""How many approvals that wait are compared with one."""


class ApprovalVerbs:
    """Verbs that need the threads that asked."""

    def __init__(self, *, database: Database, desk: ApprovalDesk, asking: Asking) -> None:
        self._database = database
        self._desk = desk
        self._asking = asking

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {
            "approvals.decide": self.decide,
            "approvals.decide_many": self.decide_many,
            "approvals.ask_again": self.ask_again,
        }

    async def decide(self, request: protocol.Decide) -> dict[str, Any]:
        """Answer an approval."""
        approval = await self._desk.decide(
            request.id, request.decision, answer=request.answer, decided_by=OWNER
        )
        return {"id": approval.id, "status": approval.status.value}

    async def decide_many(self, request: protocol.DecideMany) -> dict[str, Any]:
        """Answer several approvals alike, each by itself, and tell what became of each."""
        ids = request.ids
        if request.same_as is not None:
            ids = (*ids, *await self._alike(request.same_as))
        if not ids:
            msg = "No approval is named."
            raise UsageError(msg, hint="`netsky approvals list` shows them.")
        outcome = await self._desk.decide_all(ids, request.decision, decided_by=OWNER)
        decided, failed = [], []
        for approval_id, became in outcome.items():
            if isinstance(became, NetskyError):
                failed.append({"id": approval_id, "code": became.code, "error": str(became)})
            else:
                decided.append({"id": approval_id, "status": became.status.value})
        return {"decided": decided, "failed": failed}

    async def ask_again(self, request: protocol.AskAgain) -> dict[str, Any]:
        """Tell the actor of a lost approval to ask it again."""
        posted = await self._asking.ask_again(request.id, source=request.source)
        return {
            "id": request.id,
            "actor_id": posted.message.target,
            "message_id": posted.message.id,
            "input_id": posted.input.id if posted.input is not None else "",
        }

    async def _alike(self, approval_id: str) -> tuple[str, ...]:
        async def body(tx: Tx) -> tuple[str, ...]:
            model = await approvals.require(tx, approval_id)
            if model.status is not ApprovalStatus.PENDING:
                msg = f"Approval {approval_id} is not pending any more: nothing was decided."
                raise Conflict(msg)
            waiting = await approvals.pending(tx, limit=_MOST)
            kinds = {actor.id: actor.kind for actor in await actors.list_all(tx)}
            return tuple(each.id for each in likeness.alike(model, waiting, kinds))

        return await self._database.read(body)


class RuleVerbs:
    """Verbs that make and revoke rules: they work without a daemon too."""

    def __init__(self, *, book: RuleBook) -> None:
        self._book = book

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {"rules.add": self.add, "rules.revoke": self.revoke}

    async def add(self, request: protocol.AddRule) -> dict[str, Any]:
        """Accept a command beforehand, from now on."""
        rule = await self._book.add(
            cwd=request.cwd, pattern=request.allow, who=request.who, by=OWNER
        )
        return _shape(rule)

    async def revoke(self, request: protocol.RuleId) -> dict[str, Any]:
        """End a rule."""
        return _shape(await self._book.revoke(request.id, by=OWNER))


def _shape(rule: Rule) -> dict[str, Any]:
    return {
        "rule_id": rule.id,
        "cwd": rule.cwd,
        "allow": rule.pattern,
        "for": rule.actors,
        "revoked": rule.revoked_at is not None,
    }
