"""What waits for a human, in words, and what the human can do about each of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.beside import beside
from netsky_runtime.counting import count
from netsky_runtime.records import CRASH_LOOP
from netsky_runtime.states import (
    ApprovalKind,
    AttentionKind,
    BudgetScope,
    DecisionWord,
    InputMode,
    TaskStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.budgets import Gauge
    from netsky_runtime.records import Actor, ActorInput, Message, Session, Task
    from netsky_runtime.states import RuntimeName

DAY: Final = "day"
"""What the item of the day's budget has in place of an actor's id."""
EVERYBODY: Final = "everybody"
"""Whose work is held by what holds the fleet."""
PUT_AWAY: Final = "attention.put_away"
SEND_AGAIN: Final = "attention.send_again"
ASK_AGAIN: Final = "approvals.ask_again"
RESUME: Final = "actors.resume"
GO_ON: Final = (
    "Go on with your task {task}. Your last turn on it was stopped: look first at what that had "
    "already changed, and do nothing twice."
)


class Urgency(IntEnum):
    """What comes first."""

    NOW = 0
    """An actor stands still in the middle of its work."""
    SOON = 1
    """An actor takes no more work."""
    LATER = 2
    """Something came to nothing; nobody stands still for it."""


URGENCY: Final[Mapping[AttentionKind, Urgency]] = MappingProxyType(
    {
        AttentionKind.APPROVAL: Urgency.NOW,
        AttentionKind.QUESTION: Urgency.NOW,
        AttentionKind.BLOCKED: Urgency.NOW,
        AttentionKind.UNCERTAIN: Urgency.NOW,
        AttentionKind.CRASH_LOOP: Urgency.SOON,
        AttentionKind.PARKED: Urgency.SOON,
        AttentionKind.BUDGET: Urgency.SOON,
        AttentionKind.PAUSED: Urgency.SOON,
        AttentionKind.UNATTACHED: Urgency.SOON,
        AttentionKind.RUNS_ON: Urgency.SOON,
        AttentionKind.STUCK: Urgency.SOON,
        AttentionKind.STALLED: Urgency.SOON,
        AttentionKind.LOST: Urgency.LATER,
        AttentionKind.FAILED: Urgency.LATER,
        AttentionKind.QUARANTINED: Urgency.LATER,
    }
)
PUTS_AWAY: Final = frozenset({AttentionKind.LOST, AttentionKind.FAILED, AttentionKind.QUARANTINED})
"""What has no end of its own: it waits until the owner puts it away."""
ASKS: Final[Mapping[ApprovalKind, str]] = MappingProxyType(
    {
        ApprovalKind.COMMAND: "wants to run",
        ApprovalKind.FILE_CHANGE: "wants to change files",
        ApprovalKind.PERMISSIONS: "wants more permissions",
        ApprovalKind.USER_INPUT: "asks",
        ApprovalKind.ELICITATION: "wants a form filled in",
    }
)
_NAMED: Final = 5
_DECIDING: Final[Mapping[DecisionWord, str]] = MappingProxyType(
    {
        DecisionWord.ACCEPT: "accept",
        DecisionWord.ACCEPT_FOR_SESSION: "accept for the session",
        DecisionWord.DECLINE: "decline",
        DecisionWord.CANCEL: "decline and interrupt",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something the human can do: one verb of the daemon with its parameters."""

    name: str
    """A word that is the same for all items of a kind."""
    label: str
    method: str
    params: Mapping[str, Any]
    sure: str = ""
    """What to ask before; empty where nothing can be spoilt."""
    types: str = ""
    """The parameter that takes the human's own words; empty where none are needed."""


