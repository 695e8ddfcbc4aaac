"""The daemon as a whole, in this process, on the scripted runtime."""

import asyncio
import os
import stat
from contextlib import asynccontextmanager

import psutil
import pytest

from netsky_runtime import supervise
from netsky_runtime.agents.ingest import FactWriter
from netsky_runtime.agents.watchdog import Watchdog
from netsky_runtime.attention.herald import Herald
from netsky_runtime.codex.resident.runtime import ResidentRuntime
from netsky_runtime.comms.post_office import PostOffice
from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.control.handle import PushKind
from netsky_runtime.daemon import Daemon
from netsky_runtime.db import actors, approvals, messages, spending
from netsky_runtime.db.connection import ReadDatabase
from netsky_runtime.errors import (
    Conflict,
    DaemonRunning,
    DatabaseError,
    NetskyError,
    NoDaemon,
    NotFound,
    Refused,
    Unhealthy,
    UsageError,
)
from netsky_runtime.fact_records import Usage
from netsky_runtime.headless import readiness
from netsky_runtime.housekeeping import Housekeeping
from netsky_runtime.logbook import Logbook
from netsky_runtime.offline import offline
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from netsky_runtime.records import MAX_BODY_BYTES
from netsky_runtime.states import ApprovalStatus, RuntimeName
from netsky_runtime.storage_watch import StorageWatch
from tests.support.patience import PATIENCE


def options(tmp_path, **changes):
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    given = {"home": home, "cwd": work, "environ": {}, "flags": {"runtime": "scripted"}}
    return Options(**(given | changes))


@asynccontextmanager
async def daemon(tmp_path, **changes):
    running = await Daemon.host(options(tmp_path, **changes))
    try:
        yield running
    finally:
        await running.stop(keep_engine=False)


async def ask(handle, text, *, to="manager0"):
    sent = await handle.call("send", {"target": to, "body": text})
    return await handle.call("wait", {"input_id": sent["input_id"], "timeout": PATIENCE})


async def until(running, look):
    """Look again after every commit until what is seen is true."""
    committed = asyncio.Event()
    running.database.on_commit(committed.set)
    async with asyncio.timeout(PATIENCE):
        while not await look():
            committed.clear()
            await committed.wait()


async def test_a_remote_client_sends_and_waits_for_the_answer(tmp_path):
    async with daemon(tmp_path) as running:
        remote = await RemoteHandle.connect(running.options.home.control_socket, client="test")
        try:
            told = await ask(remote, "SAY[hello]")
        finally:
            await remote.close()
    assert told["status"] == "answered"
    assert told["reply"]["body"] == "hello"


