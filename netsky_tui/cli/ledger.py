"""``netsky ledger``: who decided what, when, having seen what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.counting import count
from netsky_runtime.errors import NetskyError, Unhealthy
from netsky_tui.cli import shapes
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, examples
from netsky_tui.cli.output import Column, emit, narrate, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.approval_records import LedgerBreak, LedgerEntry, LedgerHead
    from netsky_runtime.db.connection import Tx

app = typer.Typer(
    name="ledger",
    help="Who decided what, when, having seen what: a chain of hashes.",
    no_args_is_help=True,
)

_COLUMNS = (
    Column("SEQ"),
    Column("AGE"),
    Column("KIND", state=True),
    Column("ID"),
    Column("BY"),
    Column("WHAT", flex=True),
)
_WHAT = ("decision", "why", "allow", "input", "tokens", "until", "ended")
"""Of each entry, which says most."""
_NOTHING = {"count": 0, "hash": "0" * 64}


@app.command("list")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The last N.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the last entries, oldest first."""

    async def body(tx: Tx) -> tuple[LedgerEntry, ...]:
        from netsky_runtime.db import ledger

        return await ledger.list_(tx, limit=limit)

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        emit([shapes.ledger_entry(entry) for entry in found])
    elif not found:
        say("Nothing has been decided yet.")
    else:
        now = SystemClock().now()
        table(_COLUMNS, [_row(entry, now) for entry in found])


@app.command("verify")
def verify(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Follow the chain from its beginning.

    Exit status 5 at the first link that does not hold. Note down the count and the hash of the end:
    a chain whose end was cut off is whole.
    """

    async def body(tx: Tx) -> tuple[LedgerBreak | None, LedgerHead]:
        from netsky_runtime.db import ledger

        return await ledger.verify(tx), await ledger.head(tx)

    found = run(read(Invocation.of(ctx).home, body, empty=None))
    broken, head = found if found is not None else (None, None)
    end = _NOTHING if head is None else {"count": head.count, "hash": head.hash}
    if broken is not None and as_json:
        emit({"whole": False, "seq": broken.seq, "why": broken.why, **end})
    if broken is not None:
        msg = f"The ledger does not hold at entry {broken.seq}: {broken.why}."
        raise Unhealthy(msg, hint="Compare it with a backup, or with the last end you noted.")
    if as_json:
        emit({"whole": True, **end})
    else:
        entries = count(0 if head is None else head.count, "entry", "entries")
        say(f"The ledger is whole: {entries}, the last is {end['hash']}")


@app.command("export", epilog=examples("netsky ledger export --jsonl ledger.jsonl"))
def export(
    ctx: typer.Context,
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", metavar="FILE", help="Write one entry a line there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print every entry, one JSON object a line.

    With --json as one document. As the hashes are made of it: times are milliseconds since 1970.
    """

    async def body(tx: Tx) -> list[dict[str, Any]]:
        from netsky_runtime.db import ledger

        found: list[dict[str, Any]] = []
        while page := await ledger.after(tx, found[-1]["seq"] if found else None):
            found += [shapes.ledger_entry(entry) for entry in page]
        return found

    found = run(read(Invocation.of(ctx).home, body, empty=[]))
    if jsonl is not None:
        try:
            with jsonl.open("w", encoding="utf-8") as file:
                file.writelines(f"{_line(entry)}\n" for entry in found)
        except OSError as error:
            msg = f"{jsonl} cannot be written: {error.strerror}."
            raise NetskyError(msg) from error
        narrate(f"{count(len(found), 'entry', 'entries')} in {jsonl}")
    elif as_json:
        say(f"[{','.join(map(_line, found))}]")
    else:
        for entry in found:
            say(_line(entry))


def _row(entry: LedgerEntry, now: int) -> tuple[object, ...]:
    told = entry.entry
    what = next((told[key] for key in _WHAT if key in told), "")
    about = entry.approval_id or told.get("rule") or told.get("budget", "")
    return (entry.seq, age(entry.at, now), entry.kind, about, told.get("by", ""), _seen(what, told))


def _seen(what: object, told: Mapping[str, Any]) -> str:
    seen = told.get("seen")
    shown = seen.get("command") or seen.get("kind") if isinstance(seen, dict) else told.get("cwd")
    return f"{what}: {shown}" if shown else str(what)


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
