"""One address's folders, entered step by step and never through a symbolic link.

Every folder between the channel root and a file is opened by its name in the one above, and
every file by its name in an opened folder: what is checked is what is used, whatever somebody
else moves meanwhile. All functions block; call them in a thread.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from netsky_runtime.comms.bus import guarded
from netsky_runtime.comms.bus.addresses import folder_of, is_address
from netsky_runtime.comms.bus.names import is_envelope
from netsky_runtime.errors import Conflict, NetskyError, NotFound, Unhealthy

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

    from netsky_runtime.comms.bus.names import Names
    from netsky_runtime.paths import Home

INBOX, CLAIMED, DELIVERED, POISON, OUTBOX = "inbox", "claimed", "delivered", "poison", "outbox"
PARTS = (INBOX, CLAIMED, DELIVERED, POISON, OUTBOX)
ATTEMPTS = 8
"""How many names are tried for a new file."""


class Channel:
    """The folders of one address: inbox, claimed, delivered, poison, outbox.

    Every method raises ``Unhealthy`` for a symbolic link on the way, and for any other folder
    that cannot be used.
    """

    def __init__(self, root: Path, address: str) -> None:
        self.root = root
        self.folder = folder_of(address)

    def __str__(self) -> str:
        return str(self.root / self.folder)

    def prepare(self) -> None:
        """Make the folders, private to this user."""
        for part in PARTS:
            with self._opened(part, make=True):
                pass

    def pending(self, part: str = INBOX) -> list[str]:
        """Return the names of the envelopes in a folder, in their order; none without it."""
        with suppress(FileNotFoundError), self._opened(part) as folder:
            return sorted(name for name in guarded.names_in(folder) if is_envelope(name))
        return []

    def read(self, name: str, part: str = INBOX) -> bytes:
        """Return a file's content.

        Raises ``NotFound`` when it is gone, ``Unreadable``, and ``BadEnvelope`` for what is too
        large or no regular file.
        """
        try:
            with self._opened(part) as folder:
                return guarded.content(folder, name)
        except FileNotFoundError as error:
            raise guarded.gone(name) from error

    def claim(self, name: str) -> str:
        """Take a file out of the inbox; return its name among the claimed.

        Of several claimers one gets it. Raises ``NotFound`` for the others, and ``Unreadable``:
        then it stays in the inbox.
        """
        try:
            with self._opened(INBOX) as inbox, self._opened(CLAIMED, make=True) as claimed:
                guarded.check_readable(inbox, name)
                return guarded.move(inbox, name, claimed)
        except FileNotFoundError as error:
            raise guarded.gone(name) from error

    def move(self, name: str, source: str, target: str) -> str:
        """Move a file between two of the folders and return its name there.

        A file of that name is not overwritten. Raises ``NotFound`` when it is gone.
        """
        try:
            with self._opened(source) as before, self._opened(target, make=True) as after:
                return guarded.move(before, name, after)
        except FileNotFoundError as error:
            raise guarded.gone(name) from error

    def quarantine(self, name: str, reason: str, part: str = INBOX) -> str:
        """Move a file into poison, with the reason in a text beside it; return its name there.

        Raises ``NotFound`` when it is gone.
        """
        moved = self.move(name, part, POISON)
        text = f"{reason}\n".encode(errors="replace")
        with self._opened(POISON) as folder, suppress(FileExistsError):
            guarded.write(folder, guarded.reason_name(moved), text, attempt=0)
        return moved

    def reason(self, name: str) -> str:
        """Return why a file lies in poison; empty when nobody has written it down."""
        with suppress(FileNotFoundError, NetskyError), self._opened(POISON) as folder:
            text = guarded.content(folder, guarded.reason_name(name))
            return text.decode(errors="replace").strip()
        return ""

    def changed_at(self, name: str, part: str = INBOX) -> float:
        """Return when a file was last moved or written to: seconds since the epoch.

        Raises ``NotFound`` when it is gone.
        """
        try:
            with self._opened(part) as folder:
                return guarded.changed_at(folder, name)
        except FileNotFoundError as error:
            raise guarded.gone(name) from error

    def has(self, name: str, part: str) -> bool:
        """Whether there is a file of that name."""
        with suppress(FileNotFoundError), self._opened(part) as folder:
            return guarded.exists(folder, name)
        return False

    def write_new(self, data: bytes, *, sender: str, names: Names, part: str = INBOX) -> str:
        """Write a file under a name that nobody has; return it.

        Raises ``Conflict`` when each of ``ATTEMPTS`` names was taken.
        """
        with self._opened(part, make=True) as folder:
            for attempt in range(ATTEMPTS):
                name = names.new(sender)
                with suppress(FileExistsError):
                    guarded.write(folder, name, data, attempt=attempt)
                    return name
        msg = f"No free name was found in {self.root / self.folder / part}."
        raise Conflict(msg, hint=f"{ATTEMPTS} were tried.")

    def write_once(self, name: str, data: bytes) -> bool:
        """Write a file into the inbox unless it was written before; return whether it was new.

        One that its reader has taken since still counts.
        """
        if any(self.has(name, part) for part in (CLAIMED, DELIVERED)):
            return False
        with self._opened(INBOX, make=True) as folder:
            try:
                guarded.write(folder, name, data, attempt=0)
            except FileExistsError:
                return False
        return True

    def return_claims(self, *, before: float | None = None, but: Container[str] = ()) -> list[str]:
        """Put what somebody claimed and did not finish back into the inbox; return the names.

        With ``before`` (seconds since the epoch) only what was claimed earlier than that, and
        ``but`` what is still worked on.
        """
        returned = []
        for name in self.pending(CLAIMED):
            with suppress(NotFound):  # its claimer has finished it now
                old = before is None or self.changed_at(name, CLAIMED) < before
                if old and name not in but:
                    returned.append(self.move(name, CLAIMED, INBOX))
        return returned

    def sweep(self, *, before: float) -> None:
        """Remove what writers that died before then (seconds since the epoch) left hidden."""
        for part in PARTS:
            with suppress(FileNotFoundError), self._opened(part) as folder:
                guarded.sweep(folder, before=before)

    def prune(self, *, before: float, most: int) -> None:
        """Keep the newest ``most`` files of delivered and of poison.

        None that came there before then (seconds since the epoch).
        """
        for part in (DELIVERED, POISON):
            with suppress(FileNotFoundError), self._opened(part) as folder:
                guarded.prune(folder, before=before, most=most)

    @contextmanager
    def _opened(self, part: str, *, make: bool = False) -> Iterator[int]:
        """Open one of the folders. Raises ``FileNotFoundError`` when it is not there."""
        folder = self._enter(part, make=make)
        try:
            yield folder
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise guarded.no_folder(self.root / self.folder / part, error) from error
        finally:
            os.close(folder)

    def _enter(self, part: str, *, make: bool) -> int:
        path = self.root
        try:
            folder = guarded.enter_root(path, make=make)
            for step in (self.folder, part):
                path /= step
                try:
                    inner = guarded.enter(folder, step, path, make=make)
                finally:
                    os.close(folder)
                folder = inner
        except FileNotFoundError as error:
            if make:  # somebody has removed it at once
                raise guarded.no_folder(path, error) from error
            raise
        return folder


def prepare_channel(home: Home, actor_id: str) -> None:
    """Make an actor's folders before its session starts. Raises as ``Channel`` does."""
    Channel(home.channels, actor_id).prepare()


def addresses(root: Path) -> list[str]:
    """Return the names of the folders below the channel root, links to folders among them."""
    try:
        with os.scandir(root) as found:
            return sorted(each.name for each in found if each.is_dir())
    except FileNotFoundError:
        return []


def prune(root: Path, *, before: float, most: int) -> None:
    """Prune every address's folders but those that cannot be used."""
    for name in addresses(root):
        if is_address(name):
            with suppress(Unhealthy):
                Channel(root, name).prune(before=before, most=most)
