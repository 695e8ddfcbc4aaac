"""One tree of errors. Each says what happened, and its hint says what to do.

``code`` is stable and crosses processes; the command line maps it to an exit status.
"""

from __future__ import annotations


class NetskyError(Exception):
    """Something an operator can be told in one sentence."""

    code = "failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(NetskyError):
    """The request itself is wrong: empty body, unknown word, bad value."""

    code = "usage"


class NotFound(NetskyError):
    """The thing that was named does not exist."""

    code = "not_found"


class Refused(NetskyError):
    """The caller has not the authority, or a rule of the home forbids it."""

    code = "refused"


class Conflict(NetskyError):
    """The present state does not allow it."""

    code = "conflict"


class NoDaemon(NetskyError):
    """The verb needs a running daemon and there is none."""

    code = "no_daemon"


class DaemonRunning(NetskyError):
    """Another daemon holds this home."""

    code = "daemon_running"


class HomeBusy(DaemonRunning):
    """A command holds this home, and is soon over."""


class Unhealthy(NetskyError):
    """A part of the machine netsky stands on does not work (Codex, disk, database)."""

    code = "unhealthy"


class Fenced(NetskyError):
    """Another process owns the home that this one owned before: it can write no more."""

    code = "fenced"

    def __init__(
        self,
        message: str = "Another netsky has taken over this home.",
        *,
        hint: str = "Nothing was written. `netsky` attaches to the one that has it.",
    ) -> None:
        super().__init__(message, hint=hint)


class DeadlineExceeded(NetskyError):
    """Nobody answered in time."""

    code = "timeout"


class DatabaseError(Unhealthy):
    """The database is newer, corrupt, locked or not ours."""


class CodexMissing(Unhealthy):
    """No Codex binary was found."""


BY_CODE: dict[str, type[NetskyError]] = {
    cls.code: cls
    for cls in (
        NetskyError,
        UsageError,
        NotFound,
        Refused,
        Conflict,
        NoDaemon,
        DaemonRunning,
        Unhealthy,
        Fenced,
        DeadlineExceeded,
    )
}
