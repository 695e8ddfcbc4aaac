"""What an actor is told whose turn was cut by a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import messages, tasks
from netsky_runtime.records import Actor, ActorInput, ActorKind, Message, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.connection import Tx

QUOTE = 400
"""Characters quoted of each message that the cut turn was about."""
SHOWN = 50
"""How many open tasks are named, the most urgent."""


async def recovery_text(tx: Tx, actor: Actor, inputs: Sequence[ActorInput]) -> str:
    """Return the recovery message of an actor for the ``inputs`` of its cut turn."""
    held = await tasks.open_in(tx, actor.id, limit=SHOWN + 1)
    causes = [await messages.require(tx, item.message_id) for item in inputs]
    return compose(actor, held, causes)


def compose(actor: Actor, tasks: Sequence[Task], causes: Sequence[Message]) -> str:
    """Return the text: what was cut, where the actor stands, how to go on."""
    paragraphs = ["Your last turn was cut short by a crash. It was about:"]
    paragraphs += [f"- {cause.kind} from {cause.sender}: {_quote(cause.body)}" for cause in causes]
    if actor.kind is ActorKind.MANAGER:
        if actor.objective:
            paragraphs.append(f"Your objective: {_quote(actor.objective)}")
        paragraphs.append("Open tasks in your lane:" if tasks else "No task is open in your lane.")
        check = "Call list_tasks and see what your cut turn had already started"
    else:
        paragraphs.append("Your task:" if tasks else "You have no open task.")
        check = "Look at what your cut turn had already changed"
    paragraphs += [f"- {task.id} {task.status}: {task.title}" for task in tasks[:SHOWN]]
    if len(tasks) > SHOWN:
        paragraphs.append("- and less urgent ones, which are left out here")
    paragraphs.append(
        f"{check}, do nothing twice, finish what is missing, and end as usual: your last message "
        f"answers {'it' if len(causes) == 1 else 'all of it'}."
    )
    return "\n".join(paragraphs)


def _quote(text: str) -> str:
    flat = " ".join(text.split())
    return f"“{flat[:QUOTE]}…”" if len(flat) > QUOTE else f"“{flat}”"
