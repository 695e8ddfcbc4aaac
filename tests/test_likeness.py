"""Which approvals can be answered together."""

from __future__ import annotations

import pytest

from netsky_runtime.approval_records import Approval
from netsky_runtime.likeness import alike, shape
from netsky_runtime.states import ActorKind, ApprovalKind, ApprovalStatus

KINDS = {
    "worker1": ActorKind.WORKER,
    "worker2": ActorKind.WORKER,
    "manager0": ActorKind.MANAGER,
}


def approval(number: int = 1, **fields) -> Approval:
    known = {
        "engine_id": "e",
        "request_id": str(number),
        "thread_id": f"th{number}",
        "turn_id": "t",
        "item_id": f"i{number}",
        "actor_id": "worker1",
        "kind": ApprovalKind.COMMAND,
        "command": "pytest -x",
        "cwd": "/w",
        "raw": {"command": "/bin/bash -lc 'pytest -x'", "itemId": f"i{number}"},
        "available_decisions": ("accept", "decline"),
        "status": ApprovalStatus.PENDING,
        "created_at": number,
    }
    return Approval(id=f"a{number}", **{**known, **fields})


def like(one: Approval, other: Approval) -> bool:
    return alike(one, (one, other), KINDS) == (one, other)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"actor_id": "worker2", "reason": "another"},
        {"raw": {"command": ["bash", "-lc", "pytest   '-x'"]}, "command": "pytest   '-x'"},
        {"raw": {"codex_command": ["pytest", "-x"]}},
    ],
)
def test_the_same_words_in_the_same_folder_by_the_same_kind_of_actor_are_alike(fields):
    assert like(approval(), approval(2, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"actor_id": "manager0"},
        {"actor_id": "unknown"},
        {"cwd": "/w/sub"},
        {"raw": {"command": "/bin/bash -lc 'pytest -v'"}},
        {"raw": {"command": "/bin/bash -lc 'pytest -x; id'"}},
        {"available_decisions": ("accept", "accept_for_session")},
        {"kind": ApprovalKind.PERMISSIONS, "raw": {"permissions": {"a": 1}}},
    ],
)
def test_whatever_differs_in_what_is_asked_is_not_alike(fields):
    assert not like(approval(), approval(2, **fields))


def test_commands_that_are_not_understood_are_alike_by_their_very_text():
    raw = {"command": "make && make install"}
    one = approval(raw=raw, command="make && make install")
    assert like(one, approval(2, raw=raw, command="make && make install"))
    assert not like(one, approval(2, raw={}, command="make  && make install"))
    network = raw | {"networkApprovalContext": {"host": "a.example"}}
    other = raw | {"networkApprovalContext": {"host": "b.example"}}
    asks = {"command": one.command}
    assert like(approval(raw=network, **asks), approval(2, raw=network, **asks))
    assert not like(approval(raw=network, **asks), approval(2, raw=other, **asks))
    assert not like(approval(raw=network, **asks), one)


def test_patches_and_permissions_are_alike_when_they_are_the_same():
    change = {"kind": ApprovalKind.FILE_CHANGE, "command": "", "patch": "+a"}
    assert like(approval(**change), approval(2, **change))
    assert not like(approval(**change), approval(2, **change | {"patch": "+b"}))
    assert not like(approval(**change | {"patch": ""}), approval(2, **change | {"patch": ""}))
    root = change | {"raw": {"grantRoot": "/"}}
    assert like(approval(**root), approval(2, **root))
    assert not like(approval(**root), approval(2, **change | {"raw": {}}))
    rights = {"kind": ApprovalKind.PERMISSIONS, "command": ""}
    one, same = {"permissions": {"a": 1, "b": 2}}, {"permissions": {"b": 2, "a": 1}}
    assert like(approval(raw=one, **rights), approval(2, raw=same, **rights))
    assert not like(
        approval(raw=one, **rights), approval(2, raw={"permissions": {"a": 2}}, **rights)
    )


@pytest.mark.parametrize("kind", [ApprovalKind.USER_INPUT, ApprovalKind.ELICITATION])
def test_questions_are_answered_one_by_one(kind):
    one, other = approval(kind=kind), approval(2, kind=kind)
    assert shape(one, ActorKind.WORKER) is None
    assert alike(one, (one, other), KINDS) == (one,)
