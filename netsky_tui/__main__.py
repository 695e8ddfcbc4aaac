"""``python -m netsky_tui`` is ``netsky``."""

import sys

from netsky_tui.cli import main

if __name__ == "__main__":
    sys.exit(main())
