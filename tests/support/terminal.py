"""A real pseudo-terminal with an emulator behind it, to see what an operator would see."""

from __future__ import annotations

import os
import termios
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pexpect
import psutil
import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "ctrl+q": "\x11",
    "ctrl+p": "\x10",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f5": "\x1b[15~",
    "f8": "\x1b[19~",
}


MODES = {
    "the alternate screen": ("?1049h", "?1049l"),
    "a hidden cursor": ("?25l", "?25h"),
    "mouse reports": ("?1000h", "?1000l"),
    "mouse movements": ("?1003h", "?1003l"),
    "bracketed paste": ("?2004h", "?2004l"),
    "focus reports": ("?1004h", "?1004l"),
}
"""What a program may switch on, and must switch off again before it leaves."""


class Xterm(pyte.Screen):
    """pyte's screen with what else tmux asks of an xterm: scrolling, and the same sign again."""

    _sign = " "

    def draw(self, data: str) -> None:
        super().draw(data)
        self._sign = data[-1:] or self._sign

    def repeat(self, count: int = 1) -> None:
        self.draw(self._sign * (count or 1))

    def scroll_up(self, count: int = 1) -> None:
        self._at_the_top(self.delete_lines, count or 1)

    def scroll_down(self, count: int = 1) -> None:
        self._at_the_top(self.insert_lines, count or 1)

    def _at_the_top(self, move: Callable[[int], None], count: int) -> None:
        x, y = self.cursor.x, self.cursor.y
        self.cursor.y = self.margins.top if self.margins else 0
        move(count)
        self.cursor.x, self.cursor.y = x, y


class XtermStream(pyte.ByteStream):
    csi: ClassVar[dict[str, str]] = {  # type: ignore[misc] # pyte declares it for an instance
        **pyte.ByteStream.csi,
        "S": "scroll_up",
        "T": "scroll_down",
        "b": "repeat",
    }


class Terminal:
    """Runs one program; every wait has a deadline and shows the screen when it is missed."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None = None,
        columns: int = 160,
        rows: int = 45,
    ) -> None:
        self._screen = Xterm(columns, rows)
        self._stream = XtermStream(self._screen)
        self._written = bytearray()
        # Any: the stubs think that it reads text, and know nothing of its ptyproc.
        self.child: Any = pexpect.spawn(
            argv[0],
            list(argv[1:]),
            env={**env, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            cwd=cwd,
            dimensions=(rows, columns),
            timeout=30,
        )
        self.process = psutil.Process(self.child.pid)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.child.closed:
            self.child.close(force=True)

    @property
    def text(self) -> str:
        """The screen as it stands, one line a row."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def pump(self, seconds: float = 0.05) -> bool:
        """Take in what the program has written; false once it has gone."""
        try:
            written = self.child.read_nonblocking(1 << 16, timeout=seconds)
        except pexpect.TIMEOUT:
            return True
        except (pexpect.EOF, OSError):
            return False
        self._written += written
        self._stream.feed(written)
        return True

    def until(self, *wanted: str, seconds: float = 30.0) -> str:
        """Wait until all of ``wanted`` stand on the screen; return the screen."""
        deadline = time.monotonic() + seconds
        running = True
        while True:
            text = self.text
            missing = [words for words in wanted if words not in text]
            if not missing:
                return text
            if not running or time.monotonic() >= deadline:
                raise AssertionError(f"not on the screen: {missing}\n{text}")
            running = self.pump()

    def until_gone(self, words: str, *, seconds: float = 30.0) -> str:
        """Wait until ``words`` have left the screen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if words not in self.text:
                return self.text
            if not self.pump():
                break
        raise AssertionError(f"still on the screen: {words!r}\n{self.text}")

    def press(self, *keys: str) -> None:
        """Press named keys or single characters."""
        for key in keys:
            self.child.send(KEYS.get(key, key))

    def type(self, text: str) -> None:
        """Type ``text`` as it is."""
        self.child.send(text)

    def wait_exit(self, *, seconds: float = 30.0) -> int:
        """Wait until the program has ended by itself; return its exit status."""
        deadline = time.monotonic() + seconds
        while self.child.isalive():
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {seconds} s\n{self.text}")
            self.pump()
        while time.monotonic() < deadline and self.pump():
            pass  # its last words
        status = self.child.exitstatus
        return status if status is not None else -int(self.child.signalstatus or 0)

    def signal(self, number: int) -> None:
        """Send the program a signal."""
        os.kill(self.process.pid, number)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size, as a hand on its corner does."""
        self._screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def hang_up(self) -> None:
        """Close the window: the program's terminal is gone at once."""
        self.child.ptyproc.fileobj.close()
        self.child.closed = self.child.ptyproc.closed = True

    def left_behind(self) -> list[str]:
        """Say what the program has switched on in the terminal and not off again."""
        left = [
            name
            for name, (on, off) in MODES.items()
            if self._written.rfind(f"\x1b[{on}".encode())
            > self._written.rfind(f"\x1b[{off}".encode())
        ]
        local = termios.tcgetattr(self.child.child_fd)[3]
        kept = ("ECHO", "ICANON", "ISIG")
        return left + [f"no {name}" for name in kept if not local & getattr(termios, name)]
