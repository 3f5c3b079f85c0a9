"""The worker process under stress: lost connections, a clean stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from geomill.database.postgresql import PostgreSQLRepository


def test_losing_every_connection_costs_no_job(
    operator: httpx.Client, database: PostgreSQLRepository
) -> None:
    for round_ in range(2):
        with database.transaction() as connection:
            killed = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert killed is not None
        assert killed[0] > 0
        answer = operator.post(
            "/api/jobs/submit/hello_world", json={"n": 3, "name": f"reconnected {round_}"}
        )
        assert answer.status_code == 202, answer.text
        deadline = time.monotonic() + 60
        status = ""
        while status != "succeeded" and time.monotonic() < deadline:
            status = operator.get(f"/api/jobs/{answer.json()['job_id']}").json()["status"]
            time.sleep(0.1)
        assert status == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(server: Any, number: signal.Signals) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "geomill", "worker"],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(5)
    assert worker.poll() is None
    worker.send_signal(number)
    _, said = worker.communicate(timeout=30)
    assert worker.returncode == 0, said
    assert "Traceback" not in said
