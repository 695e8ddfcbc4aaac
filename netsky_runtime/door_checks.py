"""What ``doctor`` says of the doors to Codex: which are open, which is taken, what each allows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.binary import how_to_install
from netsky_runtime.settings import SIDECAR, DoorDefaults, Settings, door_defaults
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.records import DoorResult

SHUT: Final = "shut"
"""State of a door that is not open and need not be."""
_HINT_SET: Final = (
    "AGENT_RUNTIME or the setting runtime asks for this door. With auto, new actors get one that "
    "is open: netsky settings set runtime auto"
)
_HINT_NONE: Final = (
    "No door of this Codex is open. Name one that works in NETSKY_CODEX_BIN, or install one:"
)


def taken(settings: Settings, results: Sequence[DoorResult]) -> RuntimeName | None:
    """Return the door of new actors: the one that is set, else the first that is open."""
    if settings.runtime != "auto":
        return RuntimeName(settings.runtime)
    return next((result.door for result in results if result.open), None)


def taken_by_sidecars(settings: Settings, results: Sequence[DoorResult]) -> RuntimeName | None:
    """Return the door of ``netsky codex``: as for actors, but mcp_server first."""
    for result in results:
        if settings.runtime == "auto" and result.open and result.door is RuntimeName.MCP_SERVER:
            return result.door
    return taken(settings, results)


def doors(settings: Settings, results: Sequence[DoorResult]) -> list[dict[str, Any]]:
    """Return the results as JSON, each with ``taken``: whether new actors get it."""
    choice = taken(settings, results)
    return [{**asdict(result), "taken": result.door is choice} for result in results]


def checks(settings: Settings, results: Sequence[DoorResult]) -> list[dict[str, Any]]:
    """Return one check for each door; it fails when new actors would stand before it."""
    choice, own = taken(settings, results), taken_by_sidecars(settings, results)
    how = "auto" if settings.runtime == "auto" else "as it is set"
    found = []
    for result in results:
        users = [("new actors get it", choice), ("netsky codex takes it", own)]
        uses = [f"; {use} ({how})" for use, door in users if door is result.door]
        found.append(_check(result, choice, "".join(uses[:1])))
    return found


def _check(result: DoorResult, choice: RuntimeName | None, use: str) -> dict[str, Any]:
    state, hint = "ok", ""
    if result.open:
        detail = f"{result.version}, answered in {result.milliseconds} ms{use}"
    else:
        detail = f"tried for {result.milliseconds} ms: {result.reason}"
        state = SHUT
        if choice is None:
            state, hint = "fail", f"{_HINT_NONE} {how_to_install()}."
        elif result.door is choice:
            state, hint = "fail", _HINT_SET
    return {"name": f"door {result.door.value}", "state": state, "detail": detail, "hint": hint}


def containment(settings: Settings) -> list[dict[str, Any]]:
    """Say what actors may do unasked, and aloud where that is everything.

    Resident actors and the sidecar have checks of their own where they are started with more.
    """
    common = door_defaults(settings, RuntimeName.APP_SERVER)
    found = [_contained("containment", "", common)]
    for name, defaults in (
        ("resident", door_defaults(settings, RuntimeName.RESIDENT)),
        (SIDECAR, door_defaults(settings, RuntimeName.APP_SERVER, sidecar=True)),
    ):
        if (defaults.sandbox, defaults.approval_policy) != (common.sandbox, common.approval_policy):
            found.append(_contained(f"containment of {name}", f"{defaults.model}, ", defaults))
    return found


def _contained(name: str, model: str, defaults: DoorDefaults) -> dict[str, Any]:
    detail = f"{model}sandbox {defaults.sandbox}, approvals {defaults.approval_policy}"
    said = []
    if defaults.sandbox == "danger-full-access":
        said.append("Actors are not contained: they can do whatever you can.")
    if defaults.approval_policy == "never":
        said.append("Codex asks nobody.")
    if said:
        said.append(
            "AGENT_CODEX_SANDBOX and AGENT_CODEX_APPROVAL, or the settings, change it"
            f"{'; AGENT_CODEX_MODEL the model' if model else ''}."
        )
    state = "warn" if said else "ok"
    return {"name": name, "state": state, "detail": detail, "hint": " ".join(said)}
