"""How the demo's actors read people's words: subjects, parts, names of files."""

from __future__ import annotations

import re

_POLITE = re.compile(
    r"^(?:hi|hello|hey|please|can you|could you|would you|let'?s|i want you to|i want to"
    r"|i would like you to|we need to|we need|we should|you should|now)[,:]?\s+",
    re.IGNORECASE,
)
_PARTS = re.compile(r"\s*(?:;|\n+\s*(?:[-*•]|\d+[.)])?|,\s+(?:and|then)\s+|\s+and then\s+)\s*")
_GREETING = re.compile(
    r"^(?:hi|hello|hey|thanks|thank you|good (?:morning|evening))\b.{0,20}$", re.IGNORECASE
)
_ASKING = re.compile(
    r"^(?:what|how|who|where|when|why|which|is|are|status)\b|\?\s*$", re.IGNORECASE
)
_RISKY = re.compile(r"\b(?:deploy|release|publish|delete|drop|wipe|pay)\b", re.IGNORECASE)
_LANE = re.compile(
    r"\b(?:lane|project|platform|campaign|programme|roadmap|migration)\b", re.IGNORECASE
)
_COMMON = frozenset(
    {
        *("about", "after", "again", "before", "could", "every", "everything", "faster", "from"),
        *("have", "into", "look", "make", "more", "please", "prove", "should", "slower", "some"),
        *("that", "their", "them", "then", "there", "these", "they", "this", "tests", "those"),
        *("through", "until", "using", "what", "when", "where", "which", "with", "without"),
        *("work", "would", "your"),
    }
)
_LOOK = "Look into it"
_MANY_PARTS = 4


def greets(text: str) -> bool:
    """Whether somebody only says hello or thanks."""
    return _GREETING.match(text.strip()) is not None


def asks(text: str) -> bool:
    """Whether somebody wants to know something rather than have it done."""
    return _ASKING.search(text.strip()) is not None


def risky(text: str) -> bool:
    """Whether this is for the owner to confirm first."""
    return _RISKY.search(text) is not None


def agrees(text: str) -> bool:
    """Whether an answer is a yes."""
    return re.match(r"\s*(?:no|not|stop|don'?t|never|wait)\b", text, re.IGNORECASE) is None


def needs_a_lane(text: str) -> bool:
    """Whether this is more than three tasks' worth."""
    return _LANE.search(text) is not None or len(parts(text)) >= _MANY_PARTS


def subject(text: str, limit: int = 60) -> str:
    """Return what a text is about, in a few words that begin in lower case."""
    first = re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]
    while (shorter := _POLITE.sub("", first)) != first:
        first = shorter
    title, _, rest = first.partition(": ")
    first = (title if rest and len(title.split()) > 2 else first).rstrip(" .!?:,")
    if len(first) > limit:
        first = f"{first[:limit].rsplit(' ', 1)[0]}…"
    return first[:1].lower() + first[1:] if first[1:2].islower() else first


def parts(text: str) -> list[str]:
    """Return the pieces of work that a text lists, each as a subject."""
    title, _, rest = text.strip().partition(": ")
    listed = rest if rest and len(title.split()) > 2 else text.strip()
    found = [subject(part) for part in _PARTS.split(listed.lstrip("-*• ")) if len(part.split()) > 1]
    return found or [subject(text)]


def titles(objective: str) -> list[str]:
    """Return the titles of two or three tasks that make up an objective."""
    found = parts(objective)
    if len(found) > 1:
        return [capital(part) for part in found[:3]]
    only = found[0]
    return [f"{_LOOK}: {only}", capital(only), f"Prove it with tests: {only}"]


def only_looks(title: str) -> bool:
    """Whether a task is to find something out and to change nothing."""
    return title.startswith(_LOOK)


def keyword(text: str) -> str:
    """Return the word of a text that a file would be named after."""
    words = re.findall(r"[a-z][a-z0-9_]{3,}", text.lower())
    fitting = [word for word in words if word not in _COMMON]
    return max(fitting[-4:], key=len) if fitting else "core"


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def first_line(text: str, limit: int = 140) -> str:
    """Return the first line that says something, cut to fit."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"
