"""The command line. ``main`` is the console script."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``netsky`` and return its exit status."""
    from netsky_tui.cli import root  # the room shares text.py and needs no command line

    return root.main(argv)
