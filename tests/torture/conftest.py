"""A database with a few actors, as the tests of the spine have it."""

from __future__ import annotations

from tests.db.conftest import clock, database, making, path

__all__ = ["clock", "database", "making", "path"]
