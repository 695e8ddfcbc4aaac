"""``netsky approvals``: what Codex asks, and the human's answer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.approval_records import Approval
from netsky_runtime.beside import beside, names
from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.states import ApprovalStatus, DecisionWord
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call, say_how_old
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import ApprovalId, AsJson, complete_approval, examples
from netsky_tui.cli.output import Column, emit, fields, narrate, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx

app = typer.Typer(name="approvals", help="Questions from Codex.", no_args_is_help=True)

_COLUMNS = (
    Column("ID"),
    Column("AGE"),
    Column("ACTOR"),
    Column("KIND"),
    Column("STATUS", state=True),
    Column("WHAT", flex=True),
)
_APPROVAL = re.compile("a[0-9]+")
"""How an approval is named."""
_WORDS = [word.value.replace("_", "-") for word in DecisionWord]


def complete_decision(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the approvals that wait, and the words that decide them."""
    named = ctx.params.get("words") or ctx.params.get("same_as")
    words = [(word, "") for word in _WORDS if named and word.startswith(incomplete)]
    return [*complete_approval(ctx, incomplete), *words]


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most N.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """List the approvals that wait.

    Also the lost ones that nobody has asked again.
    """

    async def body(tx: Tx) -> tuple[Approval, ...]:
        from netsky_runtime.db import approvals

        if everything:
            return await approvals.list_(tx, limit=limit)
        lost = await approvals.lost(tx, limit=limit)
        waiting = await approvals.list_(tx, statuses=[ApprovalStatus.PENDING], limit=limit)
        return (*lost, *waiting)[-limit:]

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        emit([shapes.approval(approval) for approval in found])
    elif not found:
        say("No approvals yet." if everything else "No approvals wait.")
    else:
        now = SystemClock().now()
        table(_COLUMNS, [_row(approval, now) for approval in found])
        say_how_old(Invocation.of(ctx).home)


def _row(approval: Approval, now: int) -> tuple[object, ...]:
    what = approval.command or approval.reason or _first_line_of_patch(approval.patch)
    if more := names(approval.raw):
        what = f"(+ {more}) {what}"
    since = age(approval.created_at, now)
    return (approval.id, since, approval.actor_id, approval.kind, approval.status, what)


def _first_line_of_patch(patch: str) -> str:
    lines = [line for line in patch.splitlines() if line.startswith("+++ ")]
    return " ".join(line.removeprefix("+++ ") for line in lines) or patch.partition("\n")[0]


@app.command("show")
def show(ctx: typer.Context, approval_id: ApprovalId, as_json: AsJson = False) -> None:
    """Show one approval with everything needed to decide."""

    async def body(tx: Tx) -> Approval | None:
        from netsky_runtime.db import approvals

        return await approvals.require(tx, approval_id)

    approval = run(read(Invocation.of(ctx).home, body, empty=None))
    if approval is None:
        msg = f"There is no approval {approval_id!r}."
        raise NotFound(msg, hint="`netsky approvals list --all` shows all.")
    if as_json:
        emit(shapes.approval(approval))
        return
    now = SystemClock().now()
    fields(
        {
            "approval": approval.id,
            "status": approval.status,
            "actor": approval.actor_id,
            "kind": approval.kind,
            "asked": f"{age(approval.created_at, now)} ago",
            "decided by": approval.decided_by,
            "lost": approval.lost_reason if approval.status is ApprovalStatus.LOST else "",
            "doubt": approval.lost_reason if approval.status is not ApprovalStatus.LOST else "",
            "repeats": approval.repeats_id,
            "asked again": approval.successor_id or approval.asked_again_input,
            "command": approval.command,
            "asks also": "\n".join(beside(approval.raw)),
            "cwd": approval.cwd,
            "reason": approval.reason,
            "questions": "\n".join(
                json.dumps(dict(q), ensure_ascii=False) for q in approval.questions
            ),
            "answers": " ".join(_offered(approval)),
        }
    )
    if approval.patch:
        say(f"\n{approval.patch}")
    if approval.status is ApprovalStatus.PENDING:
        say(f"\nDecide: netsky approvals decide {approval.id} {'|'.join(_offered(approval))}")
    elif approval.status is ApprovalStatus.LOST and not _asked_again(approval):
        say(f"\nIts turn is over. Ask again: netsky approvals ask-again {approval.id}")