@dataclass(frozen=True, slots=True)
class About:
    """What is to be said of something that waits."""

    text: str
    """What its kind does not say already; it may quote anybody."""
    detail: str
    actions: tuple[Action, ...]
    message_id: str = ""
    """The message that it is about, if it is about one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionItem:
    """One thing that waits. Equal keys are the same thing, also after a restart."""

    key: str
    """The kind and the id of what waits: ``approval:a3``, ``parked:worker1``."""
    kind: AttentionKind
    ref: str
    """The id alone: of the approval, message, input, task, thread or actor; or address or door."""
    actor: str
    since: int
    """Milliseconds since the epoch."""
    about: About

    @property
    def urgency(self) -> Urgency:
        """How much stands still for it."""
        return URGENCY[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """As much of an item as it takes to tell the owner that it is there."""

    key: str
    kind: AttentionKind
    actor: str
    told: bool
    """Whether the owner was told of it."""


def about_approval(approval: Approval) -> About:
    """Say what there is to say of a question of Codex's that is pending."""
    known = {word.value for word in DecisionWord}
    offered = [word for word in approval.available_decisions if word in known]
    asks = approval.kind in {ApprovalKind.USER_INPUT, ApprovalKind.ELICITATION}
    actions = tuple(
        Action(
            name=word.value,
            label="answer" if asks and word is DecisionWord.ACCEPT else _DECIDING[word],
            method="approvals.decide",
            params={"id": approval.id, "decision": word.value},
            types="answer" if asks and word is DecisionWord.ACCEPT else "",
        )
        for word in (map(DecisionWord, offered) if offered else DecisionWord)
    )
    return About(_asked(approval), approval.reason, actions)


def about_question(message: Message) -> About:
    """Say what there is to say of an actor's question to the owner."""
    answer = Action(
        name="answer",
        label="answer",
        method="send",
        params={"target": message.sender, "in_reply_to": message.id},
        types="body",
    )
    return About(message.body, "", (answer,), message.id)


def about_uncertain(found: ActorInput, message: Message) -> About:
    """Say what there is to say of an input of which nobody can tell whether it arrived."""
    again = Action(
        name="send_again",
        label="send again",
        method="inputs.resolve",
        params={"input_id": found.id, "action": "resend"},
        sure="It may be there already: then it is said twice. Send it again?",
    )
    drop = Action(
        name="drop",
        label="let it go",
        method="inputs.resolve",
        params={"input_id": found.id, "action": "drop"},
        sure="If it is not there, nobody will ever read it. Let it go?",
    )
    why = found.reason or "history cannot tell"
    return About(message.body, why, (again, drop), message.id)


def about_blocked(actor_id: str, why: str) -> About:
    """Say what there is to say of a screen of Codex's that waits for a human."""
    attach = Action(
        name="attach",
        label="show its screen",
        method="actors.terminal",
        params={"actor_id": actor_id},
    )
    detail = "netsky types nothing there and answers nothing: that is yours to do."
    return About(why, detail, (attach,))


def about_parked(actor: Actor) -> About:
    """Say what there is to say of an actor that takes no work until the owner says so."""
    resume = Action(name="resume", label="resume", method=RESUME, params={"actor_id": actor.id})
    why = actor.park_reason.removeprefix(f"{CRASH_LOOP}: ") or "no reason is known"
    return About(why, "", (resume,))


def about_budget(ref: str, gauge: Gauge | None, reason: str) -> About:
    """Say what there is to say of work that a budget holds; ``gauge`` is the one that is used up.

    Without one, ``ref`` is an actor that was parked for this ``reason``, which holds no more.
    """
    if gauge is None:
        resume = Action(name="resume", label="resume", method=RESUME, params={"actor_id": ref})
        return About(reason, "", (resume,))
    used = count(gauge.used, "token is", "tokens are")
    again = Action(
        name="more",
        label=f"{count(gauge.limit, 'token')} more",
        method="budgets.set",
        params={
            "scope": gauge.scope.value,
            "subject": gauge.subject,
            "tokens": gauge.limit,
            "more": True,
        },
        sure=f"{used} used. Shall it be {gauge.limit:,} more?",
    )
    other = " ".join(filter(None, ("netsky budgets set", gauge.scope.value, gauge.subject)))
    ends = " It is over at midnight by itself." if gauge.scope is BudgetScope.DAY else ""
    return About(gauge.reason, f"Another number: {other} N.{ends}", (again,))


def about_paused() -> About:
    """Say what there is to say of the owner's pause while something waits for its end."""
    unpause = Action(name="unpause", label="go on", method="unpause", params={})
    return About("your pause has no end: what waits is not sent", "", (unpause,))


def about_stuck(task: Task, vain: Sequence[Task]) -> About:
    """Say what there is to say of a task that waits for ``vain``, which will not be done."""
    first = vain[0].id
    free = Action(
        name="free",
        label=f"wait for {first} no more",
        method="tasks.depend",
        params={"id": task.id, "on": first, "remove": True},
        sure=f"It can begin then without {first} ever being done. Shall it?",
    )
    said = {TaskStatus.FAILED: "which failed", TaskStatus.CANCELLED: "which was cancelled"}
    why = ", and for ".join(f"{each.id}, {said[each.status]}" for each in vain)
    return About(f"{task.id} {task.title}", f"It waits for {why}.", (free, _cancel(task)))


