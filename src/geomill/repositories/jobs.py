"""Jobs, stages and tasks: every transition is a compare-and-set in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from geomill.errors import NotFound, Superseded
from geomill.model.job import Failure, Job, Json, Stage, Status, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection


def insert_job(connection: Connection[tuple[Any, ...]], job: Job) -> bool:
    """Insert a job unless one with its id exists; says whether it was inserted."""
    cursor = connection.execute(
        "INSERT INTO app.jobs (job_id, job_type, version, parameters, sources, submitted_by)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (job_id) DO NOTHING",
        (
            job.job_id,
            job.job_type,
            job.version,
            Jsonb(job.parameters),
            Jsonb(job.sources),
            job.submitted_by,
        ),
    )
    return cursor.rowcount == 1


def find_job(connection: Connection[tuple[Any, ...]], job_id: str) -> Job | None:
    """The job, or None."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute("SELECT * FROM app.jobs WHERE job_id = %s", (job_id,)).fetchone()


def get_job(connection: Connection[tuple[Any, ...]], job_id: str) -> Job:
    """The job.

    Raises:
        NotFound: there is none with this id.
    """
    job = find_job(connection, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.", remedy="'geomill status' lists the jobs.")
    return job


def list_jobs(connection: Connection[tuple[Any, ...]], limit: int) -> list[Job]:
    """The newest jobs first."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(
            "SELECT * FROM app.jobs ORDER BY created_at DESC, job_id DESC LIMIT %s", (limit,)
        ).fetchall()


def list_stages(connection: Connection[tuple[Any, ...]], job_id: str) -> list[Stage]:
    """The stages of a job that have begun, in order."""
    with connection.cursor(row_factory=class_row(Stage)) as cursor:
        return cursor.execute(
            "SELECT * FROM app.stages WHERE job_id = %s ORDER BY number", (job_id,)
        ).fetchall()


def list_tasks(connection: Connection[tuple[Any, ...]], job_id: str, limit: int) -> list[Task]:
    """The tasks of a job, by stage and place."""
    with connection.cursor(row_factory=class_row(Task)) as cursor:
        return cursor.execute(
            "SELECT * FROM app.tasks WHERE job_id = %s ORDER BY number, index LIMIT %s",
            (job_id, limit),
        ).fetchall()


def start_job(connection: Connection[tuple[Any, ...]], job_id: str) -> None:
    """Queued → running; a running job stays as it is."""
    connection.execute(
        "UPDATE app.jobs SET status = 'running' WHERE job_id = %s AND status = 'queued'", (job_id,)
    )


def finish_job(
    connection: Connection[tuple[Any, ...]],
    job_id: str,
    *,
    result: Json | None = None,
    error: Failure | None = None,
) -> None:
    """Bring an open job to its end: failed with an error, succeeded without."""
    status = Status.SUCCEEDED if error is None else Status.FAILED
    connection.execute(
        "UPDATE app.jobs SET status = %s, result = %s, error = %s, finished_at = now()"
        " WHERE job_id = %s AND status IN ('queued', 'running')",
        (status, _json(result), _json(error), job_id),
    )


def reopen_job(
    connection: Connection[tuple[Any, ...]], job_id: str, statuses: Sequence[Status]
) -> bool:
    """Ended in one of ``statuses`` → queued for another run, its stages and tasks cleared."""
    cursor = connection.execute(
        "UPDATE app.jobs SET status = 'queued', run = run + 1, result = NULL, error = NULL,"
        " finished_at = NULL WHERE job_id = %s AND status = ANY(%s::app.status[])",
        (job_id, [str(status) for status in statuses]),
    )
    if cursor.rowcount == 0:
        return False
    connection.execute("DELETE FROM app.stages WHERE job_id = %s", (job_id,))
    return True


def open_stage(
    connection: Connection[tuple[Any, ...]], job_id: str, number: int, name: str, task_count: int
) -> None:
    """Record that a stage has begun."""
    connection.execute(
        "INSERT INTO app.stages (job_id, number, name, task_count) VALUES (%s, %s, %s, %s)",
        (job_id, number, name, task_count),
    )


def insert_tasks(
    connection: Connection[tuple[Any, ...]],
    job_id: str,
    number: int,
    inputs: Sequence[Json],
    max_attempts: int,
) -> list[int]:
    """Insert the tasks of a stage in order; returns their ids."""
    rows = connection.execute(
        "INSERT INTO app.tasks (job_id, number, index, input, max_attempts)"
        " SELECT %s, %s, place - 1, input, %s"
        " FROM unnest(%s::jsonb[]) WITH ORDINALITY AS planned (input, place)"
        " ORDER BY place RETURNING task_id",
        (job_id, number, max_attempts, [Jsonb(item) for item in inputs]),
    ).fetchall()
    return [row[0] for row in rows]


def set_deliveries(
    connection: Connection[tuple[Any, ...]], task_ids: Sequence[int], engine_ids: Sequence[int]
) -> None:
    """Remember which engine job delivers which task."""
    connection.execute(
        "UPDATE app.tasks SET engine_id = delivery.engine_id"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS delivery (task_id, engine_id)"
        " WHERE tasks.task_id = delivery.task_id",
        (list(task_ids), list(engine_ids)),
    )


def start_task(connection: Connection[tuple[Any, ...]], task_id: int) -> Task | None:
    """Queued → running, one attempt more; None when the task is not waiting to be run."""
    with connection.cursor(row_factory=class_row(Task)) as cursor:
        return cursor.execute(
            "UPDATE app.tasks SET status = 'running', attempt = attempt + 1, started_at = now(),"
            " progress_done = NULL, progress_total = NULL, progress_message = NULL"
            " WHERE task_id = %s AND status = 'queued' RETURNING *",
            (task_id,),
        ).fetchone()


def report_progress(
    connection: Connection[tuple[Any, ...]], task: Task, done: int, total: int | None, message: str
) -> None:
    """Say how far an attempt is; a superseded attempt's word changes nothing."""
    connection.execute(
        "UPDATE app.tasks SET progress_done = %s, progress_total = %s, progress_message = %s"
        " WHERE task_id = %s AND attempt = %s AND status = 'running'",
        (done, total, message, task.task_id, task.attempt),
    )


def require_current(connection: Connection[tuple[Any, ...]], task: Task) -> None:
    """Hold the task's row until the transaction ends, if this attempt is the current one.

    Raises:
        Superseded: another attempt has taken over.
    """
    row = connection.execute(
        "SELECT 1 FROM app.tasks WHERE task_id = %s AND attempt = %s AND status = 'running'"
        " FOR UPDATE",
        (task.task_id, task.attempt),
    ).fetchone()
    if row is None:
        raise superseded(task)


def finish_task(
    connection: Connection[tuple[Any, ...]],
    task: Task,
    *,
    result: Json | None = None,
    error: Failure | None = None,
) -> None:
    """Running → succeeded or failed, for the current attempt only.

    Raises:
        Superseded: another attempt has taken over; nothing was changed.
    """
    status = Status.SUCCEEDED if error is None else Status.FAILED
    cursor = connection.execute(
        "UPDATE app.tasks SET status = %s, result = %s, error = %s, finished_at = now()"
        " WHERE task_id = %s AND attempt = %s AND status = 'running'",
        (status, _json(result), _json(error), task.task_id, task.attempt),
    )
    if cursor.rowcount == 0:
        raise superseded(task)


def requeue_task(connection: Connection[tuple[Any, ...]], task: Task, error: Failure) -> None:
    """Running → queued for another attempt, remembering why.

    Raises:
        Superseded: another attempt has taken over; nothing was changed.
    """
    cursor = connection.execute(
        "UPDATE app.tasks SET status = 'queued', error = %s"
        " WHERE task_id = %s AND attempt = %s AND status = 'running'",
        (_json(error), task.task_id, task.attempt),
    )
    if cursor.rowcount == 0:
        raise superseded(task)


def count_finished(connection: Connection[tuple[Any, ...]], task: Task, *, failed: bool) -> Stage:
    """Add one finished task to its stage's barrier; the row lock makes exactly one the last."""
    with connection.cursor(row_factory=class_row(Stage)) as cursor:
        stage = cursor.execute(
            "UPDATE app.stages SET finished_count = finished_count + 1,"
            " failed_count = failed_count + %s WHERE job_id = %s AND number = %s RETURNING *",
            (int(failed), task.job_id, task.number),
        ).fetchone()
    if stage is None:
        raise superseded(task)
    return stage


def finish_stage(
    connection: Connection[tuple[Any, ...]], job_id: str, number: int, status: Status
) -> None:
    """Record a stage's end."""
    connection.execute(
        "UPDATE app.stages SET status = %s, finished_at = now() WHERE job_id = %s AND number = %s",
        (status, job_id, number),
    )


def stage_results(connection: Connection[tuple[Any, ...]], job_id: str) -> dict[str, list[Json]]:
    """The results of the tasks that succeeded, by stage name, in the order of the tasks."""
    rows = connection.execute(
        "SELECT stages.name, tasks.result FROM app.tasks"
        " JOIN app.stages USING (job_id, number)"
        " WHERE job_id = %s AND tasks.status = 'succeeded' ORDER BY number, index",
        (job_id,),
    ).fetchall()
    results: dict[str, list[Json]] = {}
    for name, result in rows:
        results.setdefault(name, []).append(result)
    return results


def first_failure(connection: Connection[tuple[Any, ...]], job_id: str) -> Failure | None:
    """The failure of the first failed task of a job."""
    row = connection.execute(
        "SELECT error FROM app.tasks WHERE job_id = %s AND status = 'failed'"
        " ORDER BY finished_at, task_id LIMIT 1",
        (job_id,),
    ).fetchone()
    return None if row is None else Failure.model_validate(row[0])


def lost_tasks(
    connection: Connection[tuple[Any, ...]], stalled_after_s: float, limit: int = 1000
) -> list[Task]:
    """Open tasks that no living worker holds and no queue entry will deliver; locked.

    A delivery lives while it waits, or while its worker's heartbeat is younger than
    ``stalled_after_s``.
    """
    with connection.cursor(row_factory=class_row(Task)) as cursor:
        return cursor.execute(
            "SELECT tasks.* FROM app.tasks"
            " WHERE status IN ('queued', 'running') AND NOT EXISTS ("
            "  SELECT FROM procrastinate.procrastinate_jobs AS delivery"
            "  LEFT JOIN procrastinate.procrastinate_workers AS worker"
            "    ON worker.id = delivery.worker_id"
            "  WHERE delivery.id = tasks.engine_id AND (delivery.status = 'todo'"
            "    OR (delivery.status = 'doing'"
            "        AND worker.last_heartbeat > now() - make_interval(secs => %s))))"
            " ORDER BY task_id LIMIT %s FOR UPDATE OF tasks SKIP LOCKED",
            (stalled_after_s, limit),
        ).fetchall()


def drop_delivery(connection: Connection[tuple[Any, ...]], engine_id: int) -> None:
    """Forget a dead worker's queue entry."""
    connection.execute("DELETE FROM procrastinate.procrastinate_jobs WHERE id = %s", (engine_id,))


def try_reconciler_lock(connection: Connection[tuple[Any, ...]]) -> bool:
    """Whether this transaction is the one reconciler of the moment."""
    row = connection.execute("SELECT pg_try_advisory_xact_lock(1919117166)").fetchone()
    return row is not None and bool(row[0])


def superseded(task: Task) -> Superseded:
    """The error of an attempt that is no longer the current one."""
    return Superseded(
        f"Attempt {task.attempt} of task {task.task_id} has been superseded.",
        remedy="Nothing to do: the other attempt counts.",
    )


def _json(value: Json | Failure | None) -> Jsonb | None:
    if value is None:
        return None
    return Jsonb(value.model_dump() if isinstance(value, Failure) else value)
