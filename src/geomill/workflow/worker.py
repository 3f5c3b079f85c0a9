"""Runs one delivered task: start it, run its handler, record its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from geomill.errors import Superseded
from geomill.etl.context import TransactionContext
from geomill.model.job import Failure, Job, Json, Task
from geomill.repositories import jobs
from geomill.workflow import advance
from geomill.workflow.child import ChildEntry, ChildRequest, run_in_child
from geomill.workflow.definitions import Kind, get_definition, validate
from geomill.workflow.failures import failure_of

if TYPE_CHECKING:
    from geomill.config import Settings
    from geomill.database.postgresql import PostgreSQLRepository

_log = structlog.get_logger()


class Worker:
    """Runs tasks against one repository; safe to use from several threads."""

    def __init__(
        self, settings: Settings, repository: PostgreSQLRepository, child_entry: ChildEntry
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._child_entry = child_entry

    def run_task(self, task_id: int) -> None:
        """Run a task if it is still waiting; every outcome ends in a recorded state.

        Raises:
            DatabaseUnavailable: the outcome could not be recorded; the reconciler will see to it.
        """
        with self._repository.transaction() as connection:
            task = jobs.start_task(connection, task_id)
            if task is None:
                return
            job = jobs.get_job(connection, task.job_id)
            jobs.start_job(connection, job.job_id)
        try:
            self._run(job, task)
        except Superseded as error:
            _log.info("task superseded", task_id=task_id, detail=error.message)
        except Exception as error:  # noqa: BLE001 - a bug in a handler must end in a recorded state
            _log.exception("task failed", task_id=task_id, job_id=job.job_id)
            self._record_failure(job, task, failure_of(error))

    def _run(self, job: Job, task: Task) -> None:
        definition = get_definition(job.job_type)
        stage = definition.stages[task.number]
        if stage.kind is Kind.WORK:
            result = self._run_in_child(job, task)
            with self._repository.transaction() as connection:
                advance.task_succeeded(connection, job, task, result)
            return
        parameters = validate(definition, job.parameters)
        with self._repository.transaction() as connection:
            result = stage.handler(TransactionContext(connection, task), parameters, task.input)
            advance.task_succeeded(connection, job, task, result)

    def _run_in_child(self, job: Job, task: Task) -> Json:
        return run_in_child(
            self._child_entry,
            ChildRequest(self._settings, job.job_type, job.parameters, task),
        )

    def _record_failure(self, job: Job, task: Task, failure: Failure) -> None:
        try:
            with self._repository.transaction() as connection:
                advance.task_failed(connection, job, task, failure)
        except Superseded as error:
            _log.info("task superseded", task_id=task.task_id, detail=error.message)
