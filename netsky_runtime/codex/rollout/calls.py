"""A model's calls and what they returned, for what a rollout does not tell as an item.

Before 0.153.4 commands are only told this way, in every version the ones a human declined: a
``function_call`` and, with the same ``call_id``, its output in the words the model reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import orjson

from netsky_runtime.codex.bounds import OUTPUT_LIMIT, bounded, head, tail
from netsky_runtime.codex.members import text
from netsky_runtime.codex.rollout.items import Data, command_line, words

if TYPE_CHECKING:
    from netsky_runtime.codex.rollout.lines import Payload

CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
PLAN_TOOL = "update_plan"
STDIN_TOOL = "write_stdin"

_SHELLS = frozenset({"exec_command", "shell_command", "shell", "container.exec", "local_shell"})
_EXIT = re.compile(r"(?:Process exited with code|Exit code:) (-?\d+)")
_SESSION = re.compile(r"Process running with session ID (\d+)")
_WALL = re.compile(r"Wall time: ([\d.]+) seconds")
_PATCHED = re.compile(r"\*\*\* (Add|Update|Delete) File: (.+)")
_MOVED = "*** Move to: "
_REJECTED = 'CreateProcess { message: "Rejected('
_UNSUPPORTED = "unsupported call:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that has no answer yet, or whose command runs on."""

    id: str
    tool: str
    data: Data
    """What ``ITEM_STARTED`` says of it."""
    arguments: Payload

    @property
    def session(self) -> str:
        """The running command that a ``write_stdin`` talks to."""
        return str(self.arguments.get("session_id", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a call's output says."""

    call: Call
    session: str
    """Names the command that runs on; empty when the call is over."""


def begun(payload: Payload, cwd: str) -> Call:
    """Return a call of ``CALLS``; ``cwd`` is the turn's folder. Raises one of ``UNREADABLE``."""
    tool = text(payload.get("name"))
    namespace = text(payload.get("namespace"))
    if payload.get("type") == "local_shell_call":
        tool, arguments = "local_shell", payload["action"]
    else:
        arguments = _arguments(payload)
    call_id = text(payload.get("call_id")) or text(payload.get("id"))
    data = _data(tool, namespace, arguments, cwd)
    return Call(id=call_id, tool=tool, data=data, arguments=arguments)


def answered(call: Call, output: Any) -> Outcome:
    """Return the call with what its output says."""
    said, success = _said(output)
    data = dict(call.data)
    session = ""
    if data["type"] == "command":
        session = _command_end(data, said)
    elif data["type"] == "file_change":
        data["status"] = _end_status(said)
    elif data["type"] == "mcp_call":
        status = "failed" if said.startswith(_UNSUPPORTED) else "completed"
        data |= {"status": status, "result": head(said, OUTPUT_LIMIT)}
    else:
        good = success is not False and not said.startswith(_UNSUPPORTED)
        data |= {
            "status": "completed" if good else "failed",
            "success": good,
            "result": head(said, OUTPUT_LIMIT),
        }
    return Outcome(call=replace(call, data=data), session=session)


def cut(call: Call) -> Data:
    """Return the item of a call that an interrupted turn has ended."""
    return {**call.data, "status": "failed"}


def steps(arguments: Payload) -> list[dict[str, str]]:
    """Return the steps of a plan. Raises one of ``UNREADABLE``."""
    return [
        {"step": text(step.get("step")), "status": text(step.get("status"))}
        for step in arguments.get("plan") or ()
    ]


def _data(tool: str, namespace: str, arguments: Payload, cwd: str) -> Data:
    if tool in _SHELLS and not namespace:
        command = arguments.get("cmd", arguments.get("command"))
        folder = arguments.get("workdir") or arguments.get("working_directory")
        return {
            "type": "command",
            "command": command_line(command),
            "cwd": str(PurePosixPath(cwd) / text(folder)),
            "status": "in_progress",
            "exit_code": None,
            "output": "",
            "duration_ms": None,
        }
    if tool == "apply_patch":
        patch = text(arguments.get("input") or arguments.get("patch"))
        return {"type": "file_change", "status": "in_progress", "changes": _patch(patch, cwd)}
    if (full := f"{namespace}{'' if namespace.endswith('__') else '__'}{tool}").startswith("mcp__"):
        server, _, name = full.removeprefix("mcp__").partition("__")
    elif tool.startswith("mcp__"):
        server, _, name = tool.removeprefix("mcp__").partition("__")
    else:
        return {
            "type": "tool_call",
            "tool": tool,
            "arguments": bounded(arguments),
            "status": "in_progress",
            "success": None,
            "result": "",
        }
    return {
        "type": "mcp_call",
        "server": server,
        "tool": name,
        "arguments": bounded(arguments),
        "status": "in_progress",
        "result": None,
    }


def _arguments(payload: Payload) -> Payload:
    if "input" in payload:
        return {"input": payload["input"]}
    try:
        found = orjson.loads(text(payload.get("arguments")))
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(output: Any) -> tuple[str, bool | None]:
    """Return the words of an output, and whether it calls itself a success."""
    if isinstance(output, dict):
        return words(output.get("content")), output.get("success")
    return words(output), None


def _command_end(data: Data, said: str) -> str:
    header, found, output = said.partition("Output:\n")
    code: int | None
    if found:
        code = _number(_EXIT.search(header))
        wall = _WALL.search(header)
        duration = int(float(wall[1]) * 1000) if wall else None
    else:
        code, output, duration = _structured(said)
    session = _SESSION.search(header) if found and code is None else None
    ended = session is None
    data |= {
        "status": _end_status(said, code) if ended else "in_progress",
        "exit_code": code,
        "output": tail(data["output"] + output),
        "duration_ms": duration if ended else None,
    }
    return session[1] if session else ""


def _structured(said: str) -> tuple[int | None, str, int | None]:
    """Read the older shape: a JSON object with the output and its metadata."""
    try:
        raw = orjson.loads(said)
        meta = raw["metadata"]
        return meta["exit_code"], text(raw["output"]), int(meta["duration_seconds"] * 1000)
    except (orjson.JSONDecodeError, TypeError, LookupError):
        return None, said, None


def _end_status(said: str, code: int | None = None) -> str:
    if code is None:
        code = _number(_EXIT.search(said[:200]))
    if code is None:
        code, _, _ = _structured(said)
    if code == 0:
        return "completed"
    return "declined" if code is None and _REJECTED in said else "failed"


def _number(found: re.Match[str] | None) -> int | None:
    return int(found[1]) if found else None


def _patch(patch: str, cwd: str) -> list[Data]:
    """Return the changes that a patch in the model's own form asks for."""
    found: list[Data] = []
    body: list[str] = []
    for line in patch.splitlines():
        title = _PATCHED.fullmatch(line)
        if title:
            body = []
            path = str(PurePosixPath(cwd) / title[2])
            found.append({"path": path, "kind": title[1].lower(), "diff": body})
        elif line.startswith(_MOVED) and found:
            found[-1]["moved_to"] = str(PurePosixPath(cwd) / line.removeprefix(_MOVED))
        elif not line.startswith("*** "):
            body.append(line)
    for change in found:
        lines = change["diff"]
        if change["kind"] == "add":  # the bare content, as Codex tells it elsewhere
            lines = [line.removeprefix("+") for line in lines]
        change["diff"] = head("".join(f"{line}\n" for line in lines))
    return found
