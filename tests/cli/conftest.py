"""The command line as an operator types it, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.paths import Home
from netsky_tui.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command line left behind."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, str]:
        """The error object of a ``--json`` command."""
        return json.loads(self.err.splitlines()[-1])["error"]


Netsky = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("AGENT_RUNTIME", "NETSKY_CODEX_BIN", "NO_COLOR", "_NETSKY_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETSKY_HOME", str(tmp_path / "home"))
    return Home.locate()


@pytest.fixture
def netsky(home: Home, capsys: pytest.CaptureFixture[str]) -> Netsky:
    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main(list(arguments))
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run
