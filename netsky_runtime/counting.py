"""Numbers with their noun, as people say them: ``1 token``, ``1,200 tokens``."""

from __future__ import annotations


def count(number: float, noun: str, plural: str = "") -> str:
    """Return the number and its noun; ``plural`` where that takes more than an ``s``."""
    return f"{number:,.15g} {noun if number == 1 else plural or f'{noun}s'}"
