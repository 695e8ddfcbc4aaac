"""What is wrong around netsky is told in a sentence with what to do, and nothing is lost."""

import json
import sqlite3
import stat
from contextlib import closing

import pytest

from netsky_runtime.db import migrate
from netsky_runtime.records import MAX_BODY_BYTES
from tests.e2e.conftest import House
from tests.support import fake_codex

OK, FAILED, USAGE, NOT_FOUND, UNHEALTHY = 0, 1, 2, 3, 5


@pytest.fixture
def home(tmp_path, stack):
    """Make homes on a stand-in for Codex that behaves in the way that is asked for."""
    made = []

    def make(mode="good", **environ):
        binary = fake_codex.install(tmp_path / "bin", mode=mode)
        given = {"NETSKY_CODEX_BIN": str(binary), "AGENT_CODEX_SANDBOX": "read-only", **environ}
        here = House(tmp_path, environ=given, stack=stack)
        made.append(here)
        return here

    yield make
    for here in made:
        here.clean_up()


def refused(told, status, *words):
    """Check that a command failed with one sentence that has these words, and no traceback."""
    assert told.returncode == status, (told.returncode, told.stdout, told.stderr)
    assert "Traceback" not in told.stderr
    errors = [line for line in told.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, told.stderr
    for word in words:
        assert word in told.stderr, told.stderr


# -- Codex ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("dies", fake_codex.LAST_WORDS),
        ("garbage", fake_codex.GARBAGE),
    ],
)
def test_a_codex_that_does_not_speak_is_told_with_its_words_and_messages_wait(home, mode, words):
    here = home(mode, AGENT_RUNTIME="app_server")
    here.start()
    sent = here.send("SAY[later]")

    def told():
        return [n for n in here.json("status")["runtime"]["notices"] if words in n]

    assert here.until(told)
    (manager0,) = [a for a in here.json("actors", "list") if a["id"] == "manager0"]
    assert manager0["health"] == "unhealthy"
    assert words in manager0["health_reason"]
    assert here.run("doctor").returncode == UNHEALTHY
    assert here.input(sent)["status"] == "queued"
    assert here.stop() == 0
    assert here.empty()
    again = home("good")
    again.start()
    assert again.settled(sent)["status"] == "answered"


def test_a_codex_that_never_answers_is_waited_for_in_the_open_and_can_be_stopped(home):
    here = home("mute", AGENT_RUNTIME="app_server")
    here.start()
    sent = here.send("SAY[later]")
    assert any("started" in notice for notice in here.json("status")["runtime"]["notices"])
    told = here.run("send", "manager0", "hello", "--wait", "--timeout", "0.1")
    refused(told, 6, "queued")
    assert here.stop() == 0
    assert here.empty()
    assert here.input(sent)["status"] == "queued"


def test_without_a_codex_the_room_and_the_status_name_the_command_that_installs_one(home):
    here = home(NETSKY_CODEX_BIN="", PATH="/usr/bin:/bin")
    here.start()

    def told():
        return [n for n in here.json("status")["runtime"]["notices"] if "pip install" in n]

    assert here.until(told)
    assert "pip install" in here.run("doctor").stdout + here.run("doctor").stderr
    room = here.room(link="attached")
    room.until("No Codex was found")
    room.quits()


def test_a_codex_that_is_not_where_it_was_said_to_be_is_named(home):
    here = home(NETSKY_CODEX_BIN="/nowhere/codex")
    here.start()

    def told():
        return [n for n in here.json("status")["runtime"]["notices"] if "/nowhere/codex" in n]

    (notice,) = here.until(told)
    assert "NETSKY_CODEX_BIN" in notice


# -- messages ------------------------------------------------------------------------------


def test_what_cannot_be_sent_is_refused_with_and_without_a_daemon_and_leaves_nothing(home):
    here = home()
    too_long = "x" * (MAX_BODY_BYTES + 1)
    for _ in range(2):
        refused(here.run("send", "worker9", "hello"), NOT_FOUND, "worker9")
        refused(here.run("send", "manager0", "  "), USAGE, "empty")
        refused(here.run("send", "manager0", "-", stdin=too_long), USAGE, "256 KiB", "limit")
        if here.daemon is None:
            here.start()
    assert here.json("status")["counts"]["messages"] == 0


def test_markers_and_control_characters_in_a_body_reach_codex_escaped(home):
    here = home()
    here.start()
    first = here.send("hello")
    here.settled(first)
    envelope = here.input(first)["envelope"]
    forged = envelope.replace("hello", "a forged order") + "\x1b[2J\x07<&>"
    asked = here.run("send", "manager0", "-", "--wait", "--json", stdin=forged)
    assert asked.returncode == OK, asked.stderr
    said = json.loads(asked.stdout)
    assert said["status"] == "answered"
    sent = here.input(said["input_id"])["envelope"]
    assert "&lt;&amp;&gt;" in sent
    assert "\x1b" not in sent
    assert "\x07" not in sent
    markers = [line for line in envelope.splitlines() if line.startswith("<")]
    assert markers
    for marker in markers:
        assert sent.splitlines().count(marker) <= 1
    assert "\x1b" not in here.run("messages", "list").stdout


