"""Doors are found by shaking hands, within a deadline, and remembered for one binary."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.binary import CodexBinary
from netsky_runtime.codex.probe import Doors, Fingerprint, Forgetful, try_door
from netsky_runtime.errors import CodexMissing
from netsky_runtime.records import DoorResult
from netsky_runtime.states import RuntimeName
from netsky_runtime.wire.groups import group_alive

if TYPE_CHECKING:
    from collections.abc import Mapping

APP, MCP, RESIDENT = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT
ARGUMENT = {APP: "app-server", MCP: "mcp-server", RESIDENT: "--version"}
PATIENCE = 30.0
"""Seconds for a stand-in that answers; a test that waits so long has failed."""
SOON = 0.2
"""Seconds for a stand-in that never answers."""

VERSION = "echo codex-cli 0.150.0"
APP_SERVER = """read line; echo '{"id":1,"result":{"userAgent":"netsky/0.150.0 (x)"}}'; cat >&2"""
MCP_SERVER = (
    "read line; "
    """echo '{"jsonrpc":"2.0","id":1,"result":{"serverInfo":{"version":"0.150.0"}}}'; cat >&2"""
)
PROMPT = "echo 'WARNING: no PATH aliases' >&2; echo 'Error: stdin is not a terminal' >&2; exit 1"
HANGS = 'echo $$ >> "$(dirname "$0")/pids"; sleep 600 & wait'


class Stage:
    """A stand-in for Codex and one for tmux, each doing what a test wants of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"PATH": f"{folder}:/usr/bin:/bin", "CODEX_HOME": "/no/codex/home"}
        self.tmux()

    def codex(
        self, *, app: str = APP_SERVER, mcp: str = MCP_SERVER, version: str = VERSION
    ) -> CodexBinary:
        """Install a Codex; every start is counted in a file beside it."""
        lines = (
            "#!/bin/sh",
            'echo "$1 ${CODEX_HOME}" >> "$(dirname "$0")/starts"',
            'case "$1" in',
            f"app-server) {app};;",
            f"mcp-server) {mcp};;",
            f"--version) {version};;",
            "*) exit 64;;",
            "esac",
        )
        return CodexBinary(path=self._install("codex", lines), origin="a test")

    def tmux(self, says: str = "tmux 3.3a") -> None:
        self.tmux_that(f"echo '{says}'")

    def tmux_that(self, does: str) -> None:
        self._install("tmux", ("#!/bin/sh", does))

    def no_tmux(self) -> None:
        (self.folder / "tmux").unlink()
        self.environ["PATH"] = str(self.folder)

    def starts(self) -> list[str]:
        """Return what Codex was started with, since it was last asked."""
        path = self.folder / "starts"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.partition(" ")[0] for line in lines]

    def _install(self, name: str, lines: tuple[str, ...]) -> str:
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)
        return str(path)

    async def knock(
        self, door: RuntimeName, binary: CodexBinary, *, deadline: float = PATIENCE
    ) -> DoorResult:
        return await try_door(
            door, binary, environ=self.environ, deadline=deadline, clock=SystemClock()
        )

    def doors(self, store: Any = None) -> Doors:
        return Doors(
            store=store or Forgetful(),
            named=str(self.folder / "codex"),
            environ=self.environ,
            clock=SystemClock(),
            deadline=PATIENCE,
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    folder = tmp_path / "bin"
    folder.mkdir()
    return Stage(folder)


@dataclass
class Memory:
    """A ``DoorStore`` that a test can look into."""

    known: dict[Fingerprint, dict[RuntimeName, DoorResult]] = field(default_factory=dict)

    async def load(self, binary: Fingerprint) -> Mapping[RuntimeName, DoorResult]:
        return dict(self.known.get(binary, {}))

    async def save(self, binary: Fingerprint, result: DoorResult) -> None:
        self.known.setdefault(binary, {})[result.door] = result


# -- one door ------------------------------------------------------------------------------


@pytest.mark.parametrize("door", [APP, MCP, RESIDENT])
async def test_a_door_that_answers_is_open_and_tells_its_version(stage, door):
    result = await stage.knock(door, stage.codex())
    assert (result.door, result.open, result.version, result.reason) == (door, True, "0.150.0", "")


class Quarters(SystemClock):
    """A quarter of a second passes whenever somebody looks."""

    def __init__(self) -> None:
        self._looked = 0

    def now(self) -> int:
        return 77

    def monotonic(self) -> float:
        self._looked += 1
        return 1000 + self._looked / 4


@pytest.mark.parametrize("codex", [{}, {"app": PROMPT}], ids=["open", "closed"])
async def test_a_try_says_when_it_was_and_how_long_it_took(stage, codex):
    result = await try_door(
        APP, stage.codex(**codex), environ=stage.environ, deadline=PATIENCE, clock=Quarters()
    )
    assert (result.tried_at, result.milliseconds) == (77, 250)


@pytest.mark.parametrize("door", [APP, MCP])
async def test_a_codex_that_takes_the_word_for_a_prompt_has_not_the_door(stage, door):
    result = await stage.knock(door, stage.codex(app=PROMPT, mcp=PROMPT))
    assert not result.open
    verb = door.value.replace("_", "-")
    assert result.reason == f"This Codex has no {verb}: it takes the word for a prompt."


@pytest.mark.parametrize("door", [APP, MCP, RESIDENT])
async def test_a_door_that_never_answers_is_given_up_and_its_whole_group_is_gone(stage, door):
    silent = stage.codex(app=HANGS, mcp=HANGS, version=HANGS)
    result = await stage.knock(door, silent, deadline=SOON)
    assert not result.open
    assert result.reason.endswith(" gave no answer within 0.2 s.")
    assert result.reason.startswith(f"codex {ARGUMENT[door]}")
    # A machine that is too busy to start the stand-in in time has nothing to leave behind.
    pids = stage.folder / "pids"
    for pid in map(int, pids.read_text().split() if pids.exists() else []):
        assert not group_alive(pid)


async def test_what_a_codex_said_before_it_fell_silent_is_told(stage):
    silent = f"echo 'waiting for the network' >&2; {HANGS}"
    result = await stage.knock(MCP, stage.codex(mcp=silent), deadline=SOON * 5)
    assert result.reason.endswith("within 1 s: waiting for the network.")


@pytest.mark.parametrize("door", [APP, MCP, RESIDENT])
async def test_a_codex_that_cannot_run_here_says_why_at_each_door(stage, door):
    broken = "echo 'libssl.so.3: cannot open shared object file' >&2; exit 127"
    result = await stage.knock(door, stage.codex(app=broken, mcp=broken, version=broken))
    told = f"codex {ARGUMENT[door]} ended instead of answering: libssl.so.3: cannot open"
    assert result.reason.startswith(told)


async def test_a_tmux_that_never_answers_is_named(stage):
    stage.tmux_that("sleep 600 & wait")
    result = await stage.knock(RESIDENT, stage.codex(), deadline=SOON)
    assert result.reason == "tmux -V gave no answer within 0.2 s."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("read line; echo hello", "ended"),
        ("""read line; echo '{"id":1,"error":{"code":-32601,"message":"no such"}}'""", "no such"),
        ("""read line; echo '{"jsonrpc":"2.0","id":1,"result":{}}'""", "names no server"),
        ("exit 3", "ended"),
    ],
)
async def test_an_answer_that_is_no_handshake_shuts_the_door(stage, answer, reason):
    result = await stage.knock(MCP, stage.codex(mcp=answer))
    assert not result.open
    assert reason in result.reason


