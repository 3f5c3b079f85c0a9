"""Roles and the token store."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from geomill.access import Grant, Role, TokenStore


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path)


def files(home: Path) -> list[Path]:
    return list((home / "tokens").iterdir())


def test_each_role_includes_those_before_it() -> None:
    assert Role.ADMIN.includes(Role.OPERATOR)
    assert Role.OPERATOR.includes(Role.READER)
    assert Role.READER.includes(Role.READER)
    assert not Role.READER.includes(Role.OPERATOR)
    assert not Role.OPERATOR.includes(Role.ADMIN)


def test_a_minted_token_is_found_until_revoked(store: TokenStore) -> None:
    secret = store.mint(Role.OPERATOR, "ada", lifetime_s=None)
    assert store.find(secret) == Grant("ada", Role.OPERATOR)
    store.revoke(secret)
    assert store.find(secret) is None
    store.revoke(secret)


def test_what_is_not_a_token_is_not_found(store: TokenStore) -> None:
    assert store.find("") is None
    assert store.find("../../etc/passwd") is None
    assert store.find("\udcff") is None


def test_an_expired_token_is_not_found_and_its_file_goes(store: TokenStore, tmp_path: Path) -> None:
    secret = store.mint(Role.ADMIN, "ada", lifetime_s=-1)
    assert store.find(secret) is None
    assert files(tmp_path) == []


def test_minting_removes_what_has_expired(store: TokenStore, tmp_path: Path) -> None:
    store.mint(Role.READER, "old", lifetime_s=-1)
    store.mint(Role.READER, "new", lifetime_s=60)
    assert len(files(tmp_path)) == 1


def test_the_secret_is_not_on_disk_and_only_the_owner_reads(
    store: TokenStore, tmp_path: Path
) -> None:
    secret = store.mint(Role.ADMIN, "ada", lifetime_s=60)
    (file,) = files(tmp_path)
    assert secret not in file.read_text() + file.name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_loose_token_directory_is_closed(store: TokenStore, tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir(mode=0o755)
    store.mint(Role.READER, "ada", lifetime_s=60)
    assert stat.S_IMODE((tmp_path / "tokens").stat().st_mode) == 0o700


def test_a_single_use_token_is_redeemed_and_never_found(store: TokenStore) -> None:
    code = store.mint(Role.OPERATOR, "ada", lifetime_s=60, single_use=True)
    assert store.find(code) is None
    assert store.redeem(code) == Grant("ada", Role.OPERATOR)
    assert store.redeem(code) is None


def test_an_ordinary_token_cannot_be_redeemed(store: TokenStore) -> None:
    secret = store.mint(Role.OPERATOR, "ada", lifetime_s=60)
    assert store.redeem(secret) is None
    assert store.find(secret) is not None


def test_an_expired_code_cannot_be_redeemed(store: TokenStore) -> None:
    code = store.mint(Role.OPERATOR, "ada", lifetime_s=-1, single_use=True)
    assert store.redeem(code) is None


def test_of_many_redeemers_exactly_one_wins(store: TokenStore) -> None:
    for _ in range(20):
        code = store.mint(Role.OPERATOR, "ada", lifetime_s=60, single_use=True)
        with ThreadPoolExecutor(8) as threads:
            grants = list(threads.map(store.redeem, [code] * 8))
        assert sum(grant is not None for grant in grants) == 1


def test_a_damaged_token_file_is_no_token_and_harms_no_other(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    secret = store.mint(Role.READER, "good", lifetime_s=60)
    (tmp_path / "tokens" / f"{'0' * 64}.json").touch()
    assert store.find(secret) == Grant("good", Role.READER)
    assert store.mint(Role.READER, "another", lifetime_s=60)