def about_stalled(task: Task) -> About:
    """Say what there is to say of a task that its worker holds without doing anything about it."""
    go_on = Action(
        name="go_on",
        label="tell it to go on",
        method="send",
        params={"target": task.owner_id, "body": GO_ON.format(task=task.id)},
    )
    why = f"{task.owner_id} has it in progress, but no turn of it runs and nothing waits for it."
    return About(f"{task.id} {task.title}", why, (go_on, _cancel(task)))


def about_runs_on(session: Session) -> About:
    """Say what there is to say of a turn that could not be ended with its session."""
    door = session.runtime.value
    stop = Action(
        name="stop",
        label="stop netsky",
        method="stop",
        params={},
        sure=f"All turns are interrupted, and everything at {door} is ended. Stop netsky?",
    )
    text = f"a turn may work on at {door}: nobody hears it, or sees what it asks"
    detail = (
        f"{session.actor_id} was stopped, but its thread cannot be attached. netsky tries again by "
        f"itself, every minute; the log says why it cannot. Stopping netsky ends all at {door}."
    )
    return About(text, detail, (stop,))


def about_unattached(runtime: RuntimeName, actors: Sequence[str], reason: str) -> About:
    """Say what there is to say of a door that attaches the threads of ``actors`` no more.

    ``reason`` is why it does not attach that of the first of them.
    """
    resume = Action(name="resume", label="try now", method=RESUME, params={"actor_id": actors[0]})
    named = ", ".join(actors[:_NAMED])
    more = f" and {len(actors) - _NAMED} more" if len(actors) > _NAMED else ""
    whose = f"Without a thread at {runtime.value}: {named}{more}."
    return About(reason, f"{whose} netsky tries again by itself, every 30 s.", (resume,))


def about_failed(found: ActorInput, message: Message) -> About:
    """Say what there is to say of a message of the owner's that came to nothing."""
    key = key_of(AttentionKind.FAILED, found.id)
    again = Action(name="send_again", label="send again", method=SEND_AGAIN, params={"key": key})
    mode = "" if found.mode is InputMode.QUEUE else f" It was to {found.mode.value}."
    why = f"{(found.reason or 'its turn failed').rstrip('.')}.{mode}"
    return About(message.body, why, (again, _put_away(key)), message.id)


def about_lost(approval: Approval) -> About:
    """Say what there is to say of a question that died before it was answered."""
    again = Action(
        name="ask_again", label="ask again", method=ASK_AGAIN, params={"id": approval.id}
    )
    key = key_of(AttentionKind.LOST, approval.id)
    why = approval.lost_reason or "Codex has not waited for the answer."
    return About(_asked(approval), why, (again, _put_away(key)))


def about_quarantined(address: str, *, file: str, reason: str, files: int) -> About:
    """Say what there is to say of files of the bus that nobody was given.

    ``file`` and ``reason`` are those of the last of them.
    """
    where = f"channels/{address}/poison/{file}"
    if files == 1:
        text, detail = reason, where
    else:
        text, detail = f"{files} files, the last: {reason}", f"{where}, the last"
    return About(text, detail, (_put_away(key_of(AttentionKind.QUARANTINED, address)),))


def key_of(kind: AttentionKind, ref: str) -> str:
    """Return the stable name of what waits."""
    return f"{kind.value}:{ref}"


def _cancel(task: Task) -> Action:
    return Action(
        name="drop",
        label="cancel it",
        method="tasks.cancel",
        params={"id": task.id},
        sure=f"{task.id} will not be done then. Cancel it?",
    )


def _put_away(key: str) -> Action:
    return Action(name="put_away", label="put away", method=PUT_AWAY, params={"key": key})


def _asked(approval: Approval) -> str:
    asks = ASKS[approval.kind]
    if more := beside(approval.raw):  # before the command, which may be cut where it is shown
        asks = f"{asks} (also {'; '.join(more)})"
    if approval.command:
        return f"{asks}: {approval.command}"
    names = [
        line.removeprefix("+++ ").removeprefix("b/").split("\t")[0]
        for line in approval.patch.splitlines()
        if line.startswith("+++ ")
    ]
    if names:
        return f"{asks}: {', '.join(names)}"
    for question in approval.questions:
        return f"{asks}: {question.get('question') or question.get('header') or ''}"
    return f"{asks}: {approval.reason}" if approval.reason else asks
