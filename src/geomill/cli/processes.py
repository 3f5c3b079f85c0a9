"""The supervisor's child processes: started, watched, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from geomill.errors import GeomillError

_STOP_TIMEOUT_S = 20.0
_LOG_LINES = 12
_LOG_TAIL_BYTES = 16_384
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessDied(GeomillError):
    """A process of geomill ended that should go on."""


@dataclass(frozen=True)
class Child:
    """A running ``geomill serve`` or ``geomill worker``."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def children(home: Path) -> Generator[list[Child]]:
    """The API and a worker, each in a process group of its own; stopped when the block ends."""
    directory = home / "log"
    directory.mkdir(parents=True, exist_ok=True)
    started: list[Child] = []
    try:
        for name, command in (("api", "serve"), ("worker", "worker")):
            started.append(_start(name, command, directory / f"{name}.log"))
        yield started
    finally:
        _stop(started)


def check_alive(started: list[Child]) -> None:
    """See that every child runs.

    Raises:
        ProcessDied: one does not; its last log lines go to stderr.
    """
    for child in started:
        code = child.process.poll()
        if code is not None:
            sys.stderr.write(f"--- the end of {child.log}:\n{last_lines(child.log)}\n---\n")
            raise ProcessDied(
                f"The {child.name} process ended with {_how(code)}.",
                remedy=f"Its log {child.log} says why; mend that and start geomill again.",
            )


def last_lines(log: Path) -> str:
    """The last lines of a log."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-_LOG_LINES:])


@contextmanager
def stopped_by_signals() -> Generator[None]:
    """SIGTERM and SIGHUP end the block the way Ctrl-C does: with KeyboardInterrupt."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(name: str, command: str, log: Path) -> Child:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "geomill", command, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    return Child(name, process, log)


def _stop(started: list[Child]) -> None:
    """SIGTERM to all, SIGKILL to the groups of those that are left; not to be interrupted."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for child in started:
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    for child in started:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
