"""The glyph, the word and the tone of every state. Colour is never the only signal."""

from __future__ import annotations

from typing import NamedTuple

from netsky_runtime.states import (
    ApprovalKind,
    ApprovalStatus,
    AttentionKind,
    HealthState,
    InputStatus,
    MessageKind,
    MessageStatus,
    Priority,
    Source,
    TaskStatus,
)


class Mark(NamedTuple):
    """How a state looks: one cell of glyph, the word, and a tone of the theme."""

    glyph: str
    word: str
    tone: str


HEALTH = {
    HealthState.HEALTHY: Mark("●", "healthy", "good"),
    HealthState.BUSY: Mark("▶", "busy", "info"),
    HealthState.IDLE: Mark("○", "idle", "dim"),
    HealthState.BLOCKED: Mark("▲", "blocked", "warn"),
    HealthState.UNHEALTHY: Mark("✗", "unhealthy", "bad"),
}
PARKED = Mark("◇", "parked", "warn")
STOPPED = Mark("□", "stopped", "faint")

TASK = {
    TaskStatus.OPEN: Mark("○", "open", "text"),
    TaskStatus.BLOCKED: Mark("◌", "blocked", "warn"),
    TaskStatus.IN_PROGRESS: Mark("▶", "in progress", "info"),
    TaskStatus.REPORTED: Mark("◆", "reported", "accent"),
    TaskStatus.DONE: Mark("✓", "done", "good"),
    TaskStatus.FAILED: Mark("✗", "failed", "bad"),
    TaskStatus.CANCELLED: Mark("⊘", "cancelled", "faint"),
}
FAILED_TURN = Mark("✗", "failed turn", "bad")
PRIORITY_TONE = {
    Priority.P0: "bad",
    Priority.P1: "warn",
    Priority.P2: "dim",
    Priority.P3: "faint",
}

INPUT = {
    InputStatus.QUEUED: Mark("·", "stored", "dim"),
    InputStatus.HANDED: Mark("→", "handed", "info"),
    InputStatus.SEEN: Mark("»", "seen", "info"),
    InputStatus.ANSWERED: Mark("✓", "answered", "good"),
    InputStatus.INTERRUPTED: Mark("■", "interrupted", "warn"),
    InputStatus.CANCELLED: Mark("⊘", "cancelled", "faint"),
    InputStatus.FAILED: Mark("✗", "failed", "bad"),
    InputStatus.UNCERTAIN: Mark("?", "uncertain", "bad"),
}
MESSAGE = {
    MessageStatus.RECEIVED: Mark("·", "stored", "dim"),
    MessageStatus.ROUTED: Mark("·", "stored", "dim"),
    MessageStatus.ANSWERED: Mark("✓", "answered", "good"),
    MessageStatus.CLOSED: Mark("", "", "faint"),
    MessageStatus.FAILED: Mark("✗", "failed", "bad"),
}
UNREAD = Mark("●", "new", "accent")
QUESTION = Mark("?", "asks you", "warn")

KIND_WORD = {
    MessageKind.TEXT: "",
    MessageKind.TASK: "task",
    MessageKind.REPORT: "report",
    MessageKind.REPLY: "reply",
    MessageKind.QUESTION: "question",
    MessageKind.RECOVERY: "recovery",
}

SOURCE_WORD = {
    Source.CODEX: "typed in Codex",
    Source.BUS: "by the bus",
}
"""Ways in that are worth a word in the conversation."""

ASKS = {
    ApprovalKind.COMMAND: "wants to run a command",
    ApprovalKind.FILE_CHANGE: "wants to change files",
    ApprovalKind.PERMISSIONS: "wants more permissions",
    ApprovalKind.USER_INPUT: "asks you a question",
    ApprovalKind.ELICITATION: "wants you to fill in a form",
}
KIND_SHORT = {
    ApprovalKind.COMMAND: "command",
    ApprovalKind.FILE_CHANGE: "patch",
    ApprovalKind.PERMISSIONS: "permissions",
    ApprovalKind.USER_INPUT: "question",
    ApprovalKind.ELICITATION: "form",
}
APPROVAL = {
    ApprovalStatus.PENDING: Mark("▲", "waits for you", "warn"),
    ApprovalStatus.ACCEPTED: Mark("✓", "accepted", "good"),
    ApprovalStatus.ACCEPTED_FOR_SESSION: Mark("✓", "accepted for the session", "good"),
    ApprovalStatus.DECLINED: Mark("✗", "declined", "bad"),
    ApprovalStatus.CANCELLED: Mark("■", "declined, turn interrupted", "bad"),
    ApprovalStatus.ANSWERED: Mark("✓", "answered", "good"),
    ApprovalStatus.RESOLVED_ELSEWHERE: Mark("≡", "answered elsewhere", "dim"),
    ApprovalStatus.LOST: Mark("✗", "lost with its engine", "bad"),
}

WAITS = {
    AttentionKind.APPROVAL: Mark("▲", "approval", "warn"),
    AttentionKind.QUESTION: Mark("?", "asks you", "warn"),
    AttentionKind.BLOCKED: Mark("▲", "screen blocked", "warn"),
    AttentionKind.UNCERTAIN: Mark("?", "uncertain", "bad"),
    AttentionKind.CRASH_LOOP: Mark("✗", "crash loop", "bad"),
    AttentionKind.PARKED: Mark("◇", "parked", "warn"),
    AttentionKind.BUDGET: Mark("◇", "budget used up", "warn"),
    AttentionKind.PAUSED: Mark("◇", "paused", "warn"),
    AttentionKind.RUNS_ON: Mark("✗", "runs on", "bad"),
    AttentionKind.STUCK: Mark("✗", "stuck task", "bad"),
    AttentionKind.STALLED: Mark("✗", "stalled task", "bad"),
    AttentionKind.UNATTACHED: Mark("✗", "not attached", "bad"),
    AttentionKind.LOST: Mark("✗", "approval lost", "bad"),
    AttentionKind.FAILED: Mark("✗", "message failed", "bad"),
    AttentionKind.QUARANTINED: Mark("✗", "bad file", "bad"),
}
"""What waits for a human, in the queue."""
