"""One message on the bus, as JSON: what it may say, checked by whoever reads it.

``from``, ``text`` and ``ts`` are enough. What is not known is ignored, so that older and newer
programs understand each other. Checked by hand: pydantic would cost every ``netsky channel``
0.14 s, and every forwarder beside a pane 20 MB.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from netsky_runtime.comms.bus.addresses import is_address, is_bus_id
from netsky_runtime.errors import UsageError

MAX_FILE_BYTES = 64 * 1024
MAX_TEXT_BYTES = 48 * 1024
MAX_WORD = 256
"""Characters of a field other than the text."""

TEXT, REPLY, ERROR, CANCEL, ACK = "text", "reply", "error", "cancel", "ack"
ANSWERS = frozenset({REPLY, ERROR, CANCEL, ACK})
"""Kinds that answer an envelope and are never answered themselves, so that nothing can loop."""

_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_WRAPPER = re.compile(
    r"<\s*/\s*channel(?![\w-])"  # the end of a channel element
    r"|<\s*channel(?![\w-])[^<>]*?\ssource\s*="  # the start of one
    r"|<[\s/]*netsky\s+tag\s*=",  # netsky's own envelope, either end
    re.IGNORECASE,
)
_BEGINNING = re.compile(r"<(?=[\s/]*(?:channel|netsky)(?![\w-]))", re.IGNORECASE)
_CUT = "\n\n[cut here: the bus carries no more]"


class BadEnvelope(UsageError):
    """What was read is no envelope that anybody may be given; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusEnvelope:
    """One message. Empty words are absent ones."""

    sender: str
    """``from`` in the file."""
    text: str
    ts: str
    """RFC 3339, as it was written."""
    id: str = ""
    to: str = ""
    kind: str = TEXT
    in_reply_to: str = ""
    thread: str = ""
    swarm: str = ""
    idempotency_key: str = ""
    requires_ack: bool = False

    @property
    def answers(self) -> bool:
        """Whether it is an answer, which gets none."""
        return self.kind in ANSWERS


_WORDS = tuple(field.name for field in fields(BusEnvelope) if field.name != "requires_ack")
_NAMES = {"sender": "from"}


