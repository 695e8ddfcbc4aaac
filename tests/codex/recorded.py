"""Recorded conversations with real app-servers, as tests need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "captures"
VERSIONS = ("0.120.0", "0.145.0", "0.169.0")

Message = dict[str, Any]


def messages(version: str, mark: str = "") -> list[Message]:
    """Return what the server said, in order: all of it, or from one mark to the next."""
    found: list[Message] = []
    now = ""
    for line in (FOLDER / f"app-{version}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        now = entry.get("mark", now)
        if entry.get("dir") == "server" and mark in ("", now):
            found.append(entry["msg"])
    return found


def notifications(version: str, mark: str = "") -> list[Message]:
    """Return the notifications only."""
    return [m for m in messages(version, mark) if "method" in m and "id" not in m]


def requests(version: str, mark: str = "") -> list[Message]:
    """Return the server's requests only."""
    return [m for m in messages(version, mark) if "method" in m and "id" in m]


def answers(version: str, mark: str = "") -> list[Any]:
    """Return the results of the client's requests."""
    return [m["result"] for m in messages(version, mark) if "result" in m]
