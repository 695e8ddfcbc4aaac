"""Threads on the mcp-server of a real Codex: what overlaps, what dies, what moves away."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from netsky_runtime.codex.base import Batch, ThreadGone, ThreadUnavailable, TurnRunning
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.rollout import find_thread, read_history
from netsky_runtime.states import TurnStatus
from tests.real_codex.conftest import Told
from tests.support.den import MODELS
from tests.support.netsky import PATIENCE, Netsky

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from netsky_runtime.torture.model_server import ModelServer
    from tests.real_codex.conftest import Bench


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


class McpNetsky(Netsky):
    """A netsky whose actors go through the mcp-server."""

    @property
    def codex_home(self) -> Path:
        return self.root / "codex-home"

    def server(self) -> psutil.Process:
        """Return the mcp-server that runs."""
        [found] = [p for p in self.processes() if "mcp-server" in p.cmdline()]
        return found

    def kill_server(self) -> psutil.Process:
        """SIGKILL the mcp-server; return what it was."""
        server = self.server()
        os.killpg(server.pid, signal.SIGKILL)
        return server

    def session(self, actor: str = "manager0") -> dict[str, Any]:
        """Return an actor's session as the command line shows it."""
        return dict(self.json("actors", "show", actor)["session"])

    def heard(self, thread_id: str) -> list[str]:
        """Return all that was ever said to a thread, by its own history."""
        path = find_thread(self.codex_home, thread_id)
        assert path is not None
        turns = read_history(path, running=False)
        return [i.text for turn in turns for i in turn.items if i.type == "user_message"]

    def times_heard(self, thread_id: str, input_id: str) -> int:
        """Return how many messages of a thread carry an input."""
        return sum(f'input="{input_id}"' in text for text in self.heard(thread_id))

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Return the log rows of a message."""
        rows = self.lines("logs", "tail", "--limit", "500")
        return [row for row in rows if row["message"] == message]

    def messages(self) -> list[dict[str, Any]]:
        return self.lines("messages", "list")

    def lines(self, *args: str) -> list[dict[str, Any]]:
        """Run a command that prints one JSON object a line."""
        return [json.loads(line) for line in self.run(*args, "--json").stdout.splitlines()]


@pytest.fixture
def netsky(old_codex_binary: Path, model: ModelServer, tmp_path: Path) -> Iterator[McpNetsky]:
    model.write_codex_config(tmp_path / "codex-home")
    here = McpNetsky(
        tmp_path,
        environ={
            "AGENT_CODEX_MODEL": MODELS["0.153.4"],
            "AGENT_RUNTIME": "mcp_server",
            "AGENT_CODEX_SANDBOX": "read-only",
            "CODEX_HOME": str(tmp_path / "codex-home"),
            "NETSKY_CODEX_BIN": str(old_codex_binary),
        },
    )
    try:
        yield here
        model.release()
        here.leaves_nothing()
    finally:
        model.release()
        here.clean_up()


# -- one thread, two messages ----------------------------------------------------------------


async def test_of_two_messages_at_once_one_is_told_to_wait_and_both_are_answered(
    old_bench: Bench,
) -> None:
    runtime = old_bench.mcp_runtime()
    await runtime.open()
    session = await runtime.start(old_bench.spec())
    told = Told(session)
    sent = [batch(f"SAY[answer {number}]", number) for number in (1, 2)]
    outcomes = await asyncio.gather(*map(session.submit, sent), return_exceptions=True)
    [first] = [b for b, outcome in zip(sent, outcomes, strict=True) if outcome is None]
    [second] = [b for b, refused in zip(sent, outcomes, strict=True) if refused is not None]
    assert isinstance(next(filter(None, outcomes)), TurnRunning)
    ended = await told.turn_end()
    await session.submit(second)
    assert (await told.turn_end()).turn_id != ended.turn_id
    turns = await session.history()
    said = [[i.client_id for i in turn.items if i.type == "user_message"] for turn in turns]
    assert said == [[first.id], [second.id]]
    assert [turn.items[-1].text for turn in turns] == [
        b.text.removeprefix("SAY[").removesuffix("]") for b in (first, second)
    ]


def test_sends_that_overlap_are_all_answered_one_turn_after_the_other(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    first = netsky.send("HANG SAY[one]")
    netsky.seen(first)
    model.wait_hanging()
    second = netsky.send("SAY[two]")
    asking = [
        subprocess.Popen(
            [*netsky.argv, "send", "manager0", f"SAY[{word}]", "--wait", "--json"],
            env=netsky.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        for word in ("three", "four")
    ]
    netsky.until(lambda: netsky.json("status")["counts"]["inputs_pending"] == 4)
    assert netsky.input(second)["status"] == "queued"
    model.release()
    told = [json.loads(process.communicate(timeout=PATIENCE)[0]) for process in asking]
    rows = [netsky.settled(first), netsky.settled(second)]
    ids = [first, second, *(answer["input_id"] for answer in told)]
    assert [row["status"] for row in rows] == ["answered"] * 2
    assert [answer["status"] for answer in told] == ["answered"] * 2
    thread_id = netsky.session()["thread_id"]
    assert [netsky.times_heard(thread_id, input_id) for input_id in ids] == [1] * 4
    turns = netsky.json("actors", "show", "manager0")["turns"][::-1]
    assert rows[0]["turn_id"] == turns[0]["id"]
    assert rows[1]["turn_id"] == turns[1]["id"]
    for before, after in itertools.pairwise(turns):
        assert before["completed_at"] <= after["started_at"]
    # Nobody waits for an answer that another one swallowed.
    assert netsky.ask("SAY[five]")["reply"]["body"] == "five"


# -- a process that dies ---------------------------------------------------------------------


async def test_a_process_that_is_killed_tells_every_thread_and_the_next_knows_none(
    old_bench: Bench,
) -> None:
    runtime = old_bench.mcp_runtime()
    await runtime.open()
    idle = await runtime.start(old_bench.spec())
    idle_told = Told(idle)
    await idle.submit(batch("SAY[one]"))
    await idle_told.turn_end()
    busy = await runtime.start(old_bench.spec())
    told = Told(busy)
    await busy.submit(batch("HANG"))
    await told.next(EventKind.ITEM_COMPLETED)
    await asyncio.to_thread(old_bench.model.wait_hanging)
    unborn = await runtime.start(old_bench.spec())
    before = old_bench.engine()
    os.killpg(before.pid, signal.SIGKILL)
    for lost in (idle_told, told, Told(unborn)):
        assert (await lost.next(EventKind.SESSION_LOST)).data["reason"]
    with pytest.raises(ThreadUnavailable):
        await unborn.submit(batch("SAY[too late]", 2))
    [line] = [line for line in old_bench.logged if line[0] == "error"]
    assert line[2]["threads"] == 3
    await runtime.open()
    assert old_bench.engine().pid != before.pid
    for thread_id in (idle.thread_id, busy.thread_id):
        with pytest.raises(ThreadGone):
            await runtime.resume(thread_id, old_bench.spec())
    fresh = await runtime.start(old_bench.spec())
    await fresh.submit(batch("SAY[fresh]", 3))
    await Told(fresh).turn_end()
    # What became of the turn is written down, for whoever continues the thread.
    path = find_thread(old_bench.root / "codex-home", busy.thread_id)
    assert path is not None
    [cut] = read_history(path, running=False)
    assert (cut.status, cut.completed_at) == (TurnStatus.INTERRUPTED, None)


def test_a_conversation_goes_on_at_the_app_server_when_its_process_is_killed_in_a_turn(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    netsky.ask("SAY[remember this]")
    thread_id = netsky.session()["thread_id"]
    cut = netsky.send("HANG SAY[back again]")
    netsky.seen(cut)
    model.wait_hanging()
    waiting = netsky.send("SAY[patient]")
    killed = netsky.kill_server()
    model.release()
    assert netsky.settled(cut)["status"] == "answered"
    assert netsky.settled(waiting)["status"] == "answered"
    session = netsky.session()
    assert (session["runtime"], session["thread_id"]) == ("app_server", thread_id)
    assert session["previous_thread_id"] == ""
    assert "remember this" in json.dumps(model.requests[-1])
    assert [netsky.times_heard(thread_id, input_id) for input_id in (cut, waiting)] == [1, 1]
    [recovery] = [text for text in netsky.heard(thread_id) if "kind: recovery" in text]
    assert "cut short by a crash" in recovery
    assert "HANG SAY[back again]" in recovery
    replies = [m["body"] for m in netsky.messages() if m["kind"] == "reply"]
    assert sorted(replies) == ["back again", "patient", "remember this"]
    # The operator is told: of the process, of the thread, and in the actor's own events.
    [ended] = netsky.until(
        lambda: netsky.logged("mcp-server ended, its threads look for other doors")
    )
    assert ended["level"] == "error"
    [moved] = netsky.until(lambda: netsky.logged("thread goes on through another door"))
    fields = moved["fields"]
    assert (fields["actor"], fields["to"], fields["thread"]) == (
        "manager0",
        "app_server",
        thread_id,
    )
    kinds = netsky.run("events", "tail", "--actor", "manager0", "--limit", "100").stdout
    assert "session.lost" in kinds
    # Whoever is new comes through the door that was set, in a process of its own.
    worker = netsky.json("actors", "start-worker", "T", "SAY[new here]")["actor_id"]
    netsky.until(lambda: [t for t in netsky.json("tasks", "list") if t["status"] == "reported"])
    assert netsky.session(worker)["runtime"] == "mcp_server"
    assert netsky.server().pid != killed.pid


def test_a_conversation_that_no_door_can_continue_begins_anew_and_names_the_old_one(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    netsky.ask("SAY[remember this]")
    before = netsky.session()["thread_id"]
    cut = netsky.send("HANG SAY[back again]")
    netsky.seen(cut)
    model.wait_hanging()
    shutil.rmtree(netsky.codex_home / "sessions")
    netsky.kill_server()
    model.release()
    row = netsky.settled(cut)
    assert row["status"] == "answered"
    session = netsky.session()
    assert session["previous_thread_id"] == before
    assert session["thread_id"] not in {"", before}
    shown = netsky.run("actors", "show", "manager0").stdout
    assert session["thread_id"] in shown
    assert re.search(rf"^previous thread: +{before}$", shown, re.MULTILINE)
    [told] = netsky.heard(session["thread_id"])
    assert "kind: recovery" in told
    assert f"conversation {before} was lost" in told
    assert "HANG SAY[back again]" in told
    [line] = netsky.until(lambda: netsky.logged("conversation was lost and begins anew"))
    assert line["fields"]["thread"] == before
    assert netsky.ask("SAY[and on]")["reply"]["body"] == "and on"


def test_a_turn_that_a_killed_netsky_left_is_ended_and_recovered_by_the_next(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    cut = netsky.send("HANG SAY[back again]")
    netsky.seen(cut)
    model.wait_hanging()
    left = netsky.server()
    netsky.kill()
    assert left.is_running()  # in a turn Codex does not leave when its pipes end
    netsky.start()
    model.release()
    assert netsky.settled(cut)["status"] == "answered"
    assert left not in netsky.processes()
    thread_id = netsky.session()["thread_id"]
    assert netsky.times_heard(thread_id, cut) == 1
    assert netsky.session()["runtime"] == "app_server"


def test_a_turn_that_a_killed_netsky_left_is_ended_by_a_stop(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    sent = netsky.send("HANG")
    netsky.seen(sent)
    model.wait_hanging()
    left = netsky.server()
    netsky.kill()
    ran = netsky.run("stop")
    assert ran.returncode == 0, ran.stderr
    assert f"pid {left.pid}, is ended" in ran.stderr
    assert netsky.processes() == []
    netsky.start()
    model.release()
    assert netsky.settled(sent)["status"] == "interrupted"
    assert [m for m in netsky.messages() if m["kind"] == "recovery"] == []


# -- questions and turns ---------------------------------------------------------------------


def test_a_command_is_asked_about_with_folder_and_reason_and_run_when_accepted(
    netsky: McpNetsky,
) -> None:
    netsky.start()
    sent = netsky.send(f"ESC[touch {netsky.work}/made] SAY[done]")
    [question] = netsky.pending()
    assert (question["actor"], question["kind"]) == ("manager0", "command")
    assert question["command"] == f"touch {netsky.work}/made"
    assert question["cwd"] == str(netsky.work)
    assert question["reason"] == "needs to write outside the workspace"
    assert {"accept", "decline", "cancel"} <= set(question["available_decisions"])
    shown = netsky.run("approvals", "show", question["id"]).stdout
    for words in (question["command"], question["cwd"], question["reason"], "accept"):
        assert words in shown
    assert netsky.json("actors", "show", "manager0")["health"] == "blocked"
    decided = netsky.json("approvals", "decide", question["id"], "accept")
    assert decided["status"] == "accepted"
    assert netsky.settled(sent)["status"] == "answered"
    assert (netsky.work / "made").exists()
    again = netsky.run("approvals", "decide", question["id"], "decline")
    assert again.returncode == 1


def test_a_patch_is_shown_whole_and_applied_or_not_as_was_decided(netsky: McpNetsky) -> None:
    netsky.start()
    refused = netsky.send("PATCH")
    [question] = netsky.pending()
    assert question["kind"] == "file_change"
    assert "+hello from patch" in question["patch"]
    assert "hello.txt" in netsky.run("approvals", "show", question["id"]).stdout
    netsky.json("approvals", "decide", question["id"], "decline")
    assert netsky.settled(refused)["status"] == "answered"
    assert not (netsky.work / "hello.txt").exists()
    taken = netsky.send("PATCH")
    [question] = netsky.pending()
    netsky.json("approvals", "decide", question["id"], "accept")
    assert netsky.settled(taken)["status"] == "answered"
    assert (netsky.work / "hello.txt").read_text() == "hello from patch\n"


def test_a_question_is_lost_with_its_process_and_asked_again_behind_the_other_door(
    netsky: McpNetsky,
) -> None:
    netsky.start()
    sent = netsky.send(f"ESC[touch {netsky.work}/made] SAY[done]")
    [question] = netsky.pending()
    netsky.kill_server()
    again = netsky.until(
        lambda: [a for a in netsky.json("approvals", "list") if a["id"] != question["id"]]
    )[0]
    old = netsky.json("approvals", "show", question["id"])
    assert (old["status"], again["status"]) == ("lost", "pending")
    netsky.json("approvals", "decide", again["id"], "accept")
    assert netsky.settled(sent)["status"] == "answered"
    assert (netsky.work / "made").exists()


def test_an_interrupted_turn_is_over_and_the_thread_takes_the_next_message(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    sent = netsky.send("HANG")
    netsky.seen(sent)
    model.wait_hanging()
    netsky.json("actors", "interrupt", "manager0")
    assert netsky.settled(sent)["status"] == "interrupted"
    model.release()
    for word in ("usable", "and again"):  # the first answer is read beside the cancelled call's
        assert netsky.ask(f"SAY[{word}]")["reply"]["body"] == word
    assert netsky.session()["runtime"] == "mcp_server"


def test_a_steer_is_refused_with_the_reason_and_the_turn_goes_on(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    sent = netsky.send("HANG SAY[steady]")
    netsky.seen(sent)
    model.wait_hanging()
    ran = netsky.run("send", "manager0", "SAY[steered]", "--mode", "steer")
    assert ran.returncode == 1
    assert "cannot add to a running turn" in ran.stderr
    model.release()
    assert netsky.settled(sent)["status"] == "answered"
    assert not [m for m in netsky.messages() if m["body"] == "SAY[steered]"]


# -- another door ----------------------------------------------------------------------------


def test_a_live_thread_moves_to_the_app_server_and_to_a_resident_but_never_back(
    netsky: McpNetsky,
) -> None:
    netsky.start()
    asked = [netsky.ask("SAY[first]")]
    thread_id = netsky.session()["thread_id"]
    for door in ("app_server", "resident", "app_server"):
        moved = netsky.json("--runtime", door, "actors", "move", "manager0")
        assert (moved["runtime"], moved["thread_id"]) == (door, thread_id)
        asked.append(netsky.ask(f"SAY[at {door}]"))
        assert asked[-1]["reply"]["body"] == f"at {door}"
        session = netsky.session()
        assert (session["runtime"], session["thread_id"]) == (door, thread_id)
        back = netsky.run("--runtime", "mcp_server", "actors", "move", "manager0")
        assert back.returncode == 1
        assert "knows only threads that it has started itself" in back.stderr
        assert "app_server and resident continue any thread" in back.stderr
    ids = [answer["input_id"] for answer in asked]
    assert [netsky.times_heard(thread_id, input_id) for input_id in ids] == [1] * 4
    assert netsky.logged("mcp-server ended, its threads look for other doors") == []


def test_a_thread_moves_away_while_another_is_in_a_turn_in_the_same_process(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    first = netsky.ask("SAY[first]")
    thread_id = netsky.session()["thread_id"]
    worker = netsky.json("actors", "start-worker", "T", "HANG SAY[undisturbed]")["actor_id"]
    model.wait_hanging()
    server = netsky.server()
    moved = netsky.json("--runtime", "app_server", "actors", "move", "manager0")
    assert (moved["runtime"], moved["thread_id"]) == ("app_server", thread_id)
    second = netsky.ask("SAY[second]")
    model.release()
    netsky.until(lambda: [t for t in netsky.json("tasks", "list") if t["status"] == "reported"])
    shown = netsky.json("actors", "show", worker)
    assert shown["session"]["runtime"] == "mcp_server"
    assert [turn["final_text"] for turn in shown["turns"]] == ["undisturbed"]
    assert netsky.server() == server
    ids = [answer["input_id"] for answer in (first, second)]
    assert [netsky.times_heard(thread_id, input_id) for input_id in ids] == [1, 1]


def test_a_live_thread_moves_straight_to_a_resident(netsky: McpNetsky) -> None:
    netsky.start()
    first = netsky.ask("SAY[first]")
    thread_id = netsky.session()["thread_id"]
    moved = netsky.json("--runtime", "resident", "actors", "move", "manager0")
    assert (moved["runtime"], moved["thread_id"]) == ("resident", thread_id)
    second = netsky.ask("SAY[second]")
    assert second["reply"]["body"] == "second"
    ids = [answer["input_id"] for answer in (first, second)]
    assert [netsky.times_heard(thread_id, input_id) for input_id in ids] == [1, 1]


def test_a_move_out_of_a_turn_needs_leave_to_interrupt_it(
    netsky: McpNetsky, model: ModelServer
) -> None:
    netsky.start()
    sent = netsky.send("HANG")
    netsky.seen(sent)
    model.wait_hanging()
    refused = netsky.run("--runtime", "app_server", "actors", "move", "manager0")
    assert refused.returncode == 1
    assert "--interrupt" in refused.stderr
    assert netsky.session()["runtime"] == "mcp_server"
    moved = netsky.json("--runtime", "app_server", "actors", "move", "manager0", "--interrupt")
    assert moved["runtime"] == "app_server"
    assert netsky.settled(sent)["status"] == "interrupted"
    model.release()
    assert netsky.ask("SAY[usable]")["reply"]["body"] == "usable"


def test_an_actor_of_any_door_may_not_take_its_thread_to_the_mcp_server(
    netsky: McpNetsky,
) -> None:
    netsky.environ["AGENT_RUNTIME"] = "app_server"
    netsky.start()
    netsky.ask("SAY[first]")
    before = netsky.session()
    ran = netsky.run("--runtime", "mcp_server", "actors", "move", "manager0")
    assert ran.returncode == 1
    assert "knows only threads that it has started itself" in ran.stderr
    assert netsky.session() == before
    assert netsky.ask("SAY[second]")["reply"]["body"] == "second"
