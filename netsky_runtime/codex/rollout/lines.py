"""One line of a rollout: when it was written, of which kind, and what it says.

Every line since 0.120 is ``{"timestamp", "type", "payload"}``; since 0.163 with an ``ordinal``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from netsky_runtime.codex.members import part, text

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line that could be read."""

    at: int
    """Milliseconds since the epoch; 0 when it does not say."""
    type: str
    payload: Payload

    @property
    def kind(self) -> str:
        """The payload's own type, else nothing."""
        kind = self.payload.get("type")
        return kind if isinstance(kind, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the first line of a rollout says about its thread."""

    thread_id: str
    parent_id: str
    """The thread whose sub-agent this is; empty when a human or a client started it."""
    forked_from: str
    """The thread whose lines this one begins with; empty when it began anew."""
    cwd: str
    version: str
    """Of the Codex that began it: another may have gone on."""
    source: str
    """Which door: ``cli`` (Codex's own screen), ``vscode`` (app-server), ``mcp``, ``exec``,
    ``subagent``."""


def parse(line: bytes) -> Line | None:
    """Return what a line says, ``None`` when it is no line of a rollout."""
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(raw, dict):
        return None
    kind, payload = raw.get("type"), raw.get("payload")
    if not isinstance(kind, str) or not isinstance(payload, dict):
        return None
    return Line(_milliseconds(raw.get("timestamp")), kind, payload)


def head_of(line: Line) -> Head | None:
    """Return what a ``session_meta`` line says, ``None`` when it is another kind."""
    if line.type != "session_meta":
        return None
    said = line.payload
    source = said.get("source")
    return Head(
        thread_id=text(said.get("id")),
        parent_id=_parent(said),
        forked_from=text(said.get("forked_from_id")),
        cwd=text(said.get("cwd")),
        version=text(said.get("cli_version")),
        source="subagent" if isinstance(source, dict) else text(source),
    )


def _parent(meta: Payload) -> str:
    if found := text(meta.get("parent_thread_id")):
        return found
    spawn = part(part(meta.get("source"), "subagent"), "thread_spawn")
    return text(spawn.get("parent_thread_id"))


def _milliseconds(stamp: Any) -> int:
    try:
        return round(datetime.fromisoformat(stamp).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return 0
