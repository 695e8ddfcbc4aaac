"""What an actor is told whose turn was cut by a crash, or whose conversation was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.agents.restart_policy import CUT, LOST, RECOVERIES, STOPPED
from netsky_runtime.db import actors, inputs, messages, posting, tasks
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    InputStatus,
    MessageKind,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor, ActorInput, Message, Task

QUOTE = 400
"""Characters quoted of each text."""
SHOWN = 50
"""How many open tasks are named, the most urgent, and messages that the cut turn was about, the
oldest. With ``QUOTE`` it keeps a recovery well under the size of a message."""


async def recover(
    kit: Kit,
    tx: Tx,
    actor: Actor,
    consumed: Sequence[ActorInput],
    *,
    lost_thread: str = "",
    because: str = "",
    now: int,
) -> frozenset[str]:
    """Queue one input that tells the actor what was cut; the cut inputs stay open until then.

    It goes before anything else that waits. ``lost_thread`` names the conversation that could not
    be continued; ``because`` says what else than a crash stopped the turn. Returns the actors to
    wake.
    """
    originals: list[str] = []
    for item in consumed:
        originals.extend(item.recovers or (item.id,))
    cut_before = [item.id for item in consumed if item.recovers]
    reason = f"its turn was {because}" if because else "its turn was cut by a crash"
    await inputs.settle(tx, cut_before, InputStatus.INTERRUPTED, reason=reason, now=now)
    known = await inputs.recovered_by(tx, originals)
    originals = [input_id for input_id in dict.fromkeys(originals) if input_id not in known]
    if not originals:
        return frozenset()
    if because:
        await inputs.explain(tx, originals, reason)
    # Limits and budgets cost nothing while they hold, and end: what they cut is not counted.
    if not because and await inputs.recoveries_of(tx, originals) >= RECOVERIES:
        why = f"its turn was cut more than {RECOVERIES} times"
        await inputs.settle(tx, originals, InputStatus.UNCERTAIN, reason=why, now=now)
        await actors.set_status(tx, actor.id, ActorStatus.PARKED, reason=why, now=now)
        kit.log("error", "actor parked", {"actor": actor.id, "reason": why})
        return frozenset()
    found = await inputs.by_ids(tx, originals)
    draft = posting.Draft(
        source=Source.DAEMON,
        kind=MessageKind.RECOVERY,
        sender="netsky",
        target=actor.id,
        body=await recovery_text(tx, actor, found, lost_thread=lost_thread, because=because),
        recovers=tuple(originals),
        metadata={"because": because} if because else {},
    )
    await posting.post(tx, draft, ids=kit.ids, now=now)
    kit.log("info", "cut turn recovers", {"actor": actor.id, "inputs": originals})
    return frozenset({actor.id})


async def recovery_text(
    tx: Tx,
    actor: Actor,
    inputs: Sequence[ActorInput],
    *,
    lost_thread: str = "",
    because: str = "",
) -> str:
    """Return the recovery message of an actor for the ``inputs`` that were cut."""
    held = await tasks.open_in(tx, actor.id, limit=SHOWN + 1)
    causes = [await messages.require(tx, item.message_id) for item in inputs]
    return compose(actor, held, causes, lost_thread=lost_thread, because=because)


def compose(
    actor: Actor,
    tasks: Sequence[Task],
    causes: Sequence[Message],
    *,
    lost_thread: str = "",
    because: str = "",
) -> str:
    """Return the text: what was cut, where the actor stands, how to go on."""
    stopped = STOPPED.format(because=because) if because else CUT
    paragraphs = [LOST.format(thread=lost_thread) if lost_thread else stopped]
    paragraphs += [
        f"- {cause.kind} from {cause.sender}: {_quote(cause.body)}" for cause in causes[:SHOWN]
    ]
    if len(causes) > SHOWN:
        paragraphs.append(f"- and {len(causes) - SHOWN} more, which are left out here")
    if actor.kind is ActorKind.MANAGER:
        if actor.objective:
            paragraphs.append(f"Your objective: {_quote(actor.objective)}")
        paragraphs.append("Open tasks in your lane:" if tasks else "No task is open in your lane.")
        check = "Call list_tasks and see what your cut turn had already started"
    else:
        paragraphs.append("Your task:" if tasks else "You have no open task.")
        check = "Look at what your cut turn had already changed"
    paragraphs += [f"- {task.id} {task.status}: {_cut(task.title)}" for task in tasks[:SHOWN]]
    if len(tasks) > SHOWN:
        paragraphs.append("- and less urgent ones, which are left out here")
    paragraphs.append(
        f"{check}, do nothing twice, finish what is missing, and end as usual: your last message "
        f"answers {'it' if len(causes) == 1 else 'all of it'}."
    )
    return "\n".join(paragraphs)


def _quote(text: str) -> str:
    return f"“{_cut(' '.join(text.split()))}”"


def _cut(text: str) -> str:
    return f"{text[:QUOTE]}…" if len(text) > QUOTE else text
