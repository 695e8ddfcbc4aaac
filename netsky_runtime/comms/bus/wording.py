"""Envelopes as a model reads them, and its answer as an envelope carries it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netsky_runtime.comms.bus.envelope import TEXT
from netsky_runtime.comms.escaping import escape

if TYPE_CHECKING:
    from netsky_runtime.comms.bus.envelope import BusEnvelope

_BLOCK = re.compile(r"<netsky-reply>(.*?)</netsky-reply>", re.DOTALL)


def channel_element(envelope: BusEnvelope) -> str:
    """Return the envelope as an element whose body is escaped: material, never markup.

    Of kind, id, in_reply_to, thread and swarm it bears what is not as ever, escaped too. Without
    words, as an ack is, it is one line.
    """
    sender = envelope.sender
    head = f'<channel source="agent" chat_id="{sender}" from="{sender}" ts="{envelope.ts}"'
    if envelope.kind != TEXT:
        head += f' kind="{envelope.kind}"'
    for name in ("id", "in_reply_to", "thread", "swarm"):
        if word := getattr(envelope, name):
            head += f' {name}="{_quoted(word)}"'
    if not envelope.text:
        return f"{head}></channel>"
    return f"{head}>\n{escape(envelope.text)}\n</channel>"


def _quoted(word: str) -> str:
    return escape(word).replace('"', "&quot;")


def reply_in(words: str) -> str:
    """Return what of a turn's words is meant for the sender.

    That is the first ``<netsky-reply>`` block, else everything; trimmed.
    """
    found = _BLOCK.search(words)
    return (found[1] if found else words).strip()
