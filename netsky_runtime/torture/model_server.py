"""A scripted model on loopback, so that a real Codex runs turns with no account and no network.

It speaks the streaming Responses API. The orders are words in the text of the last user
message; netsky's envelopes escape ``&``, ``<`` and ``>``, which is undone before they are read:

``SAY[text]`` final words; ``RUN[command]`` a command; ``ESC[command]`` a command that wants
out of the sandbox, so that Codex asks; ``PATCH`` a patch that adds ``hello.txt``;
``TOOL[name {json}]ENDTOOL`` a tool call (``namespace/name`` where there is one; ``tool_search``
is the search for tools that were not shown); ``SLOW<n>``
n seconds before the answer; ``FLOOD<n>`` an answer in n fragments; ``FAIL`` a failed response;
``HANG`` no answer until ``release``; ``LIMIT<n>`` once, the account's limit is reached and resets
in n seconds. Calls are made one a request, in the order they are written,
then come the words. Without an order the model echoes.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import BufferedIOBase
    from pathlib import Path
    from types import TracebackType

YIELD_MS = 60_000
"""How long a command runs before Codex asks the model what to do; by itself it is 10 s."""
PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+hello from patch\n*** End Patch\n"
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 120,
}
CALLS = re.compile(
    r"RUN\[(?P<run>.+?)\]|ESC\[(?P<esc>.+?)\]|TOOL\[(?P<tool>\S+) (?P<args>.+?)\]ENDTOOL"
    r"|(?P<patch>\bPATCH\b)",
    re.DOTALL,
)
SAY = re.compile(r"SAY\[(.+?)\]", re.DOTALL)
WAITS = re.compile(r"\bSLOW(\d*\.?\d*)|\b(HANG)\b")
FLOOD = re.compile(r"\bFLOOD(\d+)")
FAIL = re.compile(r"\bFAIL\b")
LIMIT = re.compile(r"\bLIMIT(\d+)")


@dataclass
class ModelServer:
    """Use as a context manager; ``requests`` keeps the body of every model request."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    _released: threading.Event = field(default_factory=threading.Event)
    _hanging: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _flooded: threading.Event = field(default_factory=threading.Event)
    _limited: set[str] = field(default_factory=set)
    """Limits that were reached: a message that quotes one reaches it no more."""
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.model = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def url(self) -> str:
        """The provider's base URL."""
        if self._server is None:
            msg = "The model server is not open."
            raise RuntimeError(msg)
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def release(self) -> None:
        """Let every model call that hangs, now or later, go on."""
        self._released.set()

    def hold(self) -> None:
        """Make ``HANG`` hang again after a ``release``."""
        self._released.clear()

    def wait_hanging(self, seconds: float = 20) -> None:
        """Wait until one more model call hangs."""
        if not self._hanging.acquire(timeout=seconds):
            raise TimeoutError("no model call hangs")

    def wait_flooded(self, seconds: float = 60) -> None:
        """Wait until a whole flood has been written to Codex."""
        if not self._flooded.wait(seconds):
            raise TimeoutError("no flood was written")

    def write_codex_config(self, codex_home: Path) -> None:
        """Point the Codex of this home at the model, with no retries, so that failures are fast."""
        codex_home.mkdir(parents=True, exist_ok=True)
        (codex_home / "config.toml").write_text(
            'model = "gpt-5.4"\nmodel_provider = "scripted"\n'
            "check_for_update_on_startup = false\n"
            "[model_providers.scripted]\n"
            f'name = "scripted"\nbase_url = "{self.url}"\nwire_api = "responses"\n'
            "request_max_retries = 0\nstream_max_retries = 0\n"
            "[analytics]\nenabled = false\n"
        )

    def limit(self, request: Mapping[str, Any]) -> int | None:
        """Return the seconds to the reset, if the message says that the limit is reached."""
        found = LIMIT.search(last_user_message(request.get("input") or [])[0])
        if found is None or found[0] in self._limited:
            return None
        self._limited.add(found[0])
        return int(found[1])

    def answer(self, request: Mapping[str, Any], number: int) -> Iterator[dict[str, Any]]:
        """Yield the stream of events that answers one request."""
        text, outputs = last_user_message(request.get("input") or [])
        yield {"type": "response.created", "response": {"id": f"resp_{number}"}}
        calls = list(CALLS.finditer(text))
        if outputs < len(calls):
            tools = {tool.get("name") or tool.get("type") for tool in request.get("tools", [])}
            item = call_item(calls[outputs], tools, number)
            yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        else:
            rest = CALLS.sub("", text)  # orders in a call's arguments are for somebody else
            self._wait(rest)
            if FAIL.search(rest):
                error = {"code": "server_error", "message": "scripted failure"}
                yield {
                    "type": "response.failed",
                    "response": {"id": f"resp_{number}", "error": error},
                }
                return
            yield from self._words(rest, f"msg_{number}")
        yield {
            "type": "response.completed",
            "response": {"id": f"resp_{number}", "usage": USAGE},
        }

    def _wait(self, text: str) -> None:
        for wait in WAITS.finditer(text):
            if wait.group(2):
                self._hanging.release()
                self._released.wait()
            else:
                threading.Event().wait(float(wait.group(1) or 5))

    def _words(self, text: str, item_id: str) -> Iterator[dict[str, Any]]:
        flood = FLOOD.search(text)
        fragments: Iterator[str]
        if flood:
            fragments = (f"tok{number} " for number in range(int(flood.group(1))))
        else:
            fragments = iter(re.findall(r"\S+\s*", spoken(text)))
        message = {"type": "message", "role": "assistant", "id": item_id}
        yield {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "content": []},
        }
        said = []
        for fragment in fragments:
            said.append(fragment)
            yield {
                "type": "response.output_text.delta",
                "item_id": item_id,
                "output_index": 0,
                "content_index": 0,
                "delta": fragment,
            }
        if flood:
            self._flooded.set()
        content = [{"type": "output_text", "text": "".join(said)}]
        yield {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {**message, "content": content},
        }


