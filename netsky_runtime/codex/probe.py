"""Which doors a Codex has: each is tried by a bounded handshake, and the answer remembered.

Neither the version nor ``--help`` tells: ``codex mcp-server --help`` succeeds where the word is
no command any more but a prompt (seen from 0.154 on).
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from netsky_runtime.codex import binary as codex_binary
from netsky_runtime.codex import hello
from netsky_runtime.codex.binary import CodexBinary, version_in
from netsky_runtime.codex.doors import ORDER
from netsky_runtime.codex.members import part
from netsky_runtime.errors import CodexMissing, NetskyError, Unhealthy
from netsky_runtime.records import DoorResult
from netsky_runtime.states import RuntimeName
from netsky_runtime.wire.errors import PeerClosed, WireError
from netsky_runtime.wire.peer import Peer
from netsky_runtime.wire.process import Child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from netsky_runtime.clock import Clock

DEADLINE: Final = 15.0
"""Seconds one door gets. Codex answers in 0.1 to 0.3; a busy machine takes its time."""
END_SECONDS: Final = 0.5
"""How long a Codex that was only asked who it is may take to leave, before each signal."""
OLDEST_TMUX: Final = (3, 2)
"""The first with everything that a resident Codex is watched by."""
REASON_CHARACTERS: Final = 300
_TMUX: Final = re.compile(r"(\d+)\.(\d+)\w*")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One Codex binary as it is now: installed anew, it is another one."""

    path: str
    """With links resolved."""
    size: int
    mtime_ns: int


class DoorStore(Protocol):
    """Remembers what handshakes have shown, for the next start."""

    async def load(self, binary: Fingerprint) -> Mapping[RuntimeName, DoorResult]:
        """Return what is known of this binary."""
        ...

    async def save(self, binary: Fingerprint, result: DoorResult) -> None:
        """Remember a result in place of the door's last one."""
        ...


class Forgetful:
    """A ``DoorStore`` for one look that leaves nothing behind."""

    async def load(self, _binary: Fingerprint) -> Mapping[RuntimeName, DoorResult]:
        """Know nothing."""
        return {}

    async def save(self, _binary: Fingerprint, _result: DoorResult) -> None:
        """Keep nothing."""


class Doors:
    """The doors of the Codex that ``named`` and the environment choose."""

    def __init__(
        self,
        *,
        store: DoorStore,
        named: str,
        environ: Mapping[str, str],
        clock: Clock,
        deadline: float = DEADLINE,
    ) -> None:
        self._store = store
        self._named = named
        self._environ = environ
        self._clock = clock
        self._deadline = deadline

    async def best(self) -> tuple[DoorResult | None, Sequence[DoorResult]]:
        """Return the first door that is open, and those before it that are not.

        One that this binary has shown open is believed. One that was not is tried again: it may
        have been the machine's fault, and the doors behind it can do less. Raises
        ``CodexMissing``.
        """
        found, mark = await self._find()
        known = await self._store.load(mark)
        closed: list[DoorResult] = []
        for door in ORDER:
            result = known.get(door)
            if result is None or not result.open:
                result = await self._try(door, found, mark)
            if result.open:
                return result, closed
            closed.append(result)
        return None, closed

    async def ask(self, door: RuntimeName) -> DoorResult:
        """Return how one door is; it is tried unless it is known to be open.

        Raises ``CodexMissing``.
        """
        found, mark = await self._find()
        known = (await self._store.load(mark)).get(door)
        return known if known and known.open else await self._try(door, found, mark)

    async def look(self) -> Sequence[DoorResult]:
        """Try every door now, all at once. Raises ``CodexMissing``."""
        found, mark = await self._find()
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(self._try(door, found, mark)) for door in ORDER]
        return [task.result() for task in tries]

    async def _find(self) -> tuple[CodexBinary, Fingerprint]:
        return await asyncio.to_thread(_identify, self._named, self._environ)

    async def _try(self, door: RuntimeName, found: CodexBinary, mark: Fingerprint) -> DoorResult:
        result = await try_door(
            door, found, environ=self._environ, deadline=self._deadline, clock=self._clock
        )
        await self._store.save(mark, result)
        return result


async def try_door(
    door: RuntimeName,
    binary: CodexBinary,
    *,
    environ: Mapping[str, str],
    deadline: float,
    clock: Clock,
) -> DoorResult:
    """Knock at one door and wait at most ``deadline`` seconds; nothing is left running.

    Codex is started with an empty CODEX_HOME: whether it has the door is the question here, not
    whether the operator's configuration is sound, and nothing of his is touched.
    """
    began = clock.monotonic()
    version, reason = "", ""
    async with AsyncExitStack() as stack:
        knock = _Knock(binary, environ, stack)
        try:
            async with asyncio.timeout(deadline):
                version = await _KNOCKS[door](knock)
        except TimeoutError:
            reason = _short(knock.unanswered(deadline))
        except NetskyError as error:
            reason = _short(error.message)
        milliseconds = round((clock.monotonic() - began) * 1000)
    return DoorResult(
        door=door,
        open=not reason,
        version=version,
        milliseconds=milliseconds,
        reason=reason,
        tried_at=clock.now(),
    )


