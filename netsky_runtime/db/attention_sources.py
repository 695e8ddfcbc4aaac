"""Where things that wait for a human come from: one table that everything about them is read from.

Each source names kind, id, actor and since when. ``waiting`` adds the key and how urgent it is.
"""

from __future__ import annotations

from typing import Final

from netsky_runtime.attention.items import DAY, EVERYBODY, URGENCY
from netsky_runtime.budgets import PARKED
from netsky_runtime.db.budgets import DAY_USED_UP, used_up_of
from netsky_runtime.db.sessions import LEFT
from netsky_runtime.records import CRASH_LOOP, MANAGER0, OWNER

LOOKED_AT: Final = 500
"""Of messages that came to nothing and of questions that were lost, the newest so many that were
not put away are looked at: they are rows for ever."""

_APPROVALS = """
    SELECT 'approval' AS kind, id AS ref, actor_id AS actor, created_at AS since
    FROM approvals INDEXED BY approvals_pending WHERE status = 'pending'
"""
# Who is stopped takes no answer.
_QUESTIONS = """
    SELECT 'question', id, sender, created_at FROM messages INDEXED BY messages_questions
    WHERE kind = 'question' AND status = 'routed' AND target = 'owner'
        AND NOT EXISTS (SELECT 1 FROM actors AS a WHERE a.id = sender AND a.status = 'stopped')
"""
_UNCERTAIN = """
    SELECT 'uncertain', id, actor_id, coalesce(settled_at, created_at)
    FROM actor_inputs INDEXED BY actor_inputs_uncertain WHERE status = 'uncertain'
"""
# A parked or stopped actor's screen is nobody's concern before it is resumed.
_BLOCKED = """
    SELECT 'blocked', s.actor_id, s.actor_id, coalesce(s.blocked_at, s.started_at)
    FROM sessions AS s INDEXED BY sessions_blocked JOIN actors AS a ON a.id = s.actor_id
    WHERE s.ended_at IS NULL AND s.blocked <> '' AND a.status = 'active'
"""
_PARKED = f"""
    SELECT CASE
        WHEN substr(park_reason, 1, {len(CRASH_LOOP)}) = '{CRASH_LOOP}' THEN 'crash_loop'
        WHEN substr(park_reason, 1, {len(PARKED)}) = '{PARKED}' THEN 'budget'
        ELSE 'parked' END, id, id, updated_at
    FROM actors INDEXED BY actors_parked WHERE status = 'parked'
"""  # noqa: S608 - constants only
_OPEN = "i.status IN ('queued', 'handed', 'seen')"
_QUEUED = f"""
    FROM actor_inputs AS i INDEXED BY actor_inputs_open
    JOIN actors AS whose ON whose.id = i.actor_id AND whose.status = 'active'
    WHERE {_OPEN} AND i.status = 'queued'
"""
# Who was resumed, or took over a task, has nobody who parks it: only the gate holds its work.
_OVER_BUDGET = f"""
    SELECT 'budget', a.id, a.id, (SELECT min(i.created_at) {_QUEUED} AND i.actor_id = a.id)
    FROM actors AS a INDEXED BY actors_live
    WHERE a.status IN ('active', 'parked') AND a.status = 'active'
        AND EXISTS (SELECT 1 {_QUEUED} AND i.actor_id = a.id) AND {used_up_of("a.id")}
"""  # noqa: S608 - constants only
# The pause tells when; not whether it lasts: `netsky unpause` ends it and raises nothing.
_DAY_OVER = f"""
    SELECT 'budget', '{DAY}', '{EVERYBODY}', coalesce((SELECT max(began_at) FROM pauses
        WHERE over_at >= ?1 AND began_at >= ?1 AND kind = 'day'), ?1)
    WHERE EXISTS (SELECT 1 {_QUEUED}) AND {DAY_USED_UP}
"""  # noqa: S608 - constants only
# Who pauses without an end may forget it, and nothing goes on before he comes back: while work
# waits for that, it is a line here. Nobody rings for what he did himself; and a pause with an
# end, his or an account's limit, waits for nobody.
_PAUSED = f"""
    SELECT 'paused', '{OWNER}', '{EVERYBODY}', began_at FROM pauses
    WHERE ended_at IS NULL AND coalesce(resumes_at, 9223372036854775807) = 9223372036854775807
        AND kind = 'owner' AND EXISTS (SELECT 1 {_QUEUED})
"""  # noqa: S608 - constants only
# Its manager was told. With none that is at work only the owner is left to free it.
_STUCK = f"""
    SELECT 'stuck', t.id, coalesce(t.manager_id, '{OWNER}'),
        max(t.created_at, min(needed.closed_at))
    FROM tasks AS t INDEXED BY tasks_by_status
    JOIN task_dependencies AS d ON d.task_id = t.id
    JOIN tasks AS needed ON needed.id = d.depends_on_id
    WHERE t.status = 'blocked' AND needed.status IN ('failed', 'cancelled')
        AND NOT EXISTS (SELECT 1 FROM actors AS a WHERE a.id = t.manager_id AND a.status = 'active')
    GROUP BY t.id
"""  # noqa: S608 - constants only
# One item of a door, however many threads it cannot attach: its cause is mostly one, too.
_UNATTACHED = """
    SELECT 'unattached', s.runtime, min(s.actor_id), min(s.unattached_at)
    FROM sessions AS s INDEXED BY sessions_unattached JOIN actors AS a ON a.id = s.actor_id
    WHERE s.ended_at IS NULL AND s.unattached_at IS NOT NULL AND a.status = 'active'
    GROUP BY s.runtime
"""
# Only what could not be ended at the first attempt: most such turns are over at once.
_RUNS_ON = f"""
    SELECT 'runs_on', s.thread_id, s.actor_id, s.ended_at {LEFT} AND s.unattached_at IS NOT NULL
"""
_ABOVE = f"t.manager_id, iif(t.manager_id IS NULL, NULL, '{MANAGER0}')"
# Nobody is at it: neither its worker, nor a manager above it with anything to read, nor whom one of
# them has asked. A question goes up by one after the other, and its answer down, and only the
# first names the task.
_STALLED = f"""
    SELECT 'stalled', t.id, t.owner_id, coalesce((SELECT coalesce(completed_at, started_at)
        FROM turns WHERE actor_id = t.owner_id ORDER BY started_at DESC LIMIT 1), t.updated_at)
    FROM tasks AS t INDEXED BY tasks_by_status
    JOIN actors AS a ON a.id = t.owner_id AND a.kind = 'worker' AND a.status = 'active'
    WHERE t.status = 'in_progress'
        AND NOT EXISTS (SELECT 1 FROM actor_inputs AS i INDEXED BY actor_inputs_open
            WHERE i.actor_id = t.owner_id AND {_OPEN})
        AND NOT EXISTS (SELECT 1 FROM actor_inputs INDEXED BY actor_inputs_uncertain
            WHERE actor_id = t.owner_id AND status = 'uncertain')
        AND NOT EXISTS (SELECT 1 FROM turns INDEXED BY turns_running
            WHERE actor_id = t.owner_id AND status = 'in_progress')
        AND NOT EXISTS (SELECT 1 FROM actor_inputs AS i INDEXED BY actor_inputs_open
            WHERE i.actor_id IN ({_ABOVE}) AND {_OPEN})
        AND NOT EXISTS (SELECT 1 FROM messages INDEXED BY messages_questions
            WHERE sender IN (t.owner_id, {_ABOVE})
                AND kind = 'question' AND status = 'routed')
"""  # noqa: S608 - constants only
# Who is stopped asks nothing again; what was asked again, or came again by itself, has an heir.
_LOST = f"""
    SELECT 'lost', lost.id, actor_id, lost.created_at FROM (
        SELECT * FROM approvals INDEXED BY approvals_lost_open
        WHERE status = 'lost' AND asked_again_input = ''
            AND NOT EXISTS (SELECT 1 FROM attention
                WHERE key = 'lost:' || approvals.id AND put_away_at IS NOT NULL)
        ORDER BY number DESC LIMIT {LOOKED_AT}
    ) AS lost JOIN actors AS a ON a.id = lost.actor_id
    WHERE a.status <> 'stopped'
        AND NOT EXISTS (SELECT 1 FROM approvals AS later
            WHERE later.repeats_id = lost.id AND later.repeats_id <> '')
"""  # noqa: S608 - constants only
# A refusal has a reply that tells of it; what somebody took back has none. CROSS keeps SQLite from
# beginning with all that the owner has ever said.
_FAILED = f"""
    SELECT 'failed', i.id, i.actor_id, coalesce(i.settled_at, i.created_at) FROM (
        SELECT * FROM actor_inputs INDEXED BY actor_inputs_not_taken
        WHERE (status = 'failed' OR (status = 'cancelled' AND reply_id IS NOT NULL))
            AND NOT EXISTS (SELECT 1 FROM attention
                WHERE key = 'failed:' || actor_inputs.id AND put_away_at IS NOT NULL)
        ORDER BY seq DESC LIMIT {LOOKED_AT}
    ) AS i CROSS JOIN messages AS m ON m.id = i.message_id WHERE m.sender = 'owner'
"""  # noqa: S608 - constants only
# A broken program can leave a thousand: an address is one item, again when a file comes later.
NOT_SEEN: Final = """
    FROM bus_poison AS p LEFT JOIN attention AS seen ON seen.key = 'quarantined:' || p.address
    WHERE p.at > coalesce(seen.put_away_at, -1)
"""
_QUARANTINED = f"""
    SELECT 'quarantined', p.address, p.address, min(p.at) {NOT_SEEN} GROUP BY p.address
"""
_SOURCES = " UNION ALL ".join(
    (
        _APPROVALS,
        _QUESTIONS,
        _UNCERTAIN,
        _BLOCKED,
        _PARKED,
        _OVER_BUDGET,
        _DAY_OVER,
        _PAUSED,
        _UNATTACHED,
        _RUNS_ON,
        _STUCK,
        _STALLED,
        _LOST,
        _FAILED,
        _QUARANTINED,
    )
)
_RANKS = " ".join(f"WHEN '{kind.value}' THEN {int(rank)}" for kind, rank in URGENCY.items())
WAITING: Final = f"""
WITH source AS ({_SOURCES}), waiting AS (
    SELECT kind || ':' || ref AS key, kind, ref, actor, since, CASE kind {_RANKS} END AS urgency
    FROM source)
"""  # noqa: S608 - constants only
"""Defines the table ``waiting``; ``?1`` is midnight."""
