"""Developer instructions: who an actor is, whom it answers and how words reach it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from netsky_runtime.agents.authority import Role, role_of
from netsky_runtime.errors import UsageError
from netsky_runtime.states import ToolsDoor

if TYPE_CHECKING:
    from netsky_runtime.records import Actor

_NO_OBJECTIVE = "(not stated yet: it comes as your first input)"


def instructions(
    actor: Actor,
    *,
    cwd: str,
    tag: str,
    tools_door: ToolsDoor = ToolsDoor.DYNAMIC,
    previous_thread: str = "",
) -> str:
    """Return what the actor's thread is told; ``tag`` marks the session's envelopes.

    Tools behind the MCP door have other names, and many models must search for them.
    ``previous_thread`` is the conversation that was lost and that this thread takes over from.
    """
    values = {"actor_id": actor.id, "cwd": cwd, "envelopes": render("envelopes", tag=tag).strip()}
    role = role_of(actor)
    if role is not Role.MANAGER0:
        values["manager_id"] = actor.manager_id or ""
    if role is Role.MANAGER:
        values["objective"] = actor.objective.strip() or _NO_OBJECTIVE
    told = render(role.value, **values)
    if tools_door is ToolsDoor.MCP:
        told = f"{told.rstrip()}\n\n{render('tools_door')}"
    if previous_thread:
        told = f"{told.rstrip()}\n\n{render('previous', thread=previous_thread)}"
    return told


def render(name: str, **values: str) -> str:
    """Fill the template ``name``.

    Raises ``UsageError`` for a placeholder without a value, a value without a placeholder, and
    an empty value.
    """
    return fill(_template(name), values, name=name)


def fill(text: str, values: dict[str, str], *, name: str) -> str:
    """Fill ``text``; ``name`` is used in errors, which are those of ``render``."""
    template = Template(text)
    if not template.is_valid():
        msg = f"Prompt {name} has a $ that starts no placeholder."
        raise UsageError(msg, hint="Write $$ for a dollar sign.")
    wanted = set(template.get_identifiers())
    faults = [
        *(f"no value for ${key}" for key in sorted(wanted - values.keys())),
        *(f"no place for ${key}" for key in sorted(values.keys() - wanted)),
        *(f"an empty value for ${key}" for key in sorted(values) if not values[key]),
    ]
    if faults:
        msg = f"Prompt {name} cannot be filled: {', '.join(faults)}."
        raise UsageError(msg)
    return template.substitute(values)


@cache
def _template(name: str) -> str:
    return files(__package__).joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")
