"""The private cluster: starts from nothing, survives kill -9, refuses what cannot work."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from geomill.database import embedded
from geomill.database.embedded import EmbeddedCluster
from geomill.database.postgresql import PostgreSQLRepository
from geomill.errors import ConfigurationError


@pytest.fixture
def own_home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="geomill-cluster-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def answers(cluster: EmbeddedCluster) -> bool:
    repository = PostgreSQLRepository(cluster.credentials, role="test")
    repository.open()
    try:
        with repository.transaction() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        repository.close()


def test_starts_survives_kill_and_stops_with_its_last_user(own_home: Path) -> None:
    first, second = EmbeddedCluster(own_home), EmbeddedCluster(own_home)
    first.start()
    first.start()
    second.start()
    try:
        assert answers(first)
        pid = int((first.data / "postmaster.pid").read_text().split("\n")[0])
        os.kill(pid, signal.SIGKILL)
        third = EmbeddedCluster(own_home)
        third.start()
        assert answers(third)
        third.stop()
        first.stop()
        assert answers(second)
    finally:
        first.stop()
        second.stop()
    assert not second.accepts_connections()


def test_a_pid_taken_by_another_program_does_not_block_the_start(own_home: Path) -> None:
    cluster = EmbeddedCluster(own_home)
    cluster.start()
    cluster.stop()
    (cluster.data / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster.data}\n")
    cluster.start()
    assert answers(cluster)
    cluster.stop()


def test_secrets_are_private(own_home: Path) -> None:
    cluster = EmbeddedCluster(own_home)
    cluster.start()
    cluster.stop()
    assert (cluster.root / "password").stat().st_mode & 0o777 == 0o600
    assert cluster.socket_dir.stat().st_mode & 0o777 == 0o700


def test_a_long_home_gets_a_short_socket() -> None:
    cluster = EmbeddedCluster(Path("/tmp") / ("x" * 120))
    assert len(str(cluster.socket_dir)) < 90


def test_a_full_disk_is_one_sentence(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_FREE_DISK_MB", 10**12)
    with pytest.raises(ConfigurationError, match="MB are free under"):
        EmbeddedCluster(own_home).start()


def test_missing_postgis_is_one_sentence(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "POSTGIS_CONTROL", own_home / "postgis.control")
    with pytest.raises(ConfigurationError, match="apt-get install"):
        EmbeddedCluster(own_home).start()


def test_a_home_the_server_cannot_enter_is_named(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_server_user", lambda: pwd.getpwnam("nobody"))
    own_home.chmod(0o700)
    with pytest.raises(ConfigurationError, match="may not enter"):
        EmbeddedCluster(own_home).start()


def test_a_socket_directory_of_somebody_else_is_refused(own_home: Path) -> None:
    cluster = EmbeddedCluster(own_home)
    cluster.root.mkdir()
    cluster.socket_dir.symlink_to("/etc")
    with pytest.raises(ConfigurationError, match="somebody else"):
        cluster.start()
