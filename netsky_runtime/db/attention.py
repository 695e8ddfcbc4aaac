"""Everything that waits for a human, from one statement: lists and counts cannot disagree.

Nothing is queued twice: an item is there because its cause is (a pending approval, a parked
actor), and goes with it. The table ``attention`` keeps only what no cause can tell: when the owner
was told of an item, and that he has put one away that has no other end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.attention import items
from netsky_runtime.attention.items import PUTS_AWAY, URGENCY, AttentionItem, Waiting
from netsky_runtime.db import actors, approvals, inputs, messages, rows
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import CRASH_LOOP
from netsky_runtime.states import AttentionKind, RuntimeName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from netsky_runtime.attention.items import About
    from netsky_runtime.db.rows import Row, Tx
    from netsky_runtime.records import ActorInput, Message

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
    SELECT iif(substr(park_reason, 1, {len(CRASH_LOOP)}) = '{CRASH_LOOP}', 'crash_loop', 'parked'),
        id, id, updated_at
    FROM actors INDEXED BY actors_parked WHERE status = 'parked'
"""  # noqa: S608 - constants only
# One item of a door, however many threads it cannot attach: its cause is mostly one, too.
_UNATTACHED = """
    SELECT 'unattached', s.runtime, min(s.actor_id), min(s.unattached_at)
    FROM sessions AS s INDEXED BY sessions_unattached JOIN actors AS a ON a.id = s.actor_id
    WHERE s.ended_at IS NULL AND s.unattached_at IS NOT NULL AND a.status = 'active'
    GROUP BY s.runtime
"""
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
# A refusal has a reply that tells of it; what somebody took back has none.
_FAILED = f"""
    SELECT 'failed', i.id, i.actor_id, coalesce(i.settled_at, i.created_at) FROM (
        SELECT * FROM actor_inputs INDEXED BY actor_inputs_not_taken
        WHERE (status = 'failed' OR (status = 'cancelled' AND reply_id IS NOT NULL))
            AND NOT EXISTS (SELECT 1 FROM attention
                WHERE key = 'failed:' || actor_inputs.id AND put_away_at IS NOT NULL)
        ORDER BY seq DESC LIMIT {LOOKED_AT}
    ) AS i JOIN messages AS m ON m.id = i.message_id WHERE m.sender = 'owner'
"""  # noqa: S608 - constants only
# A broken program can leave a thousand: an address is one item, again when a file comes later.
_NOT_SEEN = """
    FROM bus_poison AS p LEFT JOIN attention AS seen ON seen.key = 'quarantined:' || p.address
    WHERE p.at > coalesce(seen.put_away_at, -1)
"""
_QUARANTINED = f"""
    SELECT 'quarantined', p.address, p.address, min(p.at) {_NOT_SEEN} GROUP BY p.address
"""
_SOURCES = " UNION ALL ".join(
    (
        _APPROVALS,
        _QUESTIONS,
        _UNCERTAIN,
        _BLOCKED,
        _PARKED,
        _UNATTACHED,
        _LOST,
        _FAILED,
        _QUARANTINED,
    )
)
_RANKS = " ".join(f"WHEN '{kind.value}' THEN {int(rank)}" for kind, rank in URGENCY.items())
_WAITING = f"""
WITH source AS ({_SOURCES}), waiting AS (
    SELECT kind || ':' || ref AS key, kind, ref, actor, since, CASE kind {_RANKS} END AS urgency
    FROM source)
"""  # noqa: S608 - constants only
_LIST = f"""{_WAITING}
SELECT * FROM waiting WHERE (urgency, since, key) > (?, ?, ?)
ORDER BY urgency, since, key LIMIT ?
"""  # noqa: S608 - constants only
_COUNT = f"{_WAITING} SELECT kind, count(*) AS count FROM waiting GROUP BY kind"  # noqa: S608 - constants only
_ONE = f"{_WAITING} SELECT * FROM waiting WHERE key = ?"  # noqa: S608 - constants only
_TOLD = f"""{_WAITING}
SELECT waiting.key, kind, actor, a.told_at IS NOT NULL AS told
FROM waiting LEFT JOIN attention AS a ON a.key = waiting.key
ORDER BY urgency, since, waiting.key LIMIT ?
"""  # noqa: S608 - constants only
_GONE = f"""{_WAITING}
SELECT key FROM attention
WHERE put_away_at IS NULL AND key NOT IN (SELECT key FROM waiting)
"""  # noqa: S608 - constants only
_TELL = """
INSERT INTO attention (key, first_at, told_at) VALUES (?1, ?2, ?2)
ON CONFLICT (key) DO UPDATE SET told_at = excluded.told_at
"""
_PUT_AWAY = """
INSERT INTO attention (key, first_at, put_away_at) VALUES (?1, ?2, ?2)
ON CONFLICT (key) DO UPDATE SET put_away_at = excluded.put_away_at, told_at = NULL
"""
_FORGET = "DELETE FROM attention WHERE key IN (SELECT value FROM json_each(?))"
_MESSAGES = "SELECT * FROM messages WHERE id IN (SELECT value FROM json_each(?))"
_ACTORS = "SELECT * FROM actors WHERE id IN (SELECT value FROM json_each(?))"
_SCREENS = """
SELECT actor_id, blocked FROM sessions INDEXED BY sessions_current
WHERE ended_at IS NULL AND actor_id IN (SELECT value FROM json_each(?))
"""
_WITHOUT_THREAD = """
SELECT s.runtime, s.actor_id, s.end_reason
FROM sessions AS s INDEXED BY sessions_unattached JOIN actors AS a ON a.id = s.actor_id
WHERE s.ended_at IS NULL AND s.unattached_at IS NOT NULL AND a.status = 'active'
    AND s.runtime IN (SELECT value FROM json_each(?))
ORDER BY s.actor_id
"""
# Beside max() SQLite gives the other columns of the same row.
_POISON = f"""
SELECT p.address, count(*) AS files, max(p.at) AS at, p.file, p.reason {_NOT_SEEN}
    AND p.address IN (SELECT value FROM json_each(?)) GROUP BY p.address
"""  # noqa: S608 - constants only


