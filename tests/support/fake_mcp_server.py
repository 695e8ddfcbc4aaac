"""A stand-in for ``codex mcp-server`` that answers at once, or misbehaves when it is told to.

``install`` writes an executable. Words in a prompt order what becomes of a call: ``SAY[text]`` a
turn that says it; ``HANG`` a turn without an end, until it is cancelled; ``ASK`` one that asks
before it goes on; ``FAIL`` a turn that the model fails; ``MUTE`` nothing at all, neither a turn
nor an answer; ``DEAF`` likewise, and nothing more is read, also no ping; ``DIE`` an end with last
words; ``FORGET`` and ``FORGET_SOFTLY`` the words for a thread that is not known, with and without
``isError``; ``REFUSE`` an error; ``ODD`` a turn amid messages of shapes that nobody knows.
``mode`` is how it starts: ``good``; ``mute`` never answers; ``toolless`` offers other tools;
``prompt`` is a newer Codex, to which the word is no command; ``broken`` has a configuration that
cannot be read; ``stranger`` answers every request with an error.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

VERSION = "0.153.4"
LAST_WORDS = "error: the stand-in was told to die"
BROKEN = "Error: error loading config: config.toml:1:6: key with no value, expected `=`"
PROMPTED = "Error: stdin is not a terminal"
TRACE = "\n\nStack backtrace:\n   0: <unknown>\n   1: <unknown>"
ENDS = {"prompt": PROMPTED, "broken": BROKEN}
DEPRECATED = "warning: `codex mcp-server` is deprecated and will be removed in a future release."
REPOSITORY = Path(__file__).parents[2]
TOOLS = [
    {
        "name": "codex",
        "inputSchema": {
            "properties": {
                "sandbox": {"enum": ["read-only", "workspace-write"]},
                "approval-policy": {"enum": ["on-request", "never"]},
            }
        },
    },
    {"name": "codex-reply", "inputSchema": {"properties": {}}},
]


def install(folder: Path, *, mode: str = "good") -> Path:
    """Write the executable into a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    binary = folder / "codex"
    binary.write_text(
        f"#!{sys.executable} -S\n"
        f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from tests.support.fake_mcp_server import main\n"
        f"main(mode={mode!r}, notes={str(folder / 'heard.jsonl')!r})\n"
    )
    binary.chmod(0o755)
    return binary


def heard(binary: Path) -> list[dict[str, Any]]:
    """Return every message it was sent, in order, with the process that read it as ``pid``."""
    notes = binary.parent / "heard.jsonl"
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def main(*, mode: str, notes: str) -> None:
    """Be Codex."""
    print(DEPRECATED, file=sys.stderr, flush=True)
    if mode == "mute":
        signal.pause()
    if mode in ENDS:
        print(ENDS[mode] + TRACE, file=sys.stderr, flush=True)
        sys.exit(1)
    server = Stranger() if mode == "stranger" else Server(toolless=mode == "toolless")
    for line in sys.stdin:
        message = json.loads(line)
        with Path(notes).open("a") as file:
            file.write(json.dumps({**message, "pid": os.getpid()}) + "\n")
        server.take(message)


