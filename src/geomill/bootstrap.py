"""The composition root: settings in, wired services out. Nothing else constructs services."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from geomill.access import TokenStore
from geomill.database.credentials import CredentialProvider, DsnCredentials
from geomill.database.embedded import EmbeddedCluster
from geomill.database.pgstac_bootstrap import PgStacBootstrap
from geomill.database.postgresql import PoolLimits, PostgreSQLRepository
from geomill.database.schema import deploy
from geomill.errors import DatabaseUnavailable
from geomill.etl.context import WorkContext
from geomill.workflow import engine
from geomill.workflow.child import ChildRequest
from geomill.workflow.definitions import get_definition, validate
from geomill.workflow.reconcile import INTERVAL_S, reconcile
from geomill.workflow.submit import Submitter
from geomill.workflow.worker import Worker

if TYPE_CHECKING:
    from geomill.config import Settings
    from geomill.model.job import Json

_log = structlog.get_logger()


@dataclass(frozen=True)
class Services:
    """What the edges work with."""

    settings: Settings
    repository: PostgreSQLRepository
    submitter: Submitter
    tokens: TokenStore


@contextmanager
def running_services(settings: Settings, role: str) -> Generator[Services]:
    """Open the services of one process; with no DSN the embedded cluster runs meanwhile.

    Args:
        settings: The process's settings.
        role: What the process is: ``api``, ``worker``, …; part of ``application_name``.

    Raises:
        ConfigurationError: a precondition of this machine is missing.
        DatabaseUnavailable: the embedded cluster did not start.
    """
    with contextlib.ExitStack() as stack:
        if settings.embedded:
            cluster = EmbeddedCluster(settings.home)
            cluster.start()
            stack.callback(cluster.stop)
        repository = _repository(settings, role)
        repository.open()
        stack.callback(repository.close)
        yield Services(
            settings=settings,
            repository=repository,
            submitter=Submitter(settings, repository, child_main),
            tokens=TokenStore(settings.home),
        )


def prepare_database(services: Services) -> list[str]:
    """Deploy the schemas and pgSTAC where they are missing; says what was done."""
    done: list[str] = []
    with services.repository.transaction() as connection:
        if deploy(connection):
            done.append("deployed schemas app, geo, h3 and the queue")
    bootstrap = PgStacBootstrap(services.repository)
    if bootstrap.install():
        done.append(f"installed pgSTAC {bootstrap.check_installation().version}")
    return done


def run_worker(settings: Settings) -> None:
    """Run tasks until SIGTERM or SIGINT, then finish the running ones and return."""
    with running_services(settings, "worker") as services:
        prepare_database(services)
        asyncio.run(_work(services))


async def _work(services: Services) -> None:
    worker = Worker(services.settings, services.repository, child_main)
    pool = await services.repository.open_async()
    reconciler = asyncio.create_task(_reconcile_for_ever(services.repository))
    try:
        await engine.run(pool, worker.run_task, concurrency=services.settings.worker_concurrency)
    finally:
        reconciler.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reconciler
        await services.repository.close_async()


async def _reconcile_for_ever(repository: PostgreSQLRepository) -> None:
    while True:
        try:
            await asyncio.to_thread(reconcile, repository)
        except DatabaseUnavailable as error:
            _log.warning("reconciler waits for the database", detail=error.message)
        except Exception:  # noqa: BLE001 - one bad pass must not end reconciling
            _log.exception("a reconciling pass failed")
        await asyncio.sleep(INTERVAL_S)


def child_main(request: ChildRequest) -> Json:
    """What a child process does: check a submission, or run one task's handler."""
    definition = get_definition(request.job_type)
    parameters = validate(definition, request.parameters)
    if request.task is None:
        return definition.check(parameters) if definition.check is not None else {}
    repository = _repository(request.settings, "task")
    repository.open()
    try:
        context = WorkContext(repository, request.task)
        stage = definition.stages[request.task.number]
        return stage.handler(context, parameters, request.task.input)
    finally:
        repository.close()


def _repository(settings: Settings, role: str) -> PostgreSQLRepository:
    credentials: CredentialProvider = (
        EmbeddedCluster(settings.home).credentials
        if settings.dsn is None
        else DsnCredentials(settings.dsn)
    )
    limits = PoolLimits(
        max_size=settings.pool_max_size,
        timeout_s=settings.pool_timeout_s,
        read_statement_timeout_s=settings.statement_timeout_s,
    )
    return PostgreSQLRepository(credentials, role=role, limits=limits)
