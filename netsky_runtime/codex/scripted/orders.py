"""What a script can tell a turn to do, and what it hears back."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Say:
    """An agent message, streamed over ``seconds`` of the runtime's clock."""

    text: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Think:
    """A reasoning item, streamed like ``Say``."""

    text: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """A command item. Nothing is ever executed; the output is made up when none is given."""

    command: str
    asks: bool = False
    """Wants an approval, unless the thread's policy is ``never``."""
    reason: str = ""
    output: str | None = None
    exit_code: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Patch:
    """A file change; no file is touched. The diff is made up when none is given."""

    path: str
    diff: str = ""
    kind: str = "update"
    asks: bool = True
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A dynamic tool call, which waits for its answer. ``arguments`` is JSON text."""

    tool: str
    arguments: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the human, with an answer in words."""

    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Time passes on the runtime's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing more happens until somebody interrupts or steers."""


@dataclass(frozen=True, slots=True)
class Flood:
    """A message in ``fragments`` deltas, with a fact after every tenth."""

    fragments: int


@dataclass(frozen=True, slots=True)
class Fail:
    """The model fails, and the turn with it."""


@dataclass(frozen=True, slots=True)
class Use:
    """A response that takes ``tokens`` and says nothing."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Limit:
    """The account's limit is reached, with a reset in ``seconds``; the turn fails by it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Die:
    """The engine is gone, with everything in it that was not finished."""


Order = (
    Say | Think | Run | Patch | Call | Question | Pause | Hang | Flood | Fail | Use | Limit | Die
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order: a command's output, a tool's answer, a human's words."""

    text: str = ""
    ok: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a script knows when it plans."""

    thread_id: str
    instructions: str
    """The developer instructions the thread was launched with."""
    text: str
    """The user message as it came."""
    earlier: tuple[str, ...] = ()
    """The user messages before it in this thread, oldest first."""
    tools: frozenset[str] = frozenset()


Plan = Generator[Order, Outcome, None]


class Script(Protocol):
    """Plays the model."""

    def plan(self, prompt: Prompt) -> Plan:
        """Yield the orders for one user message; each is sent the outcome of the one before.

        A message that is steered into the turn closes the plan and starts another, as a real
        model forgets what it was about to do.
        """
        ...
