"""Which tmux session an outbox is followed for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.comms.bus import following
from netsky_runtime.comms.bus.folders import Channel
from netsky_runtime.comms.bus.following import TmuxSession, follow
from netsky_runtime.errors import Unhealthy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Session(TmuxSession):
    """One that is seen to live for so many looks."""

    looks = iter([True, True, False])

    def lives(self) -> bool:
        return next(self.looks)


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


@pytest.mark.parametrize("fault", [OSError("no more watches"), RuntimeError("no text")])
def test_an_outbox_that_cannot_be_watched_is_looked_at_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def no_more(*_args: Any, **_more: Any) -> Iterator[None]:
        yield None
        raise fault

    monkeypatch.setattr(following, "watch", no_more)
    monkeypatch.setattr(following, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(Session, "looks", iter([True, True, False]))
    worked: list[bool] = []
    channel = Channel(tmp_path, "agent3")
    follow(channel, lambda: worked.append(True), session=Session(tmp_path, "=worker3"))
    assert len(worked) == 5  # at first, after each of three looks, and at the end


def test_a_name_that_is_no_text_does_not_end_a_forwarder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, outbox = Channel(tmp_path, "agent3"), tmp_path / "worker3" / "outbox"

    def work() -> None:
        for path in outbox.iterdir():
            path.unlink()
        for name in strange:
            (outbox / os.fsdecode(name)).write_text("{}")
            break

    strange = iter([b"\xff1.json", b"\xff2.json"])
    monkeypatch.setattr(following, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(Session, "looks", iter([True, True, True, False]))
    follow(channel, work, session=Session(tmp_path, "=worker3"))
    assert list(outbox.iterdir()) == []
