"""Jobs: submit them, and see how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response

from geomill.api.auth import READER, Operator, services_of
from geomill.api.parameters import json_response
from geomill.model.job import Job, Stage, Status, Task
from geomill.repositories import jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geomill.model.job import Json

_MOST_TASKS = 10_000
_TASKS_LOOKED_AT = 1000

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.get("/types", dependencies=[READER])
def job_types(request: Request) -> Response:
    """What can be submitted, with the JSON schema of each type's parameters."""
    return json_response({"job_types": services_of(request).submitter.job_types()})


@router.get("", dependencies=[READER])
def list_jobs(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
    """The newest jobs first."""
    with services_of(request).repository.transaction() as connection:
        found = jobs.list_jobs(connection, limit)
    return json_response({"jobs": [job.model_dump(mode="json") for job in found]})


@router.post("/submit/{job_type}", status_code=202)
def submit(
    request: Request,
    job_type: str,
    parameters: Annotated[dict[str, Any], Body()],
    grant: Operator,
) -> Response:
    """Submit a job; the same parameters on unchanged sources are the same job (200, not 202)."""
    submission = services_of(request).submitter.submit(
        job_type, parameters, submitted_by=grant.name
    )
    content = {**submission.job.model_dump(mode="json"), "created": submission.created}
    return _at_job(submission.job, content, 202 if submission.created else 200)


@router.get("/{job_id}", dependencies=[READER])
def get_job(request: Request, job_id: str) -> Response:
    """A job with its stages, how far it is, and its result or error."""
    with services_of(request).repository.transaction() as connection:
        job = jobs.get_job(connection, job_id)
        stages = jobs.list_stages(connection, job_id)
        tasks = jobs.list_tasks(connection, job_id, _TASKS_LOOKED_AT)
    return json_response(
        {
            **job.model_dump(mode="json"),
            "stages": [stage.model_dump(mode="json") for stage in stages],
            "progress": progress(stages, tasks),
        }
    )


@router.get("/{job_id}/tasks", dependencies=[READER])
def list_tasks(
    request: Request, job_id: str, limit: Annotated[int, Query(ge=1, le=_MOST_TASKS)] = 1000
) -> Response:
    """The tasks of a job, by stage and place."""
    with services_of(request).repository.transaction() as connection:
        jobs.get_job(connection, job_id)
        tasks = jobs.list_tasks(connection, job_id, limit)
    return json_response({"tasks": [task.model_dump(mode="json") for task in tasks]})


@router.post("/{job_id}/resubmit", status_code=202)
def resubmit(request: Request, job_id: str, grant: Operator) -> Response:  # noqa: ARG001
    """Run a failed or cancelled job again."""
    job = services_of(request).submitter.resubmit(job_id)
    return _at_job(job, job.model_dump(mode="json"), 202)


def progress(stages: Sequence[Stage], tasks: Sequence[Task]) -> Json:
    """How far the begun stages are; ``done`` of ``total`` is what the running task reports."""
    running = next((task for task in tasks if task.status == Status.RUNNING), None)
    return {
        "stage": stages[-1].name if stages else None,
        "tasks_finished": sum(stage.finished_count for stage in stages),
        "tasks_total": sum(stage.task_count for stage in stages),
        "done": running and running.progress_done,
        "total": running and running.progress_total,
        "message": running and running.progress_message,
    }


def _at_job(job: Job, content: Json, status: int) -> Response:
    response = json_response(content, status=status)
    response.headers["Location"] = f"/api/jobs/{job.job_id}"
    return response
