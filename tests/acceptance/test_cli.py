"""The command line as a user has it: real processes, real exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from geomill.cli import doctor
from geomill.cli.samples import find_files
from geomill.config import Settings
from geomill.database import embedded
from geomill.database.credentials import DsnCredentials
from geomill.database.postgresql import PostgreSQLRepository
from geomill.errors import InvalidParameter

if TYPE_CHECKING:
    from tests.conftest import Server

GEOMILL = [sys.executable, "-m", "geomill"]
ONE_POINT = (
    '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"n": 1},'
    ' "geometry": {"type": "Point", "coordinates": [7, 46]}}]}'
)


def geomill(
    environment: dict[str, str], *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GEOMILL, *arguments],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def clean_environment(home: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GEOMILL_")}
    return {**kept, "GEOMILL_HOME": str(home), "GEOMILL_PORT": str(port)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def is_one_line(text: str) -> bool:
    return text.startswith("geomill: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A home of this test's own that the server's account can enter, also as root.

    Not below pytest's directory: each start of pytest makes that private again.
    """
    home = Path(tempfile.mkdtemp(prefix="geomill-up-", dir="/tmp"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


def test_version():
    shown = geomill(dict(os.environ), "--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("geomill 0.")


def test_wrong_usage_is_exit_code_2():
    assert geomill(dict(os.environ), "submit").returncode == 2


def test_a_setting_that_cannot_be_used_is_named_in_one_line():
    shown = geomill({**os.environ, "GEOMILL_PORT": "many"}, "status")
    assert shown.returncode == 1
    assert is_one_line(shown.stderr)
    assert "GEOMILL_PORT" in shown.stderr


def test_submitting_without_a_server_says_how_to_start_one(tmp_path: Path):
    shown = geomill(clean_environment(tmp_path, free_port()), "submit", "hello_world")
    assert shown.returncode == 1
    assert is_one_line(shown.stderr)
    assert "geomill up" in shown.stderr


def test_doctor_works_where_nothing_runs(own_home: Path):
    shown = geomill(clean_environment(own_home / "new", free_port()), "doctor", "--json")
    report = json.loads(shown.stdout)
    assert shown.returncode == 0
    assert report["healthy"] is True
    assert "not running" in next(c for c in report["checks"] if c["name"] == "database")["detail"]
    assert not (own_home / "new").exists()


def test_doctor_finds_the_running_server(server: Server):
    shown = geomill(server.environment, "doctor")
    assert shown.returncode == 0, shown.stdout
    assert f"geomill answers at {server.url}" in shown.stdout
    assert "✓ pgSTAC" in shown.stdout


def test_doctor_names_a_foreign_program_on_the_port(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        shown = geomill(clean_environment(tmp_path, other.getsockname()[1]), "doctor")
    assert shown.returncode == 1
    assert "GEOMILL_PORT" in shown.stdout


def test_up_says_that_geomill_runs_already(server: Server):
    shown = geomill(server.environment, "up")
    assert shown.returncode == 1
    assert is_one_line(shown.stderr)
    assert f"already runs at {server.url}" in shown.stderr


def test_submit_waits_and_prints_one_json_document(server: Server):
    arguments = ("hello_world", "--param", "n=2", "--param", "name=cli", "--wait", "--json")
    shown = geomill(server.environment, "submit", *arguments)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["status"] == "succeeded"


def test_submit_makes_a_source_absolute(server: Server, tmp_path: Path):
    (tmp_path / "place.geojson").write_text(ONE_POINT)
    arguments = ("--source", "place.geojson", "--table", "cli_place", "--wait", "--json")
    shown = geomill(server.environment, "submit", "process_vector", *arguments, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["result"]["row_count"] == 1


def test_submit_leaves_no_token_behind(server: Server):
    before = set((server.home / "tokens").glob("*.json"))
    geomill(server.environment, "submit", "hello_world", "--param", "name=tokens")
    assert set((server.home / "tokens").glob("*.json")) <= before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("no_such_job",), "no_such_job"),
        (("hello_world", "--param", "n=many"), "n"),
        (("hello_world", "--param", "n"), "KEY=VALUE"),
        (("process_vector", "--source", "missing.gpkg", "--table", "t"), "missing.gpkg"),
    ],
)
def test_a_refused_submission_is_one_line(
    server: Server, tmp_path: Path, arguments: tuple[str, ...], named: str
):
    shown = geomill(server.environment, "submit", *arguments, cwd=tmp_path)
    assert shown.returncode == 1
    assert is_one_line(shown.stderr)
    assert named in shown.stderr


def test_a_wrong_token_is_one_line(server: Server):
    shown = geomill({**server.environment, "GEOMILL_TOKEN": "wrong"}, "submit", "hello_world")
    assert shown.returncode == 1
    assert is_one_line(shown.stderr)


def test_status_shows_a_job_by_the_beginning_of_its_id(server: Server):
    submitted = geomill(server.environment, "submit", "hello_world", "--wait", "--json")
    job_id = json.loads(submitted.stdout)["job_id"]
    listed = geomill(server.environment, "status")
    assert job_id[:12] in listed.stdout
    shown = geomill(server.environment, "status", job_id[:12], "--watch")
    assert job_id in shown.stdout
    assert "succeeded" in shown.stdout


def test_schema_status_is_current_and_deploy_has_nothing_to_do(server: Server):
    shown = geomill(server.environment, "schema", "status", "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["current"] is True
    assert "nothing to do" in geomill(server.environment, "schema", "deploy").stdout


def test_up_once_publishes_and_a_second_time_changes_nothing(own_home: Path, tmp_path: Path):
    environment = clean_environment(own_home, free_port())
    (tmp_path / "Two-Words.geojson").write_text(ONE_POINT)
    first = geomill(environment, "up", "--once", "--samples", str(tmp_path))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "published" in first.stdout
    second = geomill(environment, "up", "--once", "--samples", str(tmp_path))
    assert second.returncode == 0, second.stdout + second.stderr
    assert "two_words" in second.stdout
    assert "unchanged" in second.stdout
    (tmp_path / "bad.geojson").write_text("not geodata")
    third = geomill(environment, "up", "--once", "--samples", str(tmp_path))
    assert third.returncode == 1
    assert "failed" in third.stdout


@pytest.fixture
def served(own_home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A ``geomill up`` in the foreground, and where it serves."""
    port = free_port()
    with subprocess.Popen(
        [*GEOMILL, "up"],
        env=clean_environment(own_home, port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while "Ctrl-C" not in (line := process.stdout.readline()):
            assert line, process.stderr and process.stderr.read()
        yield process, f"http://127.0.0.1:{port}"
        if process.poll() is None:
            process.kill()


def children_of(pid: int) -> dict[str, int]:
    """The supervisor's children by their command (``serve``, ``worker``)."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    commands = {int(p): Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0") for p in pids}
    wanted = {"serve", "worker"}
    return {
        word.decode(): child
        for child, words in commands.items()
        for word in words
        if word.decode() in wanted
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_stops_everything_when_asked(
    served: tuple[subprocess.Popen[str], str], number: signal.Signals
):
    process, url = served
    children = children_of(process.pid)
    assert set(children) == {"serve", "worker"}
    assert httpx.get(f"{url}/api/readyz").status_code == 200
    process.send_signal(number)
    assert process.wait(40) == 0
    assert not any(Path(f"/proc/{child}").exists() for child in children.values())


def test_up_says_which_process_died(served: tuple[subprocess.Popen[str], str]):
    process, _ = served
    os.kill(children_of(process.pid)["worker"], signal.SIGKILL)
    _, said = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "The worker process ended with signal SIGKILL." in said


def test_a_killed_supervisor_leaves_no_process_behind(
    served: tuple[subprocess.Popen[str], str],
):
    process, _ = served
    children = children_of(process.pid).values()
    process.kill()
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 40)


def test_a_failed_job_runs_again_when_submitted_again(server: Server, tmp_path: Path):
    source = tmp_path / "again.geojson"
    source.write_text(ONE_POINT)
    credentials = DsnCredentials(SecretStr(server.environment["GEOMILL_DSN"]))
    repository = PostgreSQLRepository(credentials, role="test")
    repository.open()
    with contextlib.closing(repository):
        with repository.transaction() as connection:
            connection.execute("CREATE TABLE geo.in_the_way (n int)")
        command = ("submit", "process_vector", "--source", str(source), "--table", "in_the_way")
        first = geomill(server.environment, *command, "--wait")
        assert first.returncode == 1
        with repository.transaction() as connection:
            connection.execute("DROP TABLE geo.in_the_way")
    second = geomill(server.environment, *command, "--wait", "--json")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["run"] == 2


def test_a_source_that_is_a_url_is_passed_on(server: Server):
    answer = geomill(
        server.environment,
        *("submit", "process_vector", "--source", "s3://bucket/a.gpkg", "--table", "a"),
    )
    assert answer.returncode == 1
    assert "scheme 's3'" in answer.stderr


def test_doctor_says_why_the_database_cannot_be_reached(tmp_path: Path):
    environment = clean_environment(tmp_path, free_port())
    environment["GEOMILL_DSN"] = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x"
    answer = geomill(environment, "doctor")
    assert answer.returncode == 1
    assert "refused" in answer.stdout
    assert "hunter2" not in answer.stdout + answer.stderr
    assert answer.stderr == ""


def test_doctor_names_a_directory_the_server_cannot_enter(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedded, "_server_user", lambda: pwd.getpwnam("nobody"))
    own_home.chmod(0o700)
    settings = Settings(home=own_home / "home", port=free_port())
    checks = {check.name: check for check in doctor._checks(settings)}
    assert checks["server account"].ok is False
    assert f"may not enter {own_home}" in checks["server account"].detail
    assert "chmod o+x" in checks["server account"].remedy


def test_samples_of_one_name_are_refused(tmp_path: Path):
    for name in ("a-b.geojson", "a_b.gpkg"):
        (tmp_path / name).touch()
    with pytest.raises(InvalidParameter, match="both be published as 'a_b'"):
        find_files(tmp_path)
