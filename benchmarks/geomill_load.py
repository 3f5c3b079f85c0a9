"""geomill's own load of a file, in a fresh process and as a worker's child does it."""

from __future__ import annotations

import multiprocessing
import secrets
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from geomill.database.postgresql import PostgreSQLRepository
from geomill.etl.context import TransactionContext, WorkContext
from geomill.etl.vector import handlers
from geomill.model.dataset import LoadReport
from geomill.model.job import Job, Status
from geomill.repositories import jobs, tables

if TYPE_CHECKING:
    from geomill.database.credentials import EmbeddedCredentials


@dataclass(frozen=True)
class Load:
    """One geomill load, measured in its own process."""

    seconds: float
    peak_rss_mb: float
    staging_table: str
    index_s: float = 0.0
    publish_s: float = 0.0


def in_process(
    credentials: EmbeddedCredentials, source: Path, step: Callable[..., Load], *, repair: bool
) -> Load:
    """Run geomill's handlers in a fresh process, as its workers do."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(step, credentials, str(source), repair).result()


def load(credentials: EmbeddedCredentials, source: str, repair: bool) -> Load:
    """Load without indexes: the table's bytes are all that the commit has to bring to disk."""
    with mock.patch.object(tables, "index_staging"), _worker(credentials) as context:
        parameters = handlers.ProcessVector(source=source, table="parcels", repair_geometry=repair)
        inspection = handlers.inspect(context, parameters, {})
        began = time.perf_counter()
        loaded = handlers.load(context, parameters, {"inspection": inspection})
        seconds = time.perf_counter() - began
    result = LoadReport.model_validate(loaded, extra="ignore")
    return Load(
        seconds=seconds - result.index_s,
        peak_rss_mb=_peak_rss_mb(),
        staging_table=result.staging_table,
    )


def load_and_publish(credentials: EmbeddedCredentials, source: str, repair: bool) -> Load:
    """Load, index and publish, as a job does."""
    with _worker(credentials) as context:
        parameters = handlers.ProcessVector(source=source, table="parcels", repair_geometry=repair)
        inspection = handlers.inspect(context, parameters, {})
        loaded = handlers.load(context, parameters, {"inspection": inspection})
        began = time.perf_counter()
        with context.repository.transaction() as connection:
            transaction = TransactionContext(connection=connection, task=context.task)
            handlers.publish(transaction, parameters, {"inspection": inspection, "load": loaded})
        publish_s = time.perf_counter() - began
    result = LoadReport.model_validate(loaded, extra="ignore")
    return Load(
        seconds=result.load_s,
        peak_rss_mb=_peak_rss_mb(),
        staging_table=result.staging_table,
        index_s=result.index_s,
        publish_s=publish_s,
    )


@contextmanager
def _worker(credentials: EmbeddedCredentials) -> Generator[WorkContext]:
    """What a worker gives a handler: a repository and a task that runs."""
    repository = PostgreSQLRepository(credentials, role="bench-load")
    repository.open()
    job_id = secrets.token_hex(32)
    with repository.transaction() as connection:
        jobs.insert_job(connection, _job(job_id))
        jobs.open_stage(connection, job_id, 1, "load", 1)
        (task_id,) = jobs.insert_tasks(connection, job_id, 1, [{}], 1)
        task = jobs.start_task(connection, task_id)
    if task is None:
        msg = "the task that was just inserted cannot be started"
        raise RuntimeError(msg)
    yield WorkContext(repository=repository, task=task)
    repository.close()


def _job(job_id: str) -> Job:
    return Job(
        job_id=job_id,
        job_type="process_vector",
        version=1,
        parameters={},
        sources={},
        status=Status.RUNNING,
        run=1,
        submitted_by="bench",
        result=None,
        error=None,
        created_at=datetime.now(UTC),
        finished_at=None,
    )


def _peak_rss_mb() -> float:
    """The most memory this program has held; unlike ``ru_maxrss`` it begins anew at exec."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
