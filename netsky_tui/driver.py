"""A terminal driver that survives its terminal."""

from __future__ import annotations

import termios
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class ForgivingFile:
    """Writes until that fails, then to nobody.

    Textual writes from a thread of its own with a bounded queue. An error in that thread would
    end it, and the room would wait for room in the queue for ever, on its way out, too.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.lost = False
        """Whether the terminal is gone."""

    def write(self, text: str) -> int:
        """Write, if somebody is there."""
        if not self.lost:
            try:
                return self._file.write(text)
            except OSError:
                self.lost = True
        return len(text)

    def flush(self) -> None:
        """Flush, if somebody is there."""
        if not self.lost:
            try:
                self._file.flush()
            except OSError:
                self.lost = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class RoomDriver(LinuxDriver):
    """Textual's own driver for Linux and macOS, on a file that forgives."""

    def __init__(
        self,
        app: App[Any],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast("Any", ForgivingFile(cast("IO[str]", self._file)))
        self._lent = False

    def write(self, data: str) -> None:
        """Write, unless the terminal is lent: nobody would take it from the writer's queue."""
        if not self._lent:
            super().write(data)

    def suspend_application_mode(self) -> None:
        """Lend the terminal to another program."""
        super().suspend_application_mode()
        self._lent = True

    def resume_application_mode(self) -> None:
        """Take it back, with the line settings it had before the room: who was killed kept its own.

        The room would take those for the terminal's, and leave them to the shell at its end.
        """
        self._lent = False
        if self.attrs_before is not None:
            with suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        super().resume_application_mode()