def last_user_message(items: list[dict[str, Any]]) -> tuple[str, int]:
    """Return the last user message's text, unescaped, and how many calls were answered since."""
    outputs = 0
    for item in reversed(items):
        if item.get("type", "").endswith("_output"):
            outputs += 1
        if item.get("type") == "message" and item.get("role") == "user":
            text = " ".join(part.get("text", "") for part in item["content"])
            for escaped, plain in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
                text = text.replace(escaped, plain)
            return text, outputs
    return "", outputs


def spoken(text: str) -> str:
    """Return what the model says: the words it was told, else an echo that orders nothing."""
    say = SAY.search(text)
    if say:
        return say.group(1)
    # A report quotes this echo to another thread, whose model must not obey it again.
    for pattern in (WAITS, FLOOD, FAIL, LIMIT):
        text = pattern.sub("(done)", text)
    return "ack: " + text[-200:]


def call_item(order: re.Match[str], tools: set[str], number: int) -> dict[str, Any]:
    """Return the output item that makes a call, in the words of this Codex version's tools."""
    call_id = f"call_{number}"
    shell = next((name for name in ("exec_command", "shell_command") if name in tools), "shell")
    key = "cmd" if shell == "exec_command" else "command"
    if order["patch"] and "apply_patch" in tools:
        return {
            "type": "custom_tool_call",
            "id": f"ct_{number}",
            "call_id": call_id,
            "name": "apply_patch",
            "input": PATCH,
        }
    name, arguments = shell, {}
    if order["tool"]:
        name, arguments = order["tool"], json.loads(order["args"])
    else:
        command = order["run"] or order["esc"] or f"apply_patch <<'EOF'\n{PATCH}EOF"
        arguments[key] = command if shell != "shell" else ["bash", "-lc", command]
        if shell == "exec_command":
            arguments["yield_time_ms"] = YIELD_MS
    if order["esc"]:
        arguments["sandbox_permissions"] = "require_escalated"
        arguments["justification"] = "needs to write outside the workspace"
    if name == "tool_search":
        return {
            "type": "tool_search_call",
            "id": f"ts_{number}",
            "call_id": call_id,
            "execution": "client",
            "arguments": arguments,
        }
    namespace, _, name = name.rpartition("/")
    return {
        **({"namespace": namespace} if namespace else {}),
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": call_id,
        "name": name,
        "arguments": json.dumps(arguments),
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    model: ModelServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the tests read ``requests``."""

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [], "models": []}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        model = self.server.model
        model.requests.append(request)
        seconds = model.limit(request)
        if seconds is not None:
            self._refuse(seconds)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for event in model.answer(request, len(model.requests)):
                send(self.wfile, event)
        except (BrokenPipeError, ConnectionResetError):
            return  # Codex left: the turn was interrupted

    def _refuse(self, seconds: int) -> None:
        # As Codex reads it: the kind and the reset in the body, what is used in headers.
        resets_at = round(time.time()) + seconds
        error = {
            "type": "usage_limit_reached",
            "message": "The usage limit has been reached",
            "plan_type": "plus",
            "resets_at": resets_at,
        }
        body = json.dumps({"error": error}).encode()
        self.send_response(429)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-codex-primary-used-percent", "100")
        self.send_header("x-codex-primary-window-minutes", "300")
        self.send_header("x-codex-primary-reset-at", str(resets_at))
        self.end_headers()
        self.wfile.write(body)


def send(stream: BufferedIOBase, event: dict[str, Any]) -> None:
    """Write one server-sent event."""
    stream.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
