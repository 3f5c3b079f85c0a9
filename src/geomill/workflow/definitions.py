"""The job types. Adding one is a folder in ``etl`` and one line in ``JOB_TYPES``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from geomill.errors import InvalidParameter, NotFound
from geomill.etl.hello import handlers as hello
from geomill.etl.vector import handlers as vector
from geomill.model.job import Json

if TYPE_CHECKING:
    from psycopg import Connection

Results = dict[str, list[Json]]
Plan = Callable[[Any, Results], Sequence[Json]]


class Kind(StrEnum):
    """How a stage's handler runs."""

    WORK = "work"
    """In a child process, no transaction held."""
    TRANSACTIONAL = "transactional"
    """In the worker; what it writes commits together with the task's end."""


@dataclass(frozen=True)
class StageDefinition:
    """One stage: ``plan`` makes its tasks' inputs from the results of the stages before it."""

    name: str
    kind: Kind
    handler: Callable[[Any, Any, Json], Json]
    plan: Plan
    max_attempts: int = 3


@dataclass(frozen=True)
class JobDefinition:
    """A job type.

    Attributes:
        check: Looks at the parameters in a child process before a job exists.
        sources: Fingerprints of what the job reads; part of the job's identity.
        stands: Whether what a succeeded job made is still what is live; if not, the same
            submission runs again.
        discard: Removes what a failed job left, in the transaction that fails it.
    """

    name: str
    version: int
    parameters: type[BaseModel]
    stages: tuple[StageDefinition, ...]
    check: Callable[[Any], Json] | None = None
    sources: Callable[[Any], Json] | None = None
    stands: Callable[[Connection[tuple[Any, ...]], str, Any], bool] | None = None
    discard: Callable[[Connection[tuple[Any, ...]], str, Any], None] | None = None


def _once(_parameters: BaseModel, _results: Results) -> list[Json]:
    return [{}]


def _plan_greetings(parameters: hello.HelloWorld, _results: Results) -> list[Json]:
    return [{"index": index} for index in range(parameters.n)]


def _plan_replies(_parameters: BaseModel, results: Results) -> list[Json]:
    return results.get("greet", [])


def _plan_load(_parameters: BaseModel, results: Results) -> list[Json]:
    return [{"inspection": results["inspect"][0]}]


def _plan_publish(_parameters: BaseModel, results: Results) -> list[Json]:
    return [{"inspection": results["inspect"][0], "load": results["load"][0]}]


HELLO_WORLD = JobDefinition(
    name="hello_world",
    version=1,
    parameters=hello.HelloWorld,
    stages=(
        StageDefinition("greet", Kind.TRANSACTIONAL, hello.greet, _plan_greetings),
        StageDefinition("reply", Kind.TRANSACTIONAL, hello.reply, _plan_replies),
    ),
)
PROCESS_VECTOR = JobDefinition(
    name="process_vector",
    version=1,
    parameters=vector.ProcessVector,
    stages=(
        StageDefinition("inspect", Kind.WORK, vector.inspect, _once),
        StageDefinition("load", Kind.WORK, vector.load, _plan_load),
        StageDefinition("publish", Kind.TRANSACTIONAL, vector.publish, _plan_publish),
    ),
    check=vector.check,
    sources=vector.sources,
    stands=vector.stands,
    discard=vector.discard,
)
JOB_TYPES = {definition.name: definition for definition in (HELLO_WORLD, PROCESS_VECTOR)}


def get_definition(job_type: str) -> JobDefinition:
    """The definition of a job type.

    Raises:
        NotFound: there is no such type.
    """
    try:
        return JOB_TYPES[job_type]
    except KeyError:
        raise NotFound(
            f"There is no job type '{job_type}'.",
            remedy=f"The job types are: {', '.join(sorted(JOB_TYPES))}.",
        ) from None


def validate(definition: JobDefinition, parameters: Json) -> Any:
    """The parameters as the definition's model.

    Raises:
        InvalidParameter: some are missing, unknown or wrong; each is named.
    """
    try:
        if "\\u0000" in json.dumps(parameters):
            raise InvalidParameter(
                f"{definition.name}: a parameter holds a NUL character.",
                remedy="Take it out: PostgreSQL cannot store it.",
            )
        return definition.parameters.model_validate(parameters)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'parameters'}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise InvalidParameter(
            f"{definition.name} cannot take these parameters: {wrong}.",
            remedy=f"It takes: {', '.join(definition.parameters.model_fields)}.",
        ) from None
