"""Rows of ``sessions`` and ``threads``."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from netsky_runtime.db import rows
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import Session, Thread
from netsky_runtime.states import RuntimeName, SessionState, ToolsDoor

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

STOPPED: Final = "its actor was stopped by the owner"
"""Why a session is over whose thread may have been in the middle of something."""

_GET = "SELECT * FROM sessions WHERE id = ?"
_CURRENT = "SELECT * FROM sessions WHERE actor_id = ? AND ended_at IS NULL"
_LAST = """
SELECT * FROM sessions WHERE actor_id = ? ORDER BY started_at DESC, rowid DESC LIMIT 1
"""
_LAST_WITH_THREAD = """
SELECT * FROM sessions WHERE actor_id = ? AND thread_id <> ''
ORDER BY started_at DESC, rowid DESC LIMIT 1
"""
LEFT: Final = f"""
FROM (
    SELECT actor_id, thread_id FROM turns INDEXED BY turns_running WHERE status = 'in_progress'
    UNION
    SELECT actor_id, thread_id FROM actor_inputs INDEXED BY actor_inputs_uncertain
    WHERE status = 'uncertain' AND reason = '{STOPPED}' AND thread_id <> ''
) AS left_over JOIN sessions AS s ON s.id = (
    SELECT id FROM sessions
    WHERE actor_id = left_over.actor_id AND thread_id = left_over.thread_id
    ORDER BY started_at DESC, rowid DESC LIMIT 1)
WHERE s.ended_at IS NOT NULL
"""  # noqa: S608 - constants only
"""Of which sessions ``left`` tells, as ``s``."""
_LEFT = f"SELECT s.* {LEFT} ORDER BY s.started_at, s.rowid"
_LIST_CURRENT = "SELECT * FROM sessions WHERE ended_at IS NULL ORDER BY started_at, rowid"
_BIND = """
UPDATE sessions SET thread_id = ?, engine_id = ?, tools_door = ?
WHERE id = ? AND ended_at IS NULL RETURNING *
"""
_UNBIND = """
UPDATE sessions SET thread_id = '', engine_id = '', state = 'starting', differences = '',
    tools_door = '', blocked = '', blocked_at = NULL
WHERE id = ? AND ended_at IS NULL RETURNING thread_id
"""
_SET_RUNTIME = """
UPDATE sessions SET runtime = ?, engine_id = ?, state = 'starting', differences = '',
    blocked = '', blocked_at = NULL, end_reason = ''
WHERE id = ? AND ended_at IS NULL RETURNING id
"""
_IDENTIFY = """
UPDATE sessions SET token = ? WHERE id = ? AND ended_at IS NULL RETURNING id
"""
_SET_DIFFERENCES = """
UPDATE sessions SET differences = ? WHERE id = ? AND ended_at IS NULL RETURNING id
"""
_SET_BLOCKED = """
UPDATE sessions SET blocked = ?1, blocked_at = CASE
    WHEN ?1 = '' THEN NULL
    WHEN blocked = '' THEN ?2
    ELSE blocked_at END
WHERE id = ?3 AND ended_at IS NULL RETURNING id
"""
_SET_UNATTACHED = """
UPDATE sessions SET unattached_at = ? WHERE id = ? AND ended_at IS NULL RETURNING id
"""
_UNREACHED = """
UPDATE sessions SET unattached_at = coalesce(unattached_at, ?) WHERE id = ?
"""
_NONE_UNATTACHED = """
UPDATE sessions SET unattached_at = NULL WHERE ended_at IS NULL AND unattached_at IS NOT NULL
"""
_SET_STATE = """
UPDATE sessions SET state = ?, engine_id = coalesce(?, engine_id),
    differences = coalesce(?, differences), end_reason = ?
