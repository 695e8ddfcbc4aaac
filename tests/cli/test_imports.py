"""One-shot verbs are quick because of what they do not import."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cli import world

if TYPE_CHECKING:
    from netsky_runtime.paths import Home
    from tests.cli.conftest import Seed

PROBE = """
import json, sys
from netsky_tui.cli import main
found = {}
for line in json.loads(sys.argv[1]):
    main(line)
    found[" ".join(line)] = sorted({name.partition(".")[0] for name in sys.modules})
sys.stderr.write("\\n" + json.dumps(found))
"""

ONE_SHOT = [
    ["status"],
    ["tasks", "list"],
    ["tasks", "show", "t1"],
    ["actors", "list"],
    ["actors", "show", "worker1"],
    ["messages", "list"],
    ["messages", "show", "m-1"],
    ["trace", "m-1"],
    ["inputs", "list"],
    ["approvals", "list"],
    ["approvals", "show", "a1"],
    ["events", "tail"],
    ["notes", "list"],
    ["logs", "tail"],
    ["settings", "list"],
    ["doctor"],
    ["stop"],
    ["approvals", "decide", "a1", "accept"],
    ["actors", "interrupt", "worker1"],
    # The next ones write under the lock, as no daemon runs.
    ["send", "manager0", "hello"],
    ["tasks", "add", "A task"],
    ["notes", "add", "A note"],
    ["settings", "set", "model", "x"],
    ["--version"],
    ["--help"],
]


def _imported(*lines: list[str]) -> dict[str, list[str]]:
    command = [sys.executable, "-c", PROBE, json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stderr.splitlines()[-1])


def test_no_one_shot_verb_imports_textual(seed: Seed, home: Home) -> None:
    seed(world.build)
    found = _imported(*ONE_SHOT)
    assert [line for line, modules in found.items() if "textual" in modules] == []
    assert len(found) == len(ONE_SHOT)


def test_status_imports_nothing_it_does_not_need(seed: Seed, home: Home) -> None:
    seed(world.build)
    modules = _imported(["status"])["status"]
    heavy = {"textual", "rich", "pydantic", "pydantic_core", "websockets", "psutil", "libtmux"}
    assert heavy.intersection(modules) == set()


INTERRUPTED = """
import signal, sys
from netsky_tui.cli import main

class Impatient:
    def find_spec(self, name, path, target=None):
        if name == "netsky_tui.cli.root":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Impatient())
sys.exit(main(["doctor"]))
"""


def test_ctrl_c_while_a_verb_is_still_imported_ends_it_quietly() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
