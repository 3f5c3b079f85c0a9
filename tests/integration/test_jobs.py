"""The bookkeeping of jobs on a real database: barrier, fencing, retries, recovery."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from geomill.bootstrap import child_main
from geomill.config import Settings
from geomill.database.postgresql import PostgreSQLRepository
from geomill.errors import AlreadyExists, InvalidParameter, NotFound, Superseded
from geomill.model.job import Failure, Job, Status, Task, job_id_of
from geomill.repositories import jobs
from geomill.workflow import advance
from geomill.workflow.reconcile import reconcile
from geomill.workflow.submit import Submitter
from geomill.workflow.worker import Worker

TRANSIENT = Failure(type="TaskCrashed", message="died", remedy="", transient=True)
PERMANENT = Failure(type="InvalidSource", message="bad", remedy="mend it")


@pytest.fixture
def submitter(settings: Settings, repository: PostgreSQLRepository) -> Submitter:
    return Submitter(settings, repository, child_main)


@pytest.fixture
def worker(settings: Settings, repository: PostgreSQLRepository) -> Worker:
    return Worker(settings, repository, child_main)


@pytest.fixture
def hello(submitter: Submitter, request: pytest.FixtureRequest) -> Callable[[int], Job]:
    def submit(n: int) -> Job:
        parameters = {"n": n, "name": request.node.name}
        return submitter.submit("hello_world", parameters, submitted_by="test").job

    return submit


def open_tasks(repository: PostgreSQLRepository, job: Job) -> list[Task]:
    with repository.transaction() as connection:
        tasks = jobs.list_tasks(connection, job.job_id, 10_000)
    return [task for task in tasks if not task.status.terminal]


def current(repository: PostgreSQLRepository, job: Job) -> Job:
    with repository.transaction() as connection:
        return jobs.get_job(connection, job.job_id)


def started(repository: PostgreSQLRepository, task: Task) -> Task:
    with repository.transaction() as connection:
        running = jobs.start_task(connection, task.task_id)
    assert running is not None
    return running


def test_identity_changes_with_the_source() -> None:
    same = job_id_of("t", 1, {"a": 1, "b": 2}, {"f": {"size": 1}})
    assert same == job_id_of("t", 1, {"b": 2, "a": 1}, {"f": {"size": 1}})
    assert same != job_id_of("t", 1, {"a": 1, "b": 2}, {"f": {"size": 2}})
    assert same != job_id_of("t", 2, {"a": 1, "b": 2}, {"f": {"size": 1}})


def test_the_same_submission_is_the_same_job(submitter: Submitter) -> None:
    first = submitter.submit("hello_world", {"n": 1, "name": "same"}, submitted_by="a")
    second = submitter.submit("hello_world", {"name": "same", "n": 1}, submitted_by="b")
    assert (first.created, second.created) == (True, False)
    assert first.job.job_id == second.job.job_id


def test_submitting_at_once_makes_one_job(submitter: Submitter) -> None:
    def submit(_: int) -> bool:
        parameters = {"n": 2, "name": "at once"}
        return submitter.submit("hello_world", parameters, submitted_by="test").created

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(submit, range(12))) == 1


def test_wrong_submissions_are_refused(submitter: Submitter) -> None:
    with pytest.raises(NotFound, match="hello_world"):
        submitter.submit("no_such_type", {}, submitted_by="test")
    with pytest.raises(InvalidParameter, match=r"n: .*nonsense: "):
        submitter.submit("hello_world", {"n": -1, "nonsense": 1}, submitted_by="test")


@pytest.mark.parametrize("n", [0, 1, 5])
def test_runs_through_both_stages(
    repository: PostgreSQLRepository, worker: Worker, hello: Callable[[int], Job], n: int
) -> None:
    job = hello(n)
    for _ in range(2):
        for task in open_tasks(repository, job):
            worker.run_task(task.task_id)
    ended = current(repository, job)
    assert ended.status is Status.SUCCEEDED
    with repository.transaction() as connection:
        stages = jobs.list_stages(connection, job.job_id)
    assert [(s.name, s.task_count, s.status) for s in stages] == [
        ("greet", n, Status.SUCCEEDED),
        ("reply", n, Status.SUCCEEDED),
    ]


def test_the_last_of_many_advances_once(
    repository: PostgreSQLRepository, worker: Worker, hello: Callable[[int], Job]
) -> None:
    job = hello(20)
    with ThreadPoolExecutor(6) as threads:
        for _ in range(2):
            ids = [task.task_id for task in open_tasks(repository, job)]
            assert len(ids) == 20
            list(threads.map(worker.run_task, ids * 2))  # delivered twice: run once
    assert current(repository, job).status is Status.SUCCEEDED


def test_a_superseded_attempt_changes_nothing(
    repository: PostgreSQLRepository, hello: Callable[[int], Job]
) -> None:
    job = hello(1)
    zombie = started(repository, open_tasks(repository, job)[0])
    with repository.transaction() as connection:
        advance.task_failed(connection, job, zombie, TRANSIENT)
    started(repository, zombie)
    with pytest.raises(Superseded), repository.transaction() as connection:
        advance.task_succeeded(connection, job, zombie, {"late": True})
    with pytest.raises(Superseded), repository.transaction() as connection:
        jobs.require_current(connection, zombie)
    assert current(repository, job).status is Status.RUNNING or open_tasks(repository, job)


def test_transient_failures_run_out_of_attempts(
    repository: PostgreSQLRepository, hello: Callable[[int], Job]
) -> None:
    job = hello(1)
    task = open_tasks(repository, job)[0]
    for _ in range(task.max_attempts):
        running = started(repository, task)
        with repository.transaction() as connection:
            advance.task_failed(connection, job, running, TRANSIENT)
    ended = current(repository, job)
    assert ended.status is Status.FAILED
    assert ended.error == TRANSIENT


def test_a_permanent_failure_fails_the_job_and_resubmit_runs_it_again(
    repository: PostgreSQLRepository,
    worker: Worker,
    submitter: Submitter,
    hello: Callable[[int], Job],
) -> None:
    job = hello(1)
    with pytest.raises(AlreadyExists):
        submitter.resubmit(job.job_id)
    running = started(repository, open_tasks(repository, job)[0])
    with repository.transaction() as connection:
        advance.task_failed(connection, job, running, PERMANENT)
    assert current(repository, job).error == PERMANENT
    assert submitter.resubmit(job.job_id).run == 2
    for _ in range(2):
        for task in open_tasks(repository, job):
            worker.run_task(task.task_id)
    assert current(repository, job).status is Status.SUCCEEDED


def test_a_lost_task_is_recovered(
    repository: PostgreSQLRepository, worker: Worker, hello: Callable[[int], Job]
) -> None:
    job = hello(2)
    assert reconcile(repository) == 0 or open_tasks(repository, job)
    crashed, lost = open_tasks(repository, job)
    started(repository, crashed)
    with repository.transaction() as connection:
        for task in (crashed, lost):
            assert task.engine_id is not None
            jobs.drop_delivery(connection, task.engine_id)
    assert reconcile(repository) >= 2
    recovered = open_tasks(repository, job)
    assert {task.status for task in recovered} == {Status.QUEUED}
    assert {task.task_id for task in recovered} == {crashed.task_id, lost.task_id}
    assert all(task.engine_id != crashed.engine_id for task in recovered)
    assert reconcile(repository) == 0
    for _ in range(2):
        for task in open_tasks(repository, job):
            worker.run_task(task.task_id)
    assert current(repository, job).status is Status.SUCCEEDED


def test_one_task_that_cannot_be_recovered_stops_no_other(
    repository: PostgreSQLRepository, hello: Callable[[int], Job]
) -> None:
    job = hello(2)
    poison, lost = open_tasks(repository, job)
    with repository.transaction() as connection:
        connection.execute(
            "UPDATE app.jobs SET job_type = 'withdrawn' WHERE job_id = %s", (job.job_id,)
        )
        connection.execute(
            "UPDATE app.tasks SET status = 'running', attempt = max_attempts WHERE task_id = %s",
            (poison.task_id,),
        )
        connection.execute(
            "UPDATE app.stages SET finished_count = 1 WHERE job_id = %s", (job.job_id,)
        )
        for task in (poison, lost):
            assert task.engine_id is not None
            jobs.drop_delivery(connection, task.engine_id)
    reconcile(repository)
    kept = {task.task_id: task for task in open_tasks(repository, job)}
    assert kept[poison.task_id].status is Status.RUNNING
    assert kept[lost.task_id].engine_id != lost.engine_id
