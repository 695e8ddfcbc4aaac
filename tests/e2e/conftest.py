"""netsky in a real pseudo-terminal: homes, rooms in them, and what must not be left behind."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.real_codex.conftest import codex_binary, model
from tests.support.netsky import PATIENCE, Netsky
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netsky_runtime.torture.model_server import ModelServer

__all__ = ["codex_binary", "model"]

WIDE, NARROW = (160, 45), (80, 24)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if "codex_binary" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.real_codex)


class House(Netsky):
    """A home, its command line, and as many rooms in it as a test wants."""

    def __init__(self, root: Path, *, environ: dict[str, str], stack: ExitStack) -> None:
        super().__init__(root, environ={"TMPDIR": str(root), **environ})
        self._stack = stack

    def open(self, *args: str, size: tuple[int, int] = WIDE) -> Room:
        """Start ``netsky`` in a terminal of its own."""
        room = Room(self, args, size=size)
        self._stack.enter_context(room)
        return room

    def room(self, *, size: tuple[int, int] = WIDE, link: str = "hosting") -> Room:
        """Open the room and wait until it stands."""
        room = self.open(size=size)
        room.until(link, "to manager0")
        return room


class Room(Terminal):
    """A terminal with netsky in it, on a machine that may be slow."""

    def __init__(self, house: House, args: tuple[str, ...], *, size: tuple[int, int]) -> None:
        self._house = house
        columns, rows = size
        super().__init__(
            [*house.argv, *args],
            env=house.environ,
            cwd=str(house.work),
            columns=columns,
            rows=rows,
        )

    def until(self, *wanted: str, seconds: float = PATIENCE) -> str:
        return super().until(*wanted, seconds=seconds)

    def until_gone(self, words: str, *, seconds: float = PATIENCE) -> str:
        return super().until_gone(words, seconds=seconds)

    def wait_exit(self, *, seconds: float = PATIENCE) -> int:
        return super().wait_exit(seconds=seconds)

    def say(self, text: str) -> None:
        """Type a message and Enter, faster than any hand."""
        self.type(f"{text}\r")

    def watch(self, look: Callable[[], object]) -> None:
        """Read what netsky draws until ``look`` is true: one that nobody reads stands still."""
        until = time.monotonic() + PATIENCE
        while not look():
            assert time.monotonic() < until, f"did not happen:\n{self.text}"
            self.pump()

    def decide(self, key: str) -> None:
        """Go to the one question that waits and press the key that decides it.

        A key that comes in the same moment as the question is refused: it is pressed again.
        """
        self.press("f5")
        self.until("y accept")
        until = time.monotonic() + PATIENCE
        while "1 waiting" in self.text and time.monotonic() < until:
            self.press(key)
            shown = time.monotonic() + 2
            while "1 waiting" in self.text and time.monotonic() < shown:
                self.pump()
        self.until("0 waiting", seconds=1)

    def quits(self) -> None:
        """Leave by Ctrl+Q, once no turn runs: while one does, the room asks first."""
        self.watch(self._at_rest)
        self.press("ctrl+q")
        self.leaves()

    def _at_rest(self) -> bool:
        with closing(sqlite3.connect(self._house.home / "meta.db")) as database:
            found = database.execute("SELECT count(*) FROM turns WHERE status = 'in_progress'")
            return bool(found.fetchone()[0] == 0)

    def leaves(self) -> None:
        """Wait until netsky has ended well and left the terminal as it was."""
        assert self.wait_exit() == 0
        assert self.left_behind() == []


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def demo(tmp_path: Path, stack: ExitStack) -> Iterator[House]:
    """A machine without Codex, network or account."""
    here = House(tmp_path, environ={}, stack=stack)
    yield here
    here.clean_up()


@pytest.fixture
def house(
    codex_binary: Path, model: ModelServer, tmp_path: Path, stack: ExitStack
) -> Iterator[House]:
    """A home on the real Codex with the scripted model."""
    model.write_codex_config(tmp_path / "codex-home")
    here = House(
        tmp_path,
        environ={
            "CODEX_HOME": str(tmp_path / "codex-home"),
            "NETSKY_CODEX_BIN": str(codex_binary),
            "AGENT_CODEX_SANDBOX": "read-only",
        },
        stack=stack,
    )
    yield here
    model.release()
    here.clean_up()
