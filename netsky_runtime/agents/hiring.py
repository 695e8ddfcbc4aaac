"""How managers and workers come into being: their names, their folders and their rows.

Everything works inside the caller's transaction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netsky_runtime.db import actors, sessions
from netsky_runtime.errors import Conflict, UsageError
from netsky_runtime.records import MANAGER0, Actor, Session
from netsky_runtime.states import ActorKind, ActorStatus
from netsky_runtime.tilde import expand

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Task
    from netsky_runtime.states import RuntimeName

_RESERVED = re.compile(r"(owner|netsky|manager0|worker.*|agent.*)")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


class NewSession(Protocol):
    """Makes the session row of an actor that has none."""

    def __call__(
        self, actor: Actor, *, model: str = "", runtime: RuntimeName | None = None
    ) -> Session:
        """Return the row, not yet stored; ``model`` and ``runtime`` override the defaults."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the fleet."""

    max_live_workers: int
    """How many active workers may have a task in progress."""
    work_dir: Path
    allowed_roots: tuple[Path, ...]
    """Resolved folders that every cwd must lie under."""


class Hiring:
    """Makes actors within the limits of the fleet."""

    def __init__(self, *, clock: Clock, limits: Limits, new_session: NewSession) -> None:
        self._clock = clock
        self._limits = limits
        self._new_session = new_session

    async def manager(
        self, tx: Tx, *, objective: str, name: str | None, runtime: RuntimeName | None
    ) -> Actor:
        """Make a manager under manager0; ``runtime`` is the door of its thread, if not the usual.

        Raises ``UsageError`` for a bad name, ``Conflict`` when it is taken.
        """
        parent = await actors.require(tx, MANAGER0)
        actor_id = name or await actors.next_name(tx, ActorKind.MANAGER)
        if name is not None:
            await _check_name(tx, name)
        manager = self._actor(
            actor_id, ActorKind.MANAGER, manager_id=parent.id, cwd=self._folder(None, parent)
        )
        await actors.insert(tx, replace(manager, objective=objective))
        if runtime is not None:
            await sessions.insert(tx, self._new_session(manager, runtime=runtime))
        return manager

    async def worker_for(
        self,
        tx: Tx,
        task: Task,
        manager: Actor,
        *,
        cwd: str | None = None,
        model: str | None = None,
        runtime: RuntimeName | None = None,
    ) -> str:
        """Return the task's worker; make one when it has none that could still work.

        Raises ``UsageError`` for a bad cwd, or for what only a new worker could be given.
        """
        present = await actors.get(tx, task.owner_id) if task.owner_id else None
        if present is not None and present.status is not ActorStatus.STOPPED:
            if cwd or model or runtime:
                msg = f"{task.id} has {present.id} already, whose cwd, model and runtime stay."
                raise UsageError(msg, hint="Leave cwd, model and runtime out.")
            return present.id
        worker = self._actor(
            await actors.next_name(tx, ActorKind.WORKER),
            ActorKind.WORKER,
            manager_id=manager.id,
            cwd=self._folder(cwd or (present.cwd if present else None), manager),
        )
        await actors.insert(tx, replace(worker, objective=task.title))
        if model or runtime:
            row = self._new_session(worker, model=model or "", runtime=runtime)
            await sessions.insert(tx, row)
        return worker.id

    def _actor(self, actor_id: str, kind: ActorKind, *, manager_id: str, cwd: str) -> Actor:
        now = self._clock.now()
        return Actor(
            id=actor_id,
            kind=kind,
            status=ActorStatus.ACTIVE,
            manager_id=manager_id,
            cwd=cwd,
            created_at=now,
            updated_at=now,
        )

    def _folder(self, cwd: str | None, manager: Actor) -> str:
        """Return the resolved folder that ``cwd`` names, seen from the manager's.

        Raises ``UsageError`` when it is none or lies under no allowed root.
        """
        base = Path(manager.cwd) if manager.cwd else self._limits.work_dir
        try:
            folder = (base / expand(cwd or "")).resolve()
            there = folder.is_dir()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL, too long
            msg = f"There is no folder {base / (cwd or '')}: {error}."
            raise UsageError(msg, hint="Give an existing folder as cwd, or leave it out.") from None
        if not there:
            msg = f"There is no folder {folder}."
            raise UsageError(msg, hint="Give an existing folder as cwd, or leave it out.")
        if not any(folder.is_relative_to(root) for root in self._limits.allowed_roots):
            roots = ", ".join(str(root) for root in self._limits.allowed_roots)
            msg = f"{folder} is outside the folders that actors may work in."
            raise UsageError(msg, hint=f"Allowed: {roots} and what is below.")
        return str(folder)


async def employer(tx: Tx, manager_id: str) -> Actor:
    """Return a manager that may have new workers.

    Raises ``NotFound``, ``UsageError`` for who is no manager, ``Conflict`` for one that is stopped.
    """
    manager = await actors.require(tx, manager_id)
    if manager.kind is not ActorKind.MANAGER:
        msg = f"{manager.id} is no manager and cannot have workers."
        raise UsageError(msg)
    if manager.status is ActorStatus.STOPPED:
        msg = f"{manager.id} is stopped and cannot have new workers."
        raise Conflict(msg, hint="Resume it, or choose another manager.")
    return manager


async def _check_name(tx: Tx, name: str) -> None:
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        msg = f"{name!r} cannot be the name of a manager."
        hint = "Use lower-case letters, digits and dashes, at most 31, such as docs."
        raise UsageError(msg, hint=hint)
    if await actors.get(tx, name) is not None:
        msg = f"There is an actor named {name} already."
        raise Conflict(msg, hint="Choose another name, or write to that one.")
