"""``netsky backup`` and ``netsky restore`` as an operator types them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from netsky_runtime import lock
from netsky_runtime.lock import HomeLock
from tests.cli import world

if TYPE_CHECKING:
    import pytest

    from netsky_runtime.paths import Home
    from tests.cli.conftest import Netsky, Seed


def test_a_backup_says_where_it_is_and_what_is_in_it(netsky: Netsky, seed: Seed) -> None:
    seed(world.build)
    ran = netsky("backup")
    assert ran.status == 0
    assert "messages:" in ran.out
    assert "verified" in ran.err
    told = netsky("backup", "--json").data
    file = Path(told["path"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told["bytes"] == file.stat().st_size
    assert told["rows"]["actors"] == 3
    assert told["newest_at"].endswith("Z")


def test_a_backup_goes_where_it_is_told_and_over_nothing_that_is_there(
    netsky: Netsky, seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(world.build)
    monkeypatch.chdir(tmp_path)
    assert netsky("backup", "mine.db").status == 0
    assert (tmp_path / "mine.db").is_file()
    again = netsky("backup", "mine.db")
    assert again.status == 1
    assert "exists already" in again.err


def test_a_backup_makes_no_folder_but_the_homes_own(
    netsky: Netsky, seed: Seed, home: Home, tmp_path: Path
) -> None:
    seed(world.build)
    ran = netsky("backup", str(tmp_path / "no" / "such" / "x.db"))
    assert ran.status == 3
    assert ran.err.splitlines() == [
        f"error: There is no folder {tmp_path}/no/such.",
        "hint: Make it first, or leave out FILE: the home's backups folder.",
    ]
    assert not (tmp_path / "no").exists()
    assert netsky("backup", str(home.backups / "mine.db")).status == 0


def test_the_backups_that_are_kept_are_as_many_as_are_set(
    netsky: Netsky, seed: Seed, home: Home
) -> None:
    seed(world.build)
    assert netsky("settings", "set", "backup_keep", "2").status == 0
    for _ in range(4):
        assert netsky("backup").status == 0
    assert len(list(home.backups.glob("meta-*.db"))) == 2


def test_a_home_without_a_database_has_nothing_to_back_up(netsky: Netsky) -> None:
    ran = netsky("backup")
    assert ran.status == 3
    assert "no database" in ran.err


def test_a_restore_says_what_is_older_and_where_the_rest_is(
    netsky: Netsky, seed: Seed, home: Home
) -> None:
    seed(world.build)
    file = netsky("backup", "--json").data["path"]
    assert netsky("notes", "add", "a note").status == 0
    assert netsky("send", "manager0", "hello").status == 0
    ran = netsky("restore", file)
    assert ran.status == 0
    assert "1 fewer than before" in ran.out
    assert str(home.backups / "replaced-") in ran.out
    assert "a note" not in netsky("notes", "list").out
    told = netsky("restore", file, "--json").data
    assert told["restored"]["path"] == file
    assert told["epoch"] > told["before"]["epoch"]
    assert Path(told["aside"]).is_file()


def test_a_restore_beside_a_daemon_is_refused(netsky: Netsky, seed: Seed, home: Home) -> None:
    seed(world.build)
    file = netsky("backup", "--json").data["path"]
    with HomeLock(home.lock):
        ran = netsky("restore", file)
    assert ran.status == 1
    assert "A daemon runs" in ran.err
    assert "netsky stop" in ran.err


def test_a_restore_beside_a_command_says_that_it_is_one(
    netsky: Netsky, seed: Seed, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BRIEF_SECONDS", 0.0)
    seed(world.build)
    file = netsky("backup", "--json").data["path"]
    with HomeLock(home.lock, brief=True):
        ran = netsky("restore", file)
    assert ran.status == 1
    assert f"A command (pid {os.getpid()}) works on this home" in ran.err


def test_a_file_that_is_no_backup_is_refused_with_the_newest_that_is_one(
    netsky: Netsky, seed: Seed, tmp_path: Path
) -> None:
    seed(world.build)
    file = netsky("backup", "--json").data["path"]
    ran = netsky("restore", str(tmp_path / "nowhere"))
    assert ran.status == 3
    assert file in ran.err
    (tmp_path / "text").write_text("words " * 100)
    assert netsky("restore", str(tmp_path / "text")).status == 5
