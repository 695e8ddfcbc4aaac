"""Rules: commands that the owner has accepted beforehand, and which questions they answer.

A rule says ``accept``, never more, to a question of kind ``command`` when all of this holds:

- the actor is one it is for: ``workers``, ``managers``, or the one it names;
- the command's folder, with symbolic links and ``..`` resolved when it is asked, is the rule's
  or below it; the rule's itself for a program such as ``./check.sh``;
- what would be executed is certain (``codex.commands``) and has the rule's words, one by one. A
  ``*`` that ends the rule stands for any further words and for none, also for options:
  ``pytest *`` matches ``pytest --rootdir=/ -p plugin``;
- Codex offers to accept it.

Everything else is held for the owner. No rule lets any words follow a program that runs its words
or its options (``bash *``, ``env *``, ``python *``): that would accept everything.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex import commands
from netsky_runtime.db import actors, rules
from netsky_runtime.errors import UsageError
from netsky_runtime.states import ActorKind, ApprovalKind, DecisionWord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.approval_records import Approval, Rule
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.records import Actor

WORKERS: Final = "workers"
MANAGERS: Final = "managers"
_KINDS: Final = {
    WORKERS: frozenset({ActorKind.WORKER, ActorKind.SIDECAR}),
    MANAGERS: frozenset({ActorKind.MANAGER}),
}
_REST: Final = " *"
_RUNNERS: Final = frozenset(
    (
        *("ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh", "pwsh"),
        *("chroot", "chrt", "daemonize", "doas", "env", "find", "flock", "ionice", "nice", "nohup"),
        *("nsenter", "parallel", "pkexec", "runuser", "script", "setarch", "setpriv", "setsid"),
        *("ssh", "stdbuf", "strace", "su", "sudo", "systemd-run", "taskset", "time", "timeout"),
        *("tmux", "screen", "unshare", "watch", "xargs"),
    )
)
"""Programs that start what their words name."""
_READERS: Final = frozenset(
    ("awk", "gawk", "mawk", "bun", "deno", "lua", "node", "perl", "php", "python", "ruby", "tclsh")
)
"""Programs that run a script that their words hold or name, or are told so by an option."""
_VERSION: Final = re.compile(r"[-0-9.]+$")
_HINT: Final = "Write the words of one command, such as `pytest *`: `*` last is any further words."


class RuleBook:
    """Makes and revokes rules, and finds the one that answers a question."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, *, cwd: str, pattern: str, who: str, by: str) -> Rule:
        """Store a rule. Raises ``UsageError``, ``NotFound`` for an actor, ``Conflict``."""
        parse(pattern)
        folder = await resolved(cwd)
        if not folder:
            msg = f"There is no folder {cwd!r}."
            raise UsageError(msg, hint="Name a folder by its whole path.")

        async def body(tx: Tx) -> Rule:
            if who not in _KINDS:
                actor = await actors.require(tx, who)
                if actor.kind is ActorKind.OWNER:
                    msg = "The owner asks for no approvals."
                    raise UsageError(msg, hint="Say workers, managers or an actor's name.")
            now = self._clock.now()
            return await rules.add(tx, cwd=folder, pattern=pattern, actors=who, by=by, now=now)

        return await self._database.write(body)

    async def revoke(self, rule_id: str, *, by: str) -> Rule:
        """End a rule. Raises ``NotFound`` or ``Conflict``."""
        return await self._database.write(
            lambda tx: rules.revoke(tx, rule_id, by=by, now=self._clock.now())
        )


async def answering(tx: Tx, approval: Approval, folder: str) -> Rule | None:
    """Return the oldest rule that answers this question, if one does.

    ``folder`` is the command's, resolved just now; empty when there is none.
    """
    offered = DecisionWord.ACCEPT.value in approval.available_decisions
    if approval.kind is not ApprovalKind.COMMAND or not offered or not folder:
        return None
    try:
        words = commands.executed(approval.raw)
    except commands.Held:
        return None
    known = await rules.list_(tx)
    if not known:
        return None
    actor = await actors.require(tx, approval.actor_id)
    return next((rule for rule in known if applies(rule, actor, folder, words)), None)


def applies(rule: Rule, actor: Actor, folder: str, words: Sequence[str]) -> bool:
    """Say whether a rule answers ``actor``, who wants to have ``words`` executed in ``folder``."""
    kinds = _KINDS.get(rule.actors)
    if actor.id != rule.actors if kinds is None else actor.kind not in kinds:
        return False
    if not Path(folder).is_relative_to(rule.cwd):
        return False
    try:
        wanted, more = parse(rule.pattern)
    except UsageError:  # of an earlier netsky, which took it for a rule
        return False
    if not wanted[0].startswith("/") and "/" in wanted[0] and folder != rule.cwd:
        return False  # a program named from where one stands is another one further down
    return tuple(words[: len(wanted)]) == wanted and (more or len(words) == len(wanted))


def parse(pattern: str) -> tuple[tuple[str, ...], bool]:
    """Return the words of a rule's pattern, and whether any may follow them.

    Raises ``UsageError``.
    """
    plain = pattern.strip(" ")
    more = plain.endswith(_REST)
    try:
        words = commands.split(plain.removesuffix(_REST))
    except commands.Held as error:
        msg = f"{pattern!r} is no rule: {error.message}"
        raise UsageError(msg, hint=_HINT) from error
    if more and _runs_anything(words):
        msg = f"{pattern!r} is no rule: any further words may be any command."
        raise UsageError(msg, hint="Name all the words, or the script that they come to.")
    return words, more


def _runs_anything(words: Sequence[str]) -> bool:
    """Say whether words that may follow are run, as far as a program is known by its name."""
    program = _VERSION.sub("", words[0].rpartition("/")[2])
    if program in _RUNNERS:
        return True
    return program in _READERS and all(word.startswith("-") for word in words[1:])


async def resolved(folder: str) -> str:
    """Return the folder without symbolic links and ``..``; empty when there is none."""
    return await asyncio.to_thread(_resolved, folder)


def _resolved(folder: str) -> str:
    path = Path(folder)
    try:
        found = path.resolve(strict=True) if path.is_absolute() else None
        return str(found) if found is not None and found.is_dir() else ""
    except (OSError, RuntimeError, ValueError):  # no such folder, a loop of links, a NUL
        return ""
