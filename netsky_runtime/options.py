"""What a daemon is started with; apart from it, because a room draws itself before it loads one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from netsky_runtime.paths import Home


HANDED_ON: Final = (
    "AGENT_CODEX_APPROVAL",
    "AGENT_CODEX_MODEL",
    "AGENT_CODEX_SANDBOX",
    "AGENT_RUNTIME",
    "CODEX_HOME",
    "NETSKY_CODEX_BIN",
)
"""Variables that say which Codex it is and how it is used. No others: secrets may be in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a daemon is started with."""

    home: Home
    cwd: Path = field(default_factory=Path.cwd)
    """Where new actors work unless a setting says otherwise."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Settings from the command line, by name."""
    forwarder: Sequence[str] = ()
    """Command that carries an actor's outbox, but for the actor's id, which comes last. Runs beside
    each thread that has a terminal of its own; without it nobody carries these."""
    demo: bool = False
    """Let the scripted runtime play the demo instead of orders in the text."""
    only: frozenset[str] | None = None
    """Serve these actors and leave the others' work to a netsky that serves all."""
    progress: Callable[[str], None] = lambda _line: None
    """Told, in a few words, what the start is doing."""

    def launch(self) -> dict[str, Any]:
        """Return, as JSON, what another process must know to go on as this one began."""
        environ = {name: self.environ[name] for name in HANDED_ON if name in self.environ}
        return {"cwd": str(self.cwd), "flags": dict(self.flags), "environ": environ}

    def after(self, launch: Mapping[str, Any]) -> Options:
        """Return these options with what ``launch`` of another process has told."""
        own = {name: value for name, value in self.environ.items() if name not in HANDED_ON}
        return replace(
            self,
            cwd=Path(launch["cwd"]),
            flags=launch["flags"],
            environ={**own, **launch["environ"]},
        )
