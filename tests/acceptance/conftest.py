"""Fixtures of the acceptance tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from geomill.database.credentials import DsnCredentials
from geomill.database.postgresql import PostgreSQLRepository


@pytest.fixture
def database(server: Any) -> Iterator[PostgreSQLRepository]:
    """The database of ``server``, to look behind its API."""
    credentials = DsnCredentials(SecretStr(server.environment["GEOMILL_DSN"]))
    repository = PostgreSQLRepository(credentials, role="test")
    repository.open()
    yield repository
    repository.close()
