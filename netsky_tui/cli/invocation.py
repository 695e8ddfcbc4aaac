"""Which netsky this command line is about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from netsky_runtime.errors import UsageError
from netsky_runtime.paths import Home
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    import typer

FORWARD_OUTBOX: Final = ("channel", "forward-outbox")
"""The verb that delivers what lies in an outbox, of the actor that is named after it."""
_VALUED = ("--home", "--runtime")


@dataclass(frozen=True, slots=True)
class Invocation:
    """The home that every verb works on, and what was said about the runtime."""

    home: Home
    environ: Mapping[str, str] = field(repr=False)
    """The process's environment with ``NETSKY_HOME`` set to the home."""
    runtime: str | None = None

    @property
    def door(self) -> RuntimeName | None:
        """The runtime as the door of one actor; ``None`` leaves it to the daemon.

        Raises ``UsageError`` for a word that is no door.
        """
        if self.runtime in {None, "auto"}:
            return None
        try:
            return RuntimeName(self.runtime)
        except ValueError as error:
            msg = f"There is no runtime {self.runtime!r}."
            raise UsageError(msg, hint=f"Runtimes are: {', '.join(RuntimeName)}.") from error

    def refuse_runtime(self) -> None:
        """Raise ``UsageError`` when a runtime was named to a verb that starts nothing."""
        if self.runtime is not None:
            msg = "--runtime only means something to a command that starts a daemon or an actor."
            raise UsageError(msg, hint="Set it for good with `netsky settings set runtime NAME`.")

    @classmethod
    def build(
        cls, given: Mapping[str, str], environ: Mapping[str, str] | None = None
    ) -> Invocation:
        """Combine the options of the command line with the environment."""
        environment = dict(os.environ if environ is None else environ)
        if "--home" in given:
            environment["NETSKY_HOME"] = given["--home"]
        home = Home.locate(environment)
        environment["NETSKY_HOME"] = str(home.root)
        return cls(home=home, environ=environment, runtime=given.get("--runtime"))

    @classmethod
    def of(cls, context: typer.Context) -> Invocation:
        """Return the invocation that the root command stored."""
        found = context.find_root().obj
        if not isinstance(found, cls):
            msg = "A verb ran outside of the netsky command."
            raise TypeError(msg)
        return found


def take_common(arguments: Sequence[str], *, strict: bool) -> tuple[dict[str, str], list[str]]:
    """Split ``--home`` and ``--runtime`` off, wherever they stand before a ``--``.

    Done by hand because typer loads pydantic (0.1 s) to convert any option that has a value.
    Raises ``UsageError`` for an option without value when ``strict``.
    """
    given: dict[str, str] = {}
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
            break
        name, equals, value = argument.partition("=")
        if name not in _VALUED:
            rest.append(argument)
            continue
        if not equals:
            value = next(waiting, "")
        if value:
            given[name] = value
        elif strict:
            msg = f"{name} needs a value."
            raise UsageError(msg, hint=f"For example: netsky {name} {_EXAMPLES[name]} status")
    return given, rest


_EXAMPLES = {"--home": "~/elsewhere", "--runtime": "scripted"}
