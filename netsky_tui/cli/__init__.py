"""The command line. ``main`` is the console script."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_COMPLETE = "_NETSKY_COMPLETE"
"""Set by a shell that asks for completions."""
_INTERRUPTED = 130
"""What a shell makes of SIGINT."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``netsky`` and return its exit status. Ctrl+C ends it quietly, also while it loads."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    # The room shares text.py and needs no command line, nor does `netsky` alone, nor a thread.
    line = list(sys.argv[1:] if argv is None else argv)
    if _COMPLETE not in os.environ and not line:
        from netsky_tui.cli import opening

        return opening.main()
    if _COMPLETE not in os.environ and line == ["tools"]:
        from netsky_runtime.tools_door import main as tools_door

        return tools_door.main()
    if _COMPLETE not in os.environ and line[:2] == ["channel", "forward-outbox"]:
        from netsky_tui.cli import forwarding

        if forwarding.is_plain(line):
            return forwarding.main(line[-1])
    from netsky_tui.cli import root

    return root.main(argv)
