"""Everything that waits for a human, from one statement: lists and counts cannot disagree.

Nothing is queued twice: an item is there because its cause is (a pending approval, a parked
actor), and goes with it. The table ``attention`` keeps only what no cause can tell: when the owner
was told of an item, and that he has put one away that has no other end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from netsky_runtime.attention import items
from netsky_runtime.attention.items import DAY, PUTS_AWAY, AttentionItem, Waiting
from netsky_runtime.budgets import PARKED, midnight
from netsky_runtime.db import (
    actors,
    approvals,
    budgets,
    inputs,
    messages,
    readiness,
    rows,
    sessions,
    tasks,
)
from netsky_runtime.db.attention_sources import NOT_SEEN, WAITING
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.states import AttentionKind, RuntimeName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from netsky_runtime.attention.items import About
    from netsky_runtime.db.rows import Row, Tx
    from netsky_runtime.records import ActorInput, Message

_Reader: TypeAlias = "Callable[[Tx, Sequence[str]], Awaitable[dict[str, About]]]"

_LIST = f"""{WAITING}
SELECT * FROM waiting WHERE (urgency, since, key) > (?2, ?3, ?4)
ORDER BY urgency, since, key LIMIT ?5
"""  # noqa: S608 - constants only
_COUNT = f"{WAITING} SELECT kind, count(*) AS count FROM waiting GROUP BY kind"  # noqa: S608 - constants only
_ONE = f"{WAITING} SELECT * FROM waiting WHERE key = ?2"  # noqa: S608 - constants only
_TOLD = f"""{WAITING}
SELECT waiting.key, kind, actor, a.told_at IS NOT NULL OR kind = 'paused' AS told
FROM waiting LEFT JOIN attention AS a ON a.key = waiting.key
ORDER BY urgency, since, waiting.key LIMIT ?2
"""  # noqa: S608 - constants only
_GONE = f"""{WAITING}
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
SELECT p.address, count(*) AS files, max(p.at) AS at, p.file, p.reason {NOT_SEEN}
    AND p.address IN (SELECT value FROM json_each(?)) GROUP BY p.address
"""  # noqa: S608 - constants only


async def list_(
    tx: Tx, *, now: int, limit: int = 200, after: AttentionItem | None = None
) -> tuple[AttentionItem, ...]:
    """Return what waits, the most urgent first and of those the oldest.

    ``after`` is the last one of the page before.
    """
    place = (-1, -1, "") if after is None else (int(after.urgency), after.since, after.key)
    return await _items(tx, await rows.many(tx, _LIST, midnight(now), *place, limit), now=now)


async def counts(tx: Tx, *, now: int) -> Mapping[AttentionKind, int]:
    """Return how many of each kind wait; kinds of which none does are not named."""
    found = await rows.many(tx, _COUNT, midnight(now))
    return {AttentionKind(row["kind"]): row["count"] for row in found}


async def require(tx: Tx, key: str, *, now: int) -> AttentionItem:
    """Return the item; raises ``NotFound``."""
    found = await _items(tx, await rows.many(tx, _ONE, midnight(now), key), now=now)
    if not found:
        msg = f"Nothing waits under the name {key!r}."
        raise NotFound(msg, hint="`netsky attention` lists what waits.")
    return found[0]


async def put_away(tx: Tx, key: str, *, now: int) -> AttentionItem:
    """Take out of the queue what has no other end, and return it.

    Raises ``NotFound``, and ``Conflict`` for what ends by its own action.
    """
    item = await require(tx, key, now=now)
    if item.kind not in PUTS_AWAY:
        msg = f"{key} cannot be put away: it waits until somebody acts on it."
        raise Conflict(msg, hint=f"It can: {', '.join(each.label for each in item.about.actions)}.")
    await rows.many(tx, _PUT_AWAY, key, now)
    return item


async def waiting(tx: Tx, *, now: int, limit: int) -> tuple[Waiting, ...]:
    """Return what waits, and whether the owner knows of it: he was told, or did it himself."""
    return tuple(
        Waiting(
            key=row["key"],
            kind=AttentionKind(row["kind"]),
            actor=row["actor"],
            told=bool(row["told"]),
        )
        for row in await rows.many(tx, _TOLD, midnight(now), limit)
    )


async def gone(tx: Tx, *, now: int) -> frozenset[str]:
    """Return the keys of which the owner was told and that wait no more."""
    return frozenset(row["key"] for row in await rows.many(tx, _GONE, midnight(now)))


async def tell(tx: Tx, keys: Iterable[str], *, now: int) -> None:
    """Record that the owner was told of these."""
    for key in keys:
        await rows.many(tx, _TELL, key, now)


async def forget(tx: Tx, keys: Iterable[str]) -> None:
    """Let the owner be told anew should one of these come back."""
    await rows.many(tx, _FORGET, rows.words(keys))


async def _items(tx: Tx, found: Sequence[Row], *, now: int) -> tuple[AttentionItem, ...]:
    refs: dict[AttentionKind, list[str]] = {}
    for row in found:
        refs.setdefault(AttentionKind(row["kind"]), []).append(row["ref"])
    readers: dict[AttentionKind, _Reader] = {
        **_ABOUT,
        AttentionKind.BUDGET: partial(_budgets, now=now),
    }
    about = {kind: await readers[kind](tx, wanted) for kind, wanted in refs.items()}
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


async def _budgets(tx: Tx, refs: Sequence[str], *, now: int) -> dict[str, About]:
    found = await rows.many(tx, _ACTORS, rows.words(refs))
    parked = {row["id"]: row["park_reason"].removeprefix(PARKED) for row in found}
    out = {}
    for ref in refs:
        day = await budgets.of_day(tx, now=now) if ref == DAY else None
        own = (day,) if day is not None else await budgets.of_subject(tx, ref)
        spent = next((gauge for gauge in own if gauge.spent), None)
        out[ref] = items.about_budget(ref, spent, parked.get(ref, ""))
    return out


async def _paused(_tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    return dict.fromkeys(refs, items.about_paused())


async def _stuck(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    out = {}
    for ref in refs:
        task = await tasks.require(tx, ref)
        vain = [await tasks.require(tx, each) for each in await readiness.in_vain_of(tx, ref)]
        out[ref] = items.about_stuck(task, vain)
    return out


async def _stalled(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    return {ref: items.about_stalled(await tasks.require(tx, ref)) for ref in refs}


async def _runs_on(tx: Tx, refs: Sequence[str]) -> dict[str, About]:
    found = await sessions.left(tx)
    return {each.thread_id: items.about_runs_on(each) for each in found if each.thread_id in refs}


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


_ABOUT: Final[Mapping[AttentionKind, _Reader]] = {
    AttentionKind.APPROVAL: _approvals,
    AttentionKind.QUESTION: _questions,
    AttentionKind.BLOCKED: _blocked,
    AttentionKind.UNCERTAIN: _uncertain,
    AttentionKind.CRASH_LOOP: _parked,
    AttentionKind.PARKED: _parked,
    AttentionKind.PAUSED: _paused,
    AttentionKind.UNATTACHED: _unattached,
    AttentionKind.RUNS_ON: _runs_on,
    AttentionKind.STUCK: _stuck,
    AttentionKind.STALLED: _stalled,
    AttentionKind.LOST: _lost,
    AttentionKind.FAILED: _failed,
    AttentionKind.QUARANTINED: _quarantined,
}
