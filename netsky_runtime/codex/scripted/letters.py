"""netsky's envelopes as a model reads them: by their text alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LETTER = re.compile(
    r'^<netsky tag="(?P<tag>[^"]*)" input="(?P<input>[^"]*)">\n(?P<head>.*?)\n\n'
    r'(?P<body>.*?)\n</netsky tag="(?P=tag)" input="(?P=input)">$',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One envelope; everything but the body is empty when the text came in none."""

    sender: str = ""
    source: str = ""
    kind: str = ""
    task_id: str = ""
    body: str


def letters(text: str) -> tuple[Letter, ...]:
    """Return the envelopes of a user message, or the whole text as one letter of nobody."""
    return tuple(_letter(found) for found in _LETTER.finditer(text)) or (
        Letter(body=unescape(text)),
    )


def unescape(text: str) -> str:
    """Undo what envelopes do to ``&``, ``<`` and ``>``."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _letter(found: re.Match[str]) -> Letter:
    head = dict(line.partition(": ")[::2] for line in found["head"].splitlines())
    sender, _, source = head.get("from", "").partition(" (by ")
    return Letter(
        sender=sender,
        source=source.removesuffix(")"),
        kind=head.get("kind", ""),
        task_id=head.get("task", ""),
        body=unescape(found["body"]),
    )
