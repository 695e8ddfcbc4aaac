"""The tools that actors have: one table, whichever door a runtime offers them through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from netsky_runtime.agents.authority import Role
from netsky_runtime.codex.base import ToolSpec
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.states import Priority, TaskStatus  # noqa: TC001 - pydantic looks them up

if TYPE_CHECKING:
    from collections.abc import Mapping

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class Arguments(BaseModel):
    """What every tool's arguments have in common: nothing unknown is let through."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StartManager(Arguments):
    """A new manager."""

    name: Name | None = Field(None, description="Short id such as docs; default manager<number>.")
    objective: Words = Field(description="The bounded lane it owns, and when it is finished.")


class StartWorker(Arguments):
    """A new worker, or a worker on an open task."""

    title: Title = Field(description="The task in a few words.")
    body: Words = Field(
        description="All the worker is told: what, where, and the visible condition of done."
    )
    task_id: str | None = Field(None, description="An open task to take instead of a new one.")
    cwd: str | None = Field(None, description="Folder to work in; default: your own.")
    model: str | None = Field(None, description="Model; leave out unless the owner named one.")
    priority: Priority | None = Field(None, description="P0 is now, P3 whenever; default P2.")
    estimate_minutes: int | None = Field(None, ge=1, le=100_000, description="Your estimate.")
    depends_on: list[str] | None = Field(None, description="Ids of tasks that must be done first.")


class ListTasks(Arguments):
    """Nothing to say."""


class UpdateTask(Arguments):
    """What changes about a task."""

    id: str = Field(description="The task, such as t3.")
    status: TaskStatus | None = Field(
        None,
        description="Managers: in_progress, done, failed, cancelled. "
        "Workers: in_progress, reported.",
    )
    priority: Priority | None = None
    note: Words | None = Field(None, description="Kept with the task: why.")


class SendMessage(Arguments):
    """Words for another actor."""

    to: str = Field(description="Id of an actor, such as worker3.")
    body: Words


class AddNote(Arguments):
    """Words to keep."""

    body: Words
    task_id: str | None = Field(None, description="The task it belongs to.")


class AskOwner(Arguments):
    """One question."""

    question: Words = Field(description="One question that can be answered in a line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool: what the model is told of it, what it takes and who has it."""

    name: str
    description: str
    arguments: type[Arguments]
    roles: frozenset[Role]

    def spec(self) -> ToolSpec:
        """Return what a thread is given."""
        return ToolSpec(
            name=self.name, description=self.description, schema=plain_schema(self.arguments)
        )


_ALL = frozenset({Role.MANAGER0, Role.MANAGER, Role.WORKER})
_MANAGERS = frozenset({Role.MANAGER0, Role.MANAGER})

TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="start_manager",
            description="Start a manager for a bounded lane of work with several tasks. "
            "Returns its id; its report comes as an input.",
            arguments=StartManager,
            roles=frozenset({Role.MANAGER0}),
        ),
        Tool(
            name="start_worker",
            description="Start a new worker on one task. It begins at once, or when its "
            "dependencies are done and a place is free; its report comes as an input.",
            arguments=StartWorker,
            roles=_MANAGERS,
        ),
        Tool(
            name="list_tasks",
            description="List the tasks that are yours to see, with status, worker and "
            "dependencies.",
            arguments=ListTasks,
            roles=_ALL,
        ),
        Tool(
            name="update_task",
            description="Set a task's status or priority, or add a note to it.",
            arguments=UpdateTask,
            roles=_ALL,
        ),
        Tool(
            name="send_message",
            description="Write to another actor. It becomes an input of that actor and costs a "
            "turn; there is no direct answer.",
            arguments=SendMessage,
            roles=_ALL,
        ),
        Tool(
            name="add_note",
            description="Keep a decision, a reason or a fact durably, with a task or without.",
            arguments=AddNote,
            roles=_ALL,
        ),
        Tool(
            name="ask_owner",
            description="Ask whoever is above you for a decision. Returns at once; end your "
            "turn, the answer comes as an input.",
            arguments=AskOwner,
            roles=_ALL,
        ),
    )
}


@cache
def specs_for(role: Role) -> tuple[ToolSpec, ...]:
    """Return the tools that a thread of this role is given.

    Kept, for making the schemas takes 6 ms, and a hundred threads may be attached at once.
    """
    return tuple(tool.spec() for tool in TOOLS.values() if role in tool.roles)


def parse(role: Role, name: str, arguments: object) -> Arguments:
    """Check a call's name and arguments.

    Raises ``NotFound`` for a tool that this role has not, ``UsageError`` that names every bad
    argument.
    """
    tool = TOOLS.get(name)
    if tool is None or role not in tool.roles:
        have = ", ".join(other.name for other in TOOLS.values() if role in other.roles)
        msg = f"You have no tool {name!r}."
        raise NotFound(msg, hint=f"You have: {have}.")
    try:
        return tool.arguments.model_validate(arguments)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
            for fault in error.errors()
        )
        msg = f"{name} was called with wrong arguments: {faults}."
        takes = ", ".join(tool.arguments.model_fields) or "no arguments"
        raise UsageError(msg, hint=f"It takes: {takes}.") from error


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's JSON Schema without references, null alternatives and titles.

    Models and Codex versions differ in how much JSON Schema they bear; this much all do.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    properties = {
        name: _plain(value, definitions) for name, value in schema.get("properties", {}).items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(schema.get("required", ())),
        "additionalProperties": False,
    }


def _plain(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(value)
    for part in merged.pop("anyOf", ()):
        if part.get("type") != "null":
            merged = {**part, **merged}
    if reference := merged.pop("$ref", None):
        merged = {**definitions[reference.rsplit("/", 1)[1]], **merged}
    if "items" in merged:
        merged["items"] = _plain(merged["items"], definitions)
    kept = {"type", "enum", "items", "minLength", "maxLength", "minimum", "maximum", "pattern"}
    described = {"description": value["description"]} if "description" in value else {}
    return {key: merged[key] for key in merged if key in kept} | described
