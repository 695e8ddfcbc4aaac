"""A stand-in for the Codex binary: answers at once, or misbehaves in one chosen way.

``install`` writes an executable that speaks enough of the app-server for messages and their
answers, over a Unix socket as Codex does; on its pipes it only shakes hands. The modes:
``good`` echoes; ``mute`` starts and never opens its socket or answers; ``garbage`` writes words
where JSON belongs; ``dies`` says why and exits. Every ``turn/start`` is noted in a file with
the moment it arrived.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, unix_serve

VERSION = "0.163.0"
GARBAGE = "Welcome! This is no JSON at all."
LAST_WORDS = "error: the stand-in was told to die"
REPOSITORY = Path(__file__).parents[2]


def install(folder: Path, *, mode: str = "good", version: str = VERSION) -> Path:
    """Write the executable into a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    binary = folder / "codex"
    binary.write_text(
        f"#!{sys.executable}\n"
        f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from tests.support.fake_codex import main\n"
        f"sys.exit(main(sys.argv[1:], mode={mode!r}, notes={str(folder / 'turns.jsonl')!r}, "
        f"version={version!r}))\n"
    )
    binary.chmod(0o755)
    return binary


def arrivals(binary: Path) -> dict[str, float]:
    """Return when (``time.monotonic``) each turn arrived, by the text it was started with."""
    notes = binary.parent / "turns.jsonl"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return {entry["text"]: entry["at"] for entry in map(json.loads, lines)}


def main(arguments: list[str], *, mode: str, notes: str, version: str = VERSION) -> int:
    """Be Codex."""
    if arguments == ["--version"]:
        print(f"codex-cli {version}")
        return 0
    if mode == "dies":
        print(LAST_WORDS, file=sys.stderr)
        return 1
    if mode == "mute":
        signal.pause()
    if mode == "garbage":
        print(GARBAGE, flush=True)
        return 0
    if arguments != ["app-server"] and "--listen" not in arguments:
        print("error: stdin is not a terminal", file=sys.stderr)
        return 1
    if arguments == ["app-server"]:
        request = json.loads(sys.stdin.readline())
        print(json.dumps({"id": request["id"], "result": _hello(version)}), flush=True)
        sys.stdin.read()
        return 0
    listen = arguments[arguments.index("--listen") + 1]
    asyncio.run(Server(notes, version).serve(listen.removeprefix("unix://")))
    return 0


def _hello(version: str) -> dict[str, str]:
    return {"userAgent": f"netsky/{version}", "codexHome": ""}


class Client:
    """One connection, and what it wants to hear."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.unwanted: frozenset[str] = frozenset()
        self.threads: set[str] = set()


class Server:
    """Threads in memory; every turn is answered with an echo at once."""

    def __init__(self, notes: str, version: str) -> None:
        self._notes = notes
        self._version = version
        self._clients: set[Client] = set()
        self._turns: dict[str, list[dict[str, Any]]] = {}
        self._numbers = 0

    async def serve(self, path: str) -> None:
        """Listen until SIGTERM."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        async with unix_serve(self._talk, path, compression=None):
            await stopped.wait()

    async def _talk(self, socket: ServerConnection) -> None:
        client = Client(socket)
        self._clients.add(client)
        try:
            async for message in socket:
                arrived = time.monotonic()
                request = json.loads(message)
                if "id" in request and "method" in request:
                    await self._answer(client, request, arrived)
        finally:
            self._clients.discard(client)

    async def _answer(self, client: Client, request: dict[str, Any], arrived: float) -> None:
        method, params = request["method"], request["params"]
        thread_id = params.get("threadId", "")
        result: dict[str, Any] = {}
        if method == "initialize":
            wishes = params["capabilities"].get("optOutNotificationMethods", ())
            client.unwanted = frozenset(wishes)
            result = {**_hello(self._version)}
        elif method == "thread/start":
            thread_id = self._new("thread")
            self._turns[thread_id] = []
            client.threads.add(thread_id)
            result = {"thread": self._thread(thread_id)}
        elif thread_id and thread_id not in self._turns:
            error = {"code": -32600, "message": f"no rollout found for thread id {thread_id}"}
            await client.socket.send(json.dumps({"id": request["id"], "error": error}))
            return
        elif method == "thread/resume":
            client.threads.add(thread_id)
            result = {"thread": self._thread(thread_id)}
        elif method == "thread/read":
            result = {"thread": self._thread(thread_id)}
        elif method == "thread/turns/list":
            result = {"data": self._turns[thread_id], "nextCursor": None}
        elif method == "thread/loaded/list":
            result = {"data": list(self._turns), "nextCursor": None}
        elif method == "turn/start":
            self._note(params["input"][0]["text"], arrived)
            result = {"turn": {"id": self._new("turn"), "status": "inProgress", "items": []}}
        await client.socket.send(json.dumps({"id": request["id"], "result": result}))
        if method == "turn/start":
            await self._play(thread_id, result["turn"]["id"], params)

    def _note(self, text: str, arrived: float) -> None:
        with Path(self._notes).open("a") as file:
            file.write(json.dumps({"text": text, "at": arrived}) + "\n")

    def _new(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}-{self._numbers:04d}"

    def _thread(self, thread_id: str) -> dict[str, Any]:
        return {"id": thread_id, "status": {"type": "idle"}, "turns": self._turns[thread_id]}

    async def _play(self, thread_id: str, turn_id: str, params: dict[str, Any]) -> None:
        now = int(time.time())
        user = {
            "type": "userMessage",
            "id": self._new("item"),
            "clientId": params.get("clientUserMessageId"),
            "content": params["input"],
        }
        agent = {"type": "agentMessage", "id": self._new("item"), "text": "understood"}
        turn = {"id": turn_id, "status": "inProgress", "items": [], "startedAt": now}
        about = {"threadId": thread_id, "turnId": turn_id}
        await self._tell("turn/started", {"threadId": thread_id, "turn": turn})
        for item in (user, agent):
            await self._tell("item/started", {**about, "item": item})
            await self._tell("item/completed", {**about, "item": item})
        over = {**turn, "status": "completed", "items": [user, agent], "completedAt": now}
        self._turns[thread_id].append(over)
        await self._tell("turn/completed", {"threadId": thread_id, "turn": over})

    async def _tell(self, method: str, params: dict[str, Any]) -> None:
        message = json.dumps({"method": method, "params": params})
        for client in list(self._clients):
            if params["threadId"] in client.threads and method not in client.unwanted:
                await client.socket.send(message)
