"""What a thread has used, read from the end of its rollout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.rollout import last_usage
from netsky_runtime.codex.rollout.usage import REACHES

if TYPE_CHECKING:
    from pathlib import Path


def line(payload: dict[str, Any]) -> bytes:
    said = {"timestamp": "2026-11-20T10:00:00Z", "type": "event_msg", "payload": payload}
    return json.dumps(said).encode() + b"\n"


def used(total: int) -> bytes:
    usage = {"input_tokens": total - 20, "output_tokens": 20, "total_tokens": total}
    info = {"total_token_usage": usage, "model_context_window": 1000}
    return line({"type": "token_count", "info": info})


def words(text: str) -> bytes:
    return line({"type": "agent_message", "message": text})


@pytest.fixture
def rollout(tmp_path: Path) -> Path:
    return tmp_path / "rollout.jsonl"


def test_the_last_total_counts(rollout: Path) -> None:
    limits = line({"type": "token_count", "info": None, "rate_limits": {}})
    rollout.write_bytes(used(120) + words("one") + used(240) + words("token_count") + limits)

    assert last_usage(rollout) == {
        "input_tokens": 220,
        "cached_tokens": 0,
        "output_tokens": 20,
        "reasoning_tokens": 0,
        "total_tokens": 240,
        "context_window": 1000,
    }


def test_a_total_before_a_long_answer_is_found(rollout: Path) -> None:
    rollout.write_bytes(used(120) + words("x" * (REACHES[0] + 100)))

    assert (last_usage(rollout) or {})["total_tokens"] == 120


def test_a_total_that_is_cut_at_either_end_is_not_taken(rollout: Path) -> None:
    half = used(360)[:-30]
    rollout.write_bytes(used(120) + words("x") + half)
    assert (last_usage(rollout) or {})["total_tokens"] == 120

    rollout.write_bytes(used(120) + words("x" * REACHES[1]))
    assert last_usage(rollout) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\x28\xb5\x2f\xfd", words('"token_count"')])
def test_a_file_without_a_total_tells_none(rollout: Path, content: bytes) -> None:
    rollout.write_bytes(content)

    assert last_usage(rollout) is None


def test_a_file_that_is_not_there_is_said(rollout: Path) -> None:
    with pytest.raises(FileNotFoundError):
        last_usage(rollout)
