"""Notifications through the desktop's own program: arguments, no shell, no hang."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.attention import desktop
from netsky_runtime.attention.desktop import Desktop, command

if TYPE_CHECKING:
    from pathlib import Path

EVIL = '"; touch /owned; $(id) `id` <b>worker1</b> & \\n'


def program(folder: Path, name: str, body: str) -> Path:
    """A program of that name that keeps its arguments and then does ``body``."""
    folder.mkdir(exist_ok=True)
    kept = folder / "kept.json"
    file = folder / name
    file.write_text(
        f"#!{sys.executable}\nimport json, sys, time\n"
        f"open({str(kept)!r}, 'w').write(json.dumps(sys.argv[1:]))\n{body}\n"
    )
    file.chmod(0o700)
    return kept


async def test_the_program_gets_the_text_as_one_argument(tmp_path):
    kept = program(tmp_path / "bin", "notify-send", "")
    told = await Desktop(environ={"PATH": str(tmp_path / "bin")}).tell(EVIL)
    *options, text = json.loads(kept.read_text())
    assert told
    assert options == ["--app-name=netsky", "--", "netsky"]
    assert text == EVIL.replace("<", " ").replace(">", " ").replace("&", " ")


async def test_a_desktop_that_refuses_has_told_nobody(tmp_path):
    program(tmp_path / "bin", "notify-send", "sys.exit(1)")
    assert not await Desktop(environ={"PATH": str(tmp_path / "bin")}).tell("x")


async def test_a_machine_without_a_desktop_has_told_nobody(tmp_path):
    assert not await Desktop(environ={"PATH": str(tmp_path)}).tell("x")
    assert command("x", path=str(tmp_path)) == ()


@pytest.mark.parametrize("path", ["", ":", ".", "bin:./bin"])
def test_a_program_below_the_folder_it_runs_in_is_not_run(tmp_path, monkeypatch, path):
    for folder in (tmp_path, tmp_path / "bin"):
        program(folder, "notify-send", "")
    monkeypatch.chdir(tmp_path)
    assert command("x", path=path) == ()
    assert command("x", path=f"{path}:{tmp_path}")[0] == str(tmp_path / "notify-send")


async def test_a_program_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(desktop, "SECONDS", 0.5)
    program(tmp_path / "bin", "notify-send", "time.sleep(600)")
    assert not await Desktop(environ={"PATH": str(tmp_path / "bin")}).tell("x")


@pytest.mark.parametrize("text", ["-x", "--help"])
async def test_no_text_is_taken_for_an_option(tmp_path, text):
    kept = program(tmp_path / "bin", "notify-send", "")
    await Desktop(environ={"PATH": str(tmp_path / "bin")}).tell(text)
    arguments = json.loads(kept.read_text())
    assert arguments.index("--") < arguments.index(text)


def test_on_a_mac_the_text_is_an_argument_and_no_part_of_the_script(tmp_path):
    program(tmp_path, "osascript", "")
    argv = command(EVIL, path=str(tmp_path), platform="darwin")
    assert argv[0] == str(tmp_path / "osascript")
    assert argv[1:7:2] == ("-e", "-e", "-e")
    assert all("touch" not in line for line in argv[2:7:2])
    assert argv[-2:] == (EVIL.replace("<", " ").replace(">", " ").replace("&", " "), "netsky")
