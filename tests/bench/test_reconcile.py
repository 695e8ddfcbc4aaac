"""How long a start takes to bring a large home's beliefs and its threads' histories together."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from netsky_runtime import wiring
from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.base import HistoricItem, HistoricTurn, RuntimeInfo
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.db import actors, inputs
from netsky_runtime.db.connection import Database
from netsky_runtime.records import MANAGER0, Actor
from netsky_runtime.states import ActorKind, ActorStatus, InputStatus, RuntimeName, TurnStatus
from tests.support.crew import crew

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from netsky_runtime.codex.base import Batch, LaunchSpec
    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.db.connection import Tx

ACTORS = 100
EACH = 100
"""Messages of each actor: the last is on its way, the one before was seen in a turn that has ended
since, the one before that vanished; all the others are answered."""
TARGET = 2.0
"""Seconds of netsky's own time."""
BODY = "Look at the report of yesterday and say what is missing. " * 4

_SESSION = """
INSERT INTO sessions (id, actor_id, runtime, state, thread_id, engine_id, cwd, model, effort,
    sandbox, approval_policy, config_json, tag, token, started_at)
VALUES (?, ?, 'scripted', 'live', ?, 'engine-1', '/', '', '', 'workspace-write', 'on-request',
    '{}', ?, ?, 1)
"""
_THREAD = """
INSERT INTO threads (id, actor_id, session_id, runtime, created_at) VALUES (?, ?, ?, 'scripted', 1)
"""
_MESSAGE = """
INSERT INTO messages (id, source, direction, kind, sender, target, body, status, created_at)
VALUES (?, 'cli', 'inbound', 'text', 'owner', ?, ?, ?, ?)
"""
_INPUT = """
INSERT INTO actor_inputs (id, actor_id, message_id, mode, status, thread_id, batch_id, envelope,
    turn_id, attempts, created_at)
VALUES (?, ?, ?, 'queue', ?, ?, ?, ?, ?, 1, 1)
"""
_DELIVERY = """
INSERT INTO deliveries (id, message_id, sink, input_id, status, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, 1, 1)
"""
_TURN = """
INSERT INTO turns (thread_id, id, actor_id, status, started_at, completed_at)
VALUES (?, ?, ?, ?, ?, ?)
"""


class Instant:
    """A session whose history costs nothing, on a door that never answers."""

    engine_id = "engine-2"
    differences: Sequence[str] = ()
    active_turn = ""

    def __init__(self, thread_id: str, history: Sequence[HistoricTurn]) -> None:
        self.thread_id = thread_id
        self._history = history

    async def history(self) -> Sequence[HistoricTurn]:
        return self._history

    async def submit(self, batch: Batch) -> None:
        await asyncio.Event().wait()

    async def events(self) -> AsyncIterator[CodexEvent]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    async def watch(self, on: bool) -> None:
        pass

    async def close(self) -> None:
        pass


class InstantRuntime:
    """A door to threads whose histories are all there."""

    name = RuntimeName.SCRIPTED
    capabilities = replace(ScriptedRuntime.capabilities, steer=False)

    def __init__(self, histories: dict[str, Sequence[HistoricTurn]]) -> None:
        self._histories = histories

    async def open(self) -> None:
        pass

    async def info(self) -> RuntimeInfo:
        return RuntimeInfo(name=self.name, version="instant")

    def troubles(self) -> Sequence[str]:
        return ()

    async def resume(self, thread_id: str, spec: LaunchSpec) -> Instant:
        return Instant(thread_id, self._histories[thread_id])

    async def find(self, mark: str, *, since: int) -> str:
        return ""

    async def vacate(self, label: str) -> str:
        return ""

    async def close(self, *, keep_engine: bool) -> None:
        pass


