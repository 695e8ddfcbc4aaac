"""``netsky attention``: everything that waits for a human, and the command for each way out."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_tui.cli.calling import call_or_store, say_how_old
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, narrate, on_terminal, say, terminal_width
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age, cells, cut, one_line, pad

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from netsky_runtime.attention.items import Action, AttentionItem, Urgency
    from netsky_runtime.db.connection import Tx

app = typer.Typer(
    name="attention", help="Everything that waits for a human; without a verb, list it."
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="As `netsky attention` lists it.")]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="At most N.")]
_AGE, _MARGIN = 7, "  "
_HEADING: Mapping[str, str] = {
    "NOW": "Somebody stands still until you act",
    "SOON": "Does no work until you act",
    "LATER": "Came to nothing",
}
_COLOUR: Mapping[str, str] = {"NOW": "failed", "SOON": "blocked", "LATER": "idle"}


@app.callback(invoke_without_command=True)
def attention(
    ctx: typer.Context,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List everything that waits for a human, the most urgent first.

    Each with the commands that end it.
    """
    if ctx.invoked_subcommand is None:
        list_(ctx, limit=limit, as_json=as_json)


@app.command("list")
def list_(ctx: typer.Context, limit: Limit = 200, as_json: AsJson = False) -> None:
    """List it all, the most urgent first.

    Each with the commands that end it.
    """

    async def body(tx: Tx) -> tuple[Sequence[AttentionItem], int]:
        from netsky_runtime.db import attention as queue

        now = SystemClock().now()
        counted = await queue.counts(tx, now=now)
        return await queue.list_(tx, now=now, limit=limit), sum(counted.values())

    found, total = run(read(Invocation.of(ctx).home, body, empty=((), 0)))
    if as_json:
        emit([_shape(item) for item in found])
        return
    _show(found)
    if found:
        say_how_old(Invocation.of(ctx).home)
    if total > len(found):
        narrate(f"{len(found)} of {total}: --limit shows more.")


@app.command("put-away")
def put_away(ctx: typer.Context, key: Key, as_json: AsJson = False) -> None:
    """Take out of the list what has no other end.

    A message that failed, a question that was lost, a bad file of the bus. Nothing is deleted.
    """
    _act(ctx, "attention.put_away", key, "put away", as_json=as_json)


@app.command("send-again")
def send_again(ctx: typer.Context, key: Key, as_json: AsJson = False) -> None:
    """Send a message that failed once more.

    The one that failed is put away.
    """
    _act(ctx, "attention.send_again", key, "sent again as {message_id}", as_json=as_json)


def _act(ctx: typer.Context, method: str, key: str, done: str, *, as_json: bool) -> None:
    answer = run(call_or_store(Invocation.of(ctx).home, method, {"key": key}))
    if as_json:
        emit(answer)
    else:
        say(f"{key} {done.format_map(answer)}")


def command(action: Action) -> str:
    """Return the command line that does it; a word in capitals is for the human to replace."""
    params = action.params
    words: Iterable[str]
    match action.method:
        case "approvals.decide":
            words = ("approvals", "decide", params["id"], params["decision"].replace("_", "-"))
            ending = " --answer JSON" if action.types else ""
        case "send" if action.types:
            words = ("send", params["target"])
            ending = f" TEXT --answers {shlex.quote(params['in_reply_to'])}"
        case "inputs.resolve":
            words, ending = ("inputs", "resolve", params["input_id"], params["action"]), ""
        case "budgets.set":
            subject = (params["subject"],) if params["subject"] else ()
            words = ("budgets", "set", params["scope"], *subject, f"+{params['tokens']}")
            ending = ""
        case "tasks.depend":
            words, ending = ("tasks", "depend", params["id"], params["on"], "--remove"), ""
        case "actors.terminal":
            words, ending = ("actors", "attach", params["actor_id"]), ""
        case method:
            words, ending = (*method.replace("_", "-").split("."), *map(str, params.values())), ""
    return shlex.join(("netsky", *words)) + ending


def _shape(item: AttentionItem) -> dict[str, Any]:
    return {
        "key": item.key,
        "kind": item.kind,
        "urgency": item.urgency.name.lower(),
        "actor": item.actor,
        "since": item.since,
        "text": item.about.text,
        "detail": item.about.detail,
        "actions": [
            {
                "name": action.name,
                "label": action.label,
                "method": action.method,
                "params": dict(action.params),
                "sure": action.sure,
                "types": action.types,
                "command": command(action),
            }
            for action in item.about.actions
        ],
    }


def _show(found: Sequence[AttentionItem]) -> None:
    if not found:
        say("Nothing waits for you.")
        return
    now = SystemClock().now()
    told: Urgency | None = None
    for item in found:
        if item.urgency is not told:
            if told is not None:
                say()
            told = item.urgency
            say(_HEADING[told.name], like=_COLOUR[told.name])
        line = (
            f"{pad(age(item.since, now), _AGE)}{item.key}  {item.actor} {one_line(item.about.text)}"
        )
        say(_MARGIN + (cut(line, terminal_width() - len(_MARGIN)) if on_terminal() else line))
        indent = _MARGIN + " " * _AGE
        if item.about.detail:
            say(indent + one_line(item.about.detail))
        width = max((cells(action.label) for action in item.about.actions), default=0)
        for action in item.about.actions:
            say(f"{indent}{pad(action.label, width)}  {one_line(command(action))}")