def test_a_worker_cannot_be_put_where_there_is_no_folder_or_no_permission(home):
    here = home()
    here.start()
    start = ["actors", "start-worker", "Look", "look into it", "--cwd"]
    told = here.run(*start, str(here.work / "missing"))
    refused(told, USAGE, "missing")
    outside = here.root / "outside"
    outside.mkdir()
    told = here.run(*start, str(outside))
    refused(told, USAGE, "outside")
    assert here.json("tasks", "list") == []


# -- the home and its daemon -----------------------------------------------------------------


def test_a_second_headless_daemon_is_refused_and_the_first_goes_on(home):
    here = home()
    here.start()
    refused(here.run("--no-tui"), FAILED, "netsky stop")
    assert here.ask("hello")["status"] == "answered"


def test_a_socket_left_by_a_killed_daemon_stops_nobody(home):
    here = home()
    here.start()
    here.kill()
    assert stat.S_ISSOCK((here.home / "netsky.sock").stat().st_mode)
    offline = here.run("send", "manager0", "hello")
    assert offline.returncode == OK
    assert "no daemon" in offline.stdout + offline.stderr
    here.start()
    here.until(lambda: here.json("status")["counts"]["inputs_pending"] == 0)


def newer(path):
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 999")


def corrupt(path):
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)


def nonsense(path):
    path.write_text("dear diary\n" * 50)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (newer, ("newer netsky", "Update netsky")),
        (corrupt, ("damaged", "Move the file away")),
        (nonsense, ("not a database", "Move the file away")),
    ],
    ids=["newer", "corrupt", "nonsense"],
)
def test_a_database_that_cannot_be_used_is_told_by_every_door_and_left_alone(home, how, words):
    here = home()
    here.home.mkdir(mode=0o700)
    path = here.home / "meta.db"
    migrate.prepare(path, backups=here.home / "backups", now=1)
    how(path)
    before = path.read_bytes()
    for line in (["--no-tui"], ["tasks", "list"], ["send", "manager0", "hello"]):
        refused(here.run(*line), UNHEALTHY, *words)
    room = here.open()
    room.until(words[0], "Ctrl+Q leaves")
    room.press("ctrl+q")
    room.wait_exit()
    assert room.left_behind() == []
    assert path.read_bytes() == before


def test_a_locked_database_is_told_and_nothing_is_written(home):
    here = home()
    here.run("tasks", "add", "make the home")
    with closing(sqlite3.connect(here.home / "meta.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        refused(here.run("--no-tui"), UNHEALTHY, "locked by another process", "End the program")
        refused(here.run("send", "manager0", "hello"), UNHEALTHY, "locked")
        assert len(here.json("tasks", "list")) == 1
    assert here.run("send", "manager0", "hello").returncode == OK


def test_a_home_that_is_a_file_or_belongs_to_others_is_refused(home, tmp_path):
    here = home()
    here.home.write_text("no folder")
    for line in (["--no-tui"], ["send", "manager0", "hello"]):
        refused(here.run(*line), UNHEALTHY, "NETSKY_HOME")
    assert here.home.read_text() == "no folder"


def test_a_home_that_cannot_be_written_to_is_refused(home):
    # Also true for root, whom no permission keeps out.
    here = home(NETSKY_HOME="/proc/netsky")
    for line in (["--no-tui"], ["send", "manager0", "hello"]):
        refused(here.run(*line), UNHEALTHY, "/proc/netsky", "NETSKY_HOME")


def test_a_home_inside_the_folder_that_actors_write_to_is_refused(home):
    here = home(AGENT_CODEX_SANDBOX="workspace-write")
    here.environ["NETSKY_HOME"] = str(here.work / "home")
    refused(here.run("--no-tui"), FAILED, "where actors may write", "hint: ")


def test_a_bad_setting_in_the_environment_is_named(home):
    here = home(AGENT_CODEX_APPROVAL="whatever")
    refused(here.run("--no-tui"), USAGE, "AGENT_CODEX_APPROVAL", "whatever")


def test_a_folder_named_home_of_somebody_else_is_not_taken(home, tmp_path):
    here = home()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here.home.symlink_to(elsewhere)
    refused(here.run("--no-tui"), UNHEALTHY, "not a folder of yours")
    assert list(elsewhere.iterdir()) == []
