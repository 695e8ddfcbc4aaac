from __future__ import annotations

import os
from pathlib import Path

from netsky_tui.driver import ForgivingFile


def test_a_terminal_that_goes_away_is_no_error():
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        file = ForgivingFile(terminal)
        file.write("hello")
        file.flush()
        assert not file.lost
        os.close(ours)
        file.write("anybody?")
        file.flush()
        assert file.lost
        assert file.write("nobody") == 6
        # What is still in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), theirs)


def test_everything_else_is_the_terminal_s_own():
    with Path(os.devnull).open("w") as terminal:
        assert ForgivingFile(terminal).fileno() == terminal.fileno()