async def test_codex_is_asked_in_an_empty_home_that_is_gone_afterwards(stage):
    homes = stage.folder / "starts"
    await stage.knock(APP, stage.codex())
    ((_, home),) = [line.split(" ", 1) for line in homes.read_text().splitlines()]
    assert home != stage.environ["CODEX_HOME"]
    assert not await asyncio.to_thread(Path(home).exists)


async def test_without_tmux_there_is_no_resident(stage):
    binary = stage.codex()
    stage.no_tmux()
    result = await stage.knock(RESIDENT, binary)
    assert not result.open
    assert result.reason == "There is no tmux on PATH: install tmux 3.2 or newer."


@pytest.mark.parametrize("says", ["tmux 3.1c", "tmux 2.9", "hello"])
async def test_a_tmux_that_is_too_old_is_told_with_its_version(stage, says):
    binary = stage.codex()
    stage.tmux(says)
    result = await stage.knock(RESIDENT, binary)
    assert not result.open
    assert says in result.reason
    assert "3.2" in result.reason


async def test_a_codex_that_tells_no_version_is_no_resident(stage):
    result = await stage.knock(RESIDENT, stage.codex(version="echo hello"))
    assert not result.open
    assert "no version" in result.reason


async def test_a_file_that_cannot_be_started_is_a_reason_too(stage, tmp_path):
    binary = CodexBinary(path=str(tmp_path / "missing"), origin="a test")
    for door in (APP, MCP, RESIDENT):
        result = await stage.knock(door, binary)
        assert not result.open
        assert "could not be started" in result.reason


