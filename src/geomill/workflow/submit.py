"""Takes submissions: refuses wrong ones before a job exists, and the same one only once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from geomill.errors import AlreadyExists
from geomill.model.job import Job, Json, Status, job_id_of
from geomill.repositories import jobs
from geomill.workflow import advance
from geomill.workflow.child import ChildEntry, ChildRequest, run_in_child
from geomill.workflow.definitions import JOB_TYPES, JobDefinition, get_definition, validate

if TYPE_CHECKING:
    from psycopg import Connection

    from geomill.config import Settings
    from geomill.database.postgresql import PostgreSQLRepository


@dataclass(frozen=True)
class Submission:
    """The job that answers a submission, and whether it was made for it."""

    job: Job
    created: bool


class Submitter:
    """Turns requests into jobs."""

    def __init__(
        self, settings: Settings, repository: PostgreSQLRepository, child_entry: ChildEntry
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._child_entry = child_entry

    def submit(self, job_type: str, parameters: Json, *, submitted_by: str) -> Submission:
        """Insert the job and queue its first tasks in one transaction, or find the one there is.

        Args:
            job_type: A registered job type.
            parameters: As the client sent them.
            submitted_by: Who asks, for the record.

        Raises:
            NotFound: unknown job type.
            InvalidParameter: a parameter is wrong.
            InvalidSource: a source is missing or cannot be ingested.
        """
        definition = get_definition(job_type)
        validated = validate(definition, parameters)
        job = _job(definition, validated, submitted_by)
        with self._repository.transaction() as connection:
            existing = jobs.find_job(connection, job.job_id)
            if existing is not None:
                return _answered(connection, definition, validated, existing)
        if definition.check is not None:
            run_in_child(
                self._child_entry, ChildRequest(self._settings, job.job_type, job.parameters)
            )
        with self._repository.transaction() as connection:
            created = jobs.insert_job(connection, job)
            if created:
                advance.begin(connection, job)
            return Submission(jobs.get_job(connection, job.job_id), created=created)

    def resubmit(self, job_id: str) -> Job:
        """Run a failed or cancelled job again from its first stage.

        Raises:
            NotFound: there is no such job.
            AlreadyExists: the job is running, waiting or has succeeded.
        """
        with self._repository.transaction() as connection:
            if not jobs.reopen_job(connection, job_id, (Status.FAILED, Status.CANCELLED)):
                job = jobs.get_job(connection, job_id)
                raise AlreadyExists(
                    f"Job {job_id} is {job.status}; only failed and cancelled jobs run again.",
                    remedy="Wait for it to end, or submit it with other parameters.",
                )
            job = jobs.get_job(connection, job_id)
            advance.begin(connection, job)
            return job

    @staticmethod
    def job_types() -> list[Json]:
        """Name, version and parameters (JSON Schema) of each job type."""
        return [
            {
                "name": definition.name,
                "version": definition.version,
                "description": (definition.parameters.__doc__ or "").strip(),
                "stages": [stage.name for stage in definition.stages],
                "parameters": definition.parameters.model_json_schema(),
            }
            for definition in JOB_TYPES.values()
        ]


def _answered(
    connection: Connection[tuple[Any, ...]],
    definition: JobDefinition,
    parameters: Any,
    existing: Job,
) -> Submission:
    """The job there is; run again if it succeeded and something else has taken its place since."""
    if (
        existing.status is not Status.SUCCEEDED
        or definition.stands is None
        or definition.stands(connection, existing.job_id, parameters)
        or not jobs.reopen_job(connection, existing.job_id, (Status.SUCCEEDED,))
    ):
        return Submission(existing, created=False)
    advance.begin(connection, existing)
    return Submission(jobs.get_job(connection, existing.job_id), created=True)


def _job(definition: JobDefinition, validated: Any, submitted_by: str) -> Job:
    parameters = validated.model_dump(mode="json")
    sources = {} if definition.sources is None else definition.sources(validated)
    return Job(
        job_id=job_id_of(definition.name, definition.version, parameters, sources),
        job_type=definition.name,
        version=definition.version,
        parameters=parameters,
        sources=sources,
        status=Status.QUEUED,
        run=1,
        submitted_by=submitted_by,
        result=None,
        error=None,
        created_at=datetime.now(UTC),
        finished_at=None,
    )
