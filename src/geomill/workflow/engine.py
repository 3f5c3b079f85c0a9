"""The queue: Procrastinate behind three functions. It only delivers; ``app.*`` is the truth."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import psycopg
import structlog
from procrastinate import App, JobContext, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException

from geomill.errors import DatabaseUnavailable
from geomill.repositories import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procrastinate.types import JSONDict
    from psycopg import Connection

    from geomill.database.postgresql import AsyncPool

QUEUE = "geomill"
HEARTBEAT_S = 5.0
STALLED_AFTER_S = 30.0
_TASK_NAME = "geomill.deliver"
_POLL_S = 1.0
_ANALYZE_FROM = 500
_LASTING_S = 10.0
_MOST_STARTS = 20
_log = structlog.get_logger()

_enqueuer = App(connector=SyncPsycopgConnector())


def enqueue(connection: Connection[tuple[Any, ...]], task_ids: Sequence[int]) -> None:
    """Have tasks delivered once the caller's transaction commits."""
    if not task_ids:
        return
    deferrer = _enqueuer.configure_task(_TASK_NAME, queue=QUEUE, connection=connection)
    deliveries: list[JSONDict] = [{"task_id": task_id} for task_id in task_ids]
    engine_ids = deferrer.batch_defer(*deliveries)
    jobs.set_deliveries(connection, task_ids, engine_ids)
    if len(task_ids) >= _ANALYZE_FROM:
        # Without statistics on many fresh rows one fetch takes a second instead of 0.1 ms.
        connection.execute("ANALYZE procrastinate.procrastinate_jobs")


async def run(pool: AsyncPool, deliver: Callable[[int], None], *, concurrency: int) -> None:
    """Deliver tasks to ``deliver``, each in a thread, until SIGTERM or SIGINT; then drain.

    A lost connection ends the library's worker; it is started again, so that a restart of
    PostgreSQL costs no worker.

    Raises:
        DatabaseUnavailable: the worker kept ending as soon as it was started.
    """
    app = App(connector=PsycopgConnector())
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="task") as threads:

        async def deliver_one(context: JobContext, task_id: int) -> None:
            beating = asyncio.create_task(_beat(app, context.job.worker_id))
            try:
                await asyncio.get_running_loop().run_in_executor(threads, deliver, task_id)
            finally:
                beating.cancel()

        app.task(name=_TASK_NAME, queue=QUEUE, pass_context=True)(deliver_one)
        await app.open_async(cast("Any", pool))
        starts_in_a_row = 0
        while not stop.is_set():
            started_s = time.monotonic()
            await _run_once(app, stop, concurrency)
            lasted = time.monotonic() - started_s > _LASTING_S
            starts_in_a_row = 1 if lasted else starts_in_a_row + 1
            if not stop.is_set():
                _log.warning("the queue's worker ended and is started again")
                await asyncio.sleep(_POLL_S)
            if starts_in_a_row > _MOST_STARTS:
                raise DatabaseUnavailable(
                    "The queue's worker ended each time it was started.",
                    remedy="The lines above say why; 'geomill doctor' looks at the database.",
                )


async def _beat(app: App, worker_id: int | None) -> None:
    """Keep a worker's heartbeat while a task runs: the library's own ends when draining begins."""
    while worker_id is not None:
        await asyncio.sleep(HEARTBEAT_S)
        with contextlib.suppress(ConnectorException, psycopg.OperationalError):
            await app.job_manager.update_heartbeat(worker_id)


async def _run_once(app: App, stop: asyncio.Event, concurrency: int) -> None:
    working = asyncio.create_task(
        app.run_worker_async(
            queues=[QUEUE],
            concurrency=concurrency,
            fetch_job_polling_interval=_POLL_S,
            delete_jobs="always",
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=STALLED_AFTER_S,
            install_signal_handlers=False,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await working
        except (ConnectorException, psycopg.OperationalError) as error:
            _log.warning("the queue lost its connection", detail=str(error))
