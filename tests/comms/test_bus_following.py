"""Which tmux session an outbox is followed for."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsky_runtime.comms.bus import following
from netsky_runtime.comms.bus.following import TmuxSession
from netsky_runtime.errors import Unhealthy


def test_a_process_in_a_pane_belongs_to_the_session_that_tmux_names() -> None:
    found = TmuxSession.of({"TMUX": "/run/user/0/a,b/tmux.sock,4711,12"})
    assert found == TmuxSession(Path("/run/user/0/a,b/tmux.sock"), "$12")


@pytest.mark.parametrize("environ", [{}, {"TMUX": ""}, {"TMUX": "nonsense"}])
def test_a_process_in_no_pane_belongs_to_none(environ: dict[str, str]) -> None:
    assert TmuxSession.of(environ) is None


def test_a_server_that_is_not_there_has_no_session(tmp_path: Path) -> None:
    assert not TmuxSession(tmp_path / "tmux.sock", "=worker3").lives()


def test_a_machine_without_tmux_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unhealthy, match="no tmux"):
        TmuxSession(tmp_path / "tmux.sock", "=worker3").lives()


def test_a_server_that_does_not_answer_in_time_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "tmux"
    slow.write_text("#!/bin/sh\nexec cat >/dev/null </dev/zero\n")
    slow.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(following, "TMUX_SECONDS", 0.05)
    assert TmuxSession(tmp_path / "tmux.sock", "=worker3").lives()
