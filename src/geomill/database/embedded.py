"""The private PostgreSQL cluster that geomill starts and owns when no DSN is configured.

A process that uses the cluster holds a shared lock on ``users.lock``; the kernel drops it when
the process dies, so the locks are a reference count that survives any crash. Starting and
stopping happen under an exclusive lock; the last user stops the server.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

from geomill.database.credentials import EmbeddedCredentials
from geomill.errors import ConfigurationError, DatabaseUnavailable

POSTGRESQL_MAJOR = 15
BINARIES = Path(f"/usr/lib/postgresql/{POSTGRESQL_MAJOR}/bin")
POSTGIS_CONTROL = Path(f"/usr/share/postgresql/{POSTGRESQL_MAJOR}/extension/postgis.control")
INSTALL_REMEDY = "Install it: apt-get install postgresql-15-postgis-3 (or let ./run do it)."
_SOCKET_PATH_LIMIT = 107 - len("/.s.PGSQL.5432.lock")
_FREE_DISK_MB = 500
_START_TIMEOUT_S = 60.0
_ORPHANS_GONE_S = 10.0

# wal_level=minimal: a table created and filled in one transaction is fsynced instead of logged,
# which halves what a load writes and loses nothing: there is no replica to feed.
_SERVER_SETTINGS = """\
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 256MB
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
checkpoint_timeout = 15min
recovery_init_sync_method = syncfs
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
"""


class EmbeddedCluster:
    """A PostgreSQL + PostGIS cluster below ``home``.

    Args:
        home: geomill's data directory; created when missing.
    """

    def __init__(self, home: Path) -> None:
        self.root = home.absolute() / "postgres"
        self.data = self.root / str(POSTGRESQL_MAJOR)
        self.log = self.root / "postgresql.log"
        self._users: IO[str] | None = None

    @property
    def socket_dir(self) -> Path:
        """Where the unix socket lies: below the root, or in /tmp when that path is too long."""
        inside = self.root / "run"
        if len(str(inside)) <= _SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"geomill-{os.geteuid()}-{digest}"

    @property
    def credentials(self) -> EmbeddedCredentials:
        """How to connect."""
        return EmbeddedCredentials(self.socket_dir, self.root / "password")

    def start(self) -> None:
        """Make the server run and register this process as a user of it; a second call is free.

        Raises:
            ConfigurationError: a precondition of this machine is missing; the message says which.
            DatabaseUnavailable: the server did not come up.
        """
        if self._users is not None:
            return
        check_binaries()
        self._prepare_directories()
        with self._exclusive():
            self._users = _locked(self.root / "users.lock", fcntl.LOCK_SH)
            try:
                if not self.accepts_connections():
                    if not self.data.exists():
                        self._initialise()
                    self._launch()
            except BaseException:
                self._users.close()
                self._users = None
                raise

    def stop(self) -> None:
        """Unregister this process; the last user stops the server."""
        if self._users is None:
            return
        self._users.close()
        self._users = None
        with self._exclusive():
            try:
                last = _locked(self.root / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            with last:
                if self.accepts_connections():
                    self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")

    def accepts_connections(self) -> bool:
        """Whether the server answers on its socket now."""
        command = [str(BINARIES / "pg_isready"), "-q", "-t", "2", "-h", str(self.socket_dir)]
        return subprocess.run(command, check=False).returncode == 0

    @contextlib.contextmanager
    def _exclusive(self) -> Generator[None]:
        with _locked(self.root / "start.lock", fcntl.LOCK_EX):
            yield

    def _prepare_directories(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The data directory {self.root.parent} cannot be created: {error.strerror}.",
                remedy="Set GEOMILL_HOME to a directory this user may write.",
            ) from error
        free_mb = shutil.disk_usage(self.root).free // 2**20
        if free_mb < _FREE_DISK_MB:
            raise ConfigurationError(
                f"Only {free_mb} MB are free under {self.root}; {_FREE_DISK_MB} MB are needed.",
                remedy="Free some space, or set GEOMILL_HOME to a directory on a larger disk.",
            )
        owner = _server_user()
        if owner is not None:
            _check_reachable(self.root, owner)
        self._prepare_socket_directory()

    def _prepare_socket_directory(self) -> None:
        directory, owner = self.socket_dir, _server_user()
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        found = directory.lstat()
        owners = {os.geteuid()} if owner is None else {os.geteuid(), owner.pw_uid}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
            raise ConfigurationError(
                f"The socket directory {directory} belongs to somebody else.",
                remedy="Remove it, or set GEOMILL_HOME to a shorter path of your own.",
            )
        directory.chmod(0o700)
        self._give_to_server(directory)

    def _initialise(self) -> None:
        password = secrets.token_urlsafe(32)
        with tempfile.TemporaryDirectory(dir=self.root, prefix="initdb-") as scratch_name:
            scratch = Path(scratch_name)
            self._give_to_server(scratch)
            password_file = scratch / "password"
            _write_private(password_file, password)
            self._give_to_server(password_file)
            fresh = scratch / "data"
            self._run(
                "initdb", "-D", str(fresh), "-U", "geomill", "--auth=scram-sha-256",
                f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8",
                "--data-checksums", "--no-sync", "--no-instructions",
            )  # fmt: skip
            with (fresh / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(f"\n# geomill\n{_SERVER_SETTINGS}")
            self._run(
                "postgres", "--single", "-D", str(fresh), "postgres",
                stdin="CREATE DATABASE geomill;\n",
            )  # fmt: skip
            self._run("initdb", "--sync-only", "-D", str(fresh))
            _write_private(self.root / "password", password)
            fresh.rename(self.data)

    def _launch(self) -> None:
        if not self.log.exists():
            self.log.touch(mode=0o600)
        self._give_to_server(self.log)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            self._remove_stale_pid_file()
            try:
                self._start_server()
            except DatabaseUnavailable:
                # The children of a killed server hold its shared memory for about a second.
                if time.monotonic() > deadline - _START_TIMEOUT_S + _ORPHANS_GONE_S:
                    raise
                time.sleep(0.2)
            else:
                break
        while not self.accepts_connections():
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    "The embedded PostgreSQL did not accept connections in time.",
                    remedy=f"Read the end of {self.log}.",
                )
            time.sleep(0.05)

    def _start_server(self) -> None:
        self._run(
            "pg_ctl", "-D", str(self.data), "-l", str(self.log),
            "-o", f"-c unix_socket_directories='{self.socket_dir}'",
            "-w", "-t", str(int(_START_TIMEOUT_S)), "start",
        )  # fmt: skip

    def _remove_stale_pid_file(self) -> None:
        """Drop a pid file whose pid another program has taken; PostgreSQL would refuse to start."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        try:
            working_directory = Path(f"/proc/{pid}/cwd").readlink()
        except (FileNotFoundError, PermissionError):
            working_directory = None
        if working_directory != self.data.resolve():
            pid_file.unlink(missing_ok=True)

    def _give_to_server(self, path: Path) -> None:
        owner = _server_user()
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        owner = _server_user()
        environment = {"PATH": f"{BINARIES}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        command: Sequence[str] = [str(BINARIES / program), *arguments]
        with tempfile.TemporaryFile() as output:
            # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
            finished = subprocess.run(
                command,
                check=False,
                cwd="/",
                env=environment,
                input=stdin.encode(),
                stdout=output,
                stderr=output,
                user=None if owner is None else owner.pw_uid,
                group=None if owner is None else owner.pw_gid,
                extra_groups=None if owner is None else [],
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if finished.returncode != 0:
            raise DatabaseUnavailable(
                f"{program} failed for {self.data}: {said[-600:]}",
                remedy=f"Mend what it says; the server's log is {self.log}.",
            )


def check_binaries() -> None:
    """Check that PostgreSQL's server programs and PostGIS are installed.

    Raises:
        ConfigurationError: one is not.
    """
    if not (BINARIES / "initdb").exists():
        raise ConfigurationError(
            f"PostgreSQL {POSTGRESQL_MAJOR} is not installed ({BINARIES} has no initdb).",
            remedy=INSTALL_REMEDY,
        )
    if not POSTGIS_CONTROL.exists():
        raise ConfigurationError(
            f"PostGIS for PostgreSQL {POSTGRESQL_MAJOR} is not installed.", remedy=INSTALL_REMEDY
        )


def check_server_account(home: Path) -> None:
    """Check that the account the server runs as exists and can enter the home.

    Raises:
        ConfigurationError: it does not or cannot; the directory in the way is named.
    """
    owner = _server_user()
    if owner is not None:
        home = home.absolute()
        existing = next(path for path in (home, *home.parents) if path.exists())
        _check_reachable(existing, owner)


def _server_user() -> pwd.struct_passwd | None:
    """The account the server runs as when we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise ConfigurationError(
            "Running as root needs the user 'postgres', and there is none.", remedy=INSTALL_REMEDY
        ) from None


def _check_reachable(path: Path, owner: pwd.struct_passwd) -> None:
    for directory in (path, *path.parents):
        status = directory.stat()
        reachable = (
            status.st_mode & 0o001
            or (status.st_mode & 0o100 and status.st_uid == owner.pw_uid)
            or (status.st_mode & 0o010 and status.st_gid == owner.pw_gid)
        )
        if not reachable:
            raise ConfigurationError(
                f"As root, PostgreSQL runs as '{owner.pw_name}', which may not enter {directory}.",
                remedy=f"Set GEOMILL_HOME elsewhere (/var/lib/geomill), or: chmod o+x {directory}",
            )


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _locked(path: Path, operation: int) -> IO[str]:
    file = path.open("w", encoding="utf-8")
    try:
        fcntl.flock(file, operation)
    except OSError:
        file.close()
        raise
    return file
