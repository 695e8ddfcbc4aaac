"""Deciding more than one question: all that ask the same, and beforehand by a rule."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex import commands
from netsky_runtime.counting import count
from netsky_runtime.errors import NetskyError
from netsky_runtime.states import ActorKind, ApprovalKind, DecisionWord
from netsky_tui.drawing import approvals, paragraphs
from netsky_tui.screens.dialogs import ChoiceScreen, Field, FormScreen, Option
from netsky_tui.text import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.approval_records import Approval, Rule
    from netsky_tui.app import RoomApp

AT_ONCE: Final = 8
"""How many are answered by one key: as many as a small terminal lists."""
_LONGEST: Final = 66
"""Cells of a line in a dialog, on a small terminal too: each question keeps to one."""
_ANSWERS: Final = (
    (DecisionWord.ACCEPT, "y", "accept"),
    (DecisionWord.DECLINE, "n", "decline"),
)
_NEVER_ALIKE: Final = frozenset({ApprovalKind.USER_INPUT, ApprovalKind.ELICITATION})


class Decisions:
    """Lists exactly what would be answered, and asks, before anything is."""

    def __init__(self, app: RoomApp) -> None:
        self._app = app

    async def alike(self, approval_id: str) -> None:
        """Answer all questions that ask the same as this one, after a look at the list."""
        found = self._app.store.alike(approval_id)
        if not found:
            self._app.say("Nothing is selected that waits.", bad=True)
            return
        first = found[0]
        if first.kind in _NEVER_ALIKE:
            self._app.say("A question is answered by itself.", bad=True)
            return
        if len(found) == 1:
            self._app.say(f"No other question that waits asks the same as {first.id}.")
            return
        now, rest = found[:AT_ONCE], len(found) - AT_ONCE
        lines = [
            cut(f"{each.id} {each.actor_id}: {approvals.summary(each)}", _LONGEST) for each in now
        ]
        lines.append(f"in {one_line(first.cwd)}" if first.cwd else "")
        if rest > 0:
            others = count(rest, "more asks", "more ask")
            lines.append(f"{others} the same: press the key again for the rest.")
        words = [DecisionWord(word) for word in paragraphs.offered(first)]
        options = [
            Option(word.value, key, f"{label} all {len(now)}")
            for word, key, label in _ANSWERS
            if word in words
        ]
        options.append(Option("leave", "l", "leave them"))
        text = "\n".join(filter(None, lines))
        choice = await self._choice(f"Answer {len(now)} alike?", text, options)
        if choice is not None:
            await self._decide(now, DecisionWord(choice))

    async def make_rule(self, approval_id: str) -> None:
        """Make a rule of a question: what it asks is accepted from now on without asking."""
        approval = self._app.store.approval(approval_id)
        if approval is None:
            self._app.say("Nothing is selected.", bad=True)
            return
        try:
            words = _words(approval)
        except commands.Held as held:
            self._app.say(f"No rule can answer {approval.id}. {held.message}", bad=True)
            return
        facts = self._app.store.facts(approval.actor_id)
        manager = facts is not None and facts.actor.kind is ActorKind.MANAGER
        fields = (
            Field("allow", "Allow", shlex.join(words), hint="pytest *", needed=True),
            Field("cwd", "In this folder and below", approval.cwd, needed=True),
            Field("who", "For workers, managers or one actor", _group(manager), needed=True),
        )
        said = await self._app.push_screen_wait(
            FormScreen("Make a rule", "A * at the end allows any further words.", fields)
        )
        if said is None:
            return
        text = (
            f"Accept without asking you, from now on:\n{said['allow']}\nfor {said['who']}, in "
            f"{said['cwd']} and below."
        )
        if said["allow"].endswith("*"):
            text += "\nWith any further words: also with any options of that program."
        text += f"\n{approval.id} itself still waits for you."
        options = (Option("make", "y", "make this rule"), Option("leave", "n", "leave it"))
        if await self._choice("Make this rule?", text, options) != "make":
            return
        await self._app.operations.tell("Rule {rule_id} is in force.", "rules.add", said)

    async def rules(self) -> None:
        """Show the rules in force, and revoke the one that is chosen."""
        source = self._app.feed.source
        if source is None:
            self._app.say("The database cannot be read yet.", bad=True)
            return
        found = await source.rules()
        if not found:
            self._app.say("No rules: every approval waits for you.")
            return
        options = [Option(rule.id, " ", f"{rule.id}  {_told(rule)}") for rule in found]
        options.append(Option("leave", "l", "leave them as they are"))
        title = f"{len(found)} in force" if len(found) > 1 else "One rule is in force"
        chosen = await self._choice(title, "Enter revokes the selected rule.", options)
        rule = next((rule for rule in found if rule.id == chosen), None)
        if rule is None:
            return
        sure = (Option("revoke", "y", "revoke it"), Option("leave", "n", "leave it"))
        text = f"{_told(rule)}\nWhat it has answered stays answered."
        if await self._choice(f"Revoke {rule.id}?", text, sure) == "revoke":
            await self._app.operations.tell(
                "Rule {rule_id} is revoked.", "rules.revoke", {"id": rule.id}
            )

    async def _decide(self, chosen: Sequence[Approval], word: DecisionWord) -> None:
        params = {"ids": [each.id for each in chosen], "decision": word.value}
        try:
            outcome = await self._app.operations.call("approvals.decide_many", params)
        except NetskyError as error:
            self._app.say(str(error), bad=True)
            return
        done = " ".join(each["id"] for each in outcome["decided"])
        if done:
            self._app.say(f"{done}: {outcome['decided'][0]['status']}.")
        for each in outcome["failed"]:
            self._app.say(f"{each['id']}: {each['error']}", bad=True)

    async def _choice(self, title: str, text: str, options: Sequence[Option]) -> str | None:
        """Ask; the last option changes nothing, and None stands for it."""
        safe = options[-1].id
        screen = ChoiceScreen(title, text, options, safe=safe, hurried=self._app.hurried)
        choice = await self._app.push_screen_wait(screen)
        return None if choice == safe else choice


def _words(approval: Approval) -> tuple[str, ...]:
    if approval.kind is not ApprovalKind.COMMAND:
        msg = "Rules are for commands."
        raise commands.Held(msg)
    return commands.executed(approval.raw)


def _group(manager: bool) -> str:
    return "managers" if manager else "workers"


def _told(rule: Rule) -> str:
    return one_line(f"{rule.pattern}  for {rule.actors} in {rule.cwd}")