class Server:
    """Threads in memory, one turn at a time in each."""

    def __init__(self, *, toolless: bool) -> None:
        self._tools = [] if toolless else TOOLS
        self._count = 0
        self._threads: dict[str, int] = {}
        self._asked: dict[int, tuple[int, str, str, str]] = {}
        self._hanging: dict[int, tuple[str, str]] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Read one message of the client."""
        method, number = message.get("method"), message.get("id", -1)
        if method is None:
            self._answered(number, message.get("result"))
        elif method == "initialize":
            self._result(number, {"serverInfo": {"name": "codex-mcp-server", "version": VERSION}})
        elif method == "tools/list":
            self._result(number, {"tools": self._tools})
        elif method == "ping":
            self._result(number, {})
        elif method == "notifications/cancelled":
            call = message["params"]["requestId"]
            if (hanging := self._hanging.pop(call, None)) is not None:
                thread, turn = hanging
                self._event(call, thread, turn, "turn_aborted", reason="interrupted")
        elif method == "tools/call":
            arguments = message["params"]["arguments"]
            self._call(number, arguments.get("threadId", ""), arguments["prompt"])

    def _call(self, call: int, thread: str, prompt: str) -> None:
        order = re.match(r"[A-Z_]+", prompt)
        match order[0] if order else "":
            case "MUTE":
                return
            case "DEAF":
                signal.pause()
            case "DIE":
                print(LAST_WORDS, file=sys.stderr, flush=True)
                sys.exit(1)
            case "REFUSE":
                self._text(
                    call, thread, "failed to load configuration: no such profile", failed=True
                )
                return
            case "FORGET" | "FORGET_SOFTLY" as how:
                said = f"Session not found for thread_id: {thread}"
                self._text(call, thread, said, failed=how == "FORGET")
                return
        self._turn(call, thread, prompt)

    def _turn(self, call: int, thread: str, prompt: str) -> None:
        if not thread:
            thread = self._new("thread")
            self._event(call, thread, "", "session_configured", thread_id=thread, model="gpt-5.4")
        turn = self._new("turn")
        self._event(call, thread, turn, "task_started", turn_id=turn, started_at=1795175760)
        if prompt.startswith("ODD"):
            self._strange(call, thread, turn)
        content = [{"type": "text", "text": prompt}]
        item = {"type": "UserMessage", "id": self._new("item"), "content": content}
        self._event(call, thread, turn, "item_completed", turn_id=turn, item=item)
        if prompt.startswith("HANG"):
            self._hanging[call] = (thread, turn)
        elif prompt.startswith("ASK"):
            self._ask(call, thread, turn, prompt)
        elif prompt.startswith("FAIL"):
            self._text(call, thread, "stream disconnected before completion", failed=True)
        else:
            self._say(call, thread, turn, prompt)

    def _say(self, call: int, thread: str, turn: str, prompt: str) -> None:
        told = re.search(r"SAY\[(.*?)\]", prompt)
        words = told[1] if told else "understood"
        content = [{"type": "Text", "text": words}]
        item = {"type": "AgentMessage", "id": self._new("item"), "content": content}
        self._event(call, thread, turn, "item_completed", turn_id=turn, item=item)
        ended = {"turn_id": turn, "last_agent_message": words, "completed_at": 1795175761}
        self._event(call, thread, turn, "task_complete", **ended)
        self._text(call, thread, words)

    def _ask(self, call: int, thread: str, turn: str, prompt: str) -> None:
        request, item = len(self._asked), self._new("call")
        self._asked[request] = (call, thread, turn, prompt)
        command = ["/bin/bash", "-lc", "touch made"]
        about = {"call_id": item, "turn_id": turn, "command": command, "cwd": "/project"}
        reason = "needs to write"
        self._event(call, thread, turn, "exec_approval_request", reason=reason, **about)
        params = {
            "message": "Allow Codex to run it?",
            "requestedSchema": {"type": "object", "properties": {}},
            "threadId": thread,
            "codex_elicitation": "exec-approval",
            "codex_event_id": turn,
            "codex_call_id": item,
            "codex_command": command,
            "codex_cwd": "/project",
        }
        self._send({"id": request, "method": "elicitation/create", "params": params})

    def _answered(self, number: Any, result: Any) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None and result is not None:
            self._say(*asked[:3], f"SAY[{result['decision']}]")

    def _strange(self, call: int, thread: str, turn: str) -> None:
        self._event(call, thread, turn, "a_kind_of_tomorrow", anything=[1, 2])
        self._event(call, thread, turn, "item_completed", item="no item at all")
        self._event(call, "thread-of-nobody", turn, "task_complete", turn_id=turn)
        self._send({"method": "codex/event", "params": {"msg": "no message"}})
        self._send({"method": "notifications/tomorrow", "params": {}})
        self._send({"id": "s-1", "method": "sampling/createMessage", "params": {}})
        self._send({"id": "s-2", "method": "ping", "params": {}})
        stranger = {"threadId": "thread-of-nobody", "codex_elicitation": "exec-approval"}
        self._send({"id": "s-3", "method": "elicitation/create", "params": stranger})
        sys.stdout.write("Welcome! This is no JSON at all.\n")

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{os.getpid()}-{self._count}"

    def _text(self, call: int, thread: str, text: str, *, failed: bool = False) -> None:
        result: dict[str, Any] = {
            "content": [{"type": "text", "text": text}],
            "structuredContent": {"threadId": thread, "content": text},
        }
        self._result(call, {**result, "isError": True} if failed else result)

    def _event(self, call: int, thread: str, turn: str, kind: str, **message: Any) -> None:
        meta = {"requestId": call, "threadId": thread}
        params = {"_meta": meta, "msg": {"type": kind, **message}, "id": turn}
        self._send({"method": "codex/event", "params": params})

    def _result(self, number: Any, result: dict[str, Any]) -> None:
        self._send({"id": number, "result": result})

    def _send(self, message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


class Stranger(Server):
    """Another program under the name of Codex."""

    def __init__(self) -> None:
        super().__init__(toolless=True)

    def take(self, message: dict[str, Any]) -> None:
        """Refuse a request."""
        if "id" in message:
            error = {"code": -32603, "message": "no disk is left"}
            self._send({"id": message["id"], "error": error})
