"""Actors on the resident door as a fleet of them lives: killed, adopted, stopped, asked."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from netsky_runtime.codex.resident.command import PROMPT_VARIABLE
from netsky_runtime.codex.rollout import find_thread, read_history
from netsky_runtime.torture.model_server import ModelServer
from tests.support.netsky import Netsky
from tests.support.pane import PASTE_SECONDS

PANE = "=manager0:"


class Residence(Netsky):
    """A home whose actors live in tmux."""

    def press(self, *keys: str) -> None:
        """Press keys on manager0's screen, by tmux's names for them."""
        self.tmux("send-keys", "-t", PANE, *keys)

    def screen(self) -> str:
        """Return what a human sees of manager0."""
        return self.tmux("capture-pane", "-p", "-t", PANE)

    def type(self, text: str) -> None:
        """Type a text on manager0's screen, and wait until it is there and Enter a key."""
        self.press("-l", text)
        self.until(lambda: text in self.screen())
        threading.Event().wait(PASTE_SECONDS)

    def codexes(self) -> list[psutil.Process]:
        return [process for process in self.processes() if process.name() == "codex"]

    def beside(self, actor: str) -> list[psutil.Process]:
        """Return all processes that an actor's pane has started."""
        place = str(self.home / "attach" / actor)
        return [process for process in self.processes() if _lives_in(process, place)]

    def manager0(self) -> Any:
        (found,) = [a for a in self.json("actors", "list") if a["id"] == "manager0"]
        return found

    def blocked(self) -> Any:
        """Wait until manager0 is blocked by its screen; return it."""
        return self.until(lambda: (seen := self.manager0())["session"]["blocked"] and seen)

    def blocking(self) -> str:
        """Return the screen that blocks manager0, as netsky shows it."""
        return str(self.json("actors", "show", "manager0")["screen"])

    def times_heard(self, *inputs: str) -> list[int]:
        """Return in how many of its users' messages each of the inputs is."""
        thread_id = self.manager0()["session"]["thread_id"]
        rollout = find_thread(self.root / "codex-home", thread_id)
        assert rollout is not None
        turns = read_history(rollout, running=False)
        said = [item.text for turn in turns for item in turn.items if item.type == "user_message"]
        return [sum(f'input="{input_id}"' in text for text in said) for input_id in inputs]


def _lives_in(process: psutil.Process, place: str) -> bool:
    try:
        return process.environ().get(PROMPT_VARIABLE, "").startswith(place)
    except psutil.Error:
        return False


@pytest.fixture
def here(codex_binary: Path, model: ModelServer, tmp_path: Path) -> Iterator[Residence]:
    model.write_codex_config(tmp_path / "codex-home")
    made = Residence(
        tmp_path,
        environ={
            "CODEX_HOME": str(tmp_path / "codex-home"),
            "NETSKY_CODEX_BIN": str(codex_binary),
            "AGENT_RUNTIME": "resident",
            "AGENT_CODEX_SANDBOX": "read-only",
            "AGENT_CODEX_APPROVAL": "on-request",
        },
    )
    try:
        yield made
        model.release()
        made.leaves_nothing()
    finally:
        model.release()
        made.clean_up()


def kill_the_pane(here: Residence) -> None:
    here.tmux("kill-session", "-t", "=manager0")


def kill_the_server(here: Residence) -> None:
    os.kill(int(here.tmux("display-message", "-p", "#{pid}")), signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_the_pane, kill_the_server])
def test_a_resident_that_is_killed_in_a_turn_goes_on_with_its_conversation(
    here: Residence, model: ModelServer, kill: Callable[[Residence], None]
) -> None:
    here.start()
    warm = here.ask("SAY[warm]")["input_id"]
    before = here.manager0()["session"]
    sent = here.send("HANG SAY[here again]")
    model.wait_hanging()
    waiting = here.send("SAY[and then]")
    kill(here)
    model.release()

    assert here.settled(sent)["status"] == "answered"
    assert here.settled(waiting)["status"] == "answered"
    after = here.manager0()["session"]
    assert (after["thread_id"], after["runtime"]) == (before["thread_id"], "resident")
    assert here.times_heard(warm, sent, waiting) == [1, 1, 1]


def test_a_killed_netsky_finds_its_resident_at_work_and_delivers_the_answer(
    here: Residence, model: ModelServer
) -> None:
    here.start()
    sent = here.send("HANG SAY[done meanwhile]")
    model.wait_hanging()
    before = here.codexes()
    here.kill()
    model.release()
    here.until(lambda: "• done meanwhile" in here.screen())
    here.start()

    assert here.settled(sent)["status"] == "answered"
    assert here.codexes() == before
    assert here.ask("SAY[and on]")["reply"]["body"] == "and on"
    assert here.times_heard(sent) == [1]


