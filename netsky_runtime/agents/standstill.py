"""A worker whose turn was stopped and that was told nothing else: its manager hears that it waits.

The task stays the worker's, and in progress: what it answers to whoever writes to it next is
reported as ever. Without this nobody but the owner would know that nothing goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import inputs, lineage, notes, posting, tasks
from netsky_runtime.states import ActorKind, ActorStatus, MessageKind, Source, TaskStatus

if TYPE_CHECKING:
    from netsky_runtime.clock import Ids
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor, Turn


async def tell(tx: Tx, actor: Actor, turn: Turn, *, ids: Ids, now: int) -> frozenset[str]:
    """Note on the worker's task that its turn was stopped, and report it; return whom to wake.

    In the transaction that ends the turn. Says nothing when more waits for the worker, as after
    interrupt-and-send, when it has no task in progress, or when it is parked or stopped.
    """
    if actor.kind is not ActorKind.WORKER or actor.status is not ActorStatus.ACTIVE:
        return frozenset()
    held = await tasks.of_owner(tx, actor.id)
    current = [task for task in held if task.status is TaskStatus.IN_PROGRESS]
    if not current or await inputs.open_for(tx, actor.id):
        return frozenset()
    woken: set[str] = set()
    for task in current:
        text = (
            f"The turn on {task.id} “{task.title}” was stopped on purpose, and {actor.id} was told "
            f"nothing else. It keeps the task and waits until the owner or its manager writes."
        )
        await notes.insert(tx, author="netsky", task_id=task.id, body=text, now=now)
        draft = posting.Draft(
            source=Source.DAEMON,
            kind=MessageKind.REPORT,
            sender=actor.id,
            target=await lineage.nearest_active(tx, actor),
            body=text,
            task_id=task.id,
            thread_id=turn.thread_id,
            turn_id=turn.id,
        )
        posted = await posting.post(tx, draft, ids=ids, now=now)
        woken |= {posted.input.actor_id} if posted.input else set()
    return frozenset(woken)
