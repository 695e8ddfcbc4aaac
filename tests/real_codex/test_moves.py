"""Actors moved between the doors of a real Codex, through the command line."""

from __future__ import annotations

import shlex
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from netsky_runtime.codex.rollout import find_thread, read_history
from tests.support.netsky import PATIENCE, Netsky

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from netsky_runtime.torture.model_server import ModelServer

ENGINE, PANE = "engine", "pane"
APP, RESIDENT = "app_server", "resident"
FAILED = 1

DOORMAN = """\
#!/bin/sh
# Codex, whose screens wait at the gates that a test has shut: before they are there, and after.
gate() {{
    [ -e "$1" ] || return 0
    : > "$1.reached"
    while [ -e "$1" ]; do sleep 0.02; done
}}
case " $* " in *" --no-alt-screen "*) ;; *) exec {codex} "$@" ;; esac
gate {root}/before
trap : HUP TERM
{codex} "$@"
code=$?
gate {root}/after
exit $code
"""


class Moving(Netsky):
    """A home whose one actor changes doors."""

    def move(self, to: str, *options: str, actor: str = "manager0") -> Any:
        """Move the actor and return what is told of it then."""
        return self.json("--runtime", to, "actors", "move", actor, *options)

    def refused(self, to: str) -> subprocess.CompletedProcess[str]:
        """Be refused a move; the actor is where it was."""
        told = self.run("--runtime", to, "actors", "move", "manager0")
        assert told.returncode == FAILED, told.stdout
        return told

    def session(self, actor: str = "manager0") -> Any:
        return self.json("actors", "show", actor)["session"]

    def heard(self, thread_id: str) -> list[str]:
        """Return the users' messages of a thread, from what Codex has written down."""
        rollout = find_thread(self.root / "codex-home", thread_id)
        assert rollout is not None
        turns = read_history(rollout, running=False)
        return [item.text for turn in turns for item in turn.items if item.type == "user_message"]

    def times_heard(self, input_id: str) -> int:
        return times([input_id], self.heard(self.session()["thread_id"]))[0]

    def gate(self, name: str) -> Gate:
        """Shut a gate of the doorman's."""
        return Gate(self, self.root / name)


class Gate:
    """Keeps a Codex's screen waiting; open after the block."""

    def __init__(self, here: Moving, path: Path) -> None:
        self._here = here
        self._path = path

    def __enter__(self) -> Gate:
        self._path.touch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open()

    def open(self) -> None:
        self._path.unlink(missing_ok=True)

    def reached(self) -> None:
        """Wait until somebody stands before it."""
        self._here.until(self._path.with_name(f"{self._path.name}.reached").exists)


class Writers(threading.Thread):
    """Looks again and again who has a thread's rollout open; ``seen`` is who had, in order.

    A machine that is busy looks seldom: that nobody had it for a moment may not be seen.
    """

    def __init__(self, here: Netsky, thread_id: str) -> None:
        super().__init__()
        self._home = str(here.root / "codex-home")
        self._thread_id = thread_id
        self._over = threading.Event()
        self.seen: list[list[str]] = []

    def __enter__(self) -> Writers:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.005):
            now = self._look()
            if len(now) > 1:
                now = self._look()  # one look is not one moment: both may have had it in turn
            if now and (not self.seen or self.seen[-1] != now):
                self.seen.append(now)

    def _look(self) -> list[str]:
        found = []
        for process in psutil.process_iter(["name"]):
            try:
                if process.info["name"] == "codex" and self._writes(process):
                    found.append(ENGINE if "app-server" in process.cmdline() else PANE)
            except (psutil.Error, OSError):
                continue
        return found

    def _writes(self, process: psutil.Process) -> bool:
        if process.environ().get("CODEX_HOME") != self._home:
            return False
        files = process.open_files()
        return any(self._thread_id in file.path and file.mode != "r" for file in files)


@pytest.fixture
def here(codex_binary: Path, model: ModelServer, tmp_path: Path) -> Iterator[Moving]:
    """Return a home with a doorman before Codex; nothing of it is left after the test."""
    model.write_codex_config(tmp_path / "codex-home")
    doorman = tmp_path / "doorman"
    codex, root = shlex.quote(str(codex_binary)), shlex.quote(str(tmp_path))
    doorman.write_text(DOORMAN.format(codex=codex, root=root))
    doorman.chmod(0o755)
    made = Moving(
        tmp_path,
        environ={
            "CODEX_HOME": str(tmp_path / "codex-home"),
            "NETSKY_CODEX_BIN": str(doorman),
            "AGENT_CODEX_SANDBOX": "read-only",
        },
    )
    try:
        yield made
        model.release()
        made.leaves_nothing()
    finally:
        model.release()
        made.clean_up()


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., None]]:
    """Return what runs a command beside the test; they are all over after it."""
    beside: list[threading.Thread] = []

    def run(command: Callable[..., Any], *words: str) -> None:
        beside.append(threading.Thread(target=command, args=words))
        beside[-1].start()

    yield run
    for thread in beside:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def times(inputs: Sequence[str], texts: Sequence[str]) -> list[int]:
    """Return how many of the texts carry each of the inputs."""
    return [sum(f'input="{input_id}"' in text for text in texts) for input_id in inputs]