def _asked_again(approval: Approval) -> str:
    return approval.successor_id or approval.asked_again_input


def _offered(approval: Approval) -> list[str]:
    """Return the words that ``decide`` takes for it; all when Codex does not say."""
    return [word.replace("_", "-") for word in approval.available_decisions] or _WORDS


@app.command(
    "decide",
    epilog=examples(
        "netsky approvals decide a1 accept",
        """netsky approvals decide a2 accept --answer '{"branch": "main"}'""",
        "netsky approvals decide a3 a4 a7 decline",
        "netsky approvals decide --same-as a3 accept",
    ),
)
def decide(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[ID...] DECISION",
            help=f"Approvals, and last one of {', '.join(_WORDS)}.",
            autocompletion=complete_decision,
        ),
    ],
    answer: Annotated[
        str, typer.Option(metavar="JSON", help="What to answer a question with: one object.")
    ] = "",
    same_as: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Also all that wait and ask the same: kind, kind of actor, folder, command.",
            autocompletion=complete_approval,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Answer an approval, or several alike.

    decline lets the turn go on without it, cancel declines and interrupts the turn.
    """
    *ids, last = words
    word = _word(last)
    home = Invocation.of(ctx).home
    if same_as or len(ids) > 1:
        if answer:
            msg = "--answer is for one approval."
            raise UsageError(msg, hint="Questions are answered one by one.")
        params = {"ids": ids, "same_as": same_as or None, "decision": word.value}
        _tell_many(run(call(home, "approvals.decide_many", params)), as_json=as_json)
        return
    if not ids:
        msg = "No approval is named."
        raise UsageError(msg, hint="`netsky approvals list` shows them.")
    one: dict[str, Any] = {"id": ids[0], "decision": word.value}
    if answer:
        one["answer"] = _object(answer)
    decided = run(call(home, "approvals.decide", one))
    if as_json:
        emit(decided)
    else:
        say(f"{decided['id']} {decided['status']}")


def _tell_many(outcome: dict[str, Any], *, as_json: bool) -> None:
    """Tell what became of each; what did not go through is an error in the end."""
    failed = outcome["failed"]
    if as_json:
        emit(outcome)
    else:
        for each in outcome["decided"]:
            say(f"{each['id']} {each['status']}")
        for each in failed:
            narrate(f"{each['id']}: {each['error']}")
    if failed:
        names = ", ".join(each["id"] for each in failed)
        msg = f"{len(failed)} of {len(failed) + len(outcome['decided'])} were not decided: {names}."
        raise Conflict(msg)


@app.command("ask-again", epilog=examples("netsky approvals ask-again a1"))
def ask_again(ctx: typer.Context, approval_id: ApprovalId, as_json: AsJson = False) -> None:
    """Have the actor of a lost approval ask again.

    It is told what it had asked, once.
    """
    told = run(call(Invocation.of(ctx).home, "approvals.ask_again", {"id": approval_id}))
    if as_json:
        emit(told)
    else:
        say(f"{told['actor_id']} is told to ask {told['id']} again: {told['input_id']}")


def _word(text: str) -> DecisionWord:
    try:
        return DecisionWord(text.replace("-", "_"))
    except ValueError as error:
        if _APPROVAL.fullmatch(text):
            msg = "It is not said what to decide."
            hint = f"Write it last: netsky approvals decide {text} {'|'.join(_WORDS)}"
            raise UsageError(msg, hint=hint) from error
        msg = f"{text!r} is no decision."
        raise UsageError(msg, hint=f"Say one of {', '.join(_WORDS)}.") from error


def _object(text: str) -> dict[str, Any]:
    hint = 'For example --answer \'{"branch": "main"}\'.'
    try:
        value = json.loads(text)
    except ValueError as error:
        msg = f"--answer is not JSON: {error}."
        raise UsageError(msg, hint=hint) from error
    if not isinstance(value, dict):
        msg = "--answer must be a JSON object."
        raise UsageError(msg, hint=hint)
    return value
