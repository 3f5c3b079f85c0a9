"""``./run`` and ``./test`` before Python: each missing precondition is one clear sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ["run", "test", "bench", "scripts/setup.sh", ".ci/run"]


def stubbed(folder: Path, **programs: str) -> dict[str, str]:
    """An environment in which these programs are shell scripts of one line."""
    for name, line in programs.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder)}


def setup(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"set -eu; started_in=$PWD; . ./scripts/setup.sh; {command}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_is_posix_sh(script: str) -> None:
    assert (ROOT / script).read_text(encoding="utf-8").startswith(("#!/bin/sh\n", "# shellcheck"))
    subprocess.run(["sh", "-n", str(ROOT / script)], check=True)


def test_missing_packages_without_sudo_name_the_command(tmp_path: Path) -> None:
    environment = stubbed(tmp_path, id="echo 1000", sudo="exit 1")
    answer = setup("find_root postgresql-15-postgis-3 </dev/null", environment)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "apt-get install --no-install-recommends postgresql-15-postgis-3" in answer.stderr


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    lines = "echo 'Filesystem 1024-blocks Used Available'; echo '/dev/x 100 90 10240 90% /'"
    environment = {**stubbed(tmp_path, df=lines), "GEOMILL_HOME": str(tmp_path / "home")}
    answer = setup("prepare_home; need_disk 2048", environment)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "10 MB are free" in answer.stderr
    assert "GEOMILL_HOME" in answer.stderr


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**stubbed(tmp_path), "GEOMILL_HOME": str(tmp_path / "file" / "home")}
    answer = setup("prepare_home", environment)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "cannot be written" in answer.stderr


def test_an_old_python_is_named(tmp_path: Path) -> None:
    environment = {
        **stubbed(tmp_path, python3="exit 1", **{"python3.11": "exit 1"}),
        "GEOMILL_HOME": str(tmp_path / "home"),
    }
    answer = setup("PATH=$1; find_python || echo none".replace("$1", str(tmp_path)), environment)
    assert answer.stdout.strip() == "none"


def test_everything_kept_lies_in_the_home_of_an_ordinary_user(tmp_path: Path) -> None:
    environment = stubbed(tmp_path, id="echo 1000")
    answer = setup('prepare_home; echo "$GEOMILL_HOME"', environment)
    assert answer.stdout.strip() == str(tmp_path / ".local" / "share" / "geomill")
