"""``netsky actors attach`` on the real Codex: a human at an actor's thread, beside netsky."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tests.support.pane import Pane

if TYPE_CHECKING:
    from tests.support.netsky import Netsky

QUESTION = "Would you like to run"


def messages(netsky: Netsky) -> list[dict[str, Any]]:
    told = netsky.run("messages", "list", "--json")
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def typed(netsky: Netsky) -> list[str]:
    """Return what netsky has recorded of a human's words in Codex's own screen."""
    return [message["body"] for message in messages(netsky) if message["source"] == "codex"]


def attached(netsky: Netsky) -> Pane:
    command = [*netsky.argv, "actors", "attach", "manager0"]
    return Pane(command, environ=netsky.environ, cwd=netsky.work)


async def test_what_is_typed_in_an_attached_screen_is_recorded_once_and_answered_to_nobody(
    netsky: Netsky,
) -> None:
    await asyncio.to_thread(netsky.start)
    await asyncio.to_thread(netsky.ask, "SAY[warm]")
    before = await asyncio.to_thread(messages, netsky)
    async with attached(netsky) as pane:
        await pane.until("• warm")
        await pane.type("SAY[said by hand]")
        await asyncio.to_thread(netsky.until, lambda: typed(netsky))
        await pane.until("• said by hand")
        reply = await asyncio.to_thread(netsky.ask, "SAY[and so on]")
    # Heard live; and from history, by the next netsky.
    await asyncio.to_thread(netsky.kill)
    await asyncio.to_thread(netsky.start)
    await asyncio.to_thread(netsky.ask, "SAY[back]")

    told = await asyncio.to_thread(messages, netsky)
    new = [message for message in told if message not in before]
    assert reply["reply"]["body"] == "and so on"
    assert [(m["source"], m["sender"], m["target"], m["body"]) for m in new] == [
        ("codex", "owner", "manager0", "SAY[said by hand]"),
        ("cli", "owner", "manager0", "SAY[and so on]"),
        ("actor", "manager0", "owner", "and so on"),
        ("cli", "owner", "manager0", "SAY[back]"),
        ("actor", "manager0", "owner", "back"),
    ]


async def test_a_question_answered_in_an_attached_screen_is_shown_as_answered_elsewhere(
    netsky: Netsky,
) -> None:
    await asyncio.to_thread(netsky.start)
    sent = await asyncio.to_thread(netsky.send, f"ESC[touch {netsky.work}/made] SAY[done]")
    (question,) = await asyncio.to_thread(netsky.pending)
    async with attached(netsky) as pane:
        await pane.until(QUESTION)
        await pane.press_away(QUESTION, "y")
        row = await asyncio.to_thread(netsky.settled, sent)

    answered = await asyncio.to_thread(netsky.json, "approvals", "show", question["id"])
    assert answered["status"] == "resolved_elsewhere"
    assert row["status"] == "answered"
    assert (netsky.work / "made").exists()
