"""netsky as a whole on the real Codex: what first light promises, through the command line."""

import json
import os
import signal
import sqlite3
from contextlib import closing

import pytest

from netsky_runtime.codex.rollout import find_thread, read_history
from netsky_runtime.states import TurnStatus


def test_a_worker_started_by_a_tool_reports_and_the_report_reaches_the_owner(netsky):
    netsky.start()
    start = 'TOOL[start_worker {"title": "Greet", "body": "SAY[hello from below]"}]ENDTOOL'
    told = netsky.ask(f"SAY[started] {start}")
    assert told["status"] == "answered"
    assert told["reply"]["body"] == "started"
    netsky.until(lambda: [t for t in netsky.json("tasks", "list") if t["status"] == "reported"])
    (task,) = netsky.json("tasks", "list")
    assert (task["owner"], task["manager"]) == ("worker1", "manager0")

    def replies():
        lines = netsky.run("messages", "list", "--json").stdout.splitlines()
        return sum('"kind": "reply"' in line or '"kind":"reply"' in line for line in lines) == 2

    netsky.until(replies)
    threads = {
        a["id"]: a["session"]["thread_id"] for a in netsky.json("actors", "list") if a["session"]
    }
    assert threads["manager0"] != threads["worker1"]
    assert netsky.stop() == 0
    assert netsky.engine() is None


def test_an_approval_shows_the_command_and_one_decision_answers_it(netsky):
    netsky.start()
    sent = netsky.send(f"ESC[touch {netsky.work}/made] SAY[done]")
    (question,) = netsky.pending()
    assert question["actor"] == "manager0"
    assert question["kind"] == "command"
    assert "touch" in question["command"]
    assert question["cwd"] == str(netsky.work)
    netsky.json("approvals", "decide", question["id"], "accept")
    assert netsky.settled(sent)["status"] == "answered"
    assert (netsky.work / "made").exists()


def test_a_declined_patch_was_shown_whole_and_changes_nothing(netsky):
    netsky.start()
    sent = netsky.send("PATCH")
    (question,) = netsky.pending()
    assert question["kind"] == "file_change"
    assert "hello from patch" in question["patch"]
    netsky.json("approvals", "decide", question["id"], "decline")
    netsky.settled(sent)
    assert not (netsky.work / "hello.txt").exists()


def test_an_accepted_patch_is_applied(netsky):
    netsky.start()
    sent = netsky.send("PATCH")
    (question,) = netsky.pending()
    netsky.json("approvals", "decide", question["id"], "accept")
    assert netsky.settled(sent)["status"] == "answered"
    assert (netsky.work / "hello.txt").read_text() == "hello from patch\n"


def test_after_a_restart_the_same_thread_goes_on_and_the_queue_is_sent(netsky):
    netsky.start()
    netsky.ask("SAY[first]")
    (before,) = [a for a in netsky.json("actors", "list") if a["id"] == "manager0"]
    assert netsky.stop() == 0
    offline = netsky.run("send", "manager0", "SAY[second]")
    assert offline.returncode == 0
    assert "queued, no daemon" in offline.stderr + offline.stdout
    netsky.start()
    netsky.until(
        lambda: (
            "second" in netsky.run("messages", "list", "--json").stdout.split("first")[-1]
            and netsky.json("status")["counts"]["inputs_pending"] == 0
        )
    )
    (after,) = [a for a in netsky.json("actors", "list") if a["id"] == "manager0"]
    assert after["session"]["thread_id"] == before["session"]["thread_id"]


def test_a_turn_goes_on_when_netsky_is_killed_and_its_result_is_shown_after_the_next_start(
    netsky, model
):
    netsky.start()
    sent = netsky.send("HANG SAY[survived]")
    netsky.seen(sent)
    engine = netsky.engine()
    netsky.kill()
    model.release()
    netsky.start()
    assert netsky.engine() == engine
    row = netsky.settled(sent)
    assert row["status"] == "answered"
    assert "survived" in netsky.run("messages", "list", "--json").stdout


def test_an_approval_that_waited_while_netsky_was_killed_is_answered_after_the_next_start(netsky):
    netsky.start()
    sent = netsky.send(f"ESC[touch {netsky.work}/made] SAY[done]")
    (question,) = netsky.pending()
    netsky.kill()
    shown = netsky.json("approvals", "list")
    assert [a["id"] for a in shown] == [question["id"]]  # reading needs no daemon
    netsky.start()
    netsky.json("approvals", "decide", question["id"], "accept")
    assert netsky.settled(sent)["status"] == "answered"
    assert (netsky.work / "made").exists()


