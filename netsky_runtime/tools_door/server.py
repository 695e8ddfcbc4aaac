"""The MCP server of one thread: what Codex asks, handed on to the daemon and back."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime import __version__
from netsky_runtime.errors import Conflict, DeadlineExceeded, NetskyError, NoDaemon
from netsky_runtime.tools_door.naming import SERVER
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut
from netsky_runtime.wire.peer import Peer, RequestId

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from netsky_runtime.tools_door.asking import Daemon
    from netsky_runtime.wire.framing import Framing

LIST_SECONDS: Final = 20.0
"""How long a daemon may take to come back and say which tools there are."""
CALL_SECONDS: Final = 60.0
"""How long it may take to come back and do what a call asks for."""
MAX_IN_FLIGHT: Final = 32

VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Of the protocol; what is used of it is the same in all. Codex 0.120 to 0.169 offer
2025-06-18."""
INSTRUCTIONS: Final = (
    "Your part in netsky, the control room you work for: start workers and managers, list and "
    "update tasks, send messages, keep notes, ask the owner."
)
"""Codex quotes this where a model looks for tools that it was not shown (``tool_search``)."""
_ANNOTATIONS: Final = {"readOnlyHint": True, "destructiveHint": False, "openWorldHint": False}
"""Codex 0.120 goes by these alone, and stops for an approval in the middle of a call of anything
else. What a tool changes are rows of netsky's, and the daemon checks who may."""

_INVALID: Final = -32602
_UNKNOWN: Final = -32601
_FAILED: Final = -32000


class ToolsServer:
    """Serves one MCP client until it leaves or ``run`` is cancelled."""

    def __init__(self, framing: Framing, *, daemon: Daemon, token: str) -> None:
        self._daemon = daemon
        self._token = token
        self._tools: list[dict[str, Any]] | None = None
        self._running: dict[RequestId, asyncio.Task[None]] = {}
        self._work = asyncio.TaskGroup()
        self._peer = Peer(
            framing,
            on_request=self._requested,
            on_notification=self._notified,
            version_member=True,
        )

    async def run(self) -> None:
        """Serve; calls that are under way end with the connection, their effects do not.

        A bug in one request ends it all with an ``ExceptionGroup``: Codex then says that the
        server is gone, and no call waits for its deadline.
        """
        async with self._work:
            try:
                await self._peer.run()
            finally:
                for task in self._running.values():
                    task.cancel()

    def _requested(self, request_id: RequestId, method: str, params: dict[str, Any]) -> None:
        if request_id in self._running:
            return  # one id, one answer; and each task that runs must be counted
        if len(self._running) >= 2 * MAX_IN_FLIGHT:
            return  # nobody reads the answers any more
        if len(self._running) >= MAX_IN_FLIGHT:
            msg = f"More than {MAX_IN_FLIGHT} requests are under way."
            self._spawn(request_id, self._refuse(request_id, _FAILED, msg))
            return
        match method:
            case "initialize":
                self._spawn(request_id, self._reply(request_id, _greeting(params)))
            case "ping":
                self._spawn(request_id, self._reply(request_id, {}))
            case "tools/list":
                self._spawn(request_id, self._list(request_id))
            case "tools/call":
                self._spawn(request_id, self._call(request_id, params))
            case _:
                msg = f"There is no method {method}."
                self._spawn(request_id, self._refuse(request_id, _UNKNOWN, msg))

    def _notified(self, method: str, params: dict[str, Any]) -> None:
        """Stop waiting for what was cancelled; no answer is wanted then."""
        if method == "notifications/cancelled":
            request_id = params.get("requestId")
            task = self._running.get(request_id) if isinstance(request_id, int | str) else None
            if task is not None:
                task.cancel()

    def _spawn(self, request_id: RequestId, work: Coroutine[Any, Any, None]) -> None:
        task = self._running[request_id] = self._work.create_task(work)
        task.add_done_callback(lambda _done: self._running.pop(request_id))

    async def _list(self, request_id: RequestId) -> None:
        if self._tools is None:
            try:
                told = await self._daemon.ask(
                    "tools.list", {"token": self._token}, seconds=LIST_SECONDS
                )
            except NetskyError as error:
                await self._refuse(request_id, _FAILED, error.message)
                return
            self._tools = [_tool(spec) for spec in told["tools"]]
        await self._reply(request_id, {"tools": self._tools})

    async def _call(self, request_id: RequestId, params: Mapping[str, Any]) -> None:
        tool, arguments = params.get("name"), params.get("arguments")
        arguments = {} if arguments is None else arguments
        if not isinstance(tool, str) or not tool or not isinstance(arguments, dict):
            msg = "A call needs the name of a tool, and arguments that are an object."
            await self._refuse(request_id, _INVALID, msg)
            return
        asked = {"token": self._token, "tool": tool, "arguments": arguments, **_origin(params)}
        try:
            told = await self._daemon.ask("tools.call", asked, seconds=CALL_SECONDS)
        except NetskyError as error:
            await self._reply(request_id, _outcome(_advice(tool, error), success=False))
            return
        await self._reply(request_id, _outcome(told["text"], success=told["success"]))

    async def _reply(self, request_id: RequestId, result: Mapping[str, Any]) -> None:
        with suppress(PeerClosed, RequestTimedOut):
            await self._peer.reply(request_id, result)

    async def _refuse(self, request_id: RequestId, code: int, message: str) -> None:
        with suppress(PeerClosed, RequestTimedOut):
            await self._peer.reply_error(request_id, code, message)


def _greeting(params: Mapping[str, Any]) -> dict[str, Any]:
    offered = params.get("protocolVersion")
    return {
        "protocolVersion": offered if offered in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": SERVER, "version": __version__},
        "instructions": INSTRUCTIONS,
    }


def _tool(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": spec["name"],
        "description": spec["description"],
        "inputSchema": spec["schema"],
        "annotations": _ANNOTATIONS,
    }


def _origin(params: Mapping[str, Any]) -> dict[str, str]:
    """Return which call this is, of which thread and turn, as far as Codex tells.

    All of 0.120 to 0.169 tell the turn; the model's own call id comes from 0.153 on. A call that
    has none gets one here, and keeps it however often the daemon is asked.
    """
    meta = _table(params.get("_meta"))
    turn = _table(meta.get("x-codex-turn-metadata"))
    thread = meta.get("threadId") or turn.get("thread_id") or turn.get("session_id")
    told = {"call_id": meta.get("callId"), "thread_id": thread, "turn_id": turn.get("turn_id")}
    known = {key: value for key, value in told.items() if isinstance(value, str) and value}
    return {"call_id": f"mcp-{os.urandom(12).hex()}", **known}


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _outcome(text: str, *, success: bool) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": not success}


def _advice(tool: str, error: NetskyError) -> str:
    """Return what the model is told: a daemon's hints are for people at a command line."""
    match error:
        case NoDaemon() | Conflict():
            then = (
                f"{tool} was not done. Go on with what does not need it; then end your turn and "
                "say what is still to be done."
            )
        case DeadlineExceeded():
            then = (
                f"{tool} may have been done or not: see list_tasks before you call it again. If "
                "that fails too, end your turn and say so."
            )
        case _:
            then = ""
    return f"{error.message} {then}".strip()
