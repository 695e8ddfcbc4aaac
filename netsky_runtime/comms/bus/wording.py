"""Envelopes as a model reads them, and its answer as an envelope carries it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netsky_runtime.comms.escaping import escape

if TYPE_CHECKING:
    from netsky_runtime.comms.bus.envelope import BusEnvelope

_BLOCK = re.compile(r"<netsky-reply>(.*?)</netsky-reply>", re.DOTALL)


def channel_element(envelope: BusEnvelope) -> str:
    """Return the envelope as an element whose body is escaped: material, never markup."""
    sender = envelope.sender
    head = f'<channel source="agent" chat_id="{sender}" from="{sender}" ts="{envelope.ts}">'
    return f"{head}\n{escape(envelope.text)}\n</channel>"


def reply_in(words: str) -> str:
    """Return what of a turn's words is meant for the sender.

    That is the first ``<netsky-reply>`` block, else everything; trimmed.
    """
    found = _BLOCK.search(words)
    return (found[1] if found else words).strip()
