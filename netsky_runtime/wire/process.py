"""Child processes that speak lines, and their end."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import SubprocessStreamProtocol
from collections import deque
from contextlib import suppress
from subprocess import PIPE
from typing import TYPE_CHECKING, Final

import psutil

from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.framing import MAX_LINE, LineFraming
from netsky_runtime.wire.groups import KILL_SECONDS, POLL_SECONDS, group_alive, signal_group
from netsky_runtime.wire.last_words import how_ended, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


TAIL_CHARACTERS: Final = 2000
STDERR_SECONDS: Final = 0.5
"""How long the end of standard output waits for the last words on standard error."""


class Child:
    """A process that speaks lines on its standard input and output.

    Its standard error is always drained, and the last lines are kept to be quoted.
    """

    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        protocol: _Protocol,
        *,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        own_group: bool,
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._own_group = own_group
        self.stdin = writer
        self.stdout = reader
        """For who reads more than lines: use these or ``framing``, never both."""
        self._ending: asyncio.Task[int | None] | None = None
        self.pid = transport.get_pid()
        self.framing: LineFraming = _ChildFraming(reader, writer, protocol)

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | str | None = None,
        stderr_lines: int = 400,
        new_session: bool = True,
    ) -> Child:
        """Start ``argv`` with exactly ``env``. Raises ``WireError`` when it cannot be started.

        Without ``new_session`` it stays in netsky's own process group, and only the process
        itself is ended, never its descendants.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: _Protocol(loop, stderr_lines),
                *argv,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=dict(env),
                cwd=cwd,
                start_new_session=new_session,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            where = f" in {cwd}" if cwd is not None else ""
            msg = f"{argv[0]} could not be started{where}: {reason}."
            raise WireError(msg) from error
        if protocol.stdout is None or protocol.stdin is None:  # pragma: no cover
            msg = "asyncio made no pipes for the child"
            raise AssertionError(msg)
        return cls(
            transport,
            protocol,
            reader=protocol.stdout,
            writer=protocol.stdin,
            own_group=new_session,
        )

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, ``None`` while it runs."""
        return self._transport.get_returncode()

    def stderr_tail(self) -> str:
        """Return the last lines of standard error, at most 2000 characters."""
        return self._protocol.stderr_tail()

    async def exited(self) -> int | None:
        """Wait until the process itself is gone, whoever holds its pipes; return its exit code."""
        await self._protocol.exited.wait()
        return self.returncode

    async def fate(self) -> str:
        """Say how the process has ended, if it has or does within ``STDERR_SECONDS``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STDERR_SECONDS):
                await self._protocol.exited.wait()
        return how_ended(self.returncode)

    async def end(self, *, grace: float = 2.0) -> int | None:
        """End the process and its group; return the exit code.

        Closes standard input, then after ``grace`` seconds sends SIGTERM, after as many again
        SIGKILL. What the leader leaves behind in its group gets the same. ``None`` only when the
        kernel did not let go of the process in time. Idempotent; a cancelled caller does not stop
        the ending, and a second one joins it.
        """
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(grace))
        return await asyncio.shield(self._ending)

    async def _end(self, grace: float) -> int | None:
        try:
            self.stdin.close()
            await self._gone_within(grace)
            for number in (signal.SIGTERM, signal.SIGKILL):
                if self._signal(number):
                    await self._gone_within(grace if number == signal.SIGTERM else KILL_SECONDS)
        except asyncio.CancelledError:
            # The loop ends before the grace does.
            self._signal(signal.SIGKILL)
            await self._gone_within(KILL_SECONDS)
            raise
        finally:
            self._transport.close()
        return self.returncode

    async def _gone_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._protocol.exited.wait()
                while self._remains():  # noqa: ASYNC110 - nothing tells when a grandchild ends
                    await asyncio.sleep(POLL_SECONDS)

    def _remains(self) -> bool:
        if self.returncode is None:
            return True
        return self._own_group and not psutil.pid_exists(self.pid) and group_alive(self.pid)

    def _signal(self, number: signal.Signals) -> bool:
        # Once the leader is reaped, another process may bear its pid, but not while a member of
        # its group lives: a living process of that number means that the group is empty.
        if not self._remains():
            return False
        if self._own_group:
            return signal_group(self.pid, number)
        self._transport.send_signal(number)
        return True


class _Protocol(SubprocessStreamProtocol):
    """Standard output as a stream, standard error into a ring, and the exit as an event.

    ``Process.wait`` of some Python versions waits for the pipes too, which a grandchild may hold.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stderr_lines: int) -> None:
        super().__init__(limit=256 * 1024, loop=loop)
        self.exited = asyncio.Event()
        self.stderr_ended = asyncio.Event()
        self._lines: deque[bytes] = deque(maxlen=stderr_lines)
        self._unfinished = b""

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        if fd != 2 or isinstance(data, str):
            super().pipe_data_received(fd, data)
            return
        *lines, unfinished = (self._unfinished + data).split(b"\n")
        self._lines.extend(line[-TAIL_CHARACTERS:] for line in lines)
        self._unfinished = unfinished[-TAIL_CHARACTERS:]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 2:
            self.stderr_ended.set()
        super().pipe_connection_lost(fd, exc)

    def process_exited(self) -> None:
        self.exited.set()
        super().process_exited()

    def stderr_tail(self) -> str:
        kept: list[str] = []
        size = 0
        for line in (self._unfinished, *reversed(self._lines)):
            text = line.decode(errors="replace").rstrip()
            size += len(text) + 1
            if size > TAIL_CHARACTERS:
                kept.append(text[size - TAIL_CHARACTERS :])
                break
            kept.append(text)
        return plain("\n".join(reversed(kept))).strip()


class _ChildFraming(LineFraming):
    """Lines whose end waits a moment for standard error, so that the reason can be quoted."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Protocol
    ) -> None:
        super().__init__(reader, writer, max_line=MAX_LINE)
        self._protocol = protocol

    async def receive(self) -> bytes | None:
        line = await super().receive()
        if line is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STDERR_SECONDS):
                    await self._protocol.stderr_ended.wait()
        return line
