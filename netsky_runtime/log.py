"""Where everything that runs tells what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Log(Protocol):
    """Takes a line at once, and waits for nobody."""

    def __call__(self, level: str, message: str, fields: Mapping[str, Any], /) -> None:
        """Record one line: a level (debug, info, warning, error), a past-tense sentence, fields."""
        ...
