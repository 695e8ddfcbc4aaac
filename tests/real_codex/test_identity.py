"""What an agent that nothing contains runs on the real Codex: netsky knows it for an agent."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.netsky import Netsky

CUT = "setsid sh -c '({}) &'"
"""By a child whose parents have ended, in a session of its own."""


@pytest.mark.parametrize("door", ["app_server", "resident"])
@pytest.mark.parametrize("how", ["{}", CUT], ids=["a command", "one that has cut its ancestry"])
def test_a_command_of_an_agent_decides_nothing_and_stops_nothing(
    netsky: Netsky, door: str, how: str
) -> None:
    netsky.environ |= {"AGENT_RUNTIME": door, "AGENT_CODEX_SANDBOX": "danger-full-access"}
    netsky.environ["AGENT_CODEX_APPROVAL"] = "never"
    netsky.start()
    said = netsky.root / "said"
    lines = [shlex.join([*netsky.argv, *words]) for words in (["stop"], DECIDE)]
    attempt = f"{{ {'; '.join(lines)}; }} >{said}.part 2>&1; mv {said}.part {said}"
    netsky.ask(f"RUN[{how.format(attempt)}] SAY[tried]")
    netsky.until(said.exists)
    told = said.read_text()
    assert told.count("is the owner's") == 2, told
    assert netsky.json("status")["daemon"]["state"] == "ready"
    assert netsky.json("notes", "add", "mine")  # and the owner is served as ever
    netsky.leaves_nothing()


DECIDE = ["approvals", "decide", "a1", "accept"]
