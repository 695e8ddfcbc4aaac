"""The checker: it finds nothing in a healthy home, and every violation that is planted in one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiosqlite
import pytest

from netsky_runtime.agents.prompts import instructions
from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.daemon import Daemon
from netsky_runtime.db import inputs, rules
from netsky_runtime.db.commits import Commits
from netsky_runtime.db.connection import Database, ReadDatabase
from netsky_runtime.invariants import Report, check
from netsky_runtime.invariants.checking import EVERY
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from netsky_runtime.records import MANAGER0, Actor
from netsky_runtime.states import ActorKind, ActorStatus

START = 'TOOL[start_worker {"title": "Greet", "body": "SAY[hello]"}]ENDTOOL SAY[started]'
PATIENCE = 30


@asynccontextmanager
async def hosted(home: Home, work: Path) -> AsyncIterator[Daemon]:
    await asyncio.to_thread(work.mkdir)
    environ = {"PATH": os.environ["PATH"], "HOME": str(work)}
    options = Options(home=home, cwd=work, environ=environ, flags={"runtime": "scripted"})
    clock = SystemClock()
    daemon = await Daemon.host(options, clock=clock, ids=SortableIds(clock))
    try:
        yield daemon
    finally:
        await daemon.stop(keep_engine=False)


async def send(daemon: Daemon, text: str) -> str:
    told = await daemon.dispatch("send", {"target": MANAGER0, "body": text})
    return str(told["input_id"])


async def until(daemon: Daemon, sql: str) -> None:
    """Wait until the query finds a row."""

    async def look(tx):
        return list(await tx.execute_fetchall(sql)) or None

    async with asyncio.timeout(PATIENCE):
        await Commits(daemon.database).until(look)


async def live(daemon: Daemon) -> None:
    """Let a manager start a worker, be answered, and ask for an approval that waits."""
    answered = await send(daemon, START)
    await daemon.dispatch("wait", {"input_id": answered, "timeout": PATIENCE})
    await until(daemon, "SELECT 1 FROM tasks WHERE status = 'reported'")
    await until(
        daemon,
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM actor_inputs"
        " WHERE status IN ('queued', 'handed', 'seen'))",
    )
    await daemon.dispatch("tasks.add", {"title": "Later", "depends_on": ["t1"]})
    asked = await send(daemon, "ASK[touch here] SAY[asked]")
    await until(daemon, "SELECT 1 FROM approvals WHERE status = 'pending'")
    await daemon.dispatch("approvals.decide", {"id": "a1", "decision": "accept"})
    await daemon.dispatch("wait", {"input_id": asked, "timeout": PATIENCE})
    await send(daemon, "ASK[touch there] SAY[done]")
    await until(daemon, "SELECT 1 FROM approvals WHERE status = 'pending'")


async def look(home: Home, *, daemon: bool) -> Report:
    database = await ReadDatabase.open(home.database)
    try:
        return await check(home, {"HOME": str(home.root)}, database, live=daemon)
    finally:
        await database.close()


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory) -> Path:
    """A home in which there has been everything, with no daemon: each test takes a copy."""
    root = tmp_path_factory.mktemp("lived")
    home = Home.locate({"NETSKY_HOME": str(root / "home")})

    async def fill() -> None:
        async with hosted(home, root / "work") as daemon:
            await live(daemon)

    asyncio.run(fill())
    return home.root


@pytest.fixture
def home(lived_in, tmp_path) -> Home:
    copy = tmp_path / "home"
    subprocess.run(["cp", "-r", str(lived_in), str(copy)], check=True)
    return Home.locate({"NETSKY_HOME": str(copy)})


async def plant(home: Home, script: str) -> None:
    """Change the database as no netsky would."""
    async with aiosqlite.connect(home.database) as database:
        await database.executescript(script)
        await database.commit()


async def test_a_home_at_work_and_the_same_home_at_rest_violate_nothing(tmp_path):
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    async with hosted(home, tmp_path / "work") as daemon:
        await live(daemon)
        working = await look(home, daemon=True)
    resting = await look(home, daemon=False)
    for report in (working, resting):
        assert [each.sentence for each in report.violations] == []
        assert len(report.heard.inputs) == 2
        assert report.heard.unread == {}


FIRST = "(SELECT min(id) FROM actor_inputs WHERE status = 'answered')"
PENDING = """
    UPDATE approvals SET status = 'pending', decided_at = NULL, decided_by = '', sent_at = NULL;
