"""No request waits for ever: every kind that netsky sends is known, with its deadline."""

from __future__ import annotations

import ast
from pathlib import Path

import netsky_runtime

ROOT = Path(netsky_runtime.__file__).parent
HEARTBEAT = {("codex/mcp_server/door.py", "tools/call")}
"""Without a deadline: a turn may be silent for hours. A ping and the watchdog look after it."""

KINDS = {
    # app-server: ``turn_start_seconds`` for what starts or steers, else ``request_seconds``.
    "account/read": "request_seconds",
    "thread/archive": "request_seconds",
    "thread/loaded/list": "request_seconds",
    "thread/read": "request_seconds",
    "thread/resume": "request_seconds",
    "thread/start": "request_seconds",
    "thread/turns/list": "request_seconds",
    "thread/unarchive": "request_seconds",
    "thread/unsubscribe": "request_seconds",
    "turn/interrupt": "request_seconds",
    "turn/start": "turn_start_seconds",
    "turn/steer": "turn_start_seconds",
    # mcp-server.
    "ping": "request_seconds",
    "tools/call": "ping, turn_start_seconds until its turn begins",
    "tools/list": "HANDSHAKE_SECONDS",
    # Both, and the doors' probes.
    "initialize": "CONNECT_SECONDS, HANDSHAKE_SECONDS, DEADLINE",
    # netsky's own tools at its own daemon.
    "tools.call": "CALL_SECONDS",
    "tools.list": "LIST_SECONDS",
}
ASKING = {"request", "ask", "_ask", "_try"}


def calls() -> list[tuple[str, ast.Call]]:
    names = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py"))}
    return [
        (name, node)
        for name, path in names.items()
        if not name.startswith("torture/")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def method_of(call: ast.Call) -> str:
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return argument.value
    return ""


def test_every_request_over_the_wire_has_a_deadline() -> None:
    without, seen = set(), 0
    for name, call in calls():
        if call.func.attr != "request":
            continue
        seen += 1
        given = {word.arg: word.value for word in call.keywords}
        assert "deadline" in given, f"{name}:{call.lineno} has none"
        if isinstance(given["deadline"], ast.Constant) and given["deadline"].value is None:
            without.add((name, method_of(call)))
    assert seen >= 9
    assert without == HEARTBEAT


def test_every_kind_of_request_to_codex_is_in_the_table() -> None:
    asked = {
        method_of(call)
        for name, call in calls()
        if name.startswith(("codex/app_server", "codex/mcp_server", "tools_door"))
        and call.func.attr in ASKING
        and method_of(call)
    }
    assert asked | {"initialize"} == set(KINDS)
