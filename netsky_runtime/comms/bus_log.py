"""What the post office says of files that nobody is given: a flood of them floods no log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsky_runtime.log import Log

REMEMBERED = 1000
"""Troubles that are told once; when there were more, they are told again."""


class BusLog:
    """Tells of what went to poison each time, and of what stays wrong once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: set[tuple[str, str]] = set()

    def poisoned(self, folder: str, name: str, reason: str) -> None:
        """Say why a file lies in poison."""
        fields = {"where": f"{folder}/{name}", "reason": reason}
        self._log("warning", "envelope went to poison", fields)

    def once(self, level: str, what: str, where: str, reason: str) -> None:
        """Say what stays wrong once, however often it is met again."""
        if (what, where) in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add((what, where))
        self._log(level, what, {"where": where, "reason": reason} if where else {"reason": reason})
