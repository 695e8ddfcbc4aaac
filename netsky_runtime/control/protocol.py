"""The shape of every request to a daemon."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from netsky_runtime.control.vocabulary import HELLO, PROTOCOL, SUBSCRIBE, WATCH
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.states import (
    BudgetScope,
    DecisionWord,
    InputMode,
    Priority,
    RuntimeName,
    Source,
    TaskStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "PROTOCOL",
    "REQUESTS",
    "ActorId",
    "AddNote",
    "AddRule",
    "AddTask",
    "AskAgain",
    "Attention",
    "BudgetOf",
    "Decide",
    "DecideMany",
    "DependTask",
    "Empty",
    "Hello",
    "InputId",
    "MoveActor",
    "PauseUntil",
    "ReadMessages",
    "Request",
    "ResolveInput",
    "RuleId",
    "RunCodex",
    "Send",
    "SetBudget",
    "SetSetting",
    "SetTask",
    "StartManager",
    "StartWorker",
    "Stop",
    "Subscribe",
    "TaskId",
    "ToolsCall",
    "ToolsList",
    "Wait",
    "Watch",
    "parse",
]

LONGEST_WAIT: Final = 86_400.0
MAX_WINDOW: Final = 64
LONGEST_ID: Final = 200
MOST_TOKENS: Final = 10**15
LAST_MOMENT: Final = 253_402_300_799_000
"""The end of the year 9999, in ms."""

Text = Annotated[str, Field(min_length=1)]
Minutes = Annotated[int, Field(ge=1)]


class Request(BaseModel):
    """Parameters of one request. A word that is not known is an error, never ignored."""

    # Built when first used: a verb needs one model, not thirty.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Empty(Request):
    """``status``, ``doctor``, ``unpause``."""


class Hello(Request):
    """``hello``: the first request of a connection."""

    protocol: int
    client: str = ""


class Send(Request):
    """``send``."""

    target: Text
    body: str
    mode: InputMode = InputMode.QUEUE
    source: Source = Source.CLI
    in_reply_to: str | None = None
    resume: bool = False
    """Let a parked target go on with it."""


class Wait(Request):
    """``wait``: ``timeout`` in seconds."""

    input_id: Text
    timeout: float = Field(ge=0, le=LONGEST_WAIT)


class StartManager(Request):
    """``actors.start_manager``."""

    objective: Text
    name: str | None = None
    runtime: RuntimeName | None = None


class StartWorker(Request):
    """``actors.start_worker``: a new task, or ``task_id``, an open one."""

    title: str = ""
    body: str = ""
    manager: str | None = None
    task_id: str | None = None
    cwd: str | None = None
    model: str | None = None
    runtime: RuntimeName | None = None
    priority: Priority | None = None
    estimate_minutes: Minutes | None = None
    depends_on: tuple[str, ...] = ()


class ActorId(Request):
    """``actors.stop``, ``.interrupt``, ``.resume``, ``.ways``, ``.terminal``."""

    actor_id: Text


class MoveActor(Request):
    """``actors.move``: with ``interrupt`` also out of a running turn, which ends."""

    actor_id: Text
    runtime: RuntimeName
    interrupt: bool = False


class RunCodex(Request):
    """``codex.run``: one turn of the sidecar workerN, within ``timeout`` seconds.

    Its brief is ``prompt``, or with ``drain`` the next envelope of its inbox.
    """

    number: int = Field(ge=1)
    prompt: str | None = None
    drain: bool = False
    model: str = ""
    fresh: bool = False
    timeout: float = Field(gt=0, le=LONGEST_WAIT)


class InputId(Request):
    """``inputs.cancel``."""

    input_id: Text


class ResolveInput(Request):
    """``inputs.resolve``: what becomes of an uncertain input."""

    input_id: Text
    action: Literal["resend", "drop"]


class AddTask(Request):
    """``tasks.add``."""

    title: Text
    body: str = ""
    priority: Priority = Priority.P2
    estimate_minutes: Minutes | None = None
    depends_on: tuple[str, ...] = ()


class SetTask(Request):
    """``tasks.set``: what is not named stays."""

    id: Text
    status: TaskStatus | None = None
    priority: Priority | None = None
    title: Text | None = None
    note: str = ""


class DependTask(Request):
    """``tasks.depend``: ``id`` waits for ``on``, or with ``remove`` no longer."""

    id: Text
    on: Text
    remove: bool = False


class TaskId(Request):
    """``tasks.done``, ``tasks.cancel``."""

    id: Text


class Decide(Request):
    """``approvals.decide``."""

    id: Text
    decision: DecisionWord
    answer: dict[str, Any] | None = None


class DecideMany(Request):
    """``approvals.decide_many``: those named, and those that ask the same as ``same_as``."""

    ids: tuple[Text, ...] = ()
    same_as: Text | None = None
    decision: DecisionWord


class AskAgain(Request):
    """``approvals.ask_again``."""

    id: Text
    source: Source = Source.CLI


class AddRule(Request):
    """``rules.add``: ``who`` is workers, managers or an actor's name."""

    cwd: Text
    allow: Text
    who: Text = "workers"


