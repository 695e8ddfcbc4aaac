"""Real Codexes in real tmux sessions, netsky and a human at the same screen."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.base import (
    AnswerLost,
    InputRejected,
    ThreadBlocked,
    ThreadGone,
    ThreadUnavailable,
    TurnRunning,
    Unsupported,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.states import TurnStatus
from tests.codex.test_rollout_locate import OTHER, changed_at, meta, rollout, says
from tests.real_codex.conftest import PATIENCE, Told, installed
from tests.support.den import Den, batch, den_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from netsky_runtime.codex.resident.session import ResidentSession
    from netsky_runtime.torture.model_server import ModelServer

LETTER = (
    "SAY[read] first line\n\n\tindented by a tab\n   and by blanks\n"
    'quotes \' " ` $HOME $(touch pwned) ; | & <tag a="b"> \\ \\n %s #{pane_id} ~ ! * ?\n'
    "é ü ☃ 🦀 漢字\n" + "a longer line, many times over. " * 1000 + "\nthe last one"
)

STUBBORN = ("sh", "-c", "trap '' HUP TERM; while :; do sleep 1; done")
"""A companion that only SIGKILL ends."""
DEAF_TO_TRUST = """
left=$#
while [ $left -gt 0 ]; do
  word=$1 left=$((left - 1)); shift
  case "$word ${1-}" in "-c projects="*) left=$((left - 1)); shift; continue;; esac
  set -- "$@" "$word"
