"""What a question of Codex's asks for beside its command or its patch. Pure.

Members of app-server's and mcp-server's requests (0.120 to 0.169) that make of "may this be done?"
something else: a human has to see them, a rule never answers them, and two questions are not alike
when they differ in them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# app-server writes them in camels, mcp-server's announcement of the same question in snakes.
_NAMES: Final = {
    "kind": "kind",
    "environmentId": "environmentId",
    "environment_id": "environmentId",
    "networkApprovalContext": "networkApprovalContext",
    "network_approval_context": "networkApprovalContext",
    "additionalPermissions": "additionalPermissions",
    "additional_permissions": "additionalPermissions",
    "grantRoot": "grantRoot",
    "grant_root": "grantRoot",
    "codex_grant_root": "grantRoot",
}
_USUAL: Final = {"kind": "command", "environmentId": "local"}
"""What says no more than a question without it. Another ``kind`` is text for a program that runs,
another environment another machine."""


def beside(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is asked for beside the command or patch, as ``name: value``; mostly nothing.

    ``raw`` is that of the ``APPROVAL_REQUESTED`` event, of any door.
    """
    return tuple(dict.fromkeys(_told(raw)))


def names(raw: Mapping[str, Any]) -> str:
    """Return the names alone, for where there is one line; mostly empty."""
    return ", ".join(each.partition(":")[0] for each in beside(raw))


def _told(raw: Mapping[str, Any]) -> Iterator[str]:
    for member, name in _NAMES.items():
        value = raw.get(member)
        if value and value != _USUAL.get(name):
            yield f"{name}: {value if isinstance(value, str) else _json(value)}"
    announced = raw.get("event")
    if isinstance(announced, dict):
        yield from _told(announced)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
