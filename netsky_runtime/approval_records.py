"""Frozen records of what Codex asks: approvals, the rules that answer some, and their ledger.

Times, and what an empty string and ``None`` mean, are as in ``records``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.states import ApprovalKind, ApprovalStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One question from Codex, stored before anyone sees it."""

    id: str
    engine_id: str
    request_id: str
    thread_id: str
    turn_id: str
    item_id: str
    actor_id: str
    kind: ApprovalKind
    command: str = ""
    cwd: str = ""
    reason: str = ""
    patch: str = ""
    questions: tuple[Mapping[str, Any], ...] = ()
    available_decisions: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)
    status: ApprovalStatus
    answer: Mapping[str, Any] | None = None
    decided_by: str = ""
    created_at: int
    decided_at: int | None = None
    sent_at: int | None = None
    """When Codex had the decision; a decision that its engine did not live to hear is lost."""
    rule_id: str = ""
    """The rule that answered it."""
    lost_reason: str = ""
    """Why it is lost, or why it is not known whether Codex heard its decision."""
    repeats_id: str = ""
    """The lost approval that this one asks again."""
    asked_again_input: str = ""
    """The input that told its actor to ask again."""
    successor_id: str = ""
    """The approval that asks this one again; derived from ``repeats_id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A command that the owner has accepted beforehand, for some actors in one folder."""

    id: str
    cwd: str
    """Absolute and without symbolic links; it holds there and below."""
    pattern: str
    actors: str
    """``workers``, ``managers`` or an actor's name."""
    created_at: int
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One link of the ledger."""

    seq: int
    at: int
    kind: str
    approval_id: str
    entry: Mapping[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """The end of the ledger: to be noted elsewhere, since a cut-off end shows by nothing else."""

    count: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBreak:
    """The first link of the ledger that does not hold, and why."""

    seq: int
    why: str