class RuleId(Request):
    """``rules.revoke``."""

    id: Text


class Attention(Request):
    """``attention.put_away``, ``attention.send_again``: ``key`` as `netsky attention` has it."""

    key: Text


class ReadMessages(Request):
    """``messages.read``."""

    ids: tuple[str, ...]


class AddNote(Request):
    """``notes.add``."""

    body: Text
    task_id: str | None = None


class SetSetting(Request):
    """``settings.set``."""

    key: Text
    value: str


class SetBudget(Request):
    """``budgets.set``: with ``more``, to what is used by now and so many tokens more."""

    scope: BudgetScope
    subject: str = ""
    tokens: int = Field(ge=0, le=MOST_TOKENS)
    more: bool = False


class BudgetOf(Request):
    """``budgets.clear``."""

    scope: BudgetScope
    subject: str = ""


class PauseUntil(Request):
    """``pause``: until a time in ms since the epoch, or until ``unpause``."""

    until: int | None = Field(default=None, ge=0, le=LAST_MOMENT)


class ToolsList(Request):
    """``tools.list``: for the session whose token this is."""

    token: Text = Field(repr=False)


class ToolsCall(Request):
    """``tools.call``: ``call_id`` is the same whenever the same call is asked again.

    ``thread_id`` and ``turn_id`` are what Codex told the door, empty where it told nothing.
    """

    token: Text = Field(repr=False)
    call_id: Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
    tool: Text
    arguments: dict[str, Any]
    thread_id: Annotated[str, Field(max_length=LONGEST_ID)] = ""
    turn_id: Annotated[str, Field(max_length=LONGEST_ID)] = ""


class Stop(Request):
    """``stop``: with ``keep_engine`` running turns go on."""

    keep_engine: bool = False


class Watch(Request):
    """``watch``: whose live text this client wants, if anybody's."""

    actor_id: str | None


class Subscribe(Request):
    """``subscribe``: facts after ``from_seq``, or from now on.

    The answer is ``{seq}``, with ``pruned_to`` when facts between the two may be deleted.
    With a ``window`` at most that many pages of facts are sent before the client takes some by
    the notification ``ack {pages}``.
    """

    facts: bool
    from_seq: int | None = Field(default=None, ge=0)
    window: int | None = Field(default=None, ge=1, le=MAX_WINDOW)


REQUESTS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        HELLO: Hello,
        "status": Empty,
        "send": Send,
        "wait": Wait,
        "actors.start_manager": StartManager,
        "actors.start_worker": StartWorker,
        "actors.stop": ActorId,
        "actors.interrupt": ActorId,
        "actors.resume": ActorId,
        "actors.ways": ActorId,
        "actors.move": MoveActor,
        "actors.terminal": ActorId,
        "codex.run": RunCodex,
        "inputs.cancel": InputId,
        "inputs.resolve": ResolveInput,
        "tasks.add": AddTask,
        "tasks.set": SetTask,
        "tasks.depend": DependTask,
        "tasks.done": TaskId,
        "tasks.cancel": TaskId,
        "approvals.decide": Decide,
        "approvals.decide_many": DecideMany,
        "approvals.ask_again": AskAgain,
        "rules.add": AddRule,
        "rules.revoke": RuleId,
        "attention.put_away": Attention,
        "attention.send_again": Attention,
        "messages.read": ReadMessages,
        "notes.add": AddNote,
        "settings.set": SetSetting,
        "budgets.set": SetBudget,
        "budgets.clear": BudgetOf,
        "pause": PauseUntil,
        "unpause": Empty,
        "tools.list": ToolsList,
        "tools.call": ToolsCall,
        "doctor": Empty,
        WATCH: Watch,
        SUBSCRIBE: Subscribe,
        "stop": Stop,
    }
)
"""Every method, with the shape of its parameters."""


def parse(method: str, params: Mapping[str, Any]) -> Any:
    """Return the request as an instance of its model in ``REQUESTS``.

    Raises ``NotFound`` for an unknown method, ``UsageError`` for the first parameter that is not
    right, by name.
    """
    model = REQUESTS.get(method)
    if model is None:
        msg = f"There is no request {method!r}."
        raise NotFound(msg)
    try:
        return model.model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        # What must have a character is empty; "should have at least 1 character" tells it worse.
        wrong = "must not be empty" if first["type"] == "string_too_short" else first["msg"]
        msg = f"{method}: {where}: {wrong}."
        raise UsageError(msg) from error
