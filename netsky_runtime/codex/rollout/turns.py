"""The turn that a rollout is in the middle of, and what of it is still open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsky_runtime.codex.rollout.calls import Call


@dataclass(slots=True)
class OpenTurn:
    """What is known of a turn between its start and its end."""

    id: str
    cwd: str = ""
    error: str = ""
    """The last error that is not tried again."""
    limited: bool = False
    """Whether that was the account's limit."""
    heard: bool = False
    """Whether the model has answered since it was last told something."""
    thought: tuple[str, str] | None = None
    """Id and text of the reasoning that came last, while nothing else has come after it."""
    calls: dict[str, Call] = field(default_factory=dict)
    """Calls without an answer, and commands that run on, by call id."""
    done: set[str] = field(default_factory=set)
    """Ids of items whose end has been told."""
