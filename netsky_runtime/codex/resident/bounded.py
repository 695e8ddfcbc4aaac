"""libtmux with a deadline: by itself it waits for ever for a tmux server that hangs.

What waits is a thread, and of those that asyncio keeps there are few: all would soon wait.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import redirect_stdout
from typing import Any, Final

# Imported, it asks standard output for its encoding, and a room's stand-in for it has none.
with redirect_stdout(sys.__stdout__):
    import libtmux
    from libtmux.common import tmux_cmd

COMMAND_SECONDS: Final = 5.0
"""tmux does what it is told within milliseconds; longer only when it hangs."""


class BoundedServer(libtmux.Server):
    """A server whose commands raise ``TimeoutError`` after ``COMMAND_SECONDS``, or ``OSError``."""

    def cmd(self, cmd: str, *args: Any, target: str | int | None = None) -> tmux_cmd:
        """Run a command; see libtmux."""
        options = (f"-f{self.config_file}", f"-S{self.socket_path}")
        aimed = ("-t", str(target)) if target is not None else ()
        return _Done(*options, cmd, *aimed, *args, tmux_bin=self.tmux_bin)


class _Done(tmux_cmd):
    def __init__(self, *args: Any, tmux_bin: str | None = None) -> None:
        self.cmd = [str(word) for word in (tmux_bin or "tmux", *args)]
        try:
            done = subprocess.run(
                self.cmd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_SECONDS,
                check=False,
                encoding="utf-8",
                errors="backslashreplace",
            )
        except subprocess.TimeoutExpired as error:
            msg = f"it does not answer within {COMMAND_SECONDS:g} s"
            raise TimeoutError(msg) from error
        self.returncode = done.returncode
        self.stdout = done.stdout.rstrip("\n").split("\n") if done.stdout.strip("\n") else []
        self.stderr = [line for line in done.stderr.split("\n") if line]