done
exec CODEX "$@"
"""
"""Codex without the configuration that says which folder is trusted."""


def make_repository(project: Path) -> None:
    """Make the folder one that every version asks about: 0.163.0 does only in a repository."""
    for folder in ("objects", "refs"):
        (project / ".git" / folder).mkdir(parents=True)
    (project / ".git/HEAD").write_text("ref: refs/heads/main\n")


async def den_of(version: str, model: ModelServer, root: Path) -> AsyncIterator[Den]:
    variable = {"0.163.0": "NETSKY_TEST_CODEX", "0.153.4": "NETSKY_TEST_OLD_CODEX"}[version]
    async with den_over(version, installed(variable, version), model, root) as den:
        yield den


@pytest.fixture(params=["0.163.0", "0.153.4"])
async def den(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path: Path
) -> AsyncIterator[Den]:
    async for den in den_of(request.param, model, tmp_path):
        yield den


@pytest.fixture
async def new_den(model: ModelServer, tmp_path: Path) -> AsyncIterator[Den]:
    async for den in den_of("0.163.0", model, tmp_path):
        yield den


@pytest.fixture
async def old_den(model: ModelServer, tmp_path: Path) -> AsyncIterator[Den]:
    async for den in den_of("0.153.4", model, tmp_path):
        yield den


async def at_home(den: Den, **changes: Any) -> tuple[ResidentSession, Told]:
    """Return a resident that has read its instructions."""
    runtime = await den.opened()
    session = await runtime.start(den.spec(**changes))
    told = Told(session)
    await told.turn_end()
    await den.until_idle(session)
    return session, told


async def blocked(told: Told, *, by: str = "") -> CodexEvent:
    """Return the next word of what is in the way: the first whose reason says ``by``."""
    while by not in (event := await told.next(EventKind.BLOCKED)).data["reason"]:
        pass
    return event


def said_by_users(turns: object) -> list[str]:
    return [item.text for turn in turns for item in turn.items if item.type == "user_message"]


async def test_the_instructions_are_the_first_turn_and_messages_the_next(den: Den) -> None:
    runtime = await den.opened()
    session = await runtime.start(den.spec())
    told = Told(session)

    assert session.thread_id
    first = await told.turn_end()
    await session.submit(batch("SAY[one]"))
    second = await told.turn_end()
    await session.submit(batch("RUN[echo hi] SAY[two]", 2))
    third = await told.turn_end()

    assert told.words() == ["at your service", "one", "two"]
    assert [e.data["text"] for e in told.items("user_message")][1:] == [
        "SAY[one]",
        "RUN[echo hi] SAY[two]",
    ]
    [command] = told.items("command")
    assert "hi" in command.data["output"]
    assert EventKind.USAGE in {event.kind for event in told.events}
    turns = await session.history()
    assert [turn.id for turn in turns] == [first.turn_id, second.turn_id, third.turn_id]
    assert {turn.status for turn in turns} == {TurnStatus.COMPLETED}
    assert await runtime.find("tag12345", since=0) == session.thread_id
    assert await runtime.find("another", since=0) == ""


async def test_a_turn_is_known_to_run_from_the_start(den: Den) -> None:
    runtime = await den.opened()
    session = await runtime.start(den.spec(instructions="You are tag12345. HANG"))

    assert session.active_turn
    with pytest.raises(TurnRunning):
        await session.submit(batch("SAY[too early]"))
    with pytest.raises(TurnRunning):
        await session.release()
    assert "too early" not in den.screen()


async def test_without_instructions_nothing_is_typed_and_the_thread_has_no_name(den: Den) -> None:
    runtime = await den.opened()

    session = await runtime.start(den.spec(instructions=""))
    assert session.thread_id == ""
    assert list(await session.history()) == []
    assert den.bench.model.requests == []
    await session.submit(batch("SAY[one]"))

    assert session.thread_id
    told = Told(session)
    end = await told.turn_end()
    assert end.thread_id == session.thread_id
    assert told.words() == ["one"]


async def test_a_folder_is_trusted_by_configuration_also_behind_a_link(den: Den) -> None:
    make_repository(den.bench.project)
    link = den.bench.root / "link"
    link.symlink_to(den.bench.project)

    session, told = await at_home(den, cwd=str(link))

    assert told.words() == ["at your service"]
    assert session.thread_id
    assert "trust" not in den.codex_config.read_text()


@pytest.mark.parametrize("instructions", ["", "You are tag12345. SAY[at your service]"])
async def test_where_codex_asks_for_trust_all_the_same_it_is_given_before_anything_is_typed(
    den: Den, instructions: str
) -> None:
    make_repository(den.bench.project)
    runtime = await den.opened(codex=den.script(DEAF_TO_TRUST))

    session = await runtime.start(den.spec(instructions=instructions))
    told = Told(session)
    if instructions:
        await told.turn_end()
        await den.until_idle(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()

    assert 'trust_level = "trusted"' in den.codex_config.read_text()
    said = [message.data["text"] for message in told.items("user_message")]
    assert said == [*([instructions] if instructions else []), "SAY[one]"]
    assert [event for event in told.events if event.kind is EventKind.BLOCKED] == []


@pytest.mark.parametrize("field", ["model", "sandbox", "approval_policy"])
@pytest.mark.parametrize("poison", ["$(touch pwned)", "x; touch pwned #", "x' || touch pwned; '"])
async def test_no_launch_value_is_run_by_a_shell(new_den: Den, field: str, poison: str) -> None:
    den = new_den
    runtime = await den.opened()
    spec = den.spec(**{field: poison}, environment={"ODD": poison})

    if field == "model":  # any name may be a model's
        await Told(await runtime.start(spec)).turn_end()
        assert {request["model"] for request in den.bench.model.requests} == {poison}
    else:
        with pytest.raises(InputRejected, match="invalid value"):
            await runtime.start(spec)

    assert [*den.bench.root.rglob("pwned")] == []


async def test_a_long_letter_arrives_byte_for_byte(den: Den) -> None:
    session, told = await at_home(den)

    await session.submit(batch(LETTER))
    await told.turn_end()

    assert told.items("user_message")[-1].data["text"] == LETTER
    assert said_by_users(await session.history())[-1] == LETTER
    assert not (den.bench.project / "pwned").exists()
    short = LETTER[:400] + " @somewhere"
    await session.submit(batch(short, 2))
    await told.turn_end()
    assert told.items("user_message")[-1].data["text"] == short


async def test_a_humans_words_are_never_touched_and_his_turn_is_seen(den: Den) -> None:
    session, told = await at_home(den)
    den.type("-l", "SAY[to the human]")
    await den.until_shown("SAY[to the human]")

    with pytest.raises(ThreadBlocked, match="words"):
        await session.submit(batch("SAY[to netsky]"))
    with pytest.raises(ThreadBlocked, match="words"):
        await session.release()
    event = await blocked(told)
    assert "SAY[to the human]" in event.data["screen"]
    assert "netsky" not in den.screen()
    den.type("Enter")
    end = await told.turn_end()
    assert told.words()[-1] == "to the human"
    assert end.data["status"] == "completed"
    await den.until_idle(session)
    await session.submit(batch("SAY[to netsky]"))
    await told.turn_end()

    reasons = [e.data["reason"] for e in told.events if e.kind is EventKind.BLOCKED]
    assert reasons[-1] == ""
    assert said_by_users(await session.history())[1:] == ["SAY[to the human]", "SAY[to netsky]"]


async def test_words_that_were_typed_and_not_sent_are_sent_once_by_the_next_try(
    new_den: Den,
) -> None:
    den = new_den
    session, told = await at_home(den)
    [codex] = den.codexes()
    os.kill(codex, signal.SIGSTOP)
    try:
        with pytest.raises(AnswerLost, match="typed and not sent") as lost:
            await session.submit(batch("SAY[once]"))
    finally:
        os.kill(codex, signal.SIGCONT)
    assert lost.value.connected
    assert "once" in (await blocked(told)).data["screen"]
    with pytest.raises(ThreadBlocked):
        await session.submit(batch("SAY[another]", 2))

    await session.submit(batch("SAY[once]"))
    await told.turn_end()

    assert told.words()[-1] == "once"
    assert said_by_users(await session.history())[1:] == ["SAY[once]"]


async def test_an_approval_on_the_screen_is_left_to_the_human(den: Den) -> None:
    session, told = await at_home(den)
    target = den.bench.project / "asked.txt"
    await session.submit(batch(f"ESC[touch {target}] SAY[done]"))

    event = await blocked(told)
    assert "Would you like to run" in event.data["reason"]
    assert "touch" in event.data["screen"]
    with pytest.raises(TurnRunning):
        await session.submit(batch("SAY[over it]", 2))
    assert not target.exists()
    assert "over it" not in den.screen()
    den.type("y")
    end = await told.turn_end()

    assert end.data["status"] == "completed"
    await den.until(target.exists)
    cleared = [e for e in told.events if e.kind is EventKind.BLOCKED and not e.data["reason"]]
    assert cleared or (await blocked(told)).data["reason"] == ""


async def test_interrupting_declines_what_codex_asks(den: Den) -> None:
    session, told = await at_home(den)
    target = den.bench.project / "asked.txt"
    await session.submit(batch(f"ESC[touch {target}] SAY[done]"))
    await den.until_shown("Would you like to run")

    await session.interrupt(session.active_turn)

    assert (await told.turn_end()).data["status"] == "interrupted"
    assert not target.exists()


async def test_a_picker_that_a_human_opened_blocks_until_he_closes_it(den: Den) -> None:
    session, told = await at_home(den)
    await den.say("/model")
    await den.until_shown("Select Model")

    with pytest.raises(ThreadBlocked, match="dialog"):
        await session.submit(batch("SAY[one]"))
    assert "Select Model" in (await blocked(told)).data["screen"]
    assert "Select Model" in den.screen()
    den.type("Escape")
    assert (await blocked(told)).data["reason"] == ""
    await session.submit(batch("SAY[one]"))
    await told.turn_end()

    assert told.words()[-1] == "one"


async def test_the_model_dialog_is_answered_by_nobody_but_the_human(old_den: Den) -> None:
    den = old_den
    runtime = await den.opened()

    session = await runtime.start(den.spec(model="gpt-5.4"))
    told = Told(session)
    assert session.thread_id == ""
    event = await blocked(told)
    assert "no longer available" in event.data["screen"]
    with pytest.raises(ThreadBlocked):
        await session.submit(batch("SAY[one]"))
    assert "no longer available" in den.screen()
    assert den.bench.model.requests == []
    den.type("Down", "Enter")
    await told.turn_end()
    await den.until_idle(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()

    assert told.words() == ["at your service", "one"]
    assert {request["model"] for request in den.bench.model.requests} == {"gpt-5.4"}
    assert (await runtime.find("tag12345", since=0)) == session.thread_id


async def test_a_running_turn_is_interrupted_and_half_typed_words_stay(den: Den) -> None:
    session, told = await at_home(den)
    await session.submit(batch("HANG"))
    turn = session.active_turn
    await asyncio.to_thread(den.bench.model.wait_hanging)
    den.type("-l", "half typed")
    await den.until_shown("half typed")

    await session.interrupt(turn)
    end = await told.turn_end()

    assert (end.turn_id, end.data["status"]) == (turn, "interrupted")
    assert isinstance(end.data["completed_at"], int)
    assert session.active_turn == ""
    assert "half typed" in den.screen()


async def test_the_next_netsky_adopts_the_pane_with_its_running_turn(den: Den) -> None:
    session, _ = await at_home(den)
    await session.submit(batch("HANG SAY[at last]"))
    await asyncio.to_thread(den.bench.model.wait_hanging)
    turn, before = session.active_turn, den.codexes()
    await den.runtimes[-1].close(keep_engine=True)
    assert den.sessions() == ["worker1"]

    runtime = await den.opened()
    assert await runtime.find("tag12345", since=0) == session.thread_id
    again = await runtime.resume(session.thread_id, den.spec())
    told = Told(again)
    assert again.active_turn == turn
    assert again.engine_id == session.engine_id
    assert den.codexes() == before
    den.bench.model.release()
    end = await told.turn_end()

    assert end.turn_id == turn
    assert told.words() == ["at last"]
    assert told.items("user_message") == []
    await den.until_idle(again)
    await again.submit(batch("SAY[next]", 2))
    await told.turn_end()
    assert told.words() == ["at last", "next"]


async def test_a_netsky_that_ended_over_its_start_finds_the_pane_again(new_den: Den) -> None:
    den = new_den
    session, _ = await at_home(den)
    before = den.codexes()
    await den.runtimes[-1].close(keep_engine=True)
    den.tmux("set-option", "-t", "=worker1:", "@netsky_thread", "")

    again = await (await den.opened()).start(den.spec())

    assert again.thread_id == session.thread_id
    assert den.codexes() == before


async def test_a_killed_pane_is_told_and_the_thread_goes_on_in_another(den: Den) -> None:
    session, told = await at_home(den)
    await session.submit(batch("HANG"))
    await asyncio.to_thread(den.bench.model.wait_hanging)

    den.tmux("kill-session", "-t", "=worker1")
    lost = await told.next(EventKind.SESSION_LOST)
    assert "killed" in lost.data["reason"]
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[lost]", 2))
    with pytest.raises(ThreadUnavailable):
        await session.interrupt(session.active_turn)
    again = await den.runtimes[-1].resume(session.thread_id, den.spec())
    told = Told(again)
    await again.submit(batch("SAY[found]", 3))
    await told.turn_end()

    turns = await again.history()
    assert said_by_users(turns)[1:] == ["HANG", "SAY[found]"]
    assert turns[1].status is TurnStatus.INTERRUPTED


async def test_what_outlives_a_killed_pane_is_ended_before_the_next_one_begins(
    new_den: Den,
) -> None:
    den = new_den
    session, told = await at_home(den, companion=STUBBORN)
    den.tmux("kill-session", "-t", "=worker1")
    await told.next(EventKind.SESSION_LOST)

    again = await den.runtimes[-1].resume(session.thread_id, den.spec())
    assert den.beside(STUBBORN) == []
    told = Told(again)
    await again.submit(batch("SAY[found]"))
    await told.turn_end()

    assert told.words() == ["found"]
    assert EventKind.SESSION_LOST not in [event.kind for event in told.events]


async def test_what_outlives_netsky_and_the_server_is_ended_before_the_next_one_begins(
    new_den: Den,
) -> None:
    den = new_den
    session, _ = await at_home(den, companion=STUBBORN)
    await den.runtimes[-1].close(keep_engine=True)
    os.kill(int(den.tmux("display-message", "-p", "#{pid}")), signal.SIGKILL)
    assert den.beside(STUBBORN) != []

    again = await (await den.opened()).resume(session.thread_id, den.spec())

    assert den.beside(STUBBORN) == []
    told = Told(again)
    await again.submit(batch("SAY[found]"))
    await told.turn_end()
    assert told.words() == ["found"]


async def test_the_end_of_the_tmux_server_is_told_to_all(new_den: Den) -> None:
    den = new_den
    session, told = await at_home(den)
    other = await den.runtimes[-1].start(den.spec(label="worker2", mark="tag2", instructions=""))
    server = int(den.tmux("display-message", "-p", "#{pid}"))

    os.kill(server, signal.SIGKILL)
    await told.next(EventKind.SESSION_LOST)
    await Told(other).next(EventKind.SESSION_LOST)
    await den.until(lambda: den.processes() == [])
    again = await den.runtimes[-1].resume(session.thread_id, den.spec())
    told = Told(again)
    await again.submit(batch("SAY[found]"))
    await told.turn_end()

    assert told.words() == ["found"]
    assert again.engine_id != session.engine_id


async def test_codex_that_is_killed_is_lost_by_its_signal_and_not_by_what_it_showed(
    new_den: Den,
) -> None:
    den = new_den
    _, told = await at_home(den)
    [codex] = den.codexes()

    os.kill(codex, signal.SIGKILL)
    lost = await told.next(EventKind.SESSION_LOST)

    assert lost.data["reason"] == "Codex has ended: its process was killed by signal 9."
    await den.until(lambda: den.sessions() == [])


async def test_a_codex_that_exits_at_once_is_an_error_with_its_words(den: Den) -> None:
    den.codex_config.write_text("model = nonsense\n")
    runtime = await den.opened()

    with pytest.raises(ThreadUnavailable, match=r"worker1 ended at once(.|\n)*config.toml"):
        await runtime.start(den.spec())

    assert den.sessions() == []
    assert den.processes() == []


async def test_a_silent_pane_is_an_error_that_names_pane_and_looks(new_den: Den) -> None:
    den = new_den
    runtime = await den.opened(codex=den.script("exec cat"), turn_start_seconds=0.5)

    with pytest.raises(ThreadUnavailable, match=r"pane worker1 never began .* in \d+ looks"):
        await runtime.start(den.spec())

    assert den.sessions() == []
    assert den.processes() == []


async def test_a_codex_whose_first_turn_never_begins_is_such_a_pane_too(den: Den) -> None:
    runtime = await den.opened(turn_start_seconds=0.01)

    with pytest.raises(ThreadUnavailable, match=r"pane worker1 never began .* in \d+ looks"):
        await runtime.start(den.spec())

    assert den.sessions() == []
    assert den.processes() == []


async def test_options_that_codex_refuses_are_refused_for_good(den: Den) -> None:
    runtime = await den.opened()

    with pytest.raises(InputRejected, match="a-box-of-sand"):
        await runtime.start(den.spec(sandbox="a-box-of-sand"))

    assert den.sessions() == []


async def test_a_released_pane_is_gone_with_its_processes_and_its_companion(den: Den) -> None:
    runtime = await den.opened()
    session = await runtime.start(den.spec(companion=("sleep", "1000")))
    await Told(session).turn_end()
    await den.until_idle(session)
    assert any(command == "sleep 1000" for command in den.processes())

    await session.release()

    assert den.processes() == []
    assert den.sessions() == []
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[late]"))
    again = await runtime.resume(session.thread_id, den.spec())
    told = Told(again)
    await again.submit(batch("SAY[back]"))
    await told.turn_end()
    assert told.words() == ["back"]


async def test_another_thread_on_the_screen_is_not_written_into(new_den: Den) -> None:
    den = new_den
    session, told = await at_home(den)
    await den.say("/new")
    await den.until(lambda: "at your service" not in den.screen())
    await den.say("SAY[elsewhere]")
    await den.until_shown("• elsewhere")
    await den.until(lambda: "esc to interrupt" not in den.screen())

    with pytest.raises(ThreadBlocked, match="another thread"):
        await session.submit(batch("SAY[lost]"))

    await blocked(told, by="another thread")
    assert "SAY[lost]" not in den.screen()


async def test_a_new_thread_in_which_nothing_was_said_is_not_written_into_until_he_is_back(
    den: Den,
) -> None:
    session, told = await at_home(den)
    await den.say("/new")
    await den.until(lambda: len(den.locks()) == 2)

    with pytest.raises(ThreadBlocked, match=f"another thread.*/resume {session.thread_id}"):
        await session.submit(batch("SAY[lost]"))

    await blocked(told, by="another thread")
    assert "SAY[lost]" not in den.screen()
    await den.say(f"/resume {session.thread_id}")
    assert (await blocked(told)).data["reason"] == ""
    await den.until(lambda: "/resume" not in den.screen())  # its lock is there the sooner
    await session.submit(batch("SAY[found]", 2))
    await told.turn_end()
    assert told.words()[-1] == "found"
    assert said_by_users(await session.history())[1:] == ["SAY[found]"]


async def test_a_side_conversation_is_not_written_into(den: Den) -> None:
    session, told = await at_home(den)
    await den.say("/side")
    await den.until_shown("Side from main thread")

    with pytest.raises(ThreadBlocked, match="side conversation"):
        await session.submit(batch("SAY[lost]"))

    await blocked(told, by="side conversation")
    assert "SAY[lost]" not in den.screen()
    den.type("C-c")
    assert (await blocked(told)).data["reason"] == ""
    await session.submit(batch("SAY[found]", 2))
    await told.turn_end()
    assert said_by_users(await session.history())[1:] == ["SAY[found]"]


async def test_a_thread_that_codex_only_lists_is_never_taken_for_its_own(den: Den) -> None:
    home = Path(den.bench.environ["CODEX_HOME"])
    listed = rollout(home, OTHER, meta(OTHER), says("You are tag99999."))
    changed_at(listed, time.time() + 1_000_000)  # whatever Codex writes, this is newer
    # Codex itself has it open for moments only, when it starts and when a human asks.
    codex = den.script(f'exec 9<{shlex.quote(str(listed))}\nexec CODEX "$@"')
    runtime = await den.opened(codex=codex)

    session = await runtime.start(den.spec())
    told = Told(session)
    await told.turn_end()
    await den.until_idle(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()

    assert session.thread_id != OTHER
    assert told.words() == ["at your service", "one"]
    assert await runtime.find("tag12345", since=0) == session.thread_id


async def test_a_resident_says_what_it_cannot_do_and_where_to_turn(new_den: Den) -> None:
    session, _ = await at_home(new_den)

    with pytest.raises(Unsupported) as steering:
        await session.steer(batch("SAY[x]"), turn_id="t")

    assert "actors attach" in steering.value.hint
    command = session.terminal()
    assert command[:3] == ("env", "-u", "TMUX")
    assert command[-3:] == ("attach-session", "-t", "=worker1")


async def test_the_defaults_that_nobody_watches_are_said_aloud(new_den: Den) -> None:
    aloud = await new_den.runtime().info()
    quiet = await new_den.runtime(sandbox="read-only", approval_policy="on-request").info()

    assert "danger-full-access" in aloud.notices[0]
    assert "never" in aloud.notices[1]
    assert quiet.notices == ()


async def test_a_thread_that_nobody_knows_is_gone(new_den: Den) -> None:
    runtime = await new_den.opened()

    for thread_id in ("0199aaaa-0000-7000-8000-000000000000", "../../etc/passwd", ""):
        with pytest.raises(ThreadGone):
            await runtime.resume(thread_id, new_den.spec())


async def test_a_stop_leaves_no_process_and_no_socket_that_answers(den: Den) -> None:
    await at_home(den)

    async with asyncio.timeout(PATIENCE):
        await den.runtimes[-1].close(keep_engine=False)

    assert den.processes() == []
    assert den.sessions() == []
    assert not list((den.bench.root / "codex-home").glob("packages/app-server-daemon/*"))
