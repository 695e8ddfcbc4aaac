"""Which Codex runs: the one that was named, the one on PATH, or the one of the package."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsky_runtime.errors import CodexMissing, Unhealthy
from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.process import Child

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "openai-codex-cli-bin"
VARIABLE = "NETSKY_CODEX_BIN"
VERSION_SECONDS = 15.0
_MODULE = "codex_cli_bin"
_NUMBER = re.compile(r"\d+(?:\.\d+)+(?:-[\w.]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodexBinary:
    """A Codex to start."""

    path: str
    origin: str
    """Where it was found, in words."""

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment to start it in: the package brings a ripgrep beside it."""
        env = dict(environ)
        tools = Path(self.path).parent.parent / "codex-path"
        if tools.is_dir():
            env["PATH"] = os.pathsep.join(part for part in (env.get("PATH"), str(tools)) if part)
        return env


def find(named: str, environ: Mapping[str, str]) -> CodexBinary:
    """Find Codex: ``named`` (a path or a command), else PATH, else the installed package.

    ``named`` is the setting codex_bin, which NETSKY_CODEX_BIN in ``environ`` may have given.

    Raises ``CodexMissing`` with the command that installs it.
    """
    path = environ.get("PATH")
    if named:
        given = environ.get(VARIABLE) == named
        origin = VARIABLE if given else "the setting codex_bin"
        found = shutil.which(os.path.expanduser(named), path=path)  # noqa: PTH111 - never raises
        if found is None:
            msg = f"There is no Codex at {named}, or it cannot be executed."
            raise CodexMissing(msg, hint=f"Correct {origin}.")
        return CodexBinary(path=str(Path(found).absolute()), origin=origin)
    if found := shutil.which("codex", path=path):
        return CodexBinary(path=str(Path(found).absolute()), origin="PATH")
    if packaged := _packaged():
        return CodexBinary(path=packaged, origin=f"the package {PACKAGE}")
    msg = "No Codex was found: there is no codex on PATH and no package that brings one."
    raise CodexMissing(msg, hint=f"Install it: {how_to_install()}.")


def how_to_install() -> str:
    """Return the command that brings a Codex which ``find`` finds, and another."""
    return f"{sys.executable} -m pip install {PACKAGE} (or: npm install -g @openai/codex)"


async def version_of(binary: CodexBinary, *, environ: Mapping[str, str]) -> str:
    """Return the version that ``codex --version`` tells. Raises ``Unhealthy``."""
    try:
        child = await Child.spawn(
            [binary.path, "--version"], env=binary.environment(environ), stderr_lines=20
        )
    except WireError as error:
        hint = "Is it built for this machine?"
        raise Unhealthy(f"Codex at {binary.path} cannot be started.", hint=hint) from error
    try:
        line = await child.framing.receive()
        said = (line or b"").decode(errors="replace")
    except WireError:
        said = ""
    finally:
        await child.end(grace=VERSION_SECONDS)
    version = version_in(said)
    if not version:
        msg = f"{binary.path} --version tells no version: {said or child.stderr_tail()!r}."
        raise Unhealthy(msg, hint="Set NETSKY_CODEX_BIN to a Codex.")
    return version


def version_in(text: str) -> str:
    """Return the first version number in a text such as ``codex-cli 0.163.0``, else nothing."""
    found = _NUMBER.search(text)
    return found.group() if found else ""


def version_tuple(version: str) -> tuple[int, ...]:
    """Return ``(0, 163, 0)`` for ``0.163.0``; what follows a hyphen does not count."""
    return tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())


def codex_home(environ: Mapping[str, str]) -> str:
    """Return the CODEX_HOME that a Codex with this environment uses."""
    home = environ.get("CODEX_HOME") or "~/.codex"
    if home.startswith("~") and environ.get("HOME"):
        home = environ["HOME"] + home[1:]
    return real_path(home)


def make_codex_home(environ: Mapping[str, str]) -> None:
    """Make the CODEX_HOME, private to this user: Codex does not start its engine without one.

    Raises ``Unhealthy`` when that cannot be done.
    """
    home = Path(codex_home(environ))
    try:
        for folder in (*reversed(home.parents), home):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        if not home.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        msg = f"The CODEX_HOME {home} cannot be made: {error.strerror or error}."
        raise Unhealthy(msg, hint="Set CODEX_HOME to a folder of your own.") from error


def real_path(path: str) -> str:
    """Return a path with ``~`` and links resolved; nothing stays nothing."""
    return os.path.realpath(os.path.expanduser(path)) if path else ""  # noqa: PTH111


def _packaged() -> str:
    spec = importlib.util.find_spec(_MODULE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "bin" / "codex"
        if os.access(path, os.X_OK):
            return str(path)
    return ""
