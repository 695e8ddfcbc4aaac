"""Where the residents live: netsky's tmux server, what watches it, and who is attached."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from netsky_runtime.codex.base import LaunchSpec, StillWriting, ThreadUnavailable
from netsky_runtime.codex.binary import CodexBinary, codex_home
from netsky_runtime.codex.resident import launching, processes
from netsky_runtime.codex.resident.command import PROMPT_VARIABLE, Files
from netsky_runtime.codex.resident.control import Control
from netsky_runtime.codex.resident.following import Following
from netsky_runtime.codex.resident.pane import Pane
from netsky_runtime.codex.resident.resident import Resident
from netsky_runtime.codex.resident.screen import (
    ASIDE,
    HOW_LOOKS,
    Capture,
    Look,
    how_ended,
    says_how,
)
from netsky_runtime.codex.resident.tmux import Found, TmuxServer
from netsky_runtime.codex.resident.typing import Typist
from netsky_runtime.codex.resident.watch import Watch, Watcher
from netsky_runtime.codex.rollout import RolloutWatch
from netsky_runtime.supervise import Supervisor

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    import psutil

    from netsky_runtime.clock import Clock
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home

_T = TypeVar("_T")


class House:
    """From ``open`` to ``close`` of a runtime. The panes live longer."""

    def __init__(
        self,
        *,
        tmux: TmuxServer,
        binary: CodexBinary,
        home: Home,
        clock: Clock,
        environ: Mapping[str, str],
        log: Log,
    ) -> None:
        self.tmux = tmux
        self.binary = binary
        self._home = home
        self._clock = clock
        self._environ = environ
        self._log = log
        self._program = tmux.program()
        self._codex_home = Path(codex_home(environ))
        self._tasks = Supervisor(report=self._failed)
        self._control = Control(tmux=self._program, socket=home.tmux_socket, environ=environ)
        self._watch = Watch(control=self._control, clock=clock)
        self._rollouts = RolloutWatch(self._codex_home, clock=clock, log=log, roots=(home.attach,))
        self._attached: dict[str, tuple[Resident, Following]] = {}
        self._ending: dict[str, asyncio.Task[bool]] = {}

    def __len__(self) -> int:
        return len(self._attached)

    async def open(self) -> None:
        """Begin to watch."""
        await asyncio.to_thread(self._home.attach.mkdir, mode=0o700, exist_ok=True)
        await self._rollouts.open()
        self._tasks.keep("resident watch", self._watch.run, clock=self._clock)

    def troubles(self) -> Sequence[str]:
        """Say of what watches panes and rollouts that it ends again and again."""
        return [*self._tasks.troubles(), *self._rollouts.troubles()]

    async def close(self) -> None:
        """Let go of every pane, and watch no more."""
        for resident, _ in list(self._attached.values()):
            await self.let_go(resident)
        await self._tasks.close()
        await self._rollouts.close()
        await self._control.close()

    async def launch(self, spec: LaunchSpec, thread_id: str) -> tuple[Resident, Following]:
        """Start Codex in a pane of its own. Raises ``InputRejected``, ``ThreadUnavailable``.

        Whoever is cancelled over it leaves none.
        """
        session = launching.session_name(spec)
        await self._vacated(session)
        command = await asyncio.to_thread(
            launching.write_files,
            self._files(session),
            spec,
            codex=self.binary.path,
            environ=self.binary.environment(self._environ),
            thread_id=thread_id,
        )
        marks = {"@netsky_mark": spec.mark, "@netsky_thread": thread_id}
        work = asyncio.to_thread(self.tmux.make, session, command, cwd=spec.cwd, options=marks)
        making = self._tasks.spawn("resident make", _outcome(work))
        try:
            made = await asyncio.shield(making)
        except asyncio.CancelledError:
            unmaking = self._tasks.spawn("resident end", self._unmake(making, session))
            self._ending[session] = unmaking
            raise
        if isinstance(made, ThreadUnavailable):
            raise made
        pane, pid = made
        return self.take(
            Found(
                pane=pane,
                pid=pid,
                session=session,
                dead=False,
                mark=spec.mark,
                thread_id=thread_id,
            )
        )

    def take(self, found: Found) -> tuple[Resident, Following]:
        """Attach to a living pane."""
        pane = Pane(found.pane, session=found.session, control=self._control)
        resident = Resident(
            pane=pane,
            leader=processes.leader(found.pid),
            mark=found.mark,
            typist=Typist(pane, clock=self._clock),
            clock=self._clock,
        )
        following = Following(
            resident,
            notify=self._files(found.session).notify,
            codex_home=self._codex_home,
            rollouts=self._rollouts,
            tasks=self._tasks,
            named=lambda thread_id: self._named(found.session, thread_id),
        )
        self._attached[found.pane] = (resident, following)
        return resident, following

    def held(self, pane: str) -> Resident | None:
        """Return who is attached to a pane."""
        found = self._attached.get(pane)
        return found[0] if found else None

    def watch(self, resident: Resident, following: Following) -> None:
        """Look at a pane once a second from now on, and tell what becomes of it."""
        server = processes.parent(resident.leader)
        looking: asyncio.Task[None] | None = None
        untold = 0

        def seen(shot: Capture) -> None:
            nonlocal looking, untold
            if shot.dead and not says_how(shot) and untold < HOW_LOOKS:
                untold += 1
                watcher.look_again()
                return
            if shot.dead:
                self._lost(resident, how_ended(shot))
                return
            resident.seen(shot, look_again=watcher.look_again)
            if resident.thread_id and not resident.elsewhere:
                return
            if looking is not None and not looking.done():
                watcher.look_again()
                return
            # A human may have answered a dialog, begun the first turn, or gone back to the thread.
            looking = self._tasks.spawn("resident thread", following.look())

        def gone(reason: str) -> None:
            self._lost(resident, f"Codex is gone: {reason}")

        def silent(reason: str) -> None:
            if server is not None and not processes.lives(server):
                self._lost(resident, f"Codex is gone with its tmux server: {reason}")
                return
            resident.end(f"The pane is out of sight: {reason}")
            self._tasks.spawn("resident let go", self.let_go(resident))

        watcher = Watcher(
            resident.pane.id,
            seen=seen,
            gone=gone,
            silent=silent,
            lives=lambda: resident.leader is not None and processes.lives(resident.leader),
        )
        self._watch.add(watcher)

    def screen(self, resident: Resident) -> tuple[str, ...]:
        """Return the command that shows a pane to a human."""
        socket = str(self._home.tmux_socket)
        # tmux refuses to be started in a pane of another, though that is what the operator wants.
        command = ("env", "-u", "TMUX", self._program, "-S", socket, "attach-session")
        return (*command, "-t", f"={resident.pane.session}")

    async def let_go(self, resident: Resident) -> None:
        """Watch a pane no longer; it lives on."""
        resident.end(None)
        held = self._attached.get(resident.pane.id)
        if held is not None and held[0] is resident:
            del self._attached[resident.pane.id]
            self._watch.remove(resident.pane.id)
            await held[1].close()

    async def end(self, resident: Resident) -> None:
        """End a pane with every process in it, also when the caller is cancelled over it.

        Raises ``StillWriting``.
        """
        session = resident.pane.session
        ending = self._tasks.spawn("resident end", self._end_attached(resident))
        await self._ended(session, ending)

    async def end_found(self, found: Found) -> None:
        """End a pane that nobody is attached to, also when the caller is cancelled over it.

        Raises ``StillWriting``.
        """
        leader = None if found.dead else processes.leader(found.pid)
        work = asyncio.to_thread(self._end, found.session, leader)
        await self._ended(found.session, self._tasks.spawn("resident end", work))

    async def vacate(self, found: Found) -> str:
        """End a pane in which nothing runs, unless a human needs it.

        Returns why it stays, empty when it does not. Raises ``ControlLost``,
        ``ThreadUnavailable``, ``StillWriting``.
        """
        if self.held(found.pane) is not None:
            return "it is attached to again"
        if found.attached:
            return "somebody looks at its screen"
        if not found.dead:
            pane = Pane(found.pane, session=found.session, control=self._control)
            _, reading = await Typist(pane, clock=self._clock).settled()
            if reading.look in {Look.BUSY, Look.APPROVAL}:
                return "a turn runs there"
            if reading.reason == ASIDE:  # it is written nowhere, and a turn may run in it
                return "a side conversation is open there"
            if reading.look is Look.TYPED:
                return "somebody's words stand in its composer"
        await self.end_found(found)
        return ""

    def _lost(self, resident: Resident, reason: str) -> None:
        resident.end(reason)
        session = resident.pane.session
        ending = self._tasks.spawn("resident end", self._end_attached(resident))
        self._ending[session] = ending

    async def _end_attached(self, resident: Resident) -> bool:
        await self.let_go(resident)
        session = resident.pane.session
        gone = await asyncio.to_thread(self._end, session, resident.leader)
        if not gone:
            self._log("warning", "a process of a pane does not end", {"session": session})
        return gone

    async def _ended(self, session: str, ending: asyncio.Task[bool]) -> None:
        self._ending[session] = ending
        await asyncio.wait([ending])
        if ending.cancelled() or not ending.result():
            raise _stays(session)

    async def _unmake(self, making: asyncio.Task[Any], session: str) -> bool:
        await asyncio.wait([making])
        return await asyncio.to_thread(self._end, session, None)

    async def _vacated(self, session: str) -> None:
        """Return when nothing lives any more of earlier panes of this name.

        One of them would write the thread beside its successor, and its end, known by the name,
        would take the successor along. Raises ``StillWriting``.
        """
        if (ending := self._ending.get(session)) is not None:
            await asyncio.wait([ending])
        # A netsky that was killed, or a server, has left what nobody knows by its process.
        if not await asyncio.to_thread(self._sweep, session):
            raise _stays(session)

    def _end(self, session: str, leader: psutil.Process | None) -> bool:
        members = processes.family(leader)
        with suppress(ThreadUnavailable):  # a tmux that hangs: they can be ended without it
            self.tmux.kill(session)
        gone = processes.end(members)
        # What it started in its last moment, or had started when it was killed.
        return self._sweep(session) and gone

    def _sweep(self, session: str) -> bool:
        return processes.end_marked(PROMPT_VARIABLE, str(self._files(session).prompt))

    def _named(self, session: str, thread_id: str) -> None:
        work = asyncio.to_thread(self.tmux.name_thread, session, thread_id)
        self._tasks.spawn("resident name", work)

    def _files(self, session: str) -> Files:
        return Files(folder=self._home.attach / session)

    def _failed(self, name: str, error: BaseException) -> None:
        self._log("error", "a resident's task has failed", {"task": name, "error": repr(error)})


async def _outcome(work: Coroutine[Any, Any, _T]) -> _T | ThreadUnavailable:
    # Not raised: the task is reported to nobody but who waits for it.
    try:
        return await work
    except ThreadUnavailable as error:
        return error


def _stays(session: str) -> StillWriting:
    msg = f"A process of the pane {session} does not end."
    return StillWriting(msg, hint="See what still runs: ps -ef | grep codex")
