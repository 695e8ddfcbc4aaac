"""What a question asks for beside its command: wherever it is shown, and where it is kept."""

from __future__ import annotations

import pytest

from netsky_runtime.agents import asking
from netsky_runtime.attention.items import about_approval
from netsky_runtime.beside import beside
from netsky_runtime.db import ledger
from netsky_runtime.states import ApprovalKind
from netsky_tui.cli import shapes
from netsky_tui.drawing.approvals import summary
from netsky_tui.drawing.paragraphs import approval_document
from tests.test_likeness import approval

RIGHTS = {"fileSystem": {"write": ["/"]}, "network": True}
PLAIN = {"kind": "command", "environmentId": "local", "grantRoot": None, "reason": "x"}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (PLAIN, ()),
        (
            {"additionalPermissions": RIGHTS},
            ('additionalPermissions: {"fileSystem": {"write": ["/"]}, "network": true}',),
        ),
        (
            {"networkApprovalContext": {"host": "a.example", "protocol": "https"}},
            ('networkApprovalContext: {"host": "a.example", "protocol": "https"}',),
        ),
        ({"kind": "writeStdin"}, ("kind: writeStdin",)),
        ({"environmentId": "cloud"}, ("environmentId: cloud",)),
        ({"grantRoot": "/srv"}, ("grantRoot: /srv",)),
        ({"codex_command": ["ls"], "event": {"grant_root": "/srv"}}, ("grantRoot: /srv",)),
        ({"event": {"kind": "command", "environmentId": "local"}}, ()),
    ],
)
def test_what_a_request_asks_for_beside_its_command_is_told(
    raw: dict[str, object], told: tuple[str, ...]
) -> None:
    assert beside(raw) == told


@pytest.mark.parametrize(
    ("kind", "raw", "words"),
    [
        (ApprovalKind.COMMAND, {"additionalPermissions": RIGHTS}, '"write": ["/"]'),
        (ApprovalKind.COMMAND, {"kind": "writeStdin"}, "kind: writeStdin"),
        (ApprovalKind.FILE_CHANGE, {"grantRoot": "/srv"}, "grantRoot: /srv"),
    ],
)
def test_it_is_shown_wherever_somebody_decides_and_the_ledger_keeps_that_it_was(
    kind: ApprovalKind, raw: dict[str, object], words: str
) -> None:
    asked = approval(kind=kind, raw=raw, patch="+a" if kind is ApprovalKind.FILE_CHANGE else "")
    page = [f"{para.label}{para.text}" for para in approval_document(asked)]
    assert any(line.startswith("asks also") and words in line for line in page)
    assert words in about_approval(asked).text
    assert words in "".join(shapes.approval(asked)["beside"])
    assert words in "".join(ledger.seen(asked)["beside"])
    assert words in asking.text(asked)
    assert summary(asked).startswith(f"(+ {next(iter(raw))}) ")


def test_of_a_plain_question_nothing_more_is_said() -> None:
    asked = approval(raw=PLAIN)
    assert "also" not in "".join(f"{para.label}{para.text}" for para in approval_document(asked))
    assert "also" not in about_approval(asked).text
    assert "beside" not in ledger.seen(asked)
    assert shapes.approval(asked)["beside"] == []
    assert summary(asked) == "pytest -x"
