"""Submitting and watching jobs over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = client.get(f"/api/jobs/{job_id}").raise_for_status().json()
        if job["status"] not in {"queued", "running"}:
            return job
        time.sleep(0.05)
    pytest.fail(f"the job did not end: {job}")


def test_the_same_submission_is_the_same_job(operator: httpx.Client) -> None:
    first = operator.post("/api/jobs/submit/hello_world", json={"n": 2, "name": "same"})
    assert first.status_code == 202, first.text
    assert first.json()["created"]
    again = operator.post("/api/jobs/submit/hello_world", json={"name": "same", "n": 2})
    assert again.status_code == 200
    assert not again.json()["created"]
    assert again.json()["job_id"] == first.json()["job_id"]
    assert again.headers["location"] == first.headers["location"]


def test_a_job_is_followed_to_its_result(operator: httpx.Client, client: httpx.Client) -> None:
    answer = operator.post("/api/jobs/submit/hello_world", json={"n": 3, "name": "follow"})
    job = ended(client, answer.json()["job_id"])
    assert job["status"] == "succeeded", job["error"]
    assert job["result"] is not None
    assert job["submitted_by"] == operator.get("/api/auth/me").json()["name"]
    assert [stage["status"] for stage in job["stages"]] == ["succeeded"] * len(job["stages"])
    finished, total = job["progress"]["tasks_finished"], job["progress"]["tasks_total"]
    assert finished == total > 0
    tasks = client.get(f"{answer.headers['location']}/tasks").json()["tasks"]
    assert len(tasks) == total
    assert {task["status"] for task in tasks} == {"succeeded"}


def test_a_job_that_succeeded_does_not_run_again(operator: httpx.Client) -> None:
    answer = operator.post("/api/jobs/submit/hello_world", json={"n": 1, "name": "done"})
    ended(operator, answer.json()["job_id"])
    again = operator.post(f"{answer.headers['location']}/resubmit")
    assert again.status_code == 409


def test_the_newest_jobs_come_first(operator: httpx.Client) -> None:
    answer = operator.post("/api/jobs/submit/hello_world", json={"n": 0, "name": "newest"})
    (newest,) = operator.get("/api/jobs", params={"limit": 1}).json()["jobs"]
    assert newest["job_id"] == answer.json()["job_id"]


def test_job_types_describe_their_parameters(client: httpx.Client) -> None:
    types = {kind["name"]: kind for kind in client.get("/api/jobs/types").json()["job_types"]}
    assert "source" in types["process_vector"]["parameters"]["properties"]
    assert "hello_world" in types


@pytest.mark.parametrize(
    ("job_type", "body", "status", "named"),
    [
        ("no_such_type", {}, 404, "no_such_type"),
        ("hello_world", {"n": -1}, 422, "n"),
        ("hello_world", {"m": 1}, 422, "m"),
        ("process_vector", {"source": "/no/such.gpkg", "table": "t"}, 422, "/no/such.gpkg"),
        ("hello_world", [1], 422, "body"),
    ],
)
def test_what_cannot_run_is_refused(
    operator: httpx.Client, job_type: str, body: Any, status: int, named: str
) -> None:
    before = operator.get("/api/jobs").json()
    answer = operator.post(f"/api/jobs/submit/{job_type}", json=body)
    assert answer.status_code == status, answer.text
    assert named in answer.json()["detail"]
    assert answer.json()["remedy"]
    assert operator.get("/api/jobs").json() == before


def test_a_body_that_is_not_json_is_refused(operator: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = operator.post("/api/jobs/submit/hello_world", content=b"{", headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_over_1_mb_is_refused(operator: httpx.Client) -> None:
    body = b'{"name": "' + b"x" * 1_000_001 + b'"}'
    for content in (body, iter([body])):
        answer = operator.post(
            "/api/jobs/submit/hello_world",
            content=content,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 413, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("limit", ["0", "x", "1001"])
def test_wrong_limits_are_named(client: httpx.Client, limit: str) -> None:
    answer = client.get("/api/jobs", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "limit"


def test_unknown_jobs_are_not_found(client: httpx.Client, operator: httpx.Client) -> None:
    assert client.get("/api/jobs/nope").status_code == 404
    assert client.get("/api/jobs/nope/tasks").status_code == 404
    assert operator.post("/api/jobs/nope/resubmit").status_code == 404


def test_a_file_that_is_no_geodata_is_refused_before_a_job_exists(
    operator: httpx.Client, tmp_path: Path
) -> None:
    source = tmp_path / "broken.gpkg"
    source.write_bytes(b"not a geopackage")
    body = {"source": str(source), "table": "broken"}
    answer = operator.post("/api/jobs/submit/process_vector", json=body)
    assert answer.status_code == 422
    assert str(source) in answer.json()["detail"]
