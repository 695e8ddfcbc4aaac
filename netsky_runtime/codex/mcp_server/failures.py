"""What a call that did not begin a turn means for the words it carried.

What is not understood is never taken for "nothing happened": then only history knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.codex.base import AnswerLost, InputRejected, ThreadUnavailable
from netsky_runtime.errors import UsageError
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, RpcError

if TYPE_CHECKING:
    from netsky_runtime.codex.base import RuntimeFailure
    from netsky_runtime.errors import NetskyError

_REFUSED = ("failed to parse", "failed to load codex configuration from overrides")
_BROKEN_SETUP = "config.toml"
_NEVER_TAKEN = (-32600, -32601, -32602)


def elsewhere(label: str) -> str:
    """Return what to do about what this door cannot do, for the thread of that label."""
    actor = label or "ACTOR"
    return f"`netsky actors move {actor} --runtime app_server` moves it where that can be done."


def unanswered(error: NetskyError) -> RuntimeFailure:
    """Return what it means that a call came back with an error, or not at all."""
    if isinstance(error, UsageError):
        return InputRejected(f"It cannot be sent: {error.message}", hint=error.hint)
    if isinstance(error, RpcError):
        if error.rpc_code in _NEVER_TAKEN:
            return InputRejected(f"Codex rejected the input: {error.message}")
        return AnswerLost(f"It was sent, and Codex says: {error.message}", connected=True)
    if isinstance(error, PeerClosed | RequestTimedOut) and not error.sent:
        return ThreadUnavailable(f"It was not sent: {error.message}")
    connected = not isinstance(error, PeerClosed)
    return AnswerLost(f"It was sent and nobody answered: {error.message}", connected=connected)


def refused(text: str) -> RuntimeFailure:
    """Return what the words of a failed call mean, when they came before any turn.

    A broken config.toml is no fault of the words that wanted the thread: they can wait.
    """
    said = " ".join(text.split()).rstrip(".")
    lower = said.lower()
    if lower.startswith(_REFUSED) and _BROKEN_SETUP not in lower:
        return InputRejected(f"Codex rejected it: {said}.")
    return ThreadUnavailable(f"Codex does not take it now: {said}.")
