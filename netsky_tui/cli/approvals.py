"""``netsky approvals``: what Codex asks, and the human's answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.records import Approval
from netsky_runtime.states import ApprovalStatus, DecisionWord
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import ApprovalId, AsJson, examples
from netsky_tui.cli.output import Column, emit, fields, say, table
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
_WORDS = [word.value.replace("_", "-") for word in DecisionWord]


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most N.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """List the approvals that wait."""

    async def body(tx: Tx) -> tuple[Approval, ...]:
        from netsky_runtime.db import approvals

        wanted = None if everything else [ApprovalStatus.PENDING]
        return tuple(await approvals.list_(tx, statuses=wanted, limit=limit))

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        emit([shapes.approval(approval) for approval in found])
    elif not found:
        say("No approvals yet." if everything else "No approvals wait.")
    else:
        now = SystemClock().now()
        table(_COLUMNS, [_row(approval, now) for approval in found])


def _row(approval: Approval, now: int) -> tuple[object, ...]:
    what = approval.command or approval.reason or _first_line_of_patch(approval.patch)
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
            "command": approval.command,
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


def _offered(approval: Approval) -> list[str]:
    """Return the words that ``decide`` takes for it; all when Codex does not say."""
    return [word.replace("_", "-") for word in approval.available_decisions] or _WORDS


@app.command(
    "decide",
    epilog=examples(
        "netsky approvals decide a1 accept",
        """netsky approvals decide a2 accept --answer '{"branch": "main"}'""",
    ),
)
def decide(
    ctx: typer.Context,
    approval_id: ApprovalId,
    decision: Annotated[
        str,
        typer.Argument(
            metavar="DECISION", help=f"{', '.join(_WORDS)}.", autocompletion=lambda: _WORDS
        ),
    ],
    answer: Annotated[
        str, typer.Option(metavar="JSON", help="What to answer a question with: one object.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Answer an approval.

    decline lets the turn go on without it, cancel declines and interrupts the turn.
    """
    params: dict[str, Any] = {"id": approval_id, "decision": _word(decision).value}
    if answer:
        params["answer"] = _object(answer)
    decided = run(call(Invocation.of(ctx).home, "approvals.decide", params))
    if as_json:
        emit(decided)
    else:
        say(f"{decided['id']} {decided['status']}")


def _word(text: str) -> DecisionWord:
    try:
        return DecisionWord(text.replace("-", "_"))
    except ValueError as error:
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
