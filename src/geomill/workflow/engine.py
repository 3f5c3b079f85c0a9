"""The queue: Procrastinate behind three functions. It only delivers; ``app.*`` is the truth."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

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


async def run(
    pool: AsyncPool,
    deliver: Callable[[int], None],
    *,
    concurrency: int,
) -> None:
    """Deliver tasks to ``deliver``, each in a thread, until SIGTERM or SIGINT; then drain."""
    app = App(connector=PsycopgConnector())
    with ThreadPoolExecutor(concurrency, thread_name_prefix="task") as threads:

        async def deliver_one(task_id: int) -> None:
            await asyncio.get_running_loop().run_in_executor(threads, deliver, task_id)

        app.task(name=_TASK_NAME, queue=QUEUE)(deliver_one)
        await app.open_async(cast("Any", pool))
        await app.run_worker_async(
            queues=[QUEUE],
            concurrency=concurrency,
            fetch_job_polling_interval=_POLL_S,
            delete_jobs="always",
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=STALLED_AFTER_S,
        )