def shown_to(model: ModelServer) -> list[str]:
    """Return the users' words of the model's last request."""
    messages = [item for item in model.requests[-1]["input"] if item.get("role") == "user"]
    return [part["text"] for message in messages for part in message["content"]]


def test_a_worker_goes_to_the_resident_door_and_back_with_one_conversation(
    here: Moving, model: ModelServer
) -> None:
    here.start()
    worker = here.json("actors", "start-worker", "T", "SAY[ready]")["actor_id"]
    here.until(lambda: here.json("actors", "show", worker)["turns"])
    thread_id = here.session(worker)["thread_id"]
    sent = []

    def told(words: str) -> None:
        answer = here.ask(f"SAY[{words}]", to=worker)
        assert answer["reply"]["body"] == words
        sent.append(answer["input_id"])

    with Writers(here, thread_id) as writers:
        told("before")
        there = here.move(RESIDENT, actor=worker)
        assert worker in here.tmux("list-sessions")
        told("between")
        back = here.move(APP, actor=worker)
        assert worker not in here.tmux("list-sessions")
        told("after")

    assert (there["runtime"], back["runtime"]) == (RESIDENT, APP)
    assert [there["thread_id"], back["thread_id"], here.session(worker)["thread_id"]] == [
        thread_id
    ] * 3
    assert writers.seen == [[ENGINE], [PANE], [ENGINE]]
    assert times(sent, here.heard(thread_id)) == [1, 1, 1]
    assert times(sent, shown_to(model)) == [1, 1, 1]
    turns = [turn["final_text"] for turn in here.json("actors", "show", worker)["turns"]]
    assert turns == ["after", "between", "before", "ready"]


@pytest.mark.parametrize(("first", "to"), [(APP, RESIDENT), (RESIDENT, APP)])
def test_a_turn_is_left_only_when_it_may_be_interrupted(
    here: Moving, model: ModelServer, first: str, to: str
) -> None:
    here.environ["AGENT_RUNTIME"] = first
    here.start()
    here.ask("SAY[warm]")
    running = here.send("HANG SAY[too late]")
    model.wait_hanging()
    waiting = here.send("SAY[in the end]")

    told = here.refused(to)
    assert "in the middle of a turn" in told.stderr
    assert "--interrupt" in told.stderr
    assert here.session()["runtime"] == first
    assert here.input(running)["status"] == "seen"
    moved = here.move(to, "--interrupt")

    assert moved["runtime"] == to
    assert here.settled(running)["status"] == "interrupted"
    assert here.settled(waiting)["status"] == "answered"
    assert [here.times_heard(running), here.times_heard(waiting)] == [1, 1]


def test_words_that_come_while_an_actor_is_moved_are_heard_once_where_it_goes(
    here: Moving, meanwhile: Callable[..., None]
) -> None:
    here.start()
    here.ask("SAY[warm]")
    with here.gate("before") as gate:
        meanwhile(here.move, RESIDENT)
        gate.reached()
        posted = here.send("SAY[there]")
        assert "being moved already" in here.refused(RESIDENT).stderr
        assert (here.input(posted)["status"], here.input(posted)["attempts"]) == ("queued", 0)

    assert here.settled(posted)["status"] == "answered"
    assert here.session()["runtime"] == RESIDENT
    assert here.times_heard(posted) == 1
    with here.gate("after") as gate:
        meanwhile(here.move, APP)
        gate.reached()
        posted = here.send("SAY[back]")
    assert here.settled(posted)["status"] == "answered"
    assert here.session()["runtime"] == APP
    assert here.times_heard(posted) == 1


@pytest.mark.parametrize(
    ("first", "to", "gate"),
    [(APP, RESIDENT, "before"), (RESIDENT, APP, "after")],
    ids=["when the engine has let go", "when the pane has ended"],
)
def test_a_netsky_that_is_killed_in_the_middle_of_a_move_finds_the_actor_at_one_door(
    here: Moving, meanwhile: Callable[..., None], first: str, to: str, gate: str
) -> None:
    here.environ["AGENT_RUNTIME"] = first
    here.start()
    warm = here.ask("SAY[warm]")["input_id"]
    thread_id = here.session()["thread_id"]
    with here.gate(gate) as shut:
        meanwhile(here.run, "--runtime", to, "actors", "move", "manager0")
        shut.reached()
        here.kill()
        sent = here.send("SAY[there]")
    with Writers(here, thread_id) as writers:
        here.start()
        assert here.settled(sent)["status"] == "answered"
        session = here.session()
        assert (session["runtime"], session["thread_id"]) == (RESIDENT, thread_id)
        here.move(APP)
        last = here.ask("SAY[and on]")["input_id"]

    assert writers.seen == [[PANE], [ENGINE]]
    assert times([warm, sent, last], here.heard(thread_id)) == [1, 1, 1]
