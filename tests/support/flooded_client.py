"""A netsky of its own process that reads one thread's flood; the tests stop and continue it.

Reads one JSON line {codex, home, environ, cwd, watch} and then lines {"submit": text}; writes a
JSON line for the thread and, at a turn's end, what it has been told of that turn.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.app_server import AppServerRuntime
from netsky_runtime.codex.base import Batch, LaunchSpec
from netsky_runtime.codex.events import EventKind
from netsky_runtime.paths import Home
from netsky_runtime.settings import Settings

if TYPE_CHECKING:
    from netsky_runtime.records import Engine
    from netsky_runtime.states import EngineState


class OneEngine:
    """An ``EngineStore`` of one row."""

    engine: Engine | None = None

    async def load(self) -> Engine | None:
        return self.engine

    async def save(self, engine: Engine) -> None:
        self.engine = engine

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        self.engine = None


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    clock = SystemClock()
    runtime = AppServerRuntime(
        settings=Settings(codex_bin=told["codex"]),
        home=Home.locate({"NETSKY_HOME": told["home"]}),
        store=OneEngine(),
        clock=clock,
        ids=SortableIds(clock),
        environ=told["environ"],
        log=lambda level, message, fields: None,
    )
    await runtime.open()
    spec = LaunchSpec(
        cwd=told["cwd"], instructions="", sandbox="read-only", approval_policy="never"
    )
    session = await runtime.start(spec)
    events = session.events()
    await session.watch(told["watch"])
    say({"thread": session.thread_id})
    number = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        number += 1
        text = json.loads(line)["submit"]
        await session.submit(Batch(id=f"batch-{number}", text=text, input_ids=()))
        kinds: Counter[str] = Counter()
        letters = 0
        async for event in events:
            kinds[event.kind.value] += 1
            if event.kind is EventKind.ITEM_COMPLETED and event.data["type"] == "agent_message":
                letters = len(event.data["text"])
            if event.kind is EventKind.ITEM_STARTED and event.data["type"] == "user_message":
                say({"running": event.turn_id})
            if event.kind in (EventKind.TURN_COMPLETED, EventKind.SESSION_LOST):
                say({"ended": event.data, "kinds": kinds, "letters": letters})
                break
    await runtime.close(keep_engine=True)


if __name__ == "__main__":
    asyncio.run(main())
