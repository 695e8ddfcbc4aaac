"""Carrying out a script's orders as the items of a turn, in the order real Codex tells them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.scripted import props
from netsky_runtime.codex.scripted.orders import (
    Call,
    Die,
    Fail,
    Flood,
    Hang,
    Limit,
    Order,
    Outcome,
    Patch,
    Pause,
    Prompt,
    Question,
    Run,
    Say,
    Think,
    Use,
)
from netsky_runtime.states import ApprovalKind, DecisionWord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import Batch, Decision
    from netsky_runtime.codex.scripted.orders import Script
    from netsky_runtime.codex.scripted.thread import RunningTurn, ScriptedThread

FAILURE = "stream disconnected before completion: scripted failure"
LIMITED = "You've hit your usage limit."
_PIECE = re.compile(r"\S+\s*|\s+")
_MAX_PIECES = 24
_ACCEPTING = (DecisionWord.ACCEPT, DecisionWord.ACCEPT_FOR_SESSION)


class StoppedError(Exception):
    """A human cancelled an approval: the turn is over."""


class FailedError(Exception):
    """The model failed."""


class LimitedError(Exception):
    """The account's limit was reached."""


class DiedError(Exception):
    """The engine is to be lost."""


class Performance:
    """One turn on one thread."""

    def __init__(
        self, thread: ScriptedThread, turn: RunningTurn, *, script: Script, clock: Clock
    ) -> None:
        self._thread = thread
        self._turn = turn
        self._script = script
        self._clock = clock
        self._earlier = [
            item.text for past in thread.turns for item in past.items if item.type == "user_message"
        ]

    async def run(self) -> None:
        """Play until nothing is left to say.

        Raises ``StoppedError``, ``FailedError``, ``LimitedError``, ``DiedError``, or ``OSError``
        from the disk.
        """
        turn = self._turn
        while turn.inbox:
            batch = turn.inbox.popleft()
            turn.steered.clear()
            self._user_message(batch)
            await self._play(batch.text)
            self._earlier.append(batch.text)

    async def _play(self, text: str) -> None:
        prompt = Prompt(
            thread_id=self._thread.id,
            instructions=self._thread.spec.instructions,
            text=text,
            earlier=tuple(self._earlier),
            tools=self._thread.tools,
        )
        plan = self._script.plan(prompt)
        try:
            order = next(plan, None)
            while order is not None and not self._turn.inbox:
                outcome = await self._do(order)
                try:
                    order = plan.send(outcome)
                except StopIteration:
                    return
        finally:
            plan.close()

    async def _do(self, order: Order) -> Outcome:
        match order:
            case Say():
                await self._message(order)
            case Think():
                await self._reasoning(order)
            case Run():
                return await self._command(order)
            case Patch():
                return await self._patch(order)
            case Call():
                return await self._call(order)
            case Question():
                return await self._question(order)
            case Pause() | Hang():
                await self._wait(order.seconds if isinstance(order, Pause) else None)
            case Flood():
                await self._flood(order)
            case Use():
                self._thread.used(self._turn, read=order.tokens, written=0)
            case Fail() | Limit() | Die():
                self._end(order)
        return Outcome()

    def _end(self, order: Fail | Limit | Die) -> None:
        # A recovery quotes what its turn ended by: nobody dies of one order twice.
        match order:
            case Fail():
                raise FailedError
            case Limit() if not self._thread.limited_before:
                self._thread.tell_limit(seconds=order.seconds)
                raise LimitedError
            case Die() if not self._thread.died_before:
                raise DiedError
            case _:
                pass

    def _user_message(self, batch: Batch) -> None:
        item_id = self._turn.item_id()
        data = {"type": "user_message", "text": batch.text, "client_id": batch.id}
        self._started(item_id, data)
        self._thread.item(self._turn, item_id, data)

    async def _message(self, order: Say) -> None:
        item_id = self._turn.item_id()
        self._started(item_id, {"type": "agent_message", "text": ""})
        if not await self._stream(item_id, "agent_message", order.text, order.seconds):
            return
        self._completed(item_id, {"type": "agent_message", "text": order.text})

    async def _reasoning(self, order: Think) -> None:
        item_id = self._turn.item_id()
        self._started(item_id, {"type": "reasoning", "text": ""})
        if not await self._stream(item_id, "reasoning", order.text, order.seconds):
            return
        self._thread.item(self._turn, item_id, {"type": "reasoning", "text": order.text})

    async def _command(self, order: Run) -> Outcome:
        item_id = self._turn.item_id()
        data = {
            "type": "command",
            "command": order.command,
            "cwd": self._thread.spec.cwd,
            "status": "in_progress",
            "exit_code": None,
            "output": "",
            "duration_ms": None,
        }
        self._started(item_id, data)
        if order.asks and order.command not in self._thread.accepted:
            question = _question(
                ApprovalKind.COMMAND,
                command=order.command,
                cwd=self._thread.spec.cwd,
                reason=order.reason,
            )
            decision = await self._ask(item_id, question, data)
            if decision is not None and decision.word not in _ACCEPTING:
                return Outcome(decision.word.value, ok=False)
            if decision is not None and decision.word is DecisionWord.ACCEPT_FOR_SESSION:
                self._thread.accepted.add(order.command)
        output, exit_code = props.output_of(order.command)
        if order.output is not None:
            output, exit_code = order.output, order.exit_code
        await self._clock.sleep(order.seconds)
        if output:
            self._delta(item_id, "command_output", output)
        took = round(order.seconds * 1000) or props.duration_of(order.command)
        done = {"status": "failed" if exit_code else "completed", "exit_code": exit_code}
        self._completed(item_id, {**data, **done, "output": output, "duration_ms": took})
        return Outcome(output, ok=exit_code == 0)

    async def _patch(self, order: Patch) -> Outcome:
        item_id = self._turn.item_id()
        diff = order.diff or props.diff_of(order.path)
        path = order.path
        if not path.startswith("/"):
            path = f"{self._thread.spec.cwd.rstrip('/')}/{path}"
        change = {"path": path, "kind": order.kind, "diff": diff}
        data = {"type": "file_change", "status": "in_progress", "changes": [change]}
        self._started(item_id, data)
        patch = props.unified(path, order.kind, diff)
        if order.asks and f"patch {path}" not in self._thread.accepted:
            question = _question(ApprovalKind.FILE_CHANGE, patch=patch, reason=order.reason)
            decision = await self._ask(item_id, question, data)
            if decision is not None and decision.word not in _ACCEPTING:
                return Outcome(decision.word.value, ok=False)
            if decision is not None and decision.word is DecisionWord.ACCEPT_FOR_SESSION:
                self._thread.accepted.add(f"patch {path}")
        await self._clock.sleep(order.seconds)
        self._completed(item_id, {**data, "status": "completed"})
        self._thread.emit(EventKind.DIFF, turn_id=self._turn.id, item_id="", data={"diff": patch})
        return Outcome(patch)

    async def _ask(
        self, item_id: str, question: Mapping[str, Any], data: Mapping[str, Any]
    ) -> Decision | None:
        """Ask, unless nobody is to be asked; a refusal ends the item, ``cancel`` the turn too."""
        if self._thread.spec.approval_policy == "never":
            return None
        decision = await self._thread.ask(self._turn, item_id, question)
        if decision.word not in _ACCEPTING:
            self._completed(item_id, {**data, "status": "declined"})
        if decision.word is DecisionWord.CANCEL:
            raise StoppedError
        return decision

    async def _call(self, order: Call) -> Outcome:
        item_id = self._turn.item_id()
        try:
            arguments = json.loads(order.arguments)
        except ValueError:
            arguments = None
        data = {
            "type": "tool_call",
            "tool": order.tool,
            "arguments": arguments,
            "status": "in_progress",
            "success": None,
            "result": "",
        }
        if not isinstance(arguments, dict):
            return self._no_call(item_id, data, f"the arguments of {order.tool} are no JSON object")
        if order.tool not in self._thread.tools:
            return self._no_call(item_id, data, f"unsupported call: {order.tool}")
        await self._clock.sleep(order.seconds)
        self._started(item_id, data)
        result = await self._thread.call(self._turn, item_id, order.tool, arguments)
        done = {"status": "completed" if result.success else "failed", "success": result.success}
        self._completed(item_id, {**data, **done, "result": result.text})
        return Outcome(result.text, ok=result.success)

    def _no_call(self, item_id: str, data: Mapping[str, Any], why: str) -> Outcome:
        failed = {"status": "failed", "success": False, "result": why}
        self._completed(item_id, {**data, **failed})
        return Outcome(why, ok=False)

    async def _question(self, order: Question) -> Outcome:
        item_id = self._turn.item_id()
        question = {"id": "answer", "header": "Question", "question": order.text, "options": []}
        asked = _question(ApprovalKind.USER_INPUT, questions=[question])
        decision = await self._thread.ask(self._turn, item_id, asked)
        if decision.word is DecisionWord.CANCEL:
            raise StoppedError
        if decision.word is DecisionWord.DECLINE:
            return Outcome("no answer", ok=False)
        return Outcome(_words_of(decision.answer or {}))

    async def _flood(self, order: Flood) -> None:
        item_id = self._turn.item_id()
        self._started(item_id, {"type": "agent_message", "text": ""})
        pieces = [f"tok{number} " for number in range(order.fragments)]
        for number, piece in enumerate(pieces, 1):
            self._delta(item_id, "agent_message", piece)
            if number % 10 == 0:
                fact = {"type": "reasoning", "text": f"{number} fragments so far"}
                self._thread.item(self._turn, self._turn.item_id(), fact)
                await asyncio.sleep(0)  # consumers and an interrupt come in between
        self._completed(item_id, {"type": "agent_message", "text": "".join(pieces)})

    async def _stream(self, item_id: str, stream: str, text: str, seconds: float) -> bool:
        """Tell a text in pieces; ``False`` when a steered message cut it short."""
        pieces = _PIECE.findall(text)
        size = max(1, -(-len(pieces) // _MAX_PIECES)) if seconds else max(1, len(pieces))
        groups = [pieces[at : at + size] for at in range(0, len(pieces), size)]
        for group in groups:
            self._delta(item_id, stream, "".join(group))
            if seconds:
                await self._wait(seconds / len(groups))
            if self._turn.inbox:
                return False
        return True

    async def _wait(self, seconds: float | None) -> None:
        """Let time pass (for ever with ``None``), until a message is steered into the turn."""
        async with asyncio.TaskGroup() as group:
            waits: list[asyncio.Task[Any]] = [group.create_task(self._turn.steered.wait())]
            if seconds is not None:
                waits.append(group.create_task(_sleep(self._clock, seconds)))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    def _started(self, item_id: str, data: Mapping[str, Any]) -> None:
        self._thread.emit(EventKind.ITEM_STARTED, turn_id=self._turn.id, item_id=item_id, data=data)

    def _completed(self, item_id: str, data: Mapping[str, Any]) -> None:
        self._thread.item(self._turn, item_id, data)
        written = props.tokens_of(str(data))
        self._thread.used(self._turn, read=1_200 + written, written=written, thought=written // 4)

    def _delta(self, item_id: str, stream: str, text: str) -> None:
        self._thread.emit(
            EventKind.DELTA,
            turn_id=self._turn.id,
            item_id=item_id,
            data={"stream": stream, "text": text},
        )


async def _sleep(clock: Clock, seconds: float) -> None:
    await clock.sleep(seconds)


def _question(
    kind: ApprovalKind,
    *,
    command: str = "",
    cwd: str = "",
    reason: str = "",
    patch: str = "",
    questions: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    words = [word.value for word in DecisionWord]
    if kind is ApprovalKind.USER_INPUT:
        words.remove(DecisionWord.ACCEPT_FOR_SESSION.value)
    shown = {
        "kind": kind.value,
        "command": command,
        "cwd": cwd,
        "reason": reason,
        "patch": patch,
        "questions": questions or [],
        "available_decisions": words,
    }
    raw = {name: told for name, told in shown.items() if name != "kind"}  # Codex means another
    return {**shown, "raw": raw, "method": f"scripted/{kind.value}"}


def _words_of(answer: Mapping[str, Any]) -> str:
    """Return the words of an answer, in any of the shapes that Codex and people write."""
    value: Any = answer.get("answers", answer)
    while isinstance(value, dict):
        value = next(iter(value.values()), "")
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)
