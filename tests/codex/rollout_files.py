"""Rollouts of real Codexes, as tests need them.

Each was written by the version and door in its name while it was driven with the orders of
``netsky_runtime.torture.model_server`` (in a folder with an AGENTS.md): app-server and mcp-server
over their pipes, Codex's own screen in tmux. Long texts were cut, paths replaced, and lines that
say nothing here thinned out. ``<name>.history.json`` is what that version's app-server told of the
same thread at the end (``thread/read``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from netsky_runtime.codex.app_server.normalise import history
from netsky_runtime.codex.base import HistoricTurn
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.rollout import RolloutReader

FOLDER = Path(__file__).parent / "rollouts"
APP = ("0.120.0-app", "0.145.0-app", "0.153.4-app", "0.163.0-app", "0.169.0-app")
MCP = ("0.120.0-mcp", "0.145.0-mcp", "0.153.4-mcp")
TUI = ("0.120.0-tui", "0.145.0-tui", "0.153.4-tui", "0.163.0-tui", "0.169.0-tui")
THREADS = APP + MCP + TUI
EVERY = tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))


def path(name: str) -> Path:
    return FOLDER / f"{name}.jsonl"


def lines(name: str) -> list[bytes]:
    return path(name).read_bytes().splitlines()


def events(name: str) -> list[CodexEvent]:
    return told(lines(name))


def told(said: list[bytes]) -> list[CodexEvent]:
    reader = RolloutReader()
    return [event for line in said for event in reader.feed(line)]


def items(found: list[CodexEvent], item_type: str) -> list[dict[str, Any]]:
    return [
        dict(e.data)
        for e in found
        if e.kind is EventKind.ITEM_COMPLETED and e.data["type"] == item_type
    ]


def app_server_history(name: str) -> tuple[HistoricTurn, ...]:
    return history(json.loads((FOLDER / f"{name}.history.json").read_text()))


def line(kind: str, at: str = "2026-11-21T12:00:00.000Z", **payload: Any) -> bytes:
    """Return a line of the kind ``type`` or ``type/payload type``."""
    outer, _, inner = kind.partition("/")
    said = {"type": inner, **payload} if inner else payload
    return json.dumps({"timestamp": at, "type": outer, "payload": said}).encode()
