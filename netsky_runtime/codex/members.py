"""Members of what Codex says, whatever it says: what is not there, or is another thing, is empty.

Pure, the same for every door.
"""

from __future__ import annotations

from typing import Any


def text(value: Any) -> str:
    """Return a text, nothing where there is another thing."""
    return value if isinstance(value, str) else ""


def part(value: Any, name: str) -> dict[str, Any]:
    """Return a member that is an object, empty when it is not there."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def moment(seconds: Any) -> int | None:
    """Return in milliseconds a time that Codex tells in seconds; ``None`` when it does not."""
    return int(seconds * 1000) if isinstance(seconds, int | float) else None