async def list_(
    tx: Tx, *, limit: int = 200, after: AttentionItem | None = None
) -> tuple[AttentionItem, ...]:
    """Return what waits, the most urgent first and of those the oldest.

    ``after`` is the last one of the page before.
    """
    place = (-1, -1, "") if after is None else (int(after.urgency), after.since, after.key)
    return await _items(tx, await rows.many(tx, _LIST, *place, limit))


async def counts(tx: Tx) -> Mapping[AttentionKind, int]:
    """Return how many of each kind wait; kinds of which none does are not named."""
    return {AttentionKind(row["kind"]): row["count"] for row in await rows.many(tx, _COUNT)}


async def require(tx: Tx, key: str) -> AttentionItem:
    """Return the item; raises ``NotFound``."""
    found = await _items(tx, await rows.many(tx, _ONE, key))
    if not found:
        msg = f"Nothing waits under the name {key!r}."
        raise NotFound(msg, hint="`netsky attention` lists what waits.")
    return found[0]


async def put_away(tx: Tx, key: str, *, now: int) -> AttentionItem:
    """Take out of the queue what has no other end, and return it.

    Raises ``NotFound``, and ``Conflict`` for what ends by its own action.
    """
    item = await require(tx, key)
    if item.kind not in PUTS_AWAY:
        msg = f"{key} cannot be put away: it waits until somebody acts on it."
        raise Conflict(msg, hint=f"It can: {', '.join(each.label for each in item.about.actions)}.")
    await rows.many(tx, _PUT_AWAY, key, now)
    return item


async def waiting(tx: Tx, *, limit: int) -> tuple[Waiting, ...]:
    """Return what waits, and whether the owner was told of it."""
    return tuple(
        Waiting(
            key=row["key"],
            kind=AttentionKind(row["kind"]),
            actor=row["actor"],
            told=bool(row["told"]),
        )
        for row in await rows.many(tx, _TOLD, limit)
    )


