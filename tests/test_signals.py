"""A headless daemon that is told to end while it starts: it ends well and leaves nothing."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from netsky_runtime.paths import Home

PATIENCE = 60


@contextmanager
def started(*args, root):
    """Run netsky in a session of its own; whatever is left of it in the end is killed."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    given = {
        "HOME": str(root),
        "NETSKY_HOME": str(root / "home"),
        "TMPDIR": str(root),
        "AGENT_RUNTIME": "scripted",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTHONWARNINGS": "error",
    }
    work = root / "work"
    work.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "netsky_tui", *args],
        env=kept | given,
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        process.stderr.close()


def read_until(process, words):
    """Read narration up to a line with these words; return all of it."""
    told = []
    for line in process.stderr:
        told.append(line)
        if words in line:
            return told
    raise AssertionError(f"never said {words!r}: {''.join(told)}")


def of_session(pid):
    return [other for other in psutil.pids() if _session(other) == pid]


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_the_first_word_of_the_start_ends_it_well(tmp_path, number):
    with started("--no-tui", root=tmp_path) as process:
        process.stderr.readline()
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(PATIENCE) == 0, rest
        assert "Traceback" not in rest
        assert of_session(process.pid) == []
        assert not Home.locate({"NETSKY_HOME": str(tmp_path / "home")}).control_socket.exists()


@pytest.mark.parametrize("words", ["opening the control socket", "starting scripted", "ready"])
def test_a_signal_later_in_the_start_ends_it_well_and_the_home_can_be_started_again(
    tmp_path, words
):
    for _ in range(2):
        with started("--no-tui", root=tmp_path) as process:
            read_until(process, words)
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(PATIENCE) == 0, rest
            assert "Traceback" not in rest
            assert of_session(process.pid) == []


def test_a_demo_that_is_ended_while_it_starts_takes_its_home_with_it(tmp_path):
    with started("demo", "--no-tui", root=tmp_path) as process:
        read_until(process, "opening the database")
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(PATIENCE) == 0, rest
        assert not list(tmp_path.glob("netsky-demo-*"))


def test_a_start_in_a_home_where_actors_may_write_says_so_once(tmp_path):
    with started("--no-tui", root=tmp_path) as process:
        read_until(process, "warning: the home is")
        process.send_signal(signal.SIGTERM)
        assert "warning" not in process.stderr.read()
        assert process.wait(PATIENCE) == 0
