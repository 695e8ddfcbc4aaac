"""Screens of real Codexes, recorded in tmux; paths of the machine replaced, columns kept."""

from __future__ import annotations

from pathlib import Path

from netsky_runtime.codex.resident.screen import Capture

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all recordings, ``<version>-<what>``."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def capture(name: str) -> Capture:
    """Return a recording as tmux told it: its first line says where the cursor was."""
    head, _, text = (FOLDER / f"{name}.txt").read_text().partition("\n")
    _, x, y, cursor, state = head.split()
    return Capture(
        text=text.removesuffix("\n"),
        cursor_x=int(x),
        cursor_y=int(y),
        cursor_shown=cursor == "shown",
        dead=state == "dead",
    )