"""
WITHOUT_UNIQUE = """
    CREATE TABLE copy AS SELECT * FROM {0}; DROP TABLE {0}; ALTER TABLE copy RENAME TO {0};
"""
TWICE = "INSERT INTO {0} SELECT * FROM {0} LIMIT 1;"
PLANTED = {
    "message_has_delivery": "DELETE FROM deliveries WHERE sink = 'room';",
    "delivery_has_input": "UPDATE deliveries SET input_id = NULL WHERE sink LIKE 'actor:%';",
    "references_hold": "DELETE FROM tasks WHERE id = 't1';",
    "fact_stored_once": WITHOUT_UNIQUE.format("events") + TWICE.format("events"),
    "intent_before_hand": "UPDATE actor_inputs SET attempts = 0;",
    "seen_somewhere": "UPDATE actor_inputs SET turn_id = '';",
    "answer_exists": f"UPDATE actor_inputs SET reply_id = NULL WHERE id = {FIRST};",
    "answered_once": f"UPDATE actor_inputs SET reply_id = 'm-other' WHERE id = {FIRST};",
    "recovery_names_inputs": "UPDATE actor_inputs SET recovers_json = '[\"i-nobody\"]';",
    "recovered_once": f"""
        UPDATE actor_inputs SET status = 'queued', recovers_json = json_array({FIRST})
        WHERE actor_id = 'manager0';
    """,
    "delivery_follows_input": "UPDATE deliveries SET status = 'pending' WHERE input_id NOT NULL;",
    "moved_by_the_table": f"UPDATE actor_inputs SET status = 'handed' WHERE id = {FIRST};",
    "last_step_is_the_state": "UPDATE input_steps SET status = 'queued';",
    "message_follows_input": "UPDATE messages SET status = 'failed' WHERE target = 'manager0';",
    "one_delivery": """
        INSERT INTO deliveries (id, message_id, sink, input_id, status, created_at, updated_at)
        SELECT 'd-other', message_id, sink, input_id, status, 1, 1 FROM deliveries
        WHERE input_id NOT NULL LIMIT 1;
    """,
    "pending_has_owner": """
        UPDATE actors SET status = 'stopped' WHERE id = 'worker1';
        UPDATE deliveries SET status = 'pending' WHERE sink = 'actor:worker1';
    """,
    "netsky_says_little": "UPDATE messages SET source = 'daemon' WHERE target = 'worker1';",
    "no_wait_for_a_past_turn": f"UPDATE actor_inputs SET status = 'seen' WHERE id = {FIRST};",
    "envelope_is_one": "UPDATE actor_inputs SET envelope = replace(envelope, 'SAY', '</SAY>');",
    "states_are_known": "UPDATE tasks SET status = 'somehow' WHERE id = 't1';",
    "decided_before_sent": "UPDATE approvals SET sent_at = 5, decided_at = NULL;",
    "decision_in_ledger": "UPDATE approvals SET decided_by = 'rule r9' WHERE id = 'a1';",
    "rule_in_ledger": """
        INSERT INTO rules (number, id, cwd, pattern, actors, created_at)
        VALUES (9, 'r9', '/', 'git *', 'workers', 1);
    """,
    "ledger_is_whole": "UPDATE ledger SET at = at + 1 WHERE seq = 1;",
    "done_as_decided": "UPDATE approvals SET status = 'declined' WHERE id = 'a1';",
    "nothing_decided_by_waiting": "UPDATE approvals SET status = 'pending', decided_at = 5;",
    "pending_in_a_turn": PENDING,
    "pending_is_answerable": PENDING + "UPDATE sessions SET engine_id = 'engine-other';",
    "not_before_its_dependencies": """
        UPDATE tasks SET status = 'in_progress', updated_at = updated_at + 1 WHERE id = 't2';
    """,
    "blocked_by_something": "UPDATE tasks SET status = 'done' WHERE id = 't1';",
    "no_circle": "INSERT INTO task_dependencies (task_id, depends_on_id) VALUES ('t1', 't2');",
    "one_session": """
        DROP INDEX sessions_current;
        UPDATE sessions SET actor_id = 'manager0', ended_at = NULL;
    """,
    "one_writer": "UPDATE sessions SET thread_id = 'thread-of-two', ended_at = NULL;",
    "one_engine": """
        INSERT INTO engines (id, runtime, state, pid, pid_started, binary, version, codex_home,
            socket, started_at)
        SELECT value, 'app_server', 'running', 1, 1, '', '', '', '', 1
        FROM json_each('["engine-a", "engine-b"]');
    """,
    "epoch_rises": """
        INSERT INTO logs (at, level, component, message, fields_json)
        SELECT at, level, component, message, fields_json FROM logs
        WHERE message = 'daemon started';
    """,
    "tokens_differ": "UPDATE sessions SET token = 'known';",
    "tags_differ": "UPDATE sessions SET tag = 'known';",
    "accepted_before_said": "UPDATE actor_inputs SET attempts = 0;",
}


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_violation_of_rows_is_caught(home, name):
    assert (await look(home, daemon=True)).violations == []
    await plant(home, PLANTED[name])
    report = await look(home, daemon=True)
    assert name in {each.check for each in report.violations}
    (known,) = [each for each in EVERY if each.name == name]
    caught = [each for each in report.violations if each.check == name]
    assert all(each.invariant == known.invariant and each.ids for each in caught)


@pytest.mark.parametrize(
    "script",
    [
        "DELETE FROM ledger;",
        "DELETE FROM ledger WHERE kind = 'decided';",
        "UPDATE ledger SET entry_json = json_set(entry_json, '$.decision', 'declined');",
        "UPDATE ledger SET entry_json = json_set(entry_json, '$.by', 'nobody');",
        "UPDATE ledger SET entry_json = 'words';",
        "UPDATE approvals SET decided_at = 1, rule_id = 'r9' WHERE id = 'a1';",
    ],
)
async def test_a_decision_of_which_the_ledger_tells_nothing_or_else_is_caught(home, script):
    await plant(home, script)
    found = (await look(home, daemon=False)).violations
    assert "decision_in_ledger" in {each.check for each in found}


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE rules SET revoked_at = NULL WHERE id = 'r2';",
        "UPDATE rules SET revoked_at = 5 WHERE id = 'r1';",
        "UPDATE rules SET pattern = 'make *' WHERE id = 'r1';",
        "UPDATE rules SET cwd = '/' WHERE id = 'r1';",
        "UPDATE rules SET actors = 'managers' WHERE id = 'r1';",
    ],
)
async def test_a_rule_that_is_not_what_the_ledger_tells_of_it_is_caught(home, script):
    database = await Database.open(home.database, backups=home.backups, clock=SystemClock())
    said = {"cwd": "/somewhere", "actors": "workers", "by": "owner", "now": 2}
    await database.write(lambda tx: rules.add(tx, pattern="make test", **said))
    await database.write(lambda tx: rules.add(tx, pattern="make lint", **said))
    await database.write(lambda tx: rules.revoke(tx, "r2", by="owner", now=3))
    await database.close()
    assert (await look(home, daemon=False)).violations == []
    await plant(home, script)
    (caught,) = (await look(home, daemon=False)).violations
    assert caught.check == "rule_in_ledger"


async def test_a_decision_from_before_there_was_a_ledger_has_no_entry(home):
    await plant(home, "UPDATE approvals SET before_ledger = 1; DELETE FROM ledger;")
    assert (await look(home, daemon=False)).violations == []


BEGUN = """
    INSERT INTO messages (id, source, direction, kind, sender, target, body, status, task_id,
        created_at)
    SELECT 'm-begun', 'daemon', 'inbound', 'task', 'manager0', 'worker1', 'go', 'closed', 't2', {0}
    FROM tasks WHERE id = 't1';
    INSERT INTO deliveries (id, message_id, sink, status, created_at, updated_at)
    VALUES ('d-begun', 'm-begun', 'room', 'confirmed', 1, 1);
    UPDATE task_dependencies SET added_at = {2};
    UPDATE tasks SET status = 'reported' WHERE id = 't2';
    UPDATE tasks SET status = 'done', closed_at = updated_at + 9 WHERE id = '{1}';
