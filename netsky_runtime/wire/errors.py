"""What can go wrong between two programs that talk JSON-RPC."""

from __future__ import annotations

from typing import Any

from netsky_runtime.errors import DeadlineExceeded, NetskyError


class WireError(NetskyError):
    """The connection cannot be made, broke, or carried something that is no message."""


class RpcError(WireError):
    """The other side answered the request with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.rpc_code = code
        """The number on the wire; ``code`` is netsky's own word."""
        self.data = data


class PeerClosed(WireError):
    """The connection ended before the answer came."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent
        """False when certainly not one byte of the request left netsky."""


class RequestTimedOut(WireError, DeadlineExceeded):
    """The other side did not answer, or did not read, in time."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent
        """False when certainly not one byte of the request left netsky."""
