"""File changes as one patch that a human can read: pure, the same for every door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEADERS = ("--- ", "diff --git ")


def unified(changes: Iterable[Mapping[str, Any]]) -> str:
    """Return changes as one unified patch; they are told as in ``EventKind.ITEM_COMPLETED``.

    Codex gives hunks for an update and the bare content for an added or deleted file.
    """
    return "".join(_file_patch(change) for change in changes)


def _file_patch(change: Mapping[str, Any]) -> str:
    path, kind, diff = change["path"], change["kind"], str(change["diff"])
    if diff and not diff.endswith("\n"):
        diff += "\n"
    before = "/dev/null" if kind == "add" else path
    after = "/dev/null" if kind == "delete" else change.get("moved_to") or path
    title = f"--- {before}\n+++ {after}\n"
    if kind not in ("add", "delete"):
        return diff if diff.startswith(_HEADERS) else f"{title}{diff}"
    # Bare content, whatever it looks like: a file must not be able to pose as another patch.
    lines = diff.split("\n")[:-1]
    sign, span = ("+", f"-0,0 +1,{len(lines)}") if kind == "add" else ("-", f"-1,{len(lines)} +0,0")
    body = "".join(f"{sign}{line}\n" for line in lines)
    return f"{title}@@ {span} @@\n{body}"
