"""Runs work in a process of its own, with a deadline and a memory ceiling.

A crash in C, a leak or a lock held for minutes then ends one task, never the worker. Processes
are forked from a clean, single-threaded server that has the libraries loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import TYPE_CHECKING, Any

import structlog

from geomill import errors
from geomill.errors import GeomillError, TaskCrashed
from geomill.workflow.failures import failure_of

if TYPE_CHECKING:
    from geomill.config import Settings
    from geomill.model.job import Json, Task

_PRELOAD = ["geomill.bootstrap"]
_MIB = 2**20
_EXIT_S = 5.0
_MORE_MEMORY = "Raise GEOMILL_TASK_MEMORY_MB, or give it less to do."
_log = structlog.get_logger()


@dataclass(frozen=True)
class ChildRequest:
    """What a child is to do: check a submission, or (with ``task``) run one task's handler."""

    settings: Settings
    job_type: str
    parameters: Json
    task: Task | None = None


ChildEntry = Callable[[ChildRequest], "Json"]


def run_in_child(entry: ChildEntry, request: ChildRequest) -> Json:
    """Call ``entry(request)`` in a child process and return what it returns.

    Raises:
        GeomillError: as the child raised it.
        TaskCrashed: the child died, or was killed at its deadline.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child_main, args=(entry, request, sender), daemon=True)
    child.start()
    sender.close()
    timeout_s = request.settings.task_timeout_s
    try:
        if not receiver.poll(timeout_s):
            raise TaskCrashed(
                f"The {request.job_type} task ran longer than {timeout_s:.0f} s and was stopped.",
                remedy="Raise GEOMILL_TASK_TIMEOUT_S, or give it less to do.",
            )
        outcome = receiver.recv()
        child.join(_EXIT_S)
    except EOFError:
        child.join(5)
        raise TaskCrashed(
            f"The process of a {request.job_type} task died (exit code {child.exitcode}).",
            remedy="It may have run out of memory (GEOMILL_TASK_MEMORY_MB), or the file breaks a "
            "library: try it with ogrinfo.",
        ) from None
    finally:
        receiver.close()
        child.kill()
        child.join()
    return _unpacked(outcome)


def _child_main(entry: ChildEntry, request: ChildRequest, sender: Pipe) -> None:
    limit = request.settings.task_memory_mb * _MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        outcome: tuple[str, Any] = ("result", entry(request))
    except GeomillError as error:
        outcome = ("error", (type(error).__name__, error.message, error.remedy))
    except MemoryError:
        outcome = ("error", ("TaskCrashed", "The task ran out of memory.", _MORE_MEMORY))
    except Exception as error:  # noqa: BLE001 - a bug must reach the parent as a failure
        _log.exception("task failed", job_type=request.job_type)
        failure = failure_of(error)
        outcome = ("error", (failure.type, failure.message, failure.remedy))
    sender.send(outcome)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _unpacked(outcome: tuple[str, Any]) -> Json:
    kind, value = outcome
    if kind == "result":
        return value
    name, message, remedy = value
    raise getattr(errors, name)(message, remedy=remedy)
