"""Every error geomill raises on purpose, in one tree.

    GeomillError
    ├── InvalidRequest            the caller's input is wrong
    │   ├── InvalidParameter      a job parameter, query parameter or name
    │   └── InvalidSource         a file that cannot be ingested as it is
    ├── NotFound                  asked, and it is not there
    ├── AlreadyExists
    ├── NotAuthenticated          no token, or one that is not ours
    ├── NotAuthorized             a token whose role does not reach
    ├── ConfigurationError        a setting or a precondition of this machine
    ├── DatabaseUnavailable       could not ask: never to be read as "not there"
    ├── TaskCrashed               a task's process died or ran out of time
    ├── TaskFailed                a handler failed in a way nobody foresaw
    └── Superseded                this attempt is no longer the current one

Each says what is wrong, with which input, and what to do. ``transient`` errors are worth
another attempt as they are; the others need a change first.
"""

from __future__ import annotations

from typing import ClassVar


class GeomillError(Exception):
    """The base of the tree.

    Args:
        message: What is wrong, naming the input.
        remedy: What the reader can do about it.
    """

    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.remedy)


def _rebuild(kind: type[GeomillError], message: str, remedy: str) -> GeomillError:
    return kind(message, remedy=remedy)


class InvalidRequest(GeomillError):
    """The caller's input is wrong; nothing was done."""


class InvalidParameter(InvalidRequest):
    """A parameter is missing, unknown or has a value that cannot be used."""


class InvalidSource(InvalidRequest):
    """A source file is missing, unreadable, empty or cannot be ingested as it is."""


class NotFound(GeomillError):
    """What was asked for does not exist."""


class AlreadyExists(GeomillError):
    """What was to be created exists."""


class NotAuthenticated(GeomillError):
    """No token was given where one is needed, or the token is unknown or expired."""


class NotAuthorized(GeomillError):
    """The token is good but its role does not reach."""


class ConfigurationError(GeomillError):
    """A setting, or a precondition on this machine, is not as it must be."""


class DatabaseUnavailable(GeomillError):
    """PostgreSQL could not be asked."""

    transient: ClassVar[bool] = True


class TaskCrashed(GeomillError):
    """The process that ran a task died, or was stopped at its deadline."""

    transient: ClassVar[bool] = True


class TaskFailed(GeomillError):
    """A handler failed in a way nobody foresaw; the log has the details."""


class Superseded(GeomillError):
    """Another attempt of the same task has taken over; what this one did is rolled back."""
