"""What came back other than asked for, in a human's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.codex.binary import real_path

if TYPE_CHECKING:
    from netsky_runtime.codex.base import LaunchSpec

_SANDBOXES = {
    "readOnly": "read-only",
    "workspaceWrite": "workspace-write",
    "dangerFullAccess": "danger-full-access",
}


def compare(
    spec: LaunchSpec, *, model: Any, effort: Any, sandbox: Any, approval_policy: Any, cwd: Any
) -> tuple[str, ...]:
    """Return a sentence for each thing that Codex tells other than ``spec`` asks for.

    What Codex does not tell is no difference. A sandbox is told by its name or with details, an
    approval policy by its name or, when it is made of single grants, by these.
    """
    kind = sandbox.get("type", "") if isinstance(sandbox, dict) else str(sandbox or "")
    policy = "granular" if isinstance(approval_policy, dict) else str(approval_policy or "")
    pairs = (
        ("Model", model, spec.model),
        ("Reasoning effort", effort, spec.effort),
        ("Sandbox", _SANDBOXES.get(kind, kind), spec.sandbox),
        ("Approval policy", policy, spec.approval_policy),
        ("Working folder", real_path(str(cwd or "")), real_path(spec.cwd)),
    )
    return tuple(
        f"{name} is {has}, asked for was {wants}."
        for name, has, wants in pairs
        if has and wants and has != wants
    )