# -- all of them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "mcp", "tmux", "best", "closed"),
    [
        (APP_SERVER, MCP_SERVER, True, APP, []),
        (PROMPT, MCP_SERVER, True, MCP, [APP]),
        (PROMPT, PROMPT, True, RESIDENT, [APP, MCP]),
        (PROMPT, PROMPT, False, None, [APP, MCP, RESIDENT]),
    ],
)
async def test_the_best_door_is_the_first_that_is_open(stage, app, mcp, tmux, best, closed):
    stage.codex(app=app, mcp=mcp)
    if not tmux:
        stage.no_tmux()
    found, passed = await stage.doors().best()
    assert (found.door if found else None) is best
    assert [result.door for result in passed] == closed
    assert all(result.reason for result in passed)


async def test_an_open_door_is_believed_until_the_binary_is_another(stage):
    stage.codex()
    memory = Memory()
    assert (await stage.doors(memory).best())[0].door is APP
    assert stage.starts() == ["app-server"]
    assert (await stage.doors(memory).best())[0].door is APP
    assert stage.starts() == []
    stage.codex(app=PROMPT)
    assert (await stage.doors(memory).best())[0].door is MCP
    assert stage.starts() == ["app-server", "mcp-server"]


async def test_a_link_is_the_binary_that_it_leads_to(stage, tmp_path):
    stage.codex()
    memory = Memory()
    await stage.doors(memory).best()
    link = tmp_path / "link"
    link.symlink_to(stage.folder / "codex")
    linked = Doors(
        store=memory, named=str(link), environ=stage.environ, clock=SystemClock(), deadline=PATIENCE
    )
    stage.starts()
    assert (await linked.best())[0].door is APP
    assert stage.starts() == []
    assert len(memory.known) == 1


async def test_a_door_that_was_shut_is_tried_again_by_the_next_start(stage):
    stage.codex()
    memory = Memory()
    await stage.doors(memory).best()
    (results,) = memory.known.values()
    results[APP] = replace(results[APP], open=False, reason="The machine was busy.")
    stage.starts()
    assert (await stage.doors(memory).best())[0].door is APP
    assert stage.starts() == ["app-server"]


async def test_a_look_tries_every_door_anew_and_is_remembered(stage):
    stage.codex(mcp=PROMPT)
    memory = Memory()
    await stage.doors(memory).look()
    results = await stage.doors(memory).look()
    assert [(result.door, result.open) for result in results] == [
        (APP, True),
        (MCP, False),
        (RESIDENT, True),
    ]
    assert sorted(stage.starts()) == sorted(["app-server", "mcp-server", "--version"] * 2)
    (known,) = memory.known.values()
    assert known == {result.door: result for result in results}


async def test_one_door_is_asked_for_only_when_it_is_not_known_to_be_open(stage):
    stage.codex(mcp=PROMPT)
    doors = stage.doors(Memory())
    for door, is_open in ((APP, True), (APP, True), (MCP, False), (MCP, False)):
        assert (await doors.ask(door)).open is is_open
    assert stage.starts() == ["app-server", "mcp-server", "mcp-server"]


async def test_without_a_codex_nothing_is_tried(stage):
    for ask in (stage.doors().best, stage.doors().look):
        with pytest.raises(CodexMissing):
            await ask()
