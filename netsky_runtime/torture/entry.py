"""A torture from beginning to end: a home, what it runs on, and nothing of it afterwards."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex import binary
from netsky_runtime.errors import UsageError
from netsky_runtime.paths import Home
from netsky_runtime.states import RuntimeName
from netsky_runtime.torture.model_server import ModelServer
from netsky_runtime.torture.runner import Torture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.torture.report import Report

_KEPT: Final = ("PATH", "LANG", "TMPDIR", "PYTHONPATH", "SYSTEMROOT")
_RUNTIMES: Final = (RuntimeName.SCRIPTED, RuntimeName.APP_SERVER)


async def tortured(
    *,
    runtime: RuntimeName,
    seed: int,
    kills: int,
    environ: Mapping[str, str],
    keep: bool,
    progress: Callable[[str], None],
) -> tuple[Report, Path | None]:
    """Torture a home of its own and return the report, with ``keep`` also where the home is.

    Raises ``UsageError`` for a door that cannot be tortured, ``CodexMissing`` where it needs a
    Codex and there is none, ``Unhealthy`` when a daemon does not start or does not stop.
    """
    if runtime not in _RUNTIMES:
        msg = f"{runtime.value} cannot be tortured."
        raise UsageError(msg, hint=f"Choose one of: {', '.join(_RUNTIMES)}.")
    codex = None
    if runtime is RuntimeName.APP_SERVER:
        codex = binary.find(environ.get(binary.VARIABLE, ""), environ).path
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="netsky-torture-"))
        if not keep:
            stack.callback(shutil.rmtree, root, ignore_errors=True)
        work = root / "work"
        work.mkdir()
        own = {key: environ[key] for key in _KEPT if key in environ}
        own |= {
            "HOME": str(root),
            "NETSKY_HOME": str(root / "home"),
            "AGENT_RUNTIME": runtime.value,
            # Threads write nothing: what counts is whether they were asked.
            "AGENT_CODEX_SANDBOX": "read-only",
        }
        if codex is not None:
            model = stack.enter_context(ModelServer())
            model.write_codex_config(root / "codex-home")
            own |= {"CODEX_HOME": str(root / "codex-home"), binary.VARIABLE: codex}
        torture = Torture(
            Home.locate(own),
            runtime=runtime,
            seed=seed,
            kills=kills,
            environ=own,
            cwd=work,
            clock=SystemClock(),
            progress=progress,
        )
        return await torture.run(), root if keep else None
