"""Following any id through a home with a million facts."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.db import trace
from netsky_runtime.db.connection import ReadDatabase
from tests.bench import hoard

if TYPE_CHECKING:
    from pathlib import Path

GOAL_MS = 50
ROUNDS = 20
NOW = 1_795_185_000_000
INPUTS = 100_000
"""One for each message, all in the threads of the hoard, with their steps and deliveries."""

_HEARD = """
INSERT INTO actor_inputs (id, actor_id, message_id, mode, status, thread_id, batch_id, turn_id,
    attempts, created_at, handed_at, seen_at, settled_at)
SELECT 'i-' || seq, target, id, 'queue', 'answered', 'thread-' || target, 'b-' || seq,
    'turn-' || (seq % 50000), 1, created_at, created_at, created_at, created_at
FROM messages WHERE target <> 'owner'
"""
_STEPS = """
INSERT INTO input_steps (input_id, status, at)
SELECT actor_inputs.id, value, created_at
FROM actor_inputs, json_each('["handed", "seen", "answered"]')
"""
_DELIVERED = """
INSERT INTO deliveries (id, message_id, sink, input_id, status, created_at, updated_at)
SELECT 'd-' || seq, message_id, 'actor:' || actor_id, id, 'confirmed', created_at, created_at
FROM actor_inputs
"""
_TURNS = """
INSERT INTO turns (thread_id, id, actor_id, status, started_at, completed_at)
SELECT DISTINCT thread_id, turn_id, actor_id, 'completed', 1, 2 FROM actor_inputs
"""
_THREADS = """
INSERT INTO threads (id, actor_id, session_id, runtime, created_at)
SELECT DISTINCT thread_id, actor_id, 's', 'scripted', 1 FROM actor_inputs
"""
_APPROVALS = """
INSERT INTO approvals (number, id, engine_id, request_id, thread_id, turn_id, item_id, actor_id,
    kind, command, status, created_at)
SELECT seq, 'a' || seq, 'e', seq, thread_id, turn_id, '', actor_id, 'command', 'ls', 'accepted', 1
FROM actor_inputs WHERE seq % 10 = 0
"""
_TOUCHED = """
INSERT OR IGNORE INTO task_turns (task_id, thread_id, turn_id)
SELECT 't' || (seq % 10000 + 1), thread_id, turn_id FROM actor_inputs
"""
_NOTES = """
INSERT INTO notes (number, id, author, task_id, body, created_at)
SELECT number, 'n' || number, 'worker1', id, 'done', 1 FROM tasks
"""


@pytest.mark.bench
async def test_any_id_is_followed_in_a_home_with_a_million_facts(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    hoard.fill(path)
    with closing(sqlite3.connect(path)) as raw:
        for sql in (_HEARD, _STEPS, _DELIVERED, _TURNS, _THREADS, _APPROVALS, _TOUCHED, _NOTES):
            raw.execute(sql)
        raw.commit()
        (thread,) = raw.execute("SELECT id FROM threads ORDER BY id LIMIT 1").fetchone()
        middle = raw.execute(
            "SELECT id, message_id, turn_id FROM actor_inputs LIMIT 1 OFFSET 30000"
        )
        input_id, message_id, turn_id = middle.fetchone()
        (delivery,) = raw.execute(
            "SELECT id FROM deliveries WHERE input_id = ?", (input_id,)
        ).fetchone()
        (approval,) = raw.execute("SELECT id FROM approvals LIMIT 1 OFFSET 3000").fetchone()
    database = await ReadDatabase.open(path)
    slowest = 0.0
    try:
        for kind, asked in {
            "message": message_id,
            "delivery": delivery,
            "input": input_id,
            "thread": thread,
            "turn": turn_id,
            "approval": approval,
            "task": "t5000",
            "note": "n5000",
        }.items():
            taken = []
            for _ in range(ROUNDS):
                before = time.perf_counter()
                found = await database.read(lambda tx, asked=asked: trace.trace(tx, asked, now=NOW))
                taken.append((time.perf_counter() - before) * 1000)
            assert found.kind == kind
            assert found.chains
            middle = statistics.median(taken)
            slowest = max(slowest, middle)
            print(
                f"trace of a {kind}: p50 {middle:.1f} ms, most {max(taken):.1f} ms,"
                f" {len(found.chains)} messages"
            )
    finally:
        await database.close()
    print(f"slowest {slowest:.1f} ms, goal {GOAL_MS} ms")
    assert slowest < GOAL_MS
