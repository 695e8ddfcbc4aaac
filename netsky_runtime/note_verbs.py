"""What an operator has a daemon keep: notes and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime import settings as settings_file
from netsky_runtime.db import notes, tasks
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.records import OWNER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.agents.budgets import BudgetKeeper
    from netsky_runtime.clock import Clock
    from netsky_runtime.control import protocol
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.verbs import Verb


class NoteVerbs:
    """Verbs about notes and settings."""

    def __init__(self, *, database: Database, clock: Clock, budgets: BudgetKeeper) -> None:
        self._database = database
        self._clock = clock
        self._budgets = budgets

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {"notes.add": self.add_note, "settings.set": self.set_setting}

    async def add_note(self, request: protocol.AddNote) -> dict[str, Any]:
        """Keep an explanation."""
        now = self._clock.now()

        async def body(tx: Tx) -> str:
            if request.task_id is not None:
                await tasks.require(tx, request.task_id)
            note = await notes.insert(
                tx, author=OWNER, task_id=request.task_id, body=request.body, now=now
            )
            return note.id

        return {"note_id": await self._database.write(body)}

    async def set_setting(self, request: protocol.SetSetting) -> dict[str, Any]:
        """Store a setting, or take its default again when the value is empty.

        It holds for what starts from now on.
        """
        settings_file.check(request.key, request.value)
        now = self._clock.now()

        async def body(tx: Tx) -> None:
            if request.value:
                await setting_rows.set_(tx, request.key, request.value, now=now)
            else:
                await setting_rows.clear(tx, request.key)

        await self._database.write(body)
        if request.key in settings_file.BUDGETS:
            await self._budgets.look_again()
        return {}
