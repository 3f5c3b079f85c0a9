"""What a handler is given besides its parameters and its input."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from geomill.repositories import jobs

if TYPE_CHECKING:
    from psycopg import Connection

    from geomill.database.postgresql import PostgreSQLRepository
    from geomill.model.job import Task

_PROGRESS_INTERVAL_S = 0.5


@dataclass
class _LastReport:
    at_s: float = float("-inf")


@dataclass(frozen=True)
class WorkContext:
    """For a *work* handler: no transaction is held; it opens its own."""

    repository: PostgreSQLRepository
    task: Task
    _last: _LastReport = field(default_factory=_LastReport, init=False, repr=False, compare=False)

    def progress(self, done: int, total: int | None, message: str) -> None:
        """Say how far the task is, in a transaction of its own; at most twice a second."""
        now_s = time.monotonic()
        if now_s - self._last.at_s < _PROGRESS_INTERVAL_S:
            return
        self._last.at_s = now_s
        with self.repository.transaction() as connection:
            jobs.report_progress(connection, self.task, done, total, message)


@dataclass(frozen=True)
class TransactionContext:
    """For a *transactional* handler: what it writes commits together with the task's end."""

    connection: Connection[tuple[Any, ...]]
    task: Task
