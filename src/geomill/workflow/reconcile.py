"""Finds tasks that nobody will deliver any more, and has them delivered or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from geomill.errors import GeomillError
from geomill.model.job import Failure, Status, Task
from geomill.repositories import jobs
from geomill.workflow import advance, engine

if TYPE_CHECKING:
    from psycopg import Connection

    from geomill.database.postgresql import PostgreSQLRepository

INTERVAL_S = 5.0
_CRASHED = Failure(
    type="TaskCrashed",
    message="The worker that ran the task stopped answering.",
    remedy="If it recurs, look at the worker's log and the machine's memory.",
    transient=True,
)
_log = structlog.get_logger()


def reconcile(
    repository: PostgreSQLRepository, stalled_after_s: float = engine.STALLED_AFTER_S
) -> int:
    """One pass, in one transaction; a second reconciler at the same time does nothing.

    Returns:
        How many tasks were taken up.
    """
    with repository.transaction() as connection:
        if not jobs.try_reconciler_lock(connection):
            return 0
        lost = jobs.lost_tasks(connection, stalled_after_s)
        for task in lost:
            try:
                with connection.transaction():
                    _recover(connection, task)
            except (GeomillError, psycopg.DatabaseError):
                _log.exception("task not recovered", task_id=task.task_id)
            else:
                _log.warning("task recovered", task_id=task.task_id, was=task.status)
    return len(lost)


def _recover(connection: Connection[tuple[Any, ...]], task: Task) -> None:
    if task.engine_id is not None:
        jobs.drop_delivery(connection, task.engine_id)
    if task.status is Status.QUEUED:
        engine.enqueue(connection, [task.task_id])
        return
    job = jobs.get_job(connection, task.job_id)
    advance.task_failed(connection, job, task, _CRASHED)
