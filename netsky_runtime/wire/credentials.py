"""Which process is on the other side of a Unix socket."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid
_SOL_LOCAL, _LOCAL_PEERPID = 0, 2
"""macOS: <sys/un.h>; Python has no names for them."""


def peer_pid(connection: socket.socket) -> int:
    """Return the process on the other side of a Unix socket; 0 where the system does not tell.

    Of a client it is the one that connected, of a listener the one that listens.
    """
    with suppress(OSError):
        if sys.platform == "darwin":
            return connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID)
        if sys.platform == "linux":
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return int(_CREDENTIALS.unpack(peer)[0])
    return 0
