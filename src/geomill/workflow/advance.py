"""What follows when a task ends: pure bookkeeping in the caller's transaction.

The stage's row lock makes exactly one task the last of its stage; the transaction that finishes
that task opens the next stage, so there is no moment in which a job can be left hanging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geomill.model.job import Failure, Job, Json, Stage, Status, Task
from geomill.repositories import jobs
from geomill.workflow import engine
from geomill.workflow.definitions import get_definition, validate

if TYPE_CHECKING:
    from psycopg import Connection


def begin(connection: Connection[tuple[Any, ...]], job: Job) -> None:
    """Open a job's first stage."""
    _begin_stage(connection, job, 0)


def task_succeeded(
    connection: Connection[tuple[Any, ...]], job: Job, task: Task, result: Json
) -> None:
    """Finish a task and, when it was its stage's last, open the next stage or end the job.

    Raises:
        Superseded: another attempt has taken over; the caller must roll back.
    """
    jobs.finish_task(connection, task, result=result)
    _close_when_full(connection, job, jobs.count_finished(connection, task, failed=False))


def task_failed(
    connection: Connection[tuple[Any, ...]], job: Job, task: Task, failure: Failure
) -> None:
    """Queue a transient failure again while attempts are left; otherwise finish the task failed.

    Raises:
        Superseded: another attempt has taken over; the caller must roll back.
    """
    if failure.transient and task.attempt < task.max_attempts:
        jobs.requeue_task(connection, task, failure)
        engine.enqueue(connection, [task.task_id])
        return
    jobs.finish_task(connection, task, error=failure)
    _close_when_full(connection, job, jobs.count_finished(connection, task, failed=True))


def _close_when_full(connection: Connection[tuple[Any, ...]], job: Job, stage: Stage) -> None:
    if stage.finished_count < stage.task_count:
        return
    if stage.failed_count == 0:
        jobs.finish_stage(connection, job.job_id, stage.number, Status.SUCCEEDED)
        _begin_stage(connection, job, stage.number + 1)
        return
    jobs.finish_stage(connection, job.job_id, stage.number, Status.FAILED)
    jobs.finish_job(connection, job.job_id, error=jobs.first_failure(connection, job.job_id))
    definition = get_definition(job.job_type)
    if definition.discard is not None:
        definition.discard(connection, job.job_id, validate(definition, job.parameters))


def _begin_stage(connection: Connection[tuple[Any, ...]], job: Job, number: int) -> None:
    definition = get_definition(job.job_type)
    parameters = validate(definition, job.parameters)
    results = jobs.stage_results(connection, job.job_id)
    for following, stage in enumerate(definition.stages[number:], start=number):
        inputs = stage.plan(parameters, results)
        jobs.open_stage(connection, job.job_id, following, stage.name, len(inputs))
        if inputs:
            task_ids = jobs.insert_tasks(
                connection, job.job_id, following, inputs, stage.max_attempts
            )
            engine.enqueue(connection, task_ids)
            return
        jobs.finish_stage(connection, job.job_id, following, Status.SUCCEEDED)
    jobs.finish_job(connection, job.job_id, result=_result(definition.stages[-1].name, results))


def _result(last_stage: str, results: dict[str, list[Json]]) -> Json:
    """A job's result: that of its one last task, or how many there were."""
    last = results.get(last_stage, [])
    return last[0] if len(last) == 1 else {"tasks": len(last)}
