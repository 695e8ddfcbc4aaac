"""How long a test waits for what must happen."""

from typing import Final

PATIENCE: Final = 30.0
"""Seconds until a wait counts as a hang: far more than a busy machine needs."""
