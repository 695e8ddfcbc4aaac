"""The resident door is opened inside a room, whose standard output is not a file."""

from __future__ import annotations

import subprocess
import sys

UNDER_A_ROOM = """
import sys
class Screen:
    def write(self, text): pass
    def flush(self): pass
sys.stdout = Screen()
import netsky_runtime.codex.resident.runtime
sys.__stdout__.write("loaded")
"""


def test_the_door_loads_where_standard_output_has_no_encoding() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_A_ROOM], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.stdout == "loaded"
