"""The command line. ``main`` is the console script."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_COMPLETE = "_NETSKY_COMPLETE"
"""Set by a shell that asks for completions."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``netsky`` and return its exit status."""
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