class _Knock:
    """One try of a door, and what was started for it: quoted when it does not answer."""

    def __init__(
        self, binary: CodexBinary, environ: Mapping[str, str], stack: AsyncExitStack
    ) -> None:
        self.path = binary.path
        self.environ = binary.environment(environ)
        self.stack = stack
        """What it closes is gone after the try."""
        self._asked = ""
        self._child: Child | None = None

    async def codex(self, verb: str) -> Child:
        """Start Codex in an empty CODEX_HOME."""
        home = tempfile.mkdtemp(prefix="netsky-probe-")  # not awaited: nothing may come between
        self.stack.push_async_callback(asyncio.to_thread, shutil.rmtree, home, ignore_errors=True)
        return await self._start([self.path, verb], {**self.environ, "CODEX_HOME": home}, cwd=home)

    async def first_line(self, argv: Sequence[str]) -> str:
        """Return what a program says first. Raises ``WireError`` when it ends without a word."""
        child = await self._start(argv, self.environ)
        line = await child.framing.receive()
        if line is None:
            raise self.ended("It said nothing.")
        return line.decode(errors="replace").strip()

    def ended(self, otherwise: str) -> WireError:
        """Say that the program ended, and of its last words only why; ``otherwise`` if none."""
        why = self._why()
        if hello.takes_for_prompt(why):
            verb = self._asked.rpartition(" ")[2]
            return WireError(f"This Codex has no {verb}: it takes the word for a prompt.")
        told = f"{self._asked} ended instead of answering"
        return WireError(f"{told}: {why}." if why else f"{told}. {otherwise}")

    def unanswered(self, seconds: float) -> str:
        """Say that no answer came in time, and what the program said instead."""
        why = self._why()
        return f"{self._asked} gave no answer within {seconds:g} s{f': {why}' if why else ''}."

    async def _start(
        self, argv: Sequence[str], environ: Mapping[str, str], *, cwd: str | None = None
    ) -> Child:
        self._asked = " ".join((Path(argv[0]).name, *argv[1:]))
        self._child = await Child.spawn(argv, env=environ, cwd=cwd)
        self.stack.push_async_callback(self._child.end, grace=END_SECONDS)
        return self._child

    def _why(self) -> str:
        said = self._child.stderr_tail() if self._child is not None else ""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = [line for line in lines if line.lower().startswith("error:")] or lines[-1:]
        return telling[0].rstrip(".") if telling else ""


async def _knock_at_app_server(knock: _Knock) -> str:
    greeting = hello.to_app_server()
    return hello.app_server_version(await _greet(knock, "app-server", greeting, mcp=False))


async def _knock_at_mcp_server(knock: _Knock) -> str:
    greeting = hello.to_mcp_server()
    answer = await _greet(knock, "mcp-server", greeting, mcp=True)
    if not part(answer, "serverInfo"):
        msg = "Its answer to initialize names no server."
        raise WireError(msg)
    return hello.mcp_server_version(answer)


async def _greet(knock: _Knock, verb: str, greeting: Mapping[str, Any], *, mcp: bool) -> Any:
    """Return what Codex answers to the greeting; ``mcp`` says that it speaks whole JSON-RPC."""
    child = await knock.codex(verb)
    peer = Peer(
        child.framing, on_request=_ignore_request, on_notification=_ignore, version_member=mcp
    )
    reading = await knock.stack.enter_async_context(asyncio.TaskGroup())
    reader = reading.create_task(peer.run())
    knock.stack.callback(reader.cancel)
    try:
        return await peer.request(hello.METHOD, greeting, deadline=DEADLINE)
    except PeerClosed as error:
        raise knock.ended(error.message) from error


async def _knock_at_resident(knock: _Knock) -> str:
    tmux = shutil.which("tmux", path=knock.environ.get("PATH"))
    oldest = ".".join(map(str, OLDEST_TMUX))
    if tmux is None:
        msg = f"There is no tmux on PATH: install tmux {oldest} or newer."
        raise Unhealthy(msg)
    told = await knock.first_line([tmux, "-V"])
    number = _TMUX.search(told)
    if number is None or (int(number[1]), int(number[2])) < OLDEST_TMUX:
        msg = f"{tmux} -V says {told!r}: install tmux {oldest} or newer."
        raise Unhealthy(msg)
    told = await knock.first_line([knock.path, "--version"])
    version = version_in(told)
    if not version:
        msg = f"{knock.path} --version says {told!r}, which is no version."
        raise Unhealthy(msg)
    return version


_KNOCKS: Final[Mapping[RuntimeName, Callable[[_Knock], Awaitable[str]]]] = {
    RuntimeName.APP_SERVER: _knock_at_app_server,
    RuntimeName.MCP_SERVER: _knock_at_mcp_server,
    RuntimeName.RESIDENT: _knock_at_resident,
}


def _identify(named: str, environ: Mapping[str, str]) -> tuple[CodexBinary, Fingerprint]:
    found = codex_binary.find(named, environ)
    path = codex_binary.real_path(found.path)
    try:
        status = Path(path).stat()
    except OSError as error:
        msg = f"The Codex at {path} has just gone: {error.strerror or error}."
        raise CodexMissing(msg, hint="Try again when it is installed.") from error
    return found, Fingerprint(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _short(message: str) -> str:
    """Make a message, and what it quotes, one line."""
    text = " ".join(message.split())
    return text if len(text) <= REASON_CHARACTERS else f"{text[:REASON_CHARACTERS]}…"


def _ignore_request(request_id: int | str, method: str, params: dict[str, Any]) -> None:
    """Leave it: nothing was asked of Codex that it would have to ask back."""


def _ignore(method: str, params: dict[str, Any]) -> None:
    """Drop it: a handshake wants no news."""
