"""Invariants 4, 5, 6 and 10: approvals, tasks, sessions and who may write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.db import rows
from netsky_runtime.invariants.checks import RowCheck
from netsky_runtime.states import (
    ActorStatus,
    ApprovalStatus,
    DeliveryStatus,
    EngineState,
    InputStatus,
    MessageStatus,
    SessionState,
    TaskStatus,
    TurnStatus,
)

if TYPE_CHECKING:
    from enum import StrEnum

_STATES: dict[str, tuple[str, type[StrEnum]]] = {
    "actors": ("status", ActorStatus),
    "actor_inputs": ("status", InputStatus),
    "approvals": ("status", ApprovalStatus),
    "deliveries": ("status", DeliveryStatus),
    "engines": ("state", EngineState),
    "messages": ("status", MessageStatus),
    "sessions": ("state", SessionState),
    "tasks": ("status", TaskStatus),
    "turns": ("status", TurnStatus),
}


def _known_states() -> str:
    parts = []
    for table, (column, states) in _STATES.items():
        known = ", ".join(f"'{state.value}'" for state in states)
        parts.append(
            f"SELECT '{table}' AS kind, id, {column} AS state FROM {table} "  # noqa: S608 - constants
            f"WHERE {column} NOT IN ({known})"
        )
    return " UNION ALL ".join(parts)


_SAID = rows.words(
    (
        ApprovalStatus.ACCEPTED,
        ApprovalStatus.ACCEPTED_FOR_SESSION,
        ApprovalStatus.DECLINED,
        ApprovalStatus.ANSWERED,
    )
)

CHECKS: Final = (
    RowCheck(
        invariant=3,
        name="states_are_known",
        about="Every record is in a state that there is.",
        sql=f"SELECT * FROM ({_known_states()})",  # noqa: S608 - constants only
        told="{id} of {kind} is {state!r}, which is no state of it.",
    ),
    RowCheck(
        invariant=4,
        name="decided_before_sent",
        about="Every decision was stored before Codex had it, with who made it.",
        sql="""
            SELECT id, status FROM approvals
            WHERE (sent_at IS NOT NULL AND decided_at IS NULL)
                OR (status IN (SELECT value FROM json_each(?))
                    AND (decided_at IS NULL OR decided_by = ''))
        """,
        parameters=(_SAID,),
        told="Approval {id} is {status} or was sent, and no decision by anybody is stored.",
    ),
    RowCheck(
        invariant=4,
        name="decision_in_ledger",
        about="Every decision is the last one that the ledger tells of it: its word, by whom.",
        # A lost approval keeps who decided, but not what.
        sql="""
            SELECT a.id, a.status, a.decided_by FROM approvals AS a
            LEFT JOIN ledger AS l ON l.seq = (SELECT max(seq) FROM ledger
                WHERE approval_id = a.id AND kind = 'decided')
            WHERE a.decided_by <> '' AND NOT a.before_ledger
                AND (l.seq IS NULL OR NOT json_valid(l.entry_json)
                    OR json_extract(l.entry_json, '$.by') IS NOT a.decided_by
                    OR coalesce(json_extract(l.entry_json, '$.rule'), '') <> a.rule_id
                    OR (a.status <> 'lost'
                        AND json_extract(l.entry_json, '$.decision') IS NOT a.status))
        """,
        told="Approval {id} is {status}, decided by {decided_by}; the ledger tells another story.",
    ),
    RowCheck(
        invariant=4,
        name="rule_in_ledger",
        about="Every rule is in force, or revoked, as the ledger last tells of it, word for word.",
        sql="""
            SELECT r.id FROM rules AS r
            LEFT JOIN ledger AS l ON l.seq = (SELECT max(seq) FROM ledger
                WHERE kind IN ('rule_added', 'rule_revoked') AND json_valid(entry_json)
                    AND json_extract(entry_json, '$.rule') = r.id)
            WHERE l.seq IS NULL
                OR l.kind <> iif(r.revoked_at IS NULL, 'rule_added', 'rule_revoked')
                OR json_extract(l.entry_json, '$.cwd') IS NOT r.cwd
                OR json_extract(l.entry_json, '$.allow') IS NOT r.pattern
                OR json_extract(l.entry_json, '$.for') IS NOT r.actors
        """,
        told="Rule {id} is not what the ledger tells of it.",
    ),
    RowCheck(
        invariant=4,
        name="nothing_decided_by_waiting",
        about="Every pending approval is undecided.",
        sql="""
            SELECT id FROM approvals WHERE status = 'pending'
                AND (sent_at IS NOT NULL OR decided_at IS NOT NULL OR decided_by <> '')
        """,
        told="Approval {id} is pending, and a decision of it is stored.",
    ),
    RowCheck(
        invariant=4,
        name="pending_in_a_turn",
        about="No approval is pending in a turn that is over.",
        sql="""
            SELECT a.id, a.turn_id FROM approvals AS a
            JOIN turns AS t ON t.thread_id = a.thread_id AND t.id = a.turn_id
            WHERE a.status = 'pending' AND t.status <> 'in_progress'
        """,
        told="Approval {id} is pending, and its turn {turn_id} is over: an answer goes nowhere.",
    ),
    RowCheck(
        invariant=4,
        name="pending_is_answerable",
        about="Every pending approval was asked by what carries its actor's thread, or is lost.",
        sql="""
            SELECT a.id, a.actor_id FROM approvals AS a WHERE a.status = 'pending'
                AND NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.actor_id = a.actor_id
                    AND s.ended_at IS NULL AND s.engine_id = a.engine_id)
        """,
        told="Approval {id} of {actor_id} is pending, and what asked it is gone.",
    ),
    RowCheck(
        invariant=5,
        name="not_before_its_dependencies",
        about="No task began before what it depends on was done.",
        # It began when its worker was last told of it; what it waits for since then came late.
        # What has changed since then may have been done and opened again; what a worker has in
        # hand is done only after a report, unless by hand.
        sql="""
            SELECT t.id, t.status, needed.id AS needed_id FROM tasks AS t
            JOIN task_dependencies AS d ON d.task_id = t.id
            JOIN tasks AS needed ON needed.id = d.depends_on_id
            WHERE (t.status = 'in_progress' AND needed.status <> 'done'
                    AND needed.updated_at <= t.updated_at)
                OR EXISTS (SELECT 1 FROM messages AS told
                    WHERE told.task_id = t.id AND told.kind = 'task'
                        AND told.created_at >= d.added_at
                        AND told.seq = (SELECT max(seq) FROM messages
                            WHERE task_id = t.id AND kind = 'task')
                        AND ((needed.status <> 'done' AND needed.updated_at <= told.created_at)
                            OR (needed.owner_id IS NOT NULL
                                AND coalesce(needed.closed_at, needed.updated_at)
                                    > told.created_at
                                AND NOT EXISTS (SELECT 1 FROM messages AS report
                                    WHERE report.task_id = needed.id AND report.kind = 'report'
                                        AND report.seq < told.seq))))
        """,
        told="Task {id} ({status}) began before {needed_id}, which it waits for, was done.",
    ),
    RowCheck(
        invariant=5,
        name="blocked_by_something",
        about="No task stays blocked when everything that it depends on is done.",
        sql="""
            SELECT t.id FROM tasks AS t WHERE t.status = 'blocked' AND NOT EXISTS (
                SELECT 1 FROM task_dependencies AS d JOIN tasks AS needed
                    ON needed.id = d.depends_on_id
                WHERE d.task_id = t.id AND needed.status <> 'done')
        """,
        told="Task {id} is blocked by nothing.",
        live=True,
    ),
    RowCheck(
        invariant=5,
        name="no_circle",
        about="No task waits for itself.",
        sql="""
            WITH RECURSIVE needs (id, on_id) AS (
                SELECT task_id, depends_on_id FROM task_dependencies
                UNION SELECT needs.id, d.depends_on_id FROM needs
                    JOIN task_dependencies AS d ON d.task_id = needs.on_id)
            SELECT DISTINCT id FROM needs WHERE id = on_id
        """,
        told="Task {id} waits for itself.",
    ),
    RowCheck(
        invariant=6,
        name="one_session",
        about="Every actor has at most one session that is not over.",
        sql="""
            SELECT actor_id, count(*) AS times FROM sessions WHERE ended_at IS NULL
            GROUP BY actor_id HAVING count(*) > 1
        """,
        told="{actor_id} has {times} sessions that are not over.",
    ),
    RowCheck(
        invariant=6,
        name="one_writer",
        about="No two sessions that are not over write to the same thread.",
        sql="""
            SELECT thread_id, count(*) AS times FROM sessions
            WHERE ended_at IS NULL AND thread_id <> '' GROUP BY thread_id HAVING count(*) > 1
        """,
        told="Thread {thread_id} has {times} sessions that are not over.",
    ),
    RowCheck(
        invariant=6,
        name="one_engine",
        about="Behind each door at most one engine is believed to run.",
        sql="""
            SELECT runtime, count(*) AS times, max(id) AS id FROM engines
            WHERE state = 'running' GROUP BY runtime HAVING count(*) > 1
        """,
        told="{times} engines of {runtime} are believed to run, the last of them {id}.",
    ),
    RowCheck(
        invariant=6,
        name="epoch_rises",
        about="Every daemon of this home has had an epoch of its own, above those before it.",
        sql="""
            SELECT coalesce(epoch, 0) AS epoch_id, before AS before_id FROM (
                SELECT json_extract(fields_json, '$.epoch') AS epoch,
                    lag(json_extract(fields_json, '$.epoch')) OVER (ORDER BY seq) AS before
                FROM logs WHERE message = 'daemon started'
                UNION ALL
                SELECT (SELECT epoch FROM daemon), max(json_extract(fields_json, '$.epoch')) - 1
                FROM logs WHERE message = 'daemon started')
            WHERE before IS NOT NULL AND (epoch IS NULL OR epoch <= before)
        """,
        told="A daemon of epoch {epoch_id} followed one of epoch {before_id}.",
    ),
    RowCheck(
        invariant=10,
        name="tokens_differ",
        about="No two sessions that are not over prove themselves by the same token.",
        sql="""
            SELECT max(id) AS id, count(*) AS times FROM sessions
            WHERE ended_at IS NULL AND token <> '' GROUP BY token HAVING count(*) > 1
        """,
        told="{times} sessions have the same token, {id} among them.",
    ),
    RowCheck(
        invariant=11,
        name="tags_differ",
        about="No two sessions that are not over mark their envelopes with the same tag.",
        sql="""
            SELECT max(id) AS id, count(*) AS times FROM sessions
            WHERE ended_at IS NULL GROUP BY tag HAVING count(*) > 1 OR tag = ''
        """,
        told="{times} sessions mark envelopes with the same tag, {id} among them.",
    ),
)
