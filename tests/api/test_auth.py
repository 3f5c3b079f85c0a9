"""Roles at every route, tokens, sessions; what every answer has in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from geomill.access import Role, TokenStore
from geomill.api.app import build_app
from geomill.api.auth import Anyone, Requires
from geomill.config import Settings

OPEN = {
    "/",
    "/api/auth/signin",
    "/api/docs",
    "/api/docs.js",
    "/api/livez",
    "/api/openapi.json",
    "/api/readyz",
    "/static/{path:path}",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application, built but not started."""
    return build_app(Settings(home=tmp_path_factory.mktemp("home")))


@pytest.fixture
def browser(client: httpx.Client) -> Iterator[httpx.Client]:
    """Another anonymous client, with cookies of its own."""
    with httpx.Client(base_url=client.base_url, timeout=30) as browser:
        yield browser


@pytest.fixture
def store(server: Any) -> TokenStore:
    return TokenStore(server.home)


def declarations(context: Any) -> list[Anyone | Requires]:
    calls = [dependency.call for dependency in context.dependant.dependencies]
    return [call for call in calls if isinstance(call, Anyone | Requires)]


def test_every_route_declares_one_role(app: FastAPI) -> None:
    contexts = list(iter_route_contexts(app.routes))
    assert len(contexts) > 25
    for context in contexts:
        assert isinstance(context.original_route, APIRoute), context.path
        assert len(declarations(context)) == 1, context.path
        assert isinstance(declarations(context)[0].role, Role)


def test_exactly_the_listed_routes_are_open(app: FastAPI) -> None:
    contexts = iter_route_contexts(app.routes)
    assert {c.path for c in contexts if isinstance(declarations(c)[0], Anyone)} == OPEN


def test_what_writes_needs_more_than_a_reader(app: FastAPI) -> None:
    for context in iter_route_contexts(app.routes):
        if context.methods and context.methods - {"GET"} and context.path != "/api/search":
            assert declarations(context)[0].role.includes(Role.OPERATOR), context.path


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "remedy", "instance"} <= set(body)
    assert body["status"] == status
    return body


def test_me(client: httpx.Client, operator: httpx.Client, admin: httpx.Client) -> None:
    assert client.get("/api/auth/me").json() == {
        "name": "anonymous",
        "role": "reader",
        "authenticated": False,
    }
    assert operator.get("/api/auth/me").json()["role"] == "operator"
    assert admin.get("/api/auth/me").json()["authenticated"]


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer", "Basic YTpi", ""])
def test_a_bad_header_is_never_anonymous(client: httpx.Client, header: str) -> None:
    answer = client.get("/api/jobs", headers={"Authorization": header})
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_expired_token_is_refused(client: httpx.Client, store: TokenStore) -> None:
    secret = store.mint(Role.ADMIN, "late", lifetime_s=-1)
    problem(client.get("/api/jobs", headers={"Authorization": f"Bearer {secret}"}), 401)


def test_a_reader_may_not_submit(client: httpx.Client, store: TokenStore) -> None:
    problem(client.post("/api/jobs/submit/hello_world", json={}), 401)
    secret = store.mint(Role.READER, "reader", lifetime_s=60)
    headers = {"Authorization": f"Bearer {secret}"}
    problem(client.post("/api/jobs/submit/hello_world", json={}, headers=headers), 403)


def sign_in(browser: httpx.Client, store: TokenStore, role: Role = Role.OPERATOR) -> str:
    code = store.mint(role, "ada", lifetime_s=60, single_use=True)
    answer = browser.get("/api/auth/signin", params={"code": code})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    return code


def test_a_code_signs_in_once(browser: httpx.Client, store: TokenStore) -> None:
    code = sign_in(browser, store)
    assert browser.get("/api/auth/me").json() == {
        "name": "ada",
        "role": "operator",
        "authenticated": True,
    }
    problem(browser.get("/api/auth/signin", params={"code": code}), 401)


def test_a_session_only_writes_from_our_own_pages(browser: httpx.Client, store: TokenStore) -> None:
    sign_in(browser, store)
    own = str(browser.base_url).rstrip("/")
    submit = "/api/jobs/submit/no_such_type"
    problem(browser.post(submit, json={}, headers={"Origin": "http://evil.example"}), 403)
    problem(browser.post(submit, json={}, headers={"Origin": "null"}), 403)
    problem(browser.post(submit, json={}, headers={"Origin": own}), 404)


def test_a_stale_session_is_nobody(browser: httpx.Client) -> None:
    browser.cookies.set("geomill_session", "stale")
    assert not browser.get("/api/auth/me").json()["authenticated"]


def test_a_code_is_no_bearer_token(client: httpx.Client, store: TokenStore) -> None:
    code = store.mint(Role.ADMIN, "ada", lifetime_s=60, single_use=True)
    problem(client.get("/api/auth/me", headers={"Authorization": f"Bearer {code}"}), 401)
    assert store.redeem(code) is not None


def test_health_and_what_it_is(client: httpx.Client) -> None:
    assert client.get("/api/livez").json()["status"] == "ok"
    assert client.get("/api/readyz").json()["status"] == "ok"


def test_foreign_host_names_are_refused(client: httpx.Client) -> None:
    assert client.get("/api/livez", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("path", ["/nothing", "/api/nothing/at/all", "/static/%2e%2e/__init__.py"])
def test_unknown_paths_are_problems(client: httpx.Client, path: str) -> None:
    problem(client.get(path), 404)


def test_a_wrong_method_says_which_is_right(client: httpx.Client) -> None:
    answer = client.delete("/api/search")
    problem(answer, 405)
    assert answer.headers["allow"]


def test_static_files_do_not_leave_their_folder(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    for path in (f"/static/{tmp_path}/secret", "/static/..%2f..%2ferrors.py", "/static/a%00b"):
        problem(client.get(path), 404)


def test_pages_and_scripts_have_their_types_and_policy(client: httpx.Client) -> None:
    for path in ("/", "/api/docs"):
        page = client.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
    script = client.get("/static/vendor/maplibre-gl/maplibre-gl.mjs")
    assert script.headers["content-type"].startswith("text/javascript")
    assert client.get("/api/docs.js").headers["content-type"].startswith("text/javascript")


def test_the_definition_is_openapi_30(client: httpx.Client) -> None:
    answer = client.get("/api/openapi.json")
    assert "openapi" in answer.headers["content-type"]
    assert answer.json()["openapi"].startswith("3.0")
    assert '"null"' not in answer.text
