"""Greet ``n`` times, then reply to each greeting: a job type to try an installation with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from geomill.etl.context import TransactionContext
    from geomill.model.job import Json


class HelloWorld(BaseModel):
    """How often to greet, and whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=3, ge=0, le=10_000, description="How many greetings to write.")
    name: str = Field(default="world", description="Whom to greet.")


def greet(context: TransactionContext, parameters: HelloWorld, input: Json) -> Json:  # noqa: A002, ARG001
    """One greeting; ``input`` is ``{"index": i}``."""
    return {"greeting": f"Hello, {parameters.name}! ({input['index']})"}


def reply(context: TransactionContext, parameters: HelloWorld, input: Json) -> Json:  # noqa: A002, ARG001
    """The answer to one greeting; ``input`` is ``{"greeting": "..."}``."""
    return {"reply": f"{parameters.name} heard: {input['greeting']}"}