def test_a_turn_that_a_frozen_engine_kept_of_a_stopped_worker_is_ended_at_the_next_start(netsky):
    """Nobody would hear it, or see what it asks."""
    netsky.start()
    order = json.dumps({"title": "T", "body": f"ESC[touch {netsky.work}/made] SAY[done]"})
    netsky.ask(f"SAY[started] TOOL[start_worker {order}]ENDTOOL")
    (question,) = netsky.pending()
    assert question["actor"] == "worker1"
    (worker,) = [a for a in netsky.json("actors", "list") if a["id"] == "worker1"]
    engine = netsky.engine()
    engine.suspend()
    try:
        netsky.json("actors", "stop", "worker1")
        netsky.kill()
    finally:
        engine.resume()
    netsky.start()
    assert netsky.engine() == engine

    def inputs():
        with closing(sqlite3.connect(f"file:{netsky.home}/meta.db?mode=ro", uri=True)) as database:
            found = database.execute("SELECT status FROM actor_inputs WHERE actor_id = 'worker1'")
            return [status for (status,) in found]

    netsky.until(lambda: inputs() == ["interrupted"])
    rollout = find_thread(netsky.root / "codex-home", worker["session"]["thread_id"])
    (turn,) = read_history(rollout, running=False)
    assert turn.status is TurnStatus.INTERRUPTED
    assert netsky.json("status")["counts"]["approvals_pending"] == 0
    assert not (netsky.work / "made").exists()


def test_a_killed_engine_is_replaced_and_the_cut_turn_is_recovered(netsky, model):
    netsky.start()
    netsky.ask("SAY[warm]")
    sent = netsky.send("HANG SAY[back again]")
    netsky.seen(sent)
    engine = netsky.engine()
    os.killpg(engine.pid, signal.SIGKILL)
    model.release()
    row = netsky.settled(sent)
    assert row["status"] == "answered"
    replaced = netsky.engine()
    assert replaced is not None
    assert replaced.pid != engine.pid


def test_an_engine_of_another_binary_ends_its_turns_and_is_then_replaced(netsky, model):
    netsky.start()
    sent = netsky.send("HANG SAY[went on]")
    netsky.seen(sent)
    engine = netsky.engine()
    netsky.kill()
    another = netsky.root / "another-codex"
    another.symlink_to(netsky.environ["NETSKY_CODEX_BIN"])
    netsky.environ["NETSKY_CODEX_BIN"] = str(another)
    netsky.start()
    assert netsky.engine() == engine
    (notice,) = [n for n in netsky.json("status")["runtime"]["notices"] if "its binary is" in n]
    assert "as soon as none does" in notice
    model.release()
    assert netsky.settled(sent)["status"] == "answered"

    netsky.until(lambda: netsky.engine() not in (engine, None))
    assert netsky.ask("SAY[as ever]")["reply"]["body"] == "as ever"
    lines = netsky.run("messages", "list", "--json").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert sorted(kinds) == ["reply", "reply", "text", "text"]  # nobody was told of a crash
    assert not [n for n in netsky.json("status")["runtime"]["notices"] if "its binary is" in n]
    assert netsky.stop() == 0


def test_interrupting_a_turn_marks_its_input_and_leaves_the_actor_usable(netsky, model):
    netsky.start()
    sent = netsky.send("HANG")
    netsky.seen(sent)
    netsky.json("actors", "interrupt", "manager0")
    assert netsky.settled(sent)["status"] == "interrupted"
    model.release()
    assert netsky.ask("SAY[usable]")["reply"]["body"] == "usable"


def test_stopping_with_a_running_turn_ends_everything_in_time(netsky):
    netsky.start()
    netsky.seen(netsky.send("HANG"))
    assert netsky.stop() == 0
    assert netsky.engine() is None


def test_stopping_with_the_engine_kept_leaves_the_turn_running(netsky, model):
    netsky.start()
    sent = netsky.send("HANG SAY[went on]")
    netsky.seen(sent)
    assert netsky.stop("--keep-engine") == 0
    assert netsky.engine() is not None
    model.release()
    netsky.start()
    assert netsky.settled(sent)["status"] == "answered"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_cleanly(netsky, number):
    netsky.start()
    netsky.ask("SAY[warm]")
    netsky.daemon.send_signal(number)
    assert netsky.daemon.wait(60) == 0
    assert netsky.engine() is None


def test_a_hangup_leaves_the_engine_working(netsky, model):
    netsky.start()
    sent = netsky.send("HANG SAY[went on]")
    netsky.seen(sent)
    netsky.daemon.send_signal(signal.SIGHUP)
    assert netsky.daemon.wait(60) == 0
    assert netsky.engine() is not None
    model.release()
    netsky.start()
    assert netsky.settled(sent)["status"] == "answered"
