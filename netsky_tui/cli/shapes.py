"""Records as the JSON that scripts rely on. Keys are added, never renamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.beside import beside

if TYPE_CHECKING:
    from netsky_runtime.approval_records import Approval, LedgerEntry, Rule
    from netsky_runtime.budgets import Gauge, Hold
    from netsky_runtime.fact_records import StoredEvent
    from netsky_runtime.records import (
        ActorInput,
        Delivery,
        Engine,
        LogRow,
        Message,
        Note,
        Session,
        Task,
        Turn,
    )
    from netsky_runtime.vital_records import Rung


def session(record: Session | None) -> dict[str, Any] | None:
    """Return the session an actor has now."""
    if record is None:
        return None
    return {
        "runtime": record.runtime,
        "thread_id": record.thread_id,
        "previous_thread_id": record.previous_thread_id,
        "state": record.state,
        "blocked": record.blocked,
        "blocked_at": record.blocked_at,
        "cwd": record.cwd,
        "id": record.id,
        "model": record.model,
        "effort": record.effort,
        "sandbox": record.sandbox,
        "approval_policy": record.approval_policy,
        "differences": record.differences,
        "started_at": record.started_at,
    }


def rung(record: Rung) -> dict[str, Any]:
    """Return something that was done about a turn that hung."""
    return {
        "rung": record.rung,
        "turn_id": record.turn_id,
        "thread_id": record.thread_id,
        "evidence": record.evidence,
        "outcome": record.outcome,
        "detail": record.detail,
        "at": record.at,
        "ended_at": record.ended_at,
    }


def turn(record: Turn) -> dict[str, Any]:
    """Return one turn."""
    return {
        "id": record.id,
        "thread_id": record.thread_id,
        "actor": record.actor_id,
        "status": record.status,
        "started_at": record.started_at,
        "completed_at": record.completed_at,
        "error": record.error,
        "final_text": record.final_text,
    }


def task(record: Task) -> dict[str, Any]:
    """Return one task."""
    return {
        "id": record.id,
        "title": record.title,
        "status": record.status,
        "priority": record.priority,
        "owner": record.owner_id,
        "manager": record.manager_id,
        "depends_on": list(record.depends_on),
        "body": record.body,
        "estimate_minutes": record.estimate_minutes,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "closed_at": record.closed_at,
    }


def message(record: Message) -> dict[str, Any]:
    """Return one message."""
    return {
        "id": record.id,
        "source": record.source,
        "direction": record.direction,
        "kind": record.kind,
        "sender": record.sender,
        "target": record.target,
        "status": record.status,
        "body": record.body,
        "in_reply_to": record.in_reply_to,
        "task_id": record.task_id,
        "thread_id": record.thread_id,
        "turn_id": record.turn_id,
        "metadata": dict(record.metadata),
        "created_at": record.created_at,
        "read_at": record.read_at,
    }


def delivery(record: Delivery) -> dict[str, Any]:
    """Return one delivery of a message."""
    return {
        "id": record.id,
        "sink": record.sink,
        "input_id": record.input_id,
        "status": record.status,
        "error": record.error,
        "updated_at": record.updated_at,
    }


def actor_input(record: ActorInput) -> dict[str, Any]:
    """Return one input on its way into a thread."""
    return {
        "id": record.id,
        "actor": record.actor_id,
        "message_id": record.message_id,
        "mode": record.mode,
        "status": record.status,
        "reason": record.reason,
        "attempts": record.attempts,
        "thread_id": record.thread_id,
        "turn_id": record.turn_id,
        "created_at": record.created_at,
        "settled_at": record.settled_at,
        "reply_id": record.reply_id,
    }


def approval(record: Approval) -> dict[str, Any]:
    """Return one approval with everything needed to decide."""
    return {
        "id": record.id,
        "actor": record.actor_id,
        "kind": record.kind,
        "command": record.command,
        "cwd": record.cwd,
        "reason": record.reason,
        "patch": record.patch,
        "beside": list(beside(record.raw)),
        "questions": [dict(question) for question in record.questions],
        "available_decisions": list(record.available_decisions),
        "status": record.status,
        "answer": None if record.answer is None else dict(record.answer),
        "decided_by": record.decided_by,
        "thread_id": record.thread_id,
        "turn_id": record.turn_id,
        "created_at": record.created_at,
        "decided_at": record.decided_at,
        "sent_at": record.sent_at,
        "rule_id": record.rule_id,
        "lost_reason": record.lost_reason,
        "repeats_id": record.repeats_id,
        "asked_again_input": record.asked_again_input,
        "successor_id": record.successor_id,
    }


def rule(record: Rule) -> dict[str, Any]:
    """Return one rule."""
    return {
        "id": record.id,
        "cwd": record.cwd,
        "allow": record.pattern,
        "for": record.actors,
        "created_at": record.created_at,
        "revoked_at": record.revoked_at,
    }


def ledger_entry(record: LedgerEntry) -> dict[str, Any]:
    """Return one link of the ledger with what its hash is made of; times stay milliseconds."""
    return {
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "approval_id": record.approval_id,
        "entry": dict(record.entry),
        "previous": record.previous,
        "hash": record.hash,
    }


def engine(record: Engine) -> dict[str, Any]:
    """Return the engine that works."""
    return {"pid": record.pid, "version": record.version, "since": record.started_at}


def event(record: StoredEvent) -> dict[str, Any]:
    """Return one fact of a thread."""
    return {
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "actor": record.actor_id,
        "thread_id": record.thread_id,
        "turn_id": record.turn_id,
        "item_id": record.item_id,
        "data": dict(record.data),
    }


def note(record: Note) -> dict[str, Any]:
    """Return one note."""
    return {
        "id": record.id,
        "author": record.author,
        "task_id": record.task_id,
        "body": record.body,
        "created_at": record.created_at,
    }


def log(record: LogRow) -> dict[str, Any]:
    """Return one row of the log."""
    return {
        "seq": record.seq,
        "at": record.at,
        "level": record.level,
        "component": record.component,
        "message": record.message,
        "fields": dict(record.fields),
    }


def hold(record: Hold) -> dict[str, Any]:
    """Return why nothing is sent; ``until`` in ms since the epoch, null when nobody knows."""
    return {"reason": record.reason, "until": record.until, "remedy": record.remedy}


def gauge(record: Gauge) -> dict[str, Any]:
    """Return one budget as JSON."""
    return {
        "scope": record.scope,
        "subject": record.subject,
        "used": record.used,
        "limit": record.limit,
        "left": record.left,
        "origin": "set" if record.set_by_owner else "default",
    }
