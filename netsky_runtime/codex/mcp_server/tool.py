"""The two tools of Codex's mcp-server: what they are given, what they offer, what they answer.

Pure functions. Seen on 0.120, 0.145 and 0.153.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.base import InputRejected
from netsky_runtime.codex.differences import compare
from netsky_runtime.codex.members import part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.codex.base import LaunchSpec

FIRST: Final = "codex"
"""Starts a thread with its first message."""
NEXT: Final = "codex-reply"
"""Says something more in a thread of the same process."""
MAX_TEXT: Final = 1 << 20
"""Characters of one message. This door takes more, but a thread that has heard more could not
have heard it through the app-server, which refuses them."""

_NOT_FOUND = "session not found for thread_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the tool ``codex`` of this version takes; empty where it does not say."""

    sandboxes: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call of either tool came back with, when its turn was over or it never began."""

    thread_id: str
    text: str
    failed: bool

    @property
    def unknown_thread(self) -> bool:
        """Whether the process has no such thread. Some versions do not call that an error."""
        return self.text.lower().startswith(_NOT_FOUND)


def offered(tools: Any) -> Offer | None:
    """Return what ``tools/list`` offers, ``None`` when these are not the tools of Codex."""
    listed = tools.get("tools") if isinstance(tools, dict) else None
    named = {
        str(tool.get("name")): tool
        for tool in (listed if isinstance(listed, list) else ())
        if isinstance(tool, dict)
    }
    if FIRST not in named or NEXT not in named:
        return None
    fields = part(part(named[FIRST], "inputSchema"), "properties")
    return Offer(
        sandboxes=_choices(fields, "sandbox"), policies=_choices(fields, "approval-policy")
    )


def check(spec: LaunchSpec, offer: Offer) -> None:
    """Raise ``InputRejected`` for a launch that this version is known to refuse."""
    for name, wanted, choices in (
        ("sandbox", spec.sandbox, offer.sandboxes),
        ("approval policy", spec.approval_policy, offer.policies),
    ):
        if choices and wanted not in choices:
            msg = f"This Codex has no {name} {wanted!r}: it has {', '.join(choices)}."
            raise InputRejected(msg, hint="Choose one of them for the actor.")


def first_call(spec: LaunchSpec, text: str) -> dict[str, Any]:
    """Return the parameters of the call that makes a thread out of its first message."""
    config = dict(spec.config)
    if spec.effort:
        config["model_reasoning_effort"] = spec.effort
    arguments: dict[str, Any] = {
        "prompt": text,
        "cwd": spec.cwd,
        "sandbox": spec.sandbox,
        "approval-policy": spec.approval_policy,
        "developer-instructions": spec.instructions,
    }
    if config:
        arguments["config"] = config
    if spec.model:
        arguments["model"] = spec.model
    return {"name": FIRST, "arguments": arguments}


def next_call(thread_id: str, text: str) -> dict[str, Any]:
    """Return the parameters of the call that says something more in a thread."""
    return {"name": NEXT, "arguments": {"threadId": thread_id, "prompt": text}}


def answer(result: Any) -> Answer:
    """Return what a ``tools/call`` came back with; members that are missing are empty."""
    structured = part(result, "structuredContent")
    text = structured.get("content")
    if not isinstance(text, str):
        content = result.get("content") if isinstance(result, dict) else None
        parts = content if isinstance(content, list) else ()
        text = "\n".join(str(one.get("text") or "") for one in parts if isinstance(one, dict))
    return Answer(
        thread_id=str(structured.get("threadId") or ""),
        text=text,
        failed=isinstance(result, dict) and result.get("isError") is True,
    )


def came_different(spec: LaunchSpec, configured: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each thing that ``session_configured`` tells other than asked for.

    From 0.145 on it says nothing of the sandbox in words that could be compared.
    """
    if not configured:
        return ()
    return compare(
        spec,
        model=configured.get("model"),
        effort=configured.get("reasoning_effort"),
        sandbox=configured.get("sandbox_policy"),
        approval_policy=configured.get("approval_policy"),
        cwd=configured.get("cwd"),
    )


def _choices(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = part(fields, name).get("enum")
    return tuple(str(word) for word in found) if isinstance(found, list) else ()