def _rows(number: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Every row of one actor, with its statement."""
    actor, thread = f"worker{number}", f"th-{number}"
    yield (
        _SESSION,
        (f"s-{number}", actor, thread, f"tag{number:05d}", f"token-{number}"),
    )
    yield (
        _THREAD,
        (thread, actor, f"s-{number}"),
    )
    for place in range(EACH):
        name = f"{number}-{place}"
        status, message = _states(place)
        yield (
            _MESSAGE,
            (f"m-{name}", actor, BODY, message, place),
        )
        yield (
            _INPUT,
            (f"i-{name}", actor, f"m-{name}", status, thread, f"b-{name}", BODY, f"t-{name}"),
        )
        yield (
            _DELIVERY,
            (
                f"d-{name}",
                f"m-{name}",
                f"actor:{actor}",
                f"i-{name}",
                "confirmed" if status in {"answered", "seen"} else "handed",
            ),
        )
        if status in {"answered", "seen"}:
            yield (
                _TURN,
                (
                    thread,
                    f"t-{name}",
                    actor,
                    "completed" if status == "answered" else "in_progress",
                    place,
                    place if status == "answered" else None,
                ),
            )


def _states(place: int) -> tuple[str, str]:
    """The states of the input and the message at this place of an actor's hundred."""
    if place < EACH - 3:
        return "answered", "answered"
    return ("handed", "seen", "handed")[place - (EACH - 3)], "routed"


def _history(number: int) -> Sequence[HistoricTurn]:
    told = []
    for place in range(EACH):
        name = f"{number}-{place}"
        if _states(place)[0] == "handed":
            continue
        words = (
            HistoricItem(
                id=f"u-{name}",
                type="user_message",
                data={"text": f"tag{number:05d} {BODY}", "client_id": f"b-{name}"},
            ),
            HistoricItem(id=f"a-{name}", type="agent_message", data={"text": f"Done: {BODY}"}),
        )
        told.append(
            HistoricTurn(
                id=f"t-{name}",
                status=TurnStatus.COMPLETED,
                started_at=place,
                completed_at=place,
                error="",
                items=words,
            )
        )
    return told


async def _fill(folder: Path) -> None:
    clock = SystemClock()
    database = await Database.open(folder / "meta.db", backups=folder / "backups", clock=clock)

    async def people(tx: Tx) -> None:
        await wiring.first_rows(tx, folder, clock.now())
        for number in range(ACTORS):
            actor = Actor(
                id=f"worker{number}",
                kind=ActorKind.WORKER,
                status=ActorStatus.ACTIVE,
                manager_id=MANAGER0,
                cwd=str(folder),
                created_at=1,
                updated_at=1,
            )
            await actors.insert(tx, actor)

    await database.write(people)
    await database.close()
    with sqlite3.connect(folder / "meta.db") as plain:
        for number in range(ACTORS):
            for sql, values in _rows(number):
                plain.execute(sql, values)
    plain.close()


@pytest.mark.bench
async def test_a_hundred_actors_with_ten_thousand_messages_are_reconciled_at_once(
    tmp_path: Path,
) -> None:
    await _fill(tmp_path)
    histories = {f"th-{number}": _history(number) for number in range(ACTORS)}
    runtime = InstantRuntime(histories)
    async with crew(tmp_path, runtime=runtime, starts=False) as fleet:  # type: ignore[arg-type]
        wall, cpu = time.perf_counter(), time.process_time()
        await fleet.fleet.start()
        await fleet.fleet.settled(seconds=60)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

        async def left(tx: Tx) -> list[InputStatus]:
            return [
                item.status
                for number in range(ACTORS)
                for item in await inputs.open_for(tx, f"worker{number}")
            ]

        states = await fleet.database.read(left)
    print(
        f"\nreconciled {ACTORS} actors, {ACTORS * EACH} messages: {wall:.2f} s, of which CPU"
        f" {cpu:.2f} s (target {TARGET:g} s); {wall / ACTORS * 1_000:.1f} ms and"
        f" {cpu / ACTORS * 1_000:.1f} ms of CPU per actor"
    )
    assert states == [InputStatus.QUEUED] * (2 * ACTORS)
    assert cpu < TARGET
