"""What a failed request to Codex means for what was asked.

The table of the design, with the words the versions use. Not understood is never taken for
"nothing happened": then only history knows.
"""

from __future__ import annotations

from netsky_runtime.codex.base import (
    AnswerLost,
    InputRejected,
    NoActiveTurn,
    RuntimeFailure,
    ThreadGone,
    ThreadUnavailable,
)
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, RpcError, WireError

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
OVERLOADED = -32001

_NOT_LOADED = ("thread not found", "not loaded")
_NOT_NOW = (*_NOT_LOADED, "draining", "shutting down", "overloaded", "busy")
# The last: Codex's own database still lists a thread whose rollout somebody has removed.
_NO_ROLLOUT = ("no rollout found", "no archived rollout found", "failed to resolve rollout path")
_HELD = ("active writer",)
_GONE = (*_NO_ROLLOUT, "invalid session id", "invalid thread id", "archived", "deleted")
_BROKEN_SETUP = ("failed to load configuration", "config.toml")
_NO_TURN = ("no active turn", "expected active turn", "cannot steer", "not steerable")


def submitting(error: WireError) -> RuntimeFailure:
    """Return what a failed ``turn/start`` means."""
    if isinstance(error, RpcError):
        if _not_now(error):
            return ThreadUnavailable(f"Codex does not take it now: {error.message}.")
        if error.rpc_code in (INVALID_REQUEST, INVALID_PARAMS, METHOD_NOT_FOUND):
            return InputRejected(f"Codex rejected the input: {error.message}")
    return _lost_or_unsent(error)


def steering(error: WireError) -> RuntimeFailure:
    """Return what a failed ``turn/steer`` means."""
    if isinstance(error, RpcError) and _says(error, _NO_TURN):
        return NoActiveTurn("The turn has ended, or it is another one that runs.")
    return submitting(error)


def interrupting(error: WireError) -> RuntimeFailure:
    """Return what a failed ``turn/interrupt`` means; it may be asked again without harm."""
    if isinstance(error, RpcError) and _says(error, (*_NO_TURN, *_NOT_LOADED)):
        return NoActiveTurn("No such turn runs.")
    return ThreadUnavailable(f"The turn could not be interrupted: {error.message}")


def starting(error: WireError) -> RuntimeFailure:
    """Return what a failed ``thread/start`` means.

    A broken config.toml is no fault of the input that wanted the thread: it can wait.
    """
    if isinstance(error, RpcError) and not _not_now(error) and not _says(error, _BROKEN_SETUP):
        return InputRejected(f"Codex does not start such a thread: {error.message}")
    return ThreadUnavailable(f"No thread could be started: {error.message}")


def resuming(error: WireError) -> RuntimeFailure:
    """Return what a failed ``thread/resume`` means, when the thread is in no other place either."""
    if no_rollout(error):
        return ThreadGone("Nothing is written down of this thread: it is gone, or had no turn.")
    if gone(error):
        return ThreadGone(f"Codex has no such thread any more: {error.message}.")
    hint = "Close it in the Codex that has it open." if held(error) else ""
    return ThreadUnavailable(f"The thread cannot be resumed now: {error.message}", hint=hint)


def gone(error: WireError) -> bool:
    """Whether the thread is not where Codex looked for it."""
    return isinstance(error, RpcError) and _says(error, _GONE)


def held(error: WireError) -> bool:
    """Whether a living process writes to the thread: this engine, or another Codex."""
    return isinstance(error, RpcError) and _says(error, _HELD)


def draining(error: WireError) -> bool:
    """Whether the engine has been told to end and only finishes what runs."""
    if not isinstance(error, RpcError):
        return False
    data = error.data if isinstance(error.data, dict) else {}
    return data.get("reason") == "serverShuttingDown" or _says(error, ("draining",))


def overloaded(error: RpcError) -> bool:
    """Whether the same may be asked again in a while."""
    return error.rpc_code == OVERLOADED or _says(error, ("overloaded", "busy"))


def unknown_thread(error: WireError) -> bool:
    """Whether Codex says that it has no such thread."""
    return isinstance(error, RpcError) and _says(error, (*_NOT_LOADED, *_GONE))


def unknown_method(error: WireError) -> bool:
    """Whether this version of Codex does not know the method."""
    return isinstance(error, RpcError) and (
        error.rpc_code == METHOD_NOT_FOUND or _says(error, ("unknown variant", "method not found"))
    )


def no_turn_yet(error: WireError) -> bool:
    """Whether the thread has no history because it has had no turn."""
    words = ("not materialized", "list_turns is not supported", "no rollout found")
    return isinstance(error, RpcError) and _says(error, words)


def no_rollout(error: WireError) -> bool:
    """Whether nothing is written down of the thread in the place that was asked about."""
    return isinstance(error, RpcError) and _says(error, _NO_ROLLOUT)


def _not_now(error: RpcError) -> bool:
    return error.rpc_code == OVERLOADED or draining(error) or _says(error, _NOT_NOW)


def _lost_or_unsent(error: WireError) -> RuntimeFailure:
    if isinstance(error, PeerClosed | RequestTimedOut) and not error.sent:
        return ThreadUnavailable(f"It was not sent: {error.message}")
    # Only what ended the connection is a PeerClosed: a deadline or a strange answer leaves it.
    connected = not isinstance(error, PeerClosed)
    return AnswerLost(f"It was sent and nobody answered: {error.message}", connected=connected)


def _says(error: RpcError, words: tuple[str, ...]) -> bool:
    message = error.message.lower()
    return any(word in message for word in words)
