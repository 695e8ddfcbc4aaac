"""What the README and the page about the bus say is so."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from netsky_runtime.codex.app_server.runtime import AppServerRuntime
from netsky_runtime.codex.mcp_server.runtime import McpServerRuntime
from netsky_runtime.codex.resident.runtime import ResidentRuntime
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.comms.bus.envelope import parse
from netsky_runtime.comms.bus.folders import Channel
from netsky_runtime.paths import Home
from netsky_runtime.settings import ENVIRONMENT, Settings, own_defaults
from netsky_runtime.states import RuntimeName
from netsky_tui.cli import root
from netsky_tui.cli.invocation import take_common
from netsky_tui.keymap import SCOPES, pretty
from tests.support.fakes import CountingIds, ManualClock

if TYPE_CHECKING:
    from netsky_runtime.codex.base import Capabilities

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
BUS = (REPOSITORY / "docs/bus.md").read_text()
NETSKY = typer.main.get_command(root.build(completion=False))


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def row(label: str, *, after: str) -> list[str]:
    """Return the cells of the first table row with this label in a section of the README."""
    section = README.partition(f"## {after}\n")[2]
    line = next(line for line in section.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def command_lines() -> list[str]:
    """Return every netsky command line of both pages."""
    lines = [
        line for page in (README, BUS) for b in blocks(page, "console") for line in b.split("\n")
    ]
    told = [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines]
    inline = re.findall(r"`(netsky [a-z].*?)`", README)
    return sorted({line for line in (*told, *inline) if line.startswith("netsky ")})


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_is_one_that_netsky_takes(line: str) -> None:
    _, words = take_common(shlex.split(line)[1:], strict=True)
    if not words or words[0].startswith("-"):
        return
    command: Any = NETSKY
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    if words == ["VERB", "--help"] or not (words or command.params):
        return
    command.make_context("netsky", words, resilient_parsing=not words)


def test_every_setting_is_in_its_table_with_its_variable_and_defaults() -> None:
    table = README.partition("## Configuration\n")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    for key in Settings.model_fields:
        (line,) = [line for line in lines if f"`{key}`" in line.split("|")[1]]
        for name in (name for name, setting in ENVIRONMENT.items() if setting == key):
            assert f"`{name}`" in line
        for value in own_defaults(key).values():
            assert f"`{value}`" in line
    for variable in ENVIRONMENT:
        assert f"`{variable}`" in table


def capabilities(name: RuntimeName, home: Home) -> Capabilities:
    given: dict[str, Any] = {
        "settings": Settings(),
        "home": home,
        "clock": ManualClock(),
        "ids": CountingIds(),
        "environ": {},
        "log": lambda *_: None,
    }
    match name:
        case RuntimeName.APP_SERVER:
            return AppServerRuntime(store=None, **given).capabilities
        case RuntimeName.MCP_SERVER:
            return McpServerRuntime(store=None, **given).capabilities
        case RuntimeName.RESIDENT:
            return ResidentRuntime(**given).capabilities
        case RuntimeName.SCRIPTED:
            return ScriptedRuntime(
                directory=home.scripted,
                clock=given["clock"],
                ids=given["ids"],
                script=OrdersInText(),
            ).capabilities


@pytest.mark.parametrize("name", list(RuntimeName))
def test_the_table_of_doors_says_what_each_can_do(name: RuntimeName, tmp_path: Path) -> None:
    at = row("door", after="Doors to Codex").index(name.value)
    can = capabilities(name, Home.locate({"NETSKY_HOME": str(tmp_path)}))
    said = {
        label: row(label, after="Doors to Codex")[at].partition(":")[0]
        for label in (
            "approvals in the room",
            "interrupt",
            "steer",
            "continues threads of other doors",
            "Codex's own screen",
            "netsky is killed",
        )
    }
    assert (said["approvals in the room"] == "yes") is can.approvals
    assert (said["interrupt"] == "yes") is can.interrupt
    assert (said["steer"] == "yes") is can.steer
    if name is not RuntimeName.SCRIPTED:
        assert (said["continues threads of other doors"] == "yes") is can.resume
    assert (said["Codex's own screen"] == "no") is not can.terminal
    assert said["netsky is killed"].startswith("turns go on") is can.survives_netsky


@pytest.mark.parametrize(
    "scope", ["actors", "tasks", "messages", "approvals", "attention", "composer"]
)
def test_every_key_of_a_pane_is_in_the_table_of_keys(scope: str) -> None:
    (told,) = row(scope, after="Keys")
    for key in SCOPES[scope]:
        for each in key.keys.split(","):
            assert f"`{pretty(each)}`" in told


@pytest.mark.parametrize("page", [README, BUS], ids=["README", "bus"])
def test_the_shell_s_way_to_write_an_envelope_works(page: str, tmp_path: Path) -> None:
    channel = Channel(tmp_path / "channels", "worker3")
    (tmp_path / "channels").mkdir()
    channel.prepare()
    (script,) = blocks(page, "sh")
    environ = {"NETSKY_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-ec", script], env=environ, check=True, timeout=30)
    (name,) = channel.pending()
    envelope = parse(channel.read(name))
    assert (envelope.sender, envelope.text) == ("agentci", "Which tests are slow?")


@pytest.mark.parametrize("example", [*blocks(README, "json"), *blocks(BUS, "json")])
def test_an_envelope_that_is_shown_is_a_valid_one(example: str) -> None:
    assert parse(example.encode()).text
