"""What Codex writes down about a thread while it runs: found, followed and read.

The truth about a thread that is no app-server's: which messages it consumed, what it said and
did, how its turns ended.
"""

from netsky_runtime.codex.rollout.follow import RolloutWatch
from netsky_runtime.codex.rollout.history import fold, read_history
from netsky_runtime.codex.rollout.lines import Head
from netsky_runtime.codex.rollout.locate import find_mark, find_thread, read_head, says
from netsky_runtime.codex.rollout.reader import RolloutReader
from netsky_runtime.codex.rollout.usage import last_usage

__all__ = [
    "Head",
    "RolloutReader",
    "RolloutWatch",
    "find_mark",
    "find_thread",
    "fold",
    "last_usage",
    "read_head",
    "read_history",
    "says",
]
