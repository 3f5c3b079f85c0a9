"""Who may do what: roles, and the bearer tokens that carry them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict

from geomill.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_SECRET_BYTES = 32


class Role(StrEnum):
    """What a caller may do; each role includes those before it."""

    READER = "reader"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this role may do all that ``other`` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True)
class Grant:
    """Who a token speaks for."""

    name: str
    role: Role


class _Record(TypedDict):
    name: str
    role: str
    expires_at: float | None
    single_use: bool


class TokenStore:
    """The tokens of one geomill: a private file each, named by the secret's hash.

    Whoever may write below ``home`` may mint; the secrets themselves are never stored.

    Args:
        home: geomill's data directory.
    """

    def __init__(self, home: Path) -> None:
        self._directory = home / "tokens"

    def mint(
        self, role: Role, name: str, *, lifetime_s: float | None, single_use: bool = False
    ) -> str:
        """Make a token and return its secret, which nobody can ask for again.

        Args:
            role: What its bearer may do.
            name: Who that is, for the record of who did what.
            lifetime_s: Seconds until it expires; None never.
            single_use: Made to be redeemed once instead of sent with each request.

        Raises:
            ConfigurationError: this user may not write the token directory.
        """
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        expires_at = None if lifetime_s is None else time.time() + lifetime_s
        record = _Record(name=name, role=role, expires_at=expires_at, single_use=single_use)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            self._remove_expired()
            _write_private(self._path(secret), json.dumps(record))
        except OSError as error:
            raise _unusable(self._directory, error) from error
        return secret

    def find(self, secret: str) -> Grant | None:
        """Whom the token speaks for; None when unknown, expired or made for a single use."""
        record = self._read(self._path(secret))
        if record is None or record["single_use"]:
            return None
        return _grant(record)

    def redeem(self, secret: str) -> Grant | None:
        """Use up a single-use token; of several callers at once exactly one gets the grant."""
        path = self._path(secret)
        record = self._read(path)
        if record is None or not record["single_use"]:
            return None
        try:
            path.unlink()
        except FileNotFoundError:
            return None
        return _grant(record)

    def revoke(self, secret: str) -> None:
        """Make a token unknown; one that is unknown already stays so."""
        self._path(secret).unlink(missing_ok=True)

    def _path(self, secret: str) -> Path:
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        return self._directory / f"{digest}.json"

    def _read(self, path: Path) -> _Record | None:
        try:
            record: _Record = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        except OSError as error:
            raise _unusable(self._directory, error) from error
        if record["expires_at"] is not None and record["expires_at"] <= time.time():
            path.unlink(missing_ok=True)
            return None
        return record

    def _remove_expired(self) -> None:
        for path in self._directory.glob("*.json"):
            self._read(path)


def _grant(record: _Record) -> Grant:
    return Grant(record["name"], Role(record["role"]))


def _write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read; it appears whole or not at all."""
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def _unusable(directory: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"The token directory {directory} cannot be used: {error.strerror}.",
        remedy="Run as the user that runs geomill's server, or set GEOMILL_TOKEN instead.",
    )
