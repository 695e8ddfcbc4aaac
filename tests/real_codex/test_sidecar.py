"""``netsky codex N`` and the file bus with real Codexes, through the command line."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.netsky import PATIENCE, Netsky

PROGRAM = """\
#!/bin/sh
# Asks an agent something and prints the answer: $1 is the agent's folder, $2 the question.
bus="$NETSKY_HOME/channels"
mkdir -p "$bus/$1/inbox" "$bus/agentshell/inbox"
printf '{"from":"agentshell","text":"%s","ts":"%s","id":"ask-1","requires_ack":true}' \\
    "$2" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" > "$bus/$1/inbox/.ask.tmp"
mv "$bus/$1/inbox/.ask.tmp" "$bus/$1/inbox/ask.json"
until grep -ls '"kind": "reply"' "$bus/agentshell/inbox/"*.json; do sleep 0.1; done
"""


def made(tmp_path, model, binary):
    model.write_codex_config(tmp_path / "codex-home")
    return Netsky(
        tmp_path,
        environ={"CODEX_HOME": str(tmp_path / "codex-home"), "NETSKY_CODEX_BIN": str(binary)},
    )


@pytest.fixture
def old(old_codex_binary, model, tmp_path):
    here = made(tmp_path, model, old_codex_binary)
    yield here
    model.release()
    here.clean_up()
    assert codexes(here) == []


@pytest.fixture
def new(codex_binary, model, tmp_path):
    here = made(tmp_path, model, codex_binary)
    yield here
    model.release()
    here.clean_up()


def codexes(here):
    """Return the processes that belong to this home's Codex."""
    place = str(here.root / "codex-home")
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CODEX_HOME") == place:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def answers(here, to="manager0"):
    inbox = here.home / "channels" / to / "inbox"
    return [json.loads(path.read_text()) for path in sorted(inbox.glob("*.json"))]


def reply(word):
    return f"SAY[aside <netsky-reply>{word}</netsky-reply>]"


def test_a_sidecar_of_the_last_codex_with_an_mcp_server_goes_on_where_it_was(old, model):
    first = old.json("codex", "3", "--prompt", reply("one"))
    assert (first["reply"], first["runtime"]) == ("one", "mcp_server")
    assert codexes(old) == []
    sent = old.json("channel", "send", "agent3", reply("two"), "--from", "agent0")
    second = old.json("codex", "3", "--drain")
    assert second["reply"] == "two"
    assert second["thread_id"] == first["thread_id"]
    assert second["previous_thread_id"] == ""
    assert codexes(old) == []
    told = answers(old)
    assert [(a["from"], a["kind"], a["text"]) for a in told] == [
        ("agent3", "reply", "one"),
        ("agent3", "reply", "two"),
    ]
    assert told[1]["in_reply_to"] == sent["id"]
    request = json.dumps(model.requests[-1])
    assert "<netsky-reply>one</netsky-reply>" in request  # the conversation, not only its name
    assert "exactly one block" in request
    assert "Do not start other agents" in request
    assert '"gpt-5.4-mini"' in request
    delivered = old.home / "channels" / "worker3" / "delivered"
    assert [path.name for path in delivered.iterdir()] == [sent["file"]]


def test_a_conversation_that_codex_has_lost_is_said_aloud_with_both_ids(old):
    first = old.json("codex", "3", "--prompt", reply("one"))
    shutil.rmtree(old.root / "codex-home" / "sessions")
    ran = old.run("codex", "3", "--prompt", reply("two"))
    assert ran.returncode == 0, ran.stderr
    assert f"thread {first['thread_id']} is known to no door any more" in ran.stderr
    assert f"(was {first['thread_id']})" in ran.stderr
    assert first["thread_id"] not in ran.stdout
    assert codexes(old) == []


def test_a_turn_that_a_killed_call_left_is_answered_once_by_the_next_call(old, model):
    old.json("codex", "3", "--prompt", reply("one"))
    old.json("channel", "send", "agent3", f"HANG {reply('late')}", "--from", "agentci")
    call = subprocess.Popen(
        [*old.argv, "codex", "3", "--drain"],
        env=old.environ,
        cwd=old.work,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    old.until(lambda: "HANG" in json.dumps(model.requests[-1]))
    call.kill()
    call.wait()
    model.release()
    assert old.json("codex", "3", "--prompt", reply("two"))["reply"] == "two"
    assert codexes(old) == []
    told = answers(old, "agentci")
    assert len(told) == 1
    assert (told[0]["kind"], told[0]["from"]) == ("reply", "agent3")
    assert [a["text"] for a in answers(old)] == ["one", "two"]


def test_a_sidecar_that_takes_too_long_leaves_no_process_and_can_be_called_again(old, model):
    ran = old.run("codex", "3", "--prompt", "HANG", "--timeout", "5")
    assert ran.returncode == 6, ran.stderr
    assert [a["kind"] for a in answers(old)] == ["error"]
    assert codexes(old) == []
    model.release()
    assert old.json("codex", "3", "--prompt", reply("usable"))["reply"] == "usable"


def test_a_sidecar_leaves_an_engine_that_worked_before_it_alone(new, model):
    new.start()
    sent = new.send("HANG SAY[went on]")
    new.seen(sent)
    assert new.stop("--keep-engine") == 0
    engine = new.engine()
    assert new.json("codex", "3", "--prompt", reply("hello"))["runtime"] == "app_server"
    assert new.engine() == engine
    model.release()
    new.start()
    assert new.settled(sent)["status"] == "answered"


def test_a_shell_script_asks_a_worker_and_reads_the_answer(new):
    new.start()
    worker = new.json("actors", "start-worker", "T", "SAY[ready]")["actor_id"]
    script = new.root / "ask"
    script.write_text(PROGRAM)
    script.chmod(stat.S_IRWXU)
    done = subprocess.run(
        [str(script), worker, "SAY[green]"],
        env={"PATH": os.environ["PATH"], "NETSKY_HOME": str(new.home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    answer = json.loads(Path(done.stdout.splitlines()[0]).read_text())
    assert (answer["text"], answer["in_reply_to"]) == ("green", "ask-1")
    drained = new.run("channel", "drain", "agentshell", "--all", "--json").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in drained]
    assert sorted(kinds) == ["ack", "reply"]
    lines = new.run("messages", "list", "--json").stdout.splitlines()
    green = [message for message in map(json.loads, lines) if message["body"] == "green"]
    assert [message["target"] for message in green] == ["agentshell"]