async def test_status_counts_what_is_there(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        await ask(handle, "SAY[hello]")
        status = await handle.call("status")
        assert status["daemon"]["state"] == "ready"
        assert status["daemon"]["pid"] == os.getpid()
        assert status["runtime"]["name"] == "scripted"
        assert status["counts"]["messages"] == 2
        assert status["counts"]["inputs_pending"] == 0
        await handle.close()


async def test_every_start_has_a_later_epoch(tmp_path):
    epochs = []
    for _ in range(2):
        async with daemon(tmp_path) as running:
            epochs.append(running.epoch)
    assert epochs[1] > epochs[0]


async def test_a_door_that_no_actor_needs_yet_is_opened_and_told_all_the_same(tmp_path):
    async with daemon(tmp_path):
        pass
    without_tmux = {"flags": {"runtime": "resident"}, "environ": {"PATH": str(tmp_path)}}
    async with daemon(tmp_path, **without_tmux) as running:
        told = (await running.handle().call("status"))["runtime"]
        assert (told["name"], told["codex_version"]) == ("resident", "")
        assert "tmux" in told["notices"][0]


async def test_an_uncertain_input_of_a_stopped_actor_is_sent_again_when_it_is_resumed(
    tmp_path,
):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        worker = (await handle.call("actors.start_worker", {"title": "T"}))["actor_id"]
        sent = await handle.call("send", {"target": worker, "body": "SAY[said]"})
        await handle.call("wait", {"input_id": sent["input_id"], "timeout": PATIENCE})
        await handle.call("actors.stop", {"actor_id": worker})
        change = "UPDATE actor_inputs SET status = 'uncertain' WHERE id = ?"
        await running.database.write(lambda tx: tx.execute(change, (sent["input_id"],)))
        again = {"input_id": sent["input_id"], "action": "resend"}
        with pytest.raises(Conflict, match=f"{worker} is stopped"):
            await handle.call("inputs.resolve", again)
        await handle.call("actors.resume", {"actor_id": worker})
        assert (await handle.call("inputs.resolve", again))["status"] == "queued"
        told = await handle.call("wait", {"input_id": sent["input_id"], "timeout": PATIENCE})
        assert told["status"] == "answered"


async def test_who_is_resumed_with_a_budget_that_is_used_up_is_told_to_wait_for_it(tmp_path):
    used = {"input_tokens": 5, "cached_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0}
    turn = {"thread_id": "th", "turn_id": "u1", "actor_id": "manager0", "context_window": None}
    usage = Usage(**turn, **used, total_tokens=5, updated_at=1)
    async with daemon(tmp_path) as running:
        handle = running.handle()
        assert await handle.call("actors.resume", {"actor_id": "manager0"}) == {
            "held": None,
            "remedy": None,
        }
        await running.database.write(lambda tx: spending.tell(tx, usage))
        bound = {"scope": "actor", "subject": "manager0", "tokens": 5}
        await handle.call("budgets.set", bound)
        assert await handle.call("actors.resume", {"actor_id": "manager0"}) == {
            "held": "the budget of manager0, 5 tokens, is used up",
            "remedy": "netsky budgets set actor manager0 +5",
        }


async def test_a_second_daemon_on_the_home_is_refused_and_the_first_goes_on(tmp_path):
    async with daemon(tmp_path) as running:
        with pytest.raises(DaemonRunning, match="Another netsky"):
            await Daemon.host(options(tmp_path))
        told = await ask(running.handle(), "SAY[still here]")
        assert told["reply"]["body"] == "still here"


async def test_a_home_that_actors_could_write_to_is_refused(tmp_path):
    with pytest.raises(Refused, match="where actors may write"):
        await Daemon.host(options(tmp_path, cwd=tmp_path))
    async with daemon(tmp_path):
        pass  # and the refused start has left nothing locked


async def test_every_file_of_a_home_is_private(tmp_path):
    async with daemon(tmp_path) as running:
        await ask(running.handle(), "SAY[hello]")
        home = running.options.home
        await running.log.flush(running.database)
        assert (home.logs / "netsky.jsonl").exists()
        open_to_others = {
            file.name for file in home.root.rglob("*") if stat.S_IMODE(file.stat().st_mode) & 0o077
        }
        assert not open_to_others


async def test_a_refused_first_start_creates_nothing(tmp_path):
    for wrong in (
        {"cwd": tmp_path},
        {"environ": {"AGENT_CODEX_SANDBOX": "nonsense"}},
        {"flags": {"work_dir": str(tmp_path / "gone")}},
    ):
        given = options(tmp_path, **wrong)
        with pytest.raises(NetskyError):
            await Daemon.host(given)
        assert not given.home.root.exists()


async def test_a_work_dir_that_has_vanished_is_told_not_replaced(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    async with offline(options(tmp_path).home, cwd=tmp_path / "work") as verbs:
        await verbs("settings.set", {"key": "work_dir", "value": str(gone)})
    gone.rmdir()
    with pytest.raises(Unhealthy, match="gone") as caught:
        await Daemon.host(options(tmp_path))
    assert "settings set work_dir" in caught.value.hint


async def test_manager0_works_in_the_work_dir_that_was_set_before_its_first_start(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    async with offline(options(tmp_path).home, cwd=tmp_path) as verbs:
        await verbs("settings.set", {"key": "work_dir", "value": str(project)})
    async with daemon(tmp_path) as running:
        manager0 = await running.database.read(lambda tx: actors.get(tx, "manager0"))
        assert manager0.cwd == str(project)


def test_a_daemon_without_codex_does_not_just_say_that_it_is_ready():
    runtime = {"name": "app_server", "codex_version": "", "notices": ["None was found.", "Old."]}
    assert readiness(runtime, 7) == [
        "ready, pid 7, but without Codex: None was found.",
        "notice: Old.",
    ]
    runtime = {"name": "app_server", "codex_version": "0.163.0", "notices": []}
    assert readiness(runtime, 7) == ["ready: app_server 0.163.0, pid 7"]


async def test_a_bad_setting_in_the_environment_is_named(tmp_path):
    with pytest.raises(UsageError, match="AGENT_CODEX_SANDBOX"):
        await Daemon.host(options(tmp_path, environ={"AGENT_CODEX_SANDBOX": "nonsense"}))


@pytest.mark.parametrize(
    ("target", "body", "error"),
    [
        ("worker9", "hello", NotFound),
        ("manager0", "   ", UsageError),
        ("manager0", "x" * (MAX_BODY_BYTES + 1), UsageError),
        ("owner", "hello", UsageError),
    ],
)
async def test_a_message_that_cannot_be_sent_is_refused_with_the_reason(
    tmp_path, target, body, error
):
    async with daemon(tmp_path) as running:
        with pytest.raises(error):
            await running.handle().call("send", {"target": target, "body": body})
        assert (await running.handle().call("status"))["counts"]["messages"] == 0


async def test_waiting_ends_after_its_time_with_the_present_state(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        sent = await handle.call("send", {"target": "manager0", "body": "HANG"})
        told = await handle.call("wait", {"input_id": sent["input_id"], "timeout": 0.01})
        assert told["status"] in {"queued", "handed", "seen"}
        assert told["reply"] is None


async def test_without_a_daemon_messages_queue_and_the_next_start_sends_them(tmp_path):
    home = options(tmp_path).home
    async with offline(home, cwd=tmp_path / "work") as verbs:
        sent = await verbs("send", {"target": "manager0", "body": "SAY[later]"})
        with pytest.raises(NoDaemon):
            await verbs("approvals.decide", {"id": "a1", "decision": "accept"})
    async with daemon(tmp_path) as running:
        told = await running.handle().call(
            "wait", {"input_id": sent["input_id"], "timeout": PATIENCE}
        )
    assert told["reply"]["body"] == "later"


async def test_offline_verbs_are_refused_while_a_daemon_runs(tmp_path):
    async with daemon(tmp_path) as running:
        with pytest.raises(DaemonRunning):
            async with offline(running.options.home):
                pass


async def test_an_approval_can_be_read_by_anyone_and_decided_once(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        sent = await handle.call("send", {"target": "manager0", "body": "ASK[make] SAY[made]"})

        async def asked():
            return (await handle.call("status"))["counts"]["approvals_pending"]

        await until(running, asked)
        reader = await ReadDatabase.open(running.options.home.database)
        try:
            (question,) = await reader.read(
                lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING])
            )
        finally:
            await reader.close()
        decided = await handle.call("approvals.decide", {"id": question.id, "decision": "accept"})
        assert decided["status"] == "accepted"
        with pytest.raises(Conflict):
            await handle.call("approvals.decide", {"id": question.id, "decision": "decline"})
        told = await handle.call("wait", {"input_id": sent["input_id"], "timeout": PATIENCE})
        assert told["status"] == "answered"


async def test_a_message_that_was_not_sent_yet_can_be_taken_back(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        await handle.call("send", {"target": "manager0", "body": "HANG"})
        waiting = await handle.call("send", {"target": "manager0", "body": "SAY[never]"})
        told = await handle.call("inputs.cancel", {"input_id": waiting["input_id"]})
        assert told["status"] == "cancelled"

        async def runs():
            return running.services.fleet.running()

        await until(running, runs)
        await handle.call("actors.interrupt", {"actor_id": "manager0"})
        assert (await ask(handle, "SAY[next]"))["reply"]["body"] == "next"
        found = await running.database.read(lambda tx: messages.recent(tx, limit=50))
        assert not [m for _, m in found if m.body == "never"]


async def test_the_owner_closes_a_task_and_what_waited_for_it_is_startable(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        first = await handle.call("tasks.add", {"title": "first"})
        started = await handle.call(
            "actors.start_worker",
            {"title": "second", "body": "SAY[second]", "depends_on": [first["task_id"]]},
        )
        assert started["status"] == "blocked"
        await handle.call("tasks.done", {"id": first["task_id"]})

        async def reported():
            found = await running.database.read(lambda tx: messages.recent(tx, limit=50))
            return [m for _, m in found if m.sender == started["actor_id"]]

        await until(running, reported)


async def test_a_stop_interrupts_turns_and_leaves_no_thread_process_or_socket(tmp_path):
    children = set(psutil.Process().children(recursive=True))
    async with daemon(tmp_path) as running:
        sent = await running.handle().call("send", {"target": "manager0", "body": "HANG"})

        async def runs():
            return running.services.fleet.running()

        await until(running, runs)
    assert not running.options.home.control_socket.exists()
    assert set(psutil.Process().children(recursive=True)) <= children
    async with daemon(tmp_path) as again:
        told = await again.handle().call(
            "wait", {"input_id": sent["input_id"], "timeout": PATIENCE}
        )
    assert told["status"] == "interrupted"


async def test_what_goes_wrong_is_told_to_the_rooms(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        await ask(handle, "ERR[reject]")
        async with asyncio.timeout(PATIENCE):
            async for push in handle.pushes():
                if push.kind is PushKind.NOTICE:
                    break
        assert push.data["level"] == "error"
        assert "input refused" in push.data["text"]
        assert "manager0" in push.data["text"]


@pytest.mark.parametrize(
    ("kept", "name"),
    [
        (Logbook, "logbook"),
        (FactWriter, "facts"),
        (StorageWatch, "storage watch"),
        (Watchdog, "watchdog"),
        (PostOffice, "post office"),
        (Housekeeping, "housekeeping"),
        (Herald, "herald"),
    ],
)
async def test_what_lives_for_ever_is_begun_again_after_an_error_and_that_is_told(
    tmp_path, monkeypatch, kept, name
):
    runs, works, again = 0, kept.run, asyncio.Event()

    async def run(*given):
        nonlocal runs
        runs += 1
        if runs <= 2:
            raise KeyError(f"bug {runs}")
        again.set()
        await works(*given)

    monkeypatch.setattr(kept, "run", run)
    monkeypatch.setattr(supervise, "FIRST_REST_SECONDS", 0.0)
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        await again.wait()
        status = await running.handle().call("status")
        doctor = await running.handle().call("doctor")
        lines = (running.options.home.logs / "netsky.jsonl").read_text
        await running.log.flush(running.database)
    [notice] = [told for told in status["runtime"]["notices"] if f"netsky's own {name} " in told]
    assert notice.endswith("KeyError: 'bug 2'")
    assert notice in next(check["hint"] for check in doctor["checks"] if check["name"] == "runtime")
    assert all(f"bug {number}" in lines() for number in (1, 2))


async def test_what_fails_behind_any_door_is_told_like_what_fails_of_the_daemon(
    tmp_path, monkeypatch
):
    told = "netsky's own resident watch ends again and again by an error, since 14:32:05."
    monkeypatch.setattr(ResidentRuntime, "troubles", lambda _self: [told])
    async with daemon(tmp_path) as running:
        assert told not in (await running.handle().call("status"))["runtime"]["notices"]
        running.services.runtimes.get(RuntimeName.RESIDENT)  # somebody has a thread there
        status = await running.handle().call("status")
        doctor = await running.handle().call("doctor")
    assert status["runtime"]["notices"].count(told) == 1
    assert told in next(check["hint"] for check in doctor["checks"] if check["name"] == "runtime")


async def test_a_failed_start_says_so_and_leaves_nothing_behind(tmp_path):
    given = options(tmp_path)
    given.home.root.mkdir(mode=0o700)
    given.home.database.write_bytes(b"this is no database at all, but a text file" * 100)
    with pytest.raises(DatabaseError, match="is not a database"):
        await Daemon.host(given)
    given.home.database.unlink()
    async with daemon(tmp_path) as running:
        assert (await running.handle().call("status"))["daemon"]["state"] == "ready"


@pytest.mark.parametrize(
    ("changes", "end", "stopped"),
    [
        ({}, lambda running: running.stop(keep_engine=False), True),
        ({}, lambda running: running.handle().call("stop", {"keep_engine": True}), True),
        ({}, lambda running: running.stop(keep_engine=True), False),
        ({"only": frozenset({"worker5"})}, lambda running: running.stop(keep_engine=False), False),
    ],
    ids=[
        "all ended",
        "netsky stop --keep-engine",
        "its host left",
        "the turn of a sidecar is over",
    ],
)
async def test_rooms_are_told_whether_somebody_wanted_the_end(tmp_path, changes, end, stopped):
    async with daemon(tmp_path, **changes) as running:
        room = await RemoteHandle.connect(running.options.home.control_socket, client="room")
        pushes = room.pushes()
        first = asyncio.ensure_future(anext(pushes))
        await room.call("status")
        await end(running)
        await running.stop(keep_engine=True)  # whatever its host says then
        said = [await first, *[push async for push in pushes]]
        assert said[-1].kind is PushKind.CLOSING
        assert said[-1].data["stopped"] is stopped
        await room.close()