"""


@pytest.mark.parametrize(
    ("begun", "done", "report", "added", "early"),
    [
        ("updated_at + 1", "t2", "kept", 0, True),  # t1 waits for its manager all the time
        ("updated_at + 1", "t1", "none", 0, True),  # t1 was done only afterwards
        ("updated_at + 1", "t1", "kept", 0, False),  # and was reported before: it was opened again
        ("updated_at + 10", "t1", "none", 0, False),
        ("updated_at + 1", "t2", "kept", 1 << 60, False),  # t2 had begun when it was to wait
    ],
)
async def test_a_task_that_began_too_early_is_caught_whatever_has_become_of_it(
    home, begun, done, report, added, early
):
    if report == "none":
        await plant(home, "UPDATE messages SET task_id = NULL WHERE kind = 'report';")
    await plant(home, BEGUN.format(begun, done, added))
    found = {each.check for each in (await look(home, daemon=False)).violations}
    assert found == ({"not_before_its_dependencies"} if early else set())


def rewrite(home: Home, change) -> None:
    """Change every item of every history; ``None`` takes it away."""
    for file in home.scripted.glob("*.jsonl"):
        kept = []
        for line in map(json.loads, file.read_text().splitlines()):
            if line["kind"] == "item":
                line["data"] = change(line["data"])
            if line.get("data", True):
                kept.append(json.dumps(line))
        file.write_text("\n".join(kept) + "\n")


@pytest.mark.parametrize("daemon", [False, True])
async def test_what_is_called_seen_and_stands_in_no_history_is_caught(home, daemon):
    rewrite(home, lambda data: None if data["type"] == "user_message" else data)
    found = (await look(home, daemon=daemon)).violations
    assert {each.check for each in found} == {"seen_stands"}
    assert {each.invariant for each in found} == {2}
    assert len(found) > 2


async def test_what_a_recovery_tells_of_stands_where_the_recovery_does(home):
    """As an input does that went down with a thread which no door finds any more."""
    await plant(
        home,
        f"""
        INSERT INTO actor_inputs (id, actor_id, message_id, mode, status, recovers_json, thread_id,
            turn_id, attempts, created_at)
        SELECT 'i-lost', actor_id, message_id, mode, 'answered', '[]', thread_id, turn_id, 1, 1
        FROM actor_inputs WHERE id = {FIRST};
        """,
    )
    found = (await look(home, daemon=False)).violations
    assert "seen_stands" in {each.check for each in found}
    await plant(home, f"UPDATE actor_inputs SET recovers_json = '[\"i-lost\"]' WHERE id = {FIRST};")
    found = (await look(home, daemon=False)).violations
    assert "seen_stands" not in {each.check for each in found}


async def test_netsky_s_instructions_with_their_example_are_no_input(home):
    async with aiosqlite.connect(home.database) as database:
        found = await database.execute_fetchall("SELECT tag FROM sessions")
    kind, status = ActorKind.MANAGER, ActorStatus.ACTIVE
    who = Actor(id=MANAGER0, kind=kind, status=status, created_at=1, updated_at=1)
    told = [instructions(who, cwd="/", tag=tag) for (tag,) in found]

    def with_instructions(data):
        words = "\n".join([*told, data.get("text", "")])
        return data | {"text": words} if data["type"] == "user_message" else data

    rewrite(home, with_instructions)
    assert (await look(home, daemon=False)).violations == []


async def test_a_turn_that_runs_may_be_ahead_of_its_history(home):
    await plant(home, "UPDATE turns SET status = 'in_progress';")
    rewrite(home, lambda data: None if data["type"] == "user_message" else data)
    found = (await look(home, daemon=False)).violations
    assert "seen_stands" not in {each.check for each in found}


async def test_what_was_declined_though_it_was_accepted_is_caught(home):
    declined = {"status": "declined", "exit_code": None}
    rewrite(home, lambda data: data | declined if data["type"] == "command" else data)
    (caught,) = (await look(home, daemon=False)).violations
    assert (caught.check, caught.ids[0]) == ("done_as_decided", "a1")


async def test_an_input_that_two_threads_have_heard_is_caught(home):
    first, second = sorted(home.scripted.glob("*.jsonl"), key=lambda path: path.stat().st_size)
    said = next(
        line
        for line in second.read_text().splitlines()
        if json.loads(line).get("data", {}).get("client_id")
    )
    first.write_text(f"{first.read_text()}{said}\n")
    (caught,) = (await look(home, daemon=False)).violations
    assert caught.check == "said_once"
    assert {first.stem, second.stem} < set(caught.ids)


async def test_an_epoch_that_went_back_is_caught(home):
    await plant(home, "UPDATE daemon SET epoch = 0;")
    assert "epoch_rises" in {each.check for each in (await look(home, daemon=False)).violations}


async def test_what_only_a_daemon_puts_right_is_no_violation_without_one(home):
    await plant(home, PLANTED["blocked_by_something"])
    report = await look(home, daemon=False)
    assert report.violations == []
    assert "blocked_by_something" not in {each.name for each in report.checks}


async def test_an_input_that_was_said_twice_is_caught(home):
    file = max(home.scripted.glob("*.jsonl"), key=lambda path: path.stat().st_size)
    lines = file.read_text().splitlines()
    said = next(line for line in lines if json.loads(line).get("data", {}).get("client_id"))
    file.write_text("\n".join([*lines, said]) + "\n")
    (caught,) = (await look(home, daemon=False)).violations
    assert (caught.check, caught.invariant) == ("said_once", 2)
    assert file.stem in caught.ids
    quoted = inputs.RESENT.replace("'", "''")
    await plant(
        home,
        "INSERT INTO input_steps (input_id, status, reason, at)"
        f" VALUES ('{caught.ids[0]}', 'queued', '{quoted}', 1),"
        f" ('{caught.ids[0]}', 'answered', '', 1);",
    )
    found = (await look(home, daemon=False)).violations  # the owner has chosen that
    assert "said_once" not in {each.check for each in found}


async def test_a_history_that_cannot_be_read_is_told_and_is_no_violation(home):
    gone, broken = sorted(home.scripted.glob("*.jsonl"))
    gone.unlink()
    broken.write_text("no json\n")
    report = await look(home, daemon=False)
    assert report.violations == []
    assert (report.heard.inputs, set(report.heard.unread)) == ({}, {gone.stem, broken.stem})


async def test_a_history_that_is_just_being_written_is_left_alone(home):
    file = next(home.scripted.glob("*.jsonl"))
    with file.open("ab") as growing:
        growing.write(b'{"kind": "item", "da')
    before = file.read_bytes()
    assert (await look(home, daemon=True)).violations == []
    assert file.read_bytes() == before


@contextmanager
def stray(home: Home, *words: str) -> Iterator[str]:
    """Run a process that looks like an engine of the home; yield its pid."""
    line = ["app-server", "-c", "input()", *words]
    with subprocess.Popen(
        line, executable=sys.executable, cwd=home.root, stdin=subprocess.PIPE
    ) as process:
        yield str(process.pid)
        process.kill()


async def strays(home: Home, *, daemon: bool) -> list[tuple[str, ...]]:
    found = (await look(home, daemon=daemon)).violations
    assert {each.check for each in found} <= {"no_stray_process"}
    return sorted(each.ids for each in found)


FORGET = "UPDATE daemon SET pid = 1000000000;"
"""Else every process of a test is a child of the last daemon."""


async def test_a_process_that_works_for_the_home_and_is_in_no_row_is_caught(home):
    await plant(home, FORGET)
    with stray(home) as pid:
        assert await strays(home, daemon=False) == [(pid,)]


async def test_an_engine_that_the_next_start_finds_by_its_socket_is_none_until_then(home):
    await plant(home, FORGET)
    listens = ("--listen", f"unix://{home.engine_socket}")
    with stray(home, *listens) as first:
        assert await strays(home, daemon=False) == []
        assert await strays(home, daemon=True) == [(first,)]
        with stray(home, *listens) as second:
            assert await strays(home, daemon=False) == sorted([(first,), (second,)])


async def test_a_socket_that_nobody_knows_is_caught(home, monkeypatch):
    monkeypatch.chdir(home.root)
    with socket.socket(socket.AF_UNIX) as stray:
        stray.bind("other.sock")
        (caught,) = (await look(home, daemon=False)).violations
    assert caught.check == "no_stray_socket"


def test_every_check_has_a_violation_that_is_planted_here():
    elsewhere = {"said_once", "seen_stands", "no_stray_process", "no_stray_socket"}
    assert {each.name for each in EVERY} == set(PLANTED) | elsewhere
    assert {each.invariant for each in EVERY} == set(range(1, 12))
