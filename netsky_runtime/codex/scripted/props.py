"""Made-up outputs and diffs that look like the real thing: the same in, the same out."""

from __future__ import annotations

import shlex
import zlib
from pathlib import PurePosixPath

_PRINTED = {
    "ls": "README.md\npyproject.toml\nsrc\ntests\n",
    "pwd": "/project\n",
    "ruff": "All checks passed!\n",
    "mypy": "Success: no issues found in 24 source files\n",
}


def output_of(command: str) -> tuple[str, int]:
    """Return what a command would plausibly have printed, and its exit status."""
    try:
        words = shlex.split(command, comments=False)
    except ValueError:
        return "bash: -c: unexpected EOF while looking for matching quote\n", 2
    match words:
        case ["echo", *rest] if not {"&&", "||", "|", ";", ">"} & set(rest):
            return " ".join(rest) + "\n", 0
        case ["false"]:
            return "", 1
        case ["exit", status] if status.isdigit():
            return "", int(status) % 256
        case ["git", verb, *rest]:
            return _git(verb, rest, command), 0
        case _ if "pytest" in words or words[:2] == ["make", "test"]:
            return _pytest(command), 0
        case [tool, *_]:
            return _PRINTED.get(tool, ""), 0
        case _:
            return "", 0


def duration_of(command: str) -> int:
    """Return how many milliseconds a command is said to have taken."""
    return _number(command, 20, 900)


def tokens_of(text: str) -> int:
    """Return how many tokens a text is counted as."""
    return max(1, len(text) // 4)


def diff_of(path: str) -> str:
    """Return hunks of a small, sensible change to the file at ``path``."""
    name = PurePosixPath(path).stem.replace("-", "_") or "value"
    line = _number(path, 8, 120)
    return (
        f"@@ -{line},6 +{line},9 @@ def load_{name}(source):\n"
        "     rows = source.read()\n"
        "-    return [parse(row) for row in rows]\n"
        "+    if not rows:\n"
        "+        return []\n"
        "+    parsed = [parse(row) for row in rows if row]\n"
        "+    return parsed\n"
        " \n"
        " \n"
        f" def save_{name}(rows, target):\n"
        "     target.write(rows)\n"
    )


def unified(path: str, kind: str, diff: str) -> str:
    """Return the change of one file as a unified patch, as a person reads it."""
    if diff.startswith(("--- ", "diff --git ")):
        return diff
    before = "/dev/null" if kind == "add" else path
    after = "/dev/null" if kind == "delete" else path
    if kind == "update":
        return f"--- {before}\n+++ {after}\n{diff}"
    lines = diff.splitlines()
    sign, span = ("+", f"-0,0 +1,{len(lines)}") if kind == "add" else ("-", f"-1,{len(lines)} +0,0")
    body = "".join(f"{sign}{line}\n" for line in lines)
    return f"--- {before}\n+++ {after}\n@@ {span} @@\n{body}"


def _pytest(command: str) -> str:
    count = _number(command, 6, 64)
    dots = "." * count
    return (
        f"collected {count} items\n\n{dots}{' ' * max(1, 66 - count)}[100%]\n\n"
        f"============================== {count} passed in 1.{_number(command, 10, 90)}s "
        "==============================\n"
    )


def _git(verb: str, rest: list[str], command: str) -> str:
    match verb:
        case "status" if {"--short", "-s"} & set(rest):
            return " M src/app.py\n M tests/test_app.py\n"
        case "status":
            return "On branch main\nnothing to commit, working tree clean\n"
        case "diff":
            return " src/app.py | 6 +++++-\n 1 file changed, 5 insertions(+), 1 deletion(-)\n"
        case "log":
            return f"{zlib.crc32(command.encode()):08x} Keep the cache warm between requests\n"
        case "push":
            branch = rest[-1] if rest else "main"
            return f"To origin\n * [new branch]      {branch} -> {branch}\n"
        case _:
            return ""


def _number(seed: str, low: int, high: int) -> int:
    return low + zlib.crc32(seed.encode()) % (high - low + 1)
