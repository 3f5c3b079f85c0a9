"""Fixtures: one real cluster for the run, a template database, real servers and workers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from geomill.access import Role, TokenStore
from geomill.config import Settings
from geomill.database.credentials import DsnCredentials, EmbeddedCredentials
from geomill.database.embedded import EmbeddedCluster
from geomill.database.pgstac_bootstrap import PgStacBootstrap
from geomill.database.postgresql import PostgreSQLRepository
from geomill.database.schema import deploy

DATA = Path(__file__).parent.parent / "examples" / "data"
SAMPLES = {
    "rmnp": DATA / "rmnp.shp",
    "counties": DATA / "counties.geojson",
    "glaciers": DATA / "glaciers.geojson",
    "trail": DATA / "trail.geojson",
}


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A data directory that the server's account can enter, also as root."""
    directory = Path(tempfile.mkdtemp(prefix="geomill-test-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(home: Path) -> Iterator[EmbeddedCluster]:
    """The run's PostgreSQL, started the way a user's is."""
    cluster = EmbeddedCluster(home)
    cluster.start()
    yield cluster
    cluster.stop()


def _opened(cluster: EmbeddedCluster, database: str, role: str) -> PostgreSQLRepository:
    embedded = cluster.credentials
    credentials = EmbeddedCredentials(
        embedded.socket_dir, embedded.password_file, embedded.user, database
    )
    repository = PostgreSQLRepository(credentials, role=role)
    repository.open()
    return repository


def run_sql(cluster: EmbeddedCluster, statement: sql.Composed) -> None:
    """A statement that cannot run in a transaction (CREATE DATABASE)."""
    repository = _opened(cluster, "postgres", "test-admin")
    try:
        with repository.transaction() as connection:
            connection.rollback()
            connection.autocommit = True
            connection.execute(statement)
            connection.autocommit = False
    finally:
        repository.close()


@pytest.fixture(scope="session")
def template(cluster: EmbeddedCluster) -> str:
    """A database with every schema deployed, to clone from."""
    name = "geomill_template"
    run_sql(cluster, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    repository = _opened(cluster, name, "test-template")
    with repository.transaction() as connection:
        deploy(connection)
    PgStacBootstrap(repository).install()
    repository.close()
    return name


def _clone(cluster: EmbeddedCluster, template: str) -> str:
    name = f"test_{uuid.uuid4().hex[:12]}"
    run_sql(
        cluster,
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        ),
    )
    return name


@pytest.fixture
def make_database(cluster: EmbeddedCluster) -> Callable[[], PostgreSQLRepository]:
    """Makes an authority on an empty database."""

    def make() -> PostgreSQLRepository:
        return _opened(cluster, _clone(cluster, "template1"), "test")

    return make


def dsn_of(cluster: EmbeddedCluster, database: str) -> str:
    parameters = {**cluster.credentials.connection_parameters(), "dbname": database}
    return make_conninfo(**{key: str(value) for key, value in parameters.items()})


@pytest.fixture(scope="module")
def settings(cluster: EmbeddedCluster, template: str, home: Path) -> Settings:
    """Settings on a fresh database of this module's own."""
    dsn = dsn_of(cluster, _clone(cluster, template))
    return Settings(home=home, dsn=dsn, pool_timeout_s=5)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def repository(settings: Settings) -> Iterator[PostgreSQLRepository]:
    """An open authority on this module's database."""
    assert settings.dsn is not None
    repository = PostgreSQLRepository(DsnCredentials(settings.dsn), role="test")
    repository.open()
    yield repository
    repository.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Server:
    """A running API and worker, as a user has them."""

    url: str
    home: Path
    environment: dict[str, str]


def _start(environment: dict[str, str], command: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "geomill", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _await_ready(url: str, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            break
        try:
            if httpx.get(f"{url}/api/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the server did not come up:\n{log.read_text()[-4000:]}")


@contextmanager
def _running(cluster: EmbeddedCluster, template: str, home: Path) -> Iterator[Server]:
    port = free_port()
    environment = {
        **os.environ,
        "GEOMILL_HOME": str(home),
        "GEOMILL_DSN": dsn_of(cluster, _clone(cluster, template)),
        "GEOMILL_PORT": str(port),
        "GEOMILL_ANONYMOUS_ROLE": "reader",
    }
    log = home / f"server-{port}.log"
    processes = [_start(environment, "serve", log), _start(environment, "worker", log)]
    server = Server(f"http://127.0.0.1:{port}", home, environment)
    try:
        _await_ready(server.url, processes, log)
        yield server
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(30)


@pytest.fixture(scope="session")
def server(cluster: EmbeddedCluster, template: str, home: Path) -> Iterator[Server]:
    """A real API and a real worker on a database of their own, anonymous reading allowed."""
    with _running(cluster, template, home) as server:
        yield server


def _client(server: Server, role: Role | None) -> httpx.Client:
    headers: dict[str, str] = {}
    if role is not None:
        secret = TokenStore(server.home).mint(role, f"test {role}", lifetime_s=3600)
        headers["Authorization"] = f"Bearer {secret}"
    return httpx.Client(base_url=server.url, headers=headers, timeout=60)


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    with _client(server, None) as client:
        yield client


@pytest.fixture(scope="session")
def operator(server: Server) -> Iterator[httpx.Client]:
    with _client(server, Role.OPERATOR) as client:
        yield client


@pytest.fixture(scope="session")
def admin(server: Server) -> Iterator[httpx.Client]:
    with _client(server, Role.ADMIN) as client:
        yield client


def await_job(client: httpx.Client, job_id: str, timeout_s: float = 60) -> dict[str, Any]:
    """The job once it has ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        job = client.get(f"/api/jobs/{job_id}").raise_for_status().json()
        if job["status"] not in {"queued", "running"}:
            return job
        time.sleep(0.05)
    pytest.fail(f"job {job_id} did not end: {job}")


def publish_samples(client: httpx.Client) -> None:
    """Publish the sample data through the API."""
    submitted: list[str] = []
    for name, path in SAMPLES.items():
        answer = client.post(
            "/api/jobs/submit/process_vector", json={"source": str(path), "table": name}
        )
        submitted.append(answer.raise_for_status().json()["job_id"])
    for job_id in submitted:
        job = await_job(client, job_id)
        assert job["status"] == "succeeded", job


@pytest.fixture(scope="session")
def published(operator: httpx.Client) -> dict[str, str]:
    """The sample data, published on ``server``."""
    publish_samples(operator)
    return {name: name for name in SAMPLES}


@pytest.fixture(scope="session")
def published_server(cluster: EmbeddedCluster, template: str, home: Path) -> Iterator[Server]:
    """A server of its own, on which the sample data and nothing else is published."""
    with _running(cluster, template, home) as server:
        with _client(server, Role.OPERATOR) as client:
            publish_samples(client)
        yield server
