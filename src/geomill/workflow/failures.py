"""Exceptions as the failures that users read."""

from __future__ import annotations

import psycopg

from geomill.errors import GeomillError
from geomill.model.job import Failure

_RETRIABLE = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
)


def failure_of(error: Exception) -> Failure:
    """An exception as a failure; an unexpected one keeps its details in the log."""
    if isinstance(error, GeomillError):
        return Failure(
            type=type(error).__name__,
            message=error.message,
            remedy=error.remedy,
            transient=error.transient,
        )
    if isinstance(error, _RETRIABLE):
        return Failure(
            type="TaskCrashed",
            message=f"Another transaction stood in the way ({type(error).__name__}).",
            remedy="If it recurs, look who holds locks: a client idle in a transaction, perhaps.",
            transient=True,
        )
    return Failure(
        type="TaskFailed",
        message=f"The task failed unexpectedly ({type(error).__name__}).",
        remedy="The log has the details; resubmit the job once the cause is mended.",
    )
