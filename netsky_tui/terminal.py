"""Codex's own screen of an actor's thread: the command of it, made fit for this terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Mapping

_TMUX = ("TMUX", "TMUX_PANE")
"""By these a tmux knows that it runs inside another one, and refuses."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What to run, and what to tell about it."""

    actor_id: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    """All of it, not only what differs."""
    cwd: str
    """A folder that exists, or empty: stay where you are."""
    told: str
    """What is about to be seen and how to leave it, in one line."""

    @property
    def again(self) -> str:
        """The command line that shows it outside of the room."""
        return f"`netsky actors attach {self.actor_id}`"


def screen(actor_id: str, answer: Mapping[str, Any], environ: Mapping[str, str]) -> Screen:
    """Return what ``actors.terminal`` has told, for a terminal with this environment."""
    environment = {**environ, **answer["environment"]}
    runtime, leave = answer["runtime"], "/quit leaves it"
    if runtime == RuntimeName.RESIDENT:
        leave = "Ctrl+B D leaves it"
        if "TMUX" in environ:
            leave = "Ctrl+B Ctrl+B D leaves it, as this terminal is in tmux itself"
        for name in _TMUX:
            environment.pop(name, None)
    cwd = str(answer["cwd"])
    return Screen(
        actor_id=actor_id,
        command=tuple(answer["command"]),
        environment=environment,
        cwd=cwd if cwd and Path(cwd).is_dir() else "",
        told=f"{actor_id}: Codex's own screen of its thread, on {runtime}. "
        f"{leave}; {actor_id} works on.",
    )