WHERE id = ? AND ended_at IS NULL RETURNING id
"""
_END = """
UPDATE sessions SET state = 'ended', ended_at = ?, end_reason = ?
WHERE id = ? AND ended_at IS NULL
"""
_CALLER = """
SELECT * FROM sessions WHERE token = ? AND token <> '' AND ended_at IS NULL
"""
_HOLDER = """
SELECT actor_id FROM sessions
WHERE thread_id = ?1 AND ended_at IS NULL AND id <> ?2
UNION ALL
SELECT threads.actor_id FROM threads JOIN sessions ON sessions.id = ?2
WHERE threads.id = ?1 AND threads.actor_id <> sessions.actor_id
LIMIT 1
"""
_INSERT_THREAD = """
INSERT INTO threads (id, actor_id, session_id, parent_id, runtime, resync, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_GET_THREAD = "SELECT * FROM threads WHERE id = ?"
_SET_RESYNC = "UPDATE threads SET resync = ? WHERE id = ? AND resync <> ?"


async def insert(tx: Tx, session: Session) -> None:
    """Add a session; raises ``Conflict`` when the actor has one that is not over."""
    values = {
        "id": session.id,
        "actor_id": session.actor_id,
        "runtime": session.runtime.value,
        "state": session.state.value,
        "thread_id": session.thread_id,
        "engine_id": session.engine_id,
        "cwd": session.cwd,
        "model": session.model,
        "effort": session.effort,
        "sandbox": session.sandbox,
        "approval_policy": session.approval_policy,
        "config_json": rows.dump(session.config),
        "tag": session.tag,
        "differences": session.differences,
        "tools_door": session.tools_door.value,
        "token": session.token,
        "previous_thread_id": session.previous_thread_id,
        "blocked": session.blocked,
        "blocked_at": session.blocked_at,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
        "end_reason": session.end_reason,
    }
    try:
        await rows.insert(tx, "sessions", values)
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorname != "SQLITE_CONSTRAINT_UNIQUE":
            raise
        msg = f"{session.actor_id} has a session already."
        raise Conflict(msg, hint="End that one first.") from error


async def current(tx: Tx, actor_id: str) -> Session | None:
    """Return the actor's session that is not over."""
    row = await rows.one(tx, _CURRENT, actor_id)
    return None if row is None else row_to_session(row)


async def last(tx: Tx, actor_id: str) -> Session | None:
    """Return the actor's latest session, over or not."""
    row = await rows.one(tx, _LAST, actor_id)
    return None if row is None else row_to_session(row)


async def last_with_thread(tx: Tx, actor_id: str) -> Session | None:
    """Return the latest of the actor's sessions whose thread has a name, over or not."""
    row = await rows.one(tx, _LAST_WITH_THREAD, actor_id)
    return None if row is None else row_to_session(row)


async def require(tx: Tx, session_id: str) -> Session:
    """Return the session, also one that is over; raises ``NotFound``."""
    row = await rows.one(tx, _GET, session_id)
    if row is None:
        raise _over(session_id)
    return row_to_session(row)


async def by_token(tx: Tx, token: str) -> Session | None:
    """Return the session that is not over and has this token; nobody has the empty one."""
    row = await rows.one(tx, _CALLER, token)
    return None if row is None else row_to_session(row)


async def list_current(tx: Tx) -> tuple[Session, ...]:
    """Return every session that is not over, oldest first."""
    return tuple(row_to_session(row) for row in await rows.many(tx, _LIST_CURRENT))


async def left(tx: Tx) -> tuple[Session, ...]:
    """Return the sessions that are over though a turn may run on their threads yet.

    As far as recorded one does, or it is not known whether one has begun when its actor was
    stopped. One for each thread, the latest; none for a thread that another goes on with.
    """
    return tuple(row_to_session(row) for row in await rows.many(tx, _LEFT))


async def bind_thread(
    tx: Tx, session_id: str, *, thread_id: str, engine_id: str, tools_door: ToolsDoor, now: int
) -> None:
    """Record which thread the session has.

    Raises ``NotFound`` when the session is over, ``Conflict`` when the thread is another actor's.
    """
    holder = await rows.one(tx, _HOLDER, thread_id, session_id)
    if holder is not None:
        msg = f"The thread {thread_id} is {holder['actor_id']}'s."
        raise Conflict(msg)
    row = await rows.one(tx, _BIND, thread_id, engine_id, tools_door.value, session_id)
    if row is None:
        raise _over(session_id)
    session = row_to_session(row)
    await insert_thread(
        tx,
        Thread(
            id=thread_id,
            actor_id=session.actor_id,
            session_id=session_id,
            runtime=session.runtime,
            created_at=now,
        ),
    )


async def unbind_thread(tx: Tx, session_id: str) -> None:
    """Forget the thread of a session that Codex never wrote down; its ``threads`` row stays.

    Raises ``NotFound`` when the session is over.
    """
    await _change(tx, _UNBIND, session_id, session_id)


async def set_state(
    tx: Tx,
    session_id: str,
    state: SessionState,
    *,
    engine_id: str | None = None,
    differences: str | None = None,
    reason: str = "",
) -> None:
    """Set the state, and what is given with it; ``reason`` says why it is lost.

    ``SessionState.ENDED`` is for ``end``. Raises ``NotFound`` when the session is over.
    """
    await _change(
        tx, _SET_STATE, session_id, state.value, engine_id, differences, reason, session_id
    )


async def set_runtime(
    tx: Tx, session_id: str, runtime: RuntimeName, *, engine_id: str = ""
) -> None:
    """Send the session to another door, to be attached there; its thread stays the same.

    ``engine_id`` is what carries it there, where that is known. Raises ``NotFound`` when the
    session is over.
    """
    await _change(tx, _SET_RUNTIME, session_id, runtime.value, engine_id, session_id)


async def set_token(tx: Tx, session_id: str, token: str) -> None:
    """Give a token to a session of an older netsky. Raises ``NotFound`` when it is over."""
    await _change(tx, _IDENTIFY, session_id, token, session_id)


async def set_differences(tx: Tx, session_id: str, differences: str) -> None:
    """Say what is other than stored. Raises ``NotFound`` when the session is over."""
    await _change(tx, _SET_DIFFERENCES, session_id, differences, session_id)


async def set_unattached(tx: Tx, session_id: str, since: int | None) -> None:
    """Say since when the thread cannot be attached, or that it can: a human is told while not.

    Raises ``NotFound`` when the session is over.
    """
    await _change(tx, _SET_UNATTACHED, session_id, since, session_id)


async def unreached(tx: Tx, session_id: str, *, now: int) -> None:
    """Note that the thread of a session that is over cannot be attached to end what runs there.

    A human is told for as long as something does.
    """
    await rows.many(tx, _UNREACHED, now, session_id)


async def none_unattached(tx: Tx) -> None:
    """Forget which threads could not be attached: nobody has tried yet."""
    await rows.many(tx, _NONE_UNATTACHED)


async def set_blocked(tx: Tx, session_id: str, reason: str, *, now: int) -> None:
    """Say why nothing can be typed, or with an empty reason that it can again.

    It stays blocked since it first was. Raises ``NotFound`` when the session is over.
    """
    await _change(tx, _SET_BLOCKED, session_id, reason, now, session_id)


async def end(tx: Tx, session_id: str, *, reason: str, now: int) -> None:
    """End a session; one that is over stays as it ended."""
    await rows.many(tx, _END, now, reason, session_id)


async def insert_thread(tx: Tx, thread: Thread) -> None:
    """Add a thread; one that is known already stays as it is."""
    await rows.many(
        tx,
        _INSERT_THREAD,
        thread.id,
        thread.actor_id,
        thread.session_id,
        thread.parent_id,
        thread.runtime.value,
        thread.resync,
        thread.created_at,
    )


async def get_thread(tx: Tx, thread_id: str) -> Thread | None:
    """Return the thread, if it is known."""
    row = await rows.one(tx, _GET_THREAD, thread_id)
    return None if row is None else _thread(row)


async def set_resync(tx: Tx, thread_id: str, resync: bool) -> None:
    """Mark a thread whose facts may have a gap, or clear the mark."""
    await rows.many(tx, _SET_RESYNC, resync, thread_id, resync)


def row_to_session(row: Row) -> Session:
    """Read one row of ``sessions``."""
    return Session(
        id=row["id"],
        actor_id=row["actor_id"],
        runtime=RuntimeName(row["runtime"]),
        state=SessionState(row["state"]),
        thread_id=row["thread_id"],
        engine_id=row["engine_id"],
        cwd=row["cwd"],
        model=row["model"],
        effort=row["effort"],
        sandbox=row["sandbox"],
        approval_policy=row["approval_policy"],
        config=rows.load(row["config_json"]),
        tag=row["tag"],
        differences=row["differences"],
        tools_door=ToolsDoor(row["tools_door"]),
        token=row["token"],
        previous_thread_id=row["previous_thread_id"],
        blocked=row["blocked"],
        blocked_at=row["blocked_at"],
        unattached_at=row["unattached_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
    )


def _thread(row: Row) -> Thread:
    return Thread(
        id=row["id"],
        actor_id=row["actor_id"],
        session_id=row["session_id"],
        parent_id=row["parent_id"],
        runtime=RuntimeName(row["runtime"]),
        resync=bool(row["resync"]),
        created_at=row["created_at"],
    )


async def _change(tx: Tx, sql: str, session_id: str, *params: object) -> None:
    if await rows.one(tx, sql, *params) is None:
        raise _over(session_id)


def _over(session_id: str) -> NotFound:
    return NotFound(f"There is no session {session_id!r}, or it is over.")
