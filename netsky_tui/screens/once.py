"""A screen that is left once, however many keys say so."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

T = TypeVar("T")


class OnceScreen(ModalScreen[T]):
    """The first answer counts; the keys behind it find the screen on its way out."""

    _answered = False

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave, unless this was done before or something lies above."""
        if self._answered or not self.is_current:
            return AwaitComplete()
        self._answered = True
        return super().dismiss(result)