def parse(data: bytes) -> BusEnvelope:
    """Read and check an envelope. Raises ``BadEnvelope``."""
    if len(data) > MAX_FILE_BYTES:
        raise too_large(len(data))
    try:
        content = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_number
        )
    except UnicodeDecodeError as error:
        msg = f"It is not UTF-8 text: {error.reason} at byte {error.start}."
        raise BadEnvelope(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"It is not JSON: {error}."
        raise BadEnvelope(msg) from error
    if not isinstance(content, dict):
        msg = "It is no JSON object."
        raise BadEnvelope(msg)
    envelope = BusEnvelope(
        **{name: _word(content, name) for name in _WORDS}, requires_ack=_flag(content)
    )
    check(envelope)
    return envelope


def dump(envelope: BusEnvelope) -> bytes:
    """Return the file of an envelope; raises ``BadEnvelope`` for one that readers would refuse."""
    check(envelope)
    data = _encoded(envelope)
    if len(data) > MAX_FILE_BYTES:
        raise too_large(len(data))
    return data


def check(envelope: BusEnvelope) -> None:
    """Raise ``BadEnvelope`` with the first fault, in words."""
    if not is_bus_id(envelope.sender):
        msg = f"from is {_shown(envelope.sender)}, which is no id such as agent0 or agentci."
        raise BadEnvelope(msg)
    if not is_rfc3339(envelope.ts):
        msg = f"ts is {_shown(envelope.ts)}, which is no RFC 3339 time."
        raise BadEnvelope(msg)
    if envelope.to and not is_address(envelope.to):
        msg = f"to is {_shown(envelope.to)}, which is no address."
        raise BadEnvelope(msg)
    if not _KIND.fullmatch(envelope.kind):
        msg = f"kind is {_shown(envelope.kind)}, which is no word such as text or brief."
        raise BadEnvelope(msg)
    for name in ("id", "in_reply_to", "thread", "swarm", "idempotency_key"):
        word = getattr(envelope, name)
        if len(word) > MAX_WORD or not word.isprintable():
            msg = f"{name} is longer than {MAX_WORD} characters or not printable."
            raise BadEnvelope(msg)
    _check_text(envelope)


def _check_text(envelope: BusEnvelope) -> None:
    if not envelope.text.strip() and not envelope.answers:
        msg = "text is empty."
        raise BadEnvelope(msg)
    size = len(envelope.text.encode(errors="replace"))
    if size > MAX_TEXT_BYTES:
        msg = f"text is {size:,} bytes long, the limit is {MAX_TEXT_BYTES:,} (48 KiB)."
        raise BadEnvelope(msg)
    if found := _WRAPPER.search(envelope.text):
        msg = f"text carries a wrapper token: {_shown(found[0])}."
        raise BadEnvelope(msg)


def is_rfc3339(text: str) -> bool:
    """Whether ``text`` is a time as RFC 3339 writes it; a leap second is one."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return False
    second = "59" if found[3] == "60" else found[3]
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2]}:{second}+00:00")
    except ValueError:
        return False
    return True


def carried(text: str, **others: Any) -> BusEnvelope:
    """Return an envelope whose text is made to pass: wrapper tokens defused, what is over cut.

    For words that a model has chosen; ``others`` are the envelope's other fields.
    """
    if _WRAPPER.search(text):  # all that could begin one: defusing one can make the next
        text = _BEGINNING.sub("&lt;", text)
    text = text.encode(errors="replace").decode()
    envelope = BusEnvelope(text=text, **others)
    room = MAX_TEXT_BYTES
    while len(envelope.text.encode()) > MAX_TEXT_BYTES or len(_encoded(envelope)) > MAX_FILE_BYTES:
        kept = text.encode()[: room - len(_CUT)].decode(errors="ignore")
        envelope = BusEnvelope(text=kept + _CUT, **others)
        room = room * 7 // 8  # escapes make some texts longer in the file than others
    return envelope


def too_large(size: int) -> BadEnvelope:
    """Return the error of a file of ``size`` bytes."""
    return BadEnvelope(f"The file is {size:,} bytes, the limit is {MAX_FILE_BYTES:,} (64 KiB).")


def content_of(envelope: BusEnvelope) -> dict[str, Any]:
    """Return the JSON object of an envelope, without what is absent."""
    content: dict[str, Any] = {}
    for name in _WORDS:
        if (word := getattr(envelope, name)) or name == "text":
            content[_NAMES.get(name, name)] = word
    if envelope.requires_ack:
        content["requires_ack"] = True
    return content


def _encoded(envelope: BusEnvelope) -> bytes:
    document = json.dumps(content_of(envelope), ensure_ascii=False)
    return document.encode(errors="replace") + b"\n"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):  # the next reader might believe the other one
        msg = "a name stands twice in an object"
        raise ValueError(msg)
    return content


def _no_number(word: str) -> None:
    msg = f"{word} is no number"
    raise ValueError(msg)


def _word(content: dict[str, Any], name: str) -> str:
    key = _NAMES.get(name, name)
    value = content.get(key)
    if value is None:
        if key in {"from", "text", "ts"}:
            msg = f"{key} is missing."
            raise BadEnvelope(msg)
        return TEXT if key == "kind" else ""
    if not isinstance(value, str):
        msg = f"{key} is no text."
        raise BadEnvelope(msg)
    return value


def _flag(content: dict[str, Any]) -> bool:
    value = content.get("requires_ack")
    if value is not None and not isinstance(value, bool):
        msg = "requires_ack is neither true nor false."
        raise BadEnvelope(msg)
    return bool(value)


def _shown(word: str) -> str:
    return ascii(word[:40])
