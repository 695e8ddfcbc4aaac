"""``netsky settings``: what an operator can set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.errors import NotFound
from netsky_tui.cli.calling import call_or_store
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, SettingKey, examples
from netsky_tui.cli.output import Column, emit, say, table
from netsky_tui.cli.reading import read, run

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx

app = typer.Typer(name="settings", help="What an operator can set.", no_args_is_help=True)

_COLUMNS = (Column("KEY"), Column("VALUE", flex=True), Column("FROM"), Column("DEFAULT", flex=True))


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List every setting, its value and where the value comes from."""
    rows = _present(Invocation.of(ctx))
    if as_json:
        emit(rows)
    else:
        table(_COLUMNS, [(r["key"], r["value"], r["origin"], _default(r)) for r in rows])


@app.command("get")
def get(ctx: typer.Context, key: SettingKey, as_json: AsJson = False) -> None:
    """Print one setting's value."""
    rows = _present(Invocation.of(ctx))
    for row in rows:
        if row["key"] == key:
            if as_json:
                emit(row)
            else:
                say(row["value"])
            return
    msg = f"There is no setting {key!r}."
    raise NotFound(msg, hint=f"Settings are: {', '.join(row['key'] for row in rows)}.")


@app.command(
    "set",
    epilog=examples(
        "netsky settings set sandbox read-only",
        "netsky settings set runtime resident",
        'netsky settings set runtime ""',
    ),
)
def set_(
    ctx: typer.Context,
    key: SettingKey,
    value: Annotated[str, typer.Argument(metavar="VALUE", help='"" takes the default again.')],
    as_json: AsJson = False,
) -> None:
    """Set one setting.

    It holds for actors and turns that start from now on. The environment wins over it.
    """
    from netsky_runtime import settings

    settings.check(key, value)
    wanted = {"key": key, "value": value}
    run(call_or_store(Invocation.of(ctx).home, "settings.set", wanted))
    if as_json:
        emit(wanted)


def _present(here: Invocation) -> list[dict[str, Any]]:
    """Return all settings as they stand. A bad value is shown, so that it can be mended."""
    from netsky_runtime.settings import ENVIRONMENT, Settings, own_defaults

    async def body(tx: Tx) -> Mapping[str, str]:
        from netsky_runtime.db import settings

        return await settings.get_all(tx)

    stored = run(read(here.home, body, empty={}))
    named = {key: name for name, key in ENVIRONMENT.items() if here.environ.get(name)}
    rows = []
    for key, field in Settings.model_fields.items():
        value, origin = str(field.default), "default"
        if key in stored:
            value, origin = stored[key], "settings"
        if key in named:
            value, origin = here.environ[named[key]], named[key]
        rows.append(
            {
                "key": key,
                "value": value,
                "origin": origin,
                "default": str(field.default),
                "default_of": own_defaults(key),
            }
        )
    return rows


def _default(row: Mapping[str, Any]) -> str:
    """Return the default in words, with the doors that have one of their own."""
    own = [f"{door}: {value}" for door, value in row["default_of"].items()]
    return "; ".join([row["default"] or "Codex's own", *own]) if own else str(row["default"])
