"""A launch spec in Codex's words, and what came back other than asked for in a human's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.codex.differences import compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.codex.base import LaunchSpec

TYPED_TOOLS = (0, 121)
"""From 0.145 on (between is not known) a dynamic tool has a ``type``; on 0.120 it has none."""


def start_params(spec: LaunchSpec, *, version: tuple[int, ...]) -> dict[str, Any]:
    """Return the parameters of ``thread/start``. Tools are given here, and never again."""
    params = resume_params(spec)
    if spec.tools:
        kind = {"type": "function"} if version >= TYPED_TOOLS else {}
        params["dynamicTools"] = [
            {
                **kind,
                "name": tool.name,
                "description": tool.description,
                "inputSchema": dict(tool.schema),
            }
            for tool in spec.tools
        ]
    return params


def resume_params(spec: LaunchSpec) -> dict[str, Any]:
    """Return what ``thread/start`` and ``thread/resume`` have in common."""
    config = dict(spec.config)
    if spec.effort:
        config["model_reasoning_effort"] = spec.effort
    params: dict[str, Any] = {
        "cwd": spec.cwd,
        "sandbox": spec.sandbox,
        "approvalPolicy": spec.approval_policy,
        "developerInstructions": spec.instructions,
    }
    if config:
        params["config"] = config
    if spec.model:
        params["model"] = spec.model
    return params


def differences(spec: LaunchSpec, answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each thing that came back other than asked for.

    A thread that is loaded in the engine keeps what it has, whatever is asked at resume.
    """
    return compare(
        spec,
        model=answer.get("model"),
        effort=answer.get("reasoningEffort"),
        sandbox=answer.get("sandbox"),
        approval_policy=answer.get("approvalPolicy"),
        cwd=answer.get("cwd"),
    )