def test_a_limit_of_the_account_ends_a_residents_turn_which_goes_on_over_a_killed_netsky(
    here: Residence,
) -> None:
    here.start()
    sent = here.send("LIMIT3600 SAY[after the reset]")
    why = "its turn was ended by Codex's usage limit"
    here.until(lambda: (row := here.input(sent)) and row["reason"] == why)
    here.kill()
    here.start()
    assert "limit" in here.json("status")["paused"]["reason"]
    assert here.input(sent)["status"] == "seen"
    here.json("unpause")
    here.blocked()  # Codex asks whether to switch to a cheaper model, which no door can answer
    asks = re.compile(r"Switch to \S+ for .*\? Escape there keeps the model\.")
    here.until(lambda: [told for told in here.json("attention") if asks.search(told["text"])])
    assert "Keep current model" in here.blocking()
    here.press("Escape")

    assert here.settled(sent)["status"] == "answered"
    assert here.times_heard(sent) == [1]


def test_an_idle_actors_codex_ends_with_its_stop_also_where_no_netsky_has_attached_to_it(
    here: Residence,
) -> None:
    here.start()
    here.ask("SAY[warm]")
    before = here.manager0()["session"]["thread_id"]
    here.json("actors", "start-worker", "SAY[done]")
    here.until(lambda: here.json("tasks", "show", "t1")["status"] == "reported")
    here.until(lambda: here.json("actors", "stop", "worker1")["left"] == "")
    here.until(lambda: not here.beside("worker1"))
    assert here.beside("manager0")

    here.json("actors", "resume", "worker1")
    assert here.ask("SAY[back]", to="worker1")["reply"]["body"] == "back"
    assert here.stop("--keep-engine") == 0
    assert here.beside("worker1")
    here.start()
    here.until(lambda: here.json("actors", "stop", "worker1")["left"] == "")
    here.until(lambda: not here.beside("worker1"))
    assert here.ask("SAY[and on]")["reply"]["body"] == "and on"
    assert here.manager0()["session"]["thread_id"] == before


def test_a_stop_in_the_middle_of_a_turn_ends_residents_and_their_server(
    here: Residence, model: ModelServer
) -> None:
    here.start()
    sent = here.send("HANG")
    model.wait_hanging()

    assert here.stop() == 0
    assert here.input(sent)["status"] == "interrupted"
    here.leaves_nothing()


def test_a_dialog_blocks_a_resident_until_a_human_closes_it_also_over_a_killed_netsky(
    here: Residence,
) -> None:
    here.start()
    here.ask("SAY[warm]")
    here.type("/model")
    here.press("Enter")
    here.until(lambda: "Select Model" in here.screen())
    shown = here.screen()

    sent = here.send("SAY[at last]")
    seen = here.blocked()
    assert (seen["health"], "dialog" in seen["health_reason"]) == ("blocked", True)
    assert "Select Model" in here.blocking()
    assert here.json("status")["counts"]["screens_blocked"] == 1
    here.kill()
    here.start()
    assert here.blocked()["health"] == "blocked"
    assert here.screen() == shown
    assert here.input(sent)["status"] == "queued"
    here.press("Escape")

    assert here.settled(sent)["status"] == "answered"
    assert here.manager0()["session"]["blocked"] == ""
    assert here.times_heard(sent) == [1]


def test_a_question_on_its_screen_is_shown_and_left_to_the_human(here: Residence) -> None:
    here.start()
    sent = here.send(f"ESC[touch {here.work}/made] SAY[done]")
    seen = here.blocked()

    assert seen["health"] == "blocked"
    assert "Would you like to run" in seen["health_reason"]
    assert f"$ touch {here.work}/made" in here.blocking()
    assert not (here.work / "made").exists()
    here.press("y")
    assert here.settled(sent)["status"] == "answered"
    assert (here.work / "made").exists()


def test_a_humans_words_on_its_screen_are_not_moved_away(here: Residence) -> None:
    here.start()
    here.ask("SAY[warm]")
    here.type("SAY[by hand]")

    told = here.run("--runtime", "app_server", "actors", "move", "manager0", "--interrupt")
    assert told.returncode == 1
    assert "words" in told.stderr
    assert "SAY[by hand]" in here.screen()
    here.press("Enter")
    here.until(lambda: "• by hand" in here.screen())
    assert here.ask("SAY[by wire]")["reply"]["body"] == "by wire"
    here.json("--runtime", "app_server", "actors", "move", "manager0")
    assert here.ask("SAY[there]")["reply"]["body"] == "there"
