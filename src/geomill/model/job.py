"""Job → Stage → Task: the rows that are the truth about all work."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from geomill.model.table import Column, ForeignKey, Index, Row, Table

Json = dict[str, Any]


class Status(StrEnum):
    """The states of a job, a stage and a task."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens on its own."""
        return self in {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}


class Failure(BaseModel):
    """Why something failed, as a user reads it; tracebacks stay in the worker's log."""

    model_config = ConfigDict(frozen=True)

    type: str
    message: str
    remedy: str
    transient: bool = False


class Job(Row):
    """One submission of a job type with its parameters."""

    __table__: ClassVar[Table] = Table(
        schema="app",
        name="jobs",
        primary_key=("job_id",),
        comment="One row per submission; job_id is a hash of what was asked.",
        indexes=(Index("jobs_created_at", ("created_at", "job_id")),),
        checks=(
            (
                "jobs_finished_when_terminal",
                "(finished_at IS NULL) = (status IN ('queued', 'running'))",
            ),
        ),
    )

    job_id: str
    job_type: str
    version: int
    parameters: Json
    sources: Json
    status: Annotated[Status, Column(default="'queued'")]
    run: Annotated[int, Column(default="1")]
    submitted_by: str
    result: Json | None
    error: Failure | None
    created_at: Annotated[datetime, Column(default="now()")]
    finished_at: datetime | None


class Stage(Row):
    """One step of a job; its tasks run side by side."""

    __table__: ClassVar[Table] = Table(
        schema="app",
        name="stages",
        primary_key=("job_id", "number"),
        comment="One row per stage that has begun; the counts are the barrier.",
        foreign_keys=(ForeignKey(("job_id",), ("app", "jobs")),),
        checks=(("stages_counts", "finished_count BETWEEN 0 AND task_count"),),
    )

    job_id: str
    number: int
    name: str
    status: Annotated[Status, Column(default="'running'")]
    task_count: int
    finished_count: Annotated[int, Column(default="0")]
    failed_count: Annotated[int, Column(default="0")]
    started_at: Annotated[datetime, Column(default="now()")]
    finished_at: datetime | None


class Task(Row):
    """One unit of work of a stage; ``attempt`` fences every write about it."""

    __table__: ClassVar[Table] = Table(
        schema="app",
        name="tasks",
        primary_key=("task_id",),
        comment="One row per task; engine_id names its delivery, which is never trusted.",
        foreign_keys=(ForeignKey(("job_id", "number"), ("app", "stages")),),
        indexes=(
            Index("tasks_place", ("job_id", "number", "index"), unique=True),
            Index("tasks_open", ("task_id",), where="status IN ('queued', 'running')"),
        ),
    )

    task_id: Annotated[int, Column(sql_type="bigint GENERATED ALWAYS AS IDENTITY")]
    job_id: str
    number: int
    index: int
    input: Json
    status: Annotated[Status, Column(default="'queued'")]
    attempt: Annotated[int, Column(default="0")]
    max_attempts: int
    engine_id: Annotated[int | None, Column(sql_type="bigint")]
    progress_done: Annotated[int | None, Column(sql_type="bigint")]
    progress_total: Annotated[int | None, Column(sql_type="bigint")]
    progress_message: str | None
    result: Json | None
    error: Failure | None
    started_at: datetime | None
    finished_at: datetime | None


def job_id_of(job_type: str, version: int, parameters: Json, sources: Json) -> str:
    """The identity of a submission: sha256 in hex over what was asked and what it reads.

    A changed file (another fingerprint in ``sources``) is new work; an unchanged one is not.
    """
    asked = [job_type, version, parameters, sources]
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