async def gone(tx: Tx) -> frozenset[str]:
    """Return the keys of which the owner was told and that wait no more."""
    return frozenset(row["key"] for row in await rows.many(tx, _GONE))


async def tell(tx: Tx, keys: Iterable[str], *, now: int) -> None:
    """Record that the owner was told of these."""
    for key in keys:
        await rows.many(tx, _TELL, key, now)


async def forget(tx: Tx, keys: Iterable[str]) -> None:
    """Let the owner be told anew should one of these come back."""
    await rows.many(tx, _FORGET, rows.words(keys))


async def _items(tx: Tx, found: Sequence[Row]) -> tuple[AttentionItem, ...]:
    refs: dict[AttentionKind, list[str]] = {}
    for row in found:
        refs.setdefault(AttentionKind(row["kind"]), []).append(row["ref"])
    about = {kind: await _ABOUT[kind](tx, wanted) for kind, wanted in refs.items()}
    out = []
    for row in found:
        kind = AttentionKind(row["kind"])
        out.append(
            AttentionItem(
                key=row["key"],
                kind=kind,
                ref=row["ref"],
                actor=row["actor"],
                since=row["since"],
                about=about[kind][row["ref"]],
            )
        )
    return tuple(out)


async def _approvals(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    return {a.id: items.about_approval(a) for a in await approvals.by_ids(tx, refs)}


async def _lost(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    return {a.id: items.about_lost(a) for a in await approvals.by_ids(tx, refs)}


async def _questions(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    found = await rows.many(tx, _MESSAGES, rows.words(refs))
    said = map(messages.row_to_message, found)
    return {message.id: items.about_question(message) for message in said}


async def _uncertain(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    return {i.id: items.about_uncertain(i, m) for i, m in await _inputs_of(tx, refs)}


async def _failed(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    return {i.id: items.about_failed(i, m) for i, m in await _inputs_of(tx, refs)}


async def _inputs_of(tx: Tx, refs: Sequence[str]) -> list[tuple[ActorInput, Message]]:
    found = await inputs.by_ids(tx, refs)
    wanted = rows.words(each.message_id for each in found)
    said = {
        row["id"]: messages.row_to_message(row) for row in await rows.many(tx, _MESSAGES, wanted)
    }
    return [(each, said[each.message_id]) for each in found]


async def _parked(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    found = await rows.many(tx, _ACTORS, rows.words(refs))
    return {row["id"]: items.about_parked(actors.row_to_actor(row)) for row in found}


async def _unattached(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    found = await rows.many(tx, _WITHOUT_THREAD, rows.words(refs))
    out = {}
    for runtime in refs:
        whose = [row for row in found if row["runtime"] == runtime]
        ids = [row["actor_id"] for row in whose]
        out[runtime] = items.about_unattached(RuntimeName(runtime), ids, whose[0]["end_reason"])
    return out


async def _blocked(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    found = await rows.many(tx, _SCREENS, rows.words(refs))
    return {row["actor_id"]: items.about_blocked(row["actor_id"], row["blocked"]) for row in found}


async def _quarantined(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    return {
        row["address"]: items.about_quarantined(
            row["address"], file=row["file"], reason=row["reason"], files=row["files"]
        )
        for row in await rows.many(tx, _POISON, rows.words(refs))
    }


_ABOUT: Final[
    Mapping[AttentionKind, Callable[[Tx, Sequence[str]], Awaitable[dict[str, About]]]]
] = {
    AttentionKind.APPROVAL: _approvals,
    AttentionKind.QUESTION: _questions,
    AttentionKind.BLOCKED: _blocked,
    AttentionKind.UNCERTAIN: _uncertain,
    AttentionKind.CRASH_LOOP: _parked,
    AttentionKind.PARKED: _parked,
    AttentionKind.UNATTACHED: _unattached,
    AttentionKind.LOST: _lost,
    AttentionKind.FAILED: _failed,
    AttentionKind.QUARANTINED: _quarantined,
}
