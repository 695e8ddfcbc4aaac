"""``python -m netsky_runtime.tools_door``: what Codex starts, without the command line."""

import sys

from netsky_runtime.tools_door.main import main

if __name__ == "__main__":
    sys.exit(main())
