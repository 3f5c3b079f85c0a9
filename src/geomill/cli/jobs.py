"""``geomill submit`` and ``geomill status``: jobs, over the HTTP API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from geomill.access import Role
from geomill.cli import output
from geomill.cli.client import connected
from geomill.config import load_settings
from geomill.errors import InvalidParameter
from geomill.model.job import Status

if TYPE_CHECKING:
    from rich.console import Console

    from geomill.cli.client import ApiClient
    from geomill.model.job import Json

POLL_S = 0.3
_WAIT_TOKEN_LIFETIME_S = 7 * 86400.0
_SHORT_ID = 12


@dataclass(frozen=True)
class JobView:
    """A job as the command line shows it.

    ``done`` of ``total`` is what its running task reports; ``ended_at_s`` is monotonic.
    """

    job_id: str
    status: Status
    stage: str
    message: str
    done: int | None
    total: int | None
    result: Json
    error: str
    ended_at_s: float = 0.0


def view_of(document: Json) -> JobView:
    """Read the API's job document."""
    progress: Json = document.get("progress") or {}
    failure: Json = document.get("error") or {}
    return JobView(
        job_id=document["job_id"],
        status=Status(document["status"]),
        stage=progress.get("stage") or "",
        message=progress.get("message") or "",
        done=progress.get("done"),
        total=progress.get("total"),
        result=document.get("result") or {},
        error=f"{failure.get('message', '')} {failure.get('remedy', '')}".strip(),
    )


class ProgressView:
    """Shows how jobs get on: bars on a terminal, one line per change of state elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._said: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[doing]}"),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def show(self, name: str, job: JobView) -> None:
        """Show a job's present state under ``name``."""
        if self._console.is_terminal:
            self._show_bar(name, job)
        else:
            self._show_line(name, job)

    def _show_bar(self, name: str, job: JobView) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(escape(name), total=None, doing="")
        succeeded = job.status is Status.SUCCEEDED
        self._progress.update(
            self._bars[name],
            total=1 if job.status.terminal else job.total,
            completed=1 if succeeded else (job.done or 0),
            doing=_doing(job),
        )
        if job.status.terminal:
            self._progress.stop_task(self._bars[name])

    def _show_line(self, name: str, job: JobView) -> None:
        said = job.status.value if job.status.terminal else f"{job.status.value} {job.stage}"
        if self._said.get(name) != said:
            self._said[name] = said
            output.print_line(f"{name}: {said.strip()}")


def _doing(job: JobView) -> str:
    if job.status is not Status.RUNNING:
        return output.state(job.status.value)
    rows = "" if job.done is None else f"{job.done:,}"
    if job.done is not None and job.total is not None:
        rows = f"{job.done:,}/{job.total:,}"
    return escape(" ".join(part for part in (job.stage, rows, job.message) if part))


def follow(
    client: ApiClient, jobs: dict[str, str], view: ProgressView, watch: Callable[[], None]
) -> dict[str, JobView]:
    """Wait until every job has ended.

    Args:
        client: Asked for the jobs' states.
        jobs: Names to show, with their job ids.
        view: Where to show them.
        watch: Called while waiting; raises when waiting is in vain.
    """
    ended: dict[str, JobView] = {}
    while True:
        watch()
        for name in [name for name in jobs if name not in ended]:
            job = view_of(client.get(f"/api/jobs/{jobs[name]}"))
            view.show(name, job)
            if job.status.terminal:
                ended[name] = replace(job, ended_at_s=time.monotonic())
        if len(ended) == len(jobs):
            return ended
        time.sleep(POLL_S)


def submit(
    *,
    job_type: Annotated[str, typer.Argument(help="The kind of job, e.g. process_vector.")],
    source: Annotated[
        str | None, typer.Option(metavar="FILE", help="The file to work on: a path or a URL.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="The table to publish it as.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A further parameter; JSON values are read."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit 1 if it fails.")] = (
        False
    ),
    as_json: output.AsJson = False,
) -> None:
    """Submit a job to the running geomill; one that failed before runs again."""
    parameters = _parameters(source, table, param or [])
    settings = load_settings()
    lifetime_s = _WAIT_TOKEN_LIFETIME_S if wait else 300.0
    with connected(settings, Role.OPERATOR, lifetime_s=lifetime_s) as client:
        document = client.post(f"/api/jobs/submit/{job_type}", parameters)
        if document["status"] in {Status.FAILED, Status.CANCELLED}:
            document = client.post(f"/api/jobs/{document['job_id']}/resubmit", {})
        if wait:
            document = _waited(client, document, job_type, quiet=as_json)
    if as_json:
        output.print_json(document)
    else:
        _print_submission(document)
    if wait and document["status"] != Status.SUCCEEDED:
        raise typer.Exit(1)


def _parameters(source: str | None, table: str | None, pairs: list[str]) -> Json:
    parameters: Json = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidParameter(
                f"--param {pair!r} is not KEY=VALUE.", remedy="Write it as --param name=value."
            )
        parameters[key] = _value(value)
    if source is not None:
        parameters["source"] = source if "://" in source else str(Path(source).absolute())
    if table is not None:
        parameters["table"] = table
    return parameters


def _value(text: str) -> Any:
    """JSON where it is JSON (``true``, ``3``, ``"3"``, ``{…}``), otherwise the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _waited(client: ApiClient, submitted: Json, job_type: str, *, quiet: bool) -> Json:
    path = f"/api/jobs/{submitted['job_id']}"
    with ProgressView(output.error_console() if quiet else output.console()) as view:
        while True:
            document = client.get(path)
            if not quiet:
                view.show(job_type, view_of(document))
            if Status(document["status"]).terminal:
                return {**document, "created": submitted.get("created", True)}
            time.sleep(POLL_S)


def _print_submission(document: Json) -> None:
    job = view_of(document)
    known = "" if document.get("created", True) else " (known already: nothing has changed)"
    output.print_line(f"{job.job_id} {job.status.value}{known}")
    _print_outcome(job)


def _print_outcome(job: JobView) -> None:
    if job.error:
        output.print_line(f"  {output.one_line(job.error)}")
    for name, value in job.result.items():
        output.print_line(f"  {name}: {_plain(value)}")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def status(
    *,
    job_id: Annotated[
        str | None, typer.Argument(help="A job, or as much of its id as is unambiguous.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many jobs to list.")] = 20,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow until it ends.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Show the newest jobs, or one job with its stages."""
    if watch and as_json:
        raise InvalidParameter(
            "--watch and --json exclude each other.", remedy="Leave one of them out."
        )
    settings = load_settings()
    lifetime_s = _WAIT_TOKEN_LIFETIME_S if watch else 300.0
    with connected(settings, Role.READER, lifetime_s=lifetime_s) as client:
        if job_id is None:
            _show(lambda: client.get("/api/jobs", limit=limit), _jobs_text, watch, as_json)
        else:
            path = f"/api/jobs/{_complete(client, job_id)}"
            _show(lambda: client.get(path), _job_text, watch, as_json)


def _complete(client: ApiClient, job_id: str) -> str:
    """The whole id of which ``job_id`` is the beginning; itself when there is none."""
    if len(job_id) >= 64:
        return job_id
    known = [job["job_id"] for job in client.get("/api/jobs", limit=1000)["jobs"]]
    matching = [known_id for known_id in known if known_id.startswith(job_id)]
    if len(matching) > 1:
        raise InvalidParameter(
            f"{job_id!r} is the beginning of {len(matching)} jobs.", remedy="Give more of its id."
        )
    return matching[0] if matching else job_id


def _show(
    fetch: Callable[[], Json], text: Callable[[Json], Any], watch: bool, as_json: bool
) -> None:
    console = output.console()
    document = fetch()
    if as_json:
        output.print_json(document)
    elif watch and console.is_terminal:
        with Live(text(document), console=console, refresh_per_second=8) as live:
            while not _ended(document):
                time.sleep(POLL_S)
                document = fetch()
                live.update(text(document))
    else:
        while watch and not _ended(document):
            time.sleep(POLL_S)
            document = fetch()
        console.print(text(document))


def _ended(document: Json) -> bool:
    documents: list[Json] = document.get("jobs", [document])
    return all(Status(job["status"]).terminal for job in documents)


def _jobs_text(document: Json) -> Any:
    jobs: list[Json] = document["jobs"]
    if not jobs:
        return "No jobs yet: 'geomill submit' makes one."
    rows = [
        (
            job["job_id"][:_SHORT_ID],
            escape(job["job_type"]),
            escape(str(job["parameters"].get("table", ""))),
            output.state(job["status"]),
            job["created_at"][:19].replace("T", " "),
            escape(output.one_line(view_of(job).error)),
        )
        for job in jobs
    ]
    return output.table(
        ("job", "type", "table", "state", "submitted", "error"), rows, numbers=set()
    )


def _job_text(document: Json) -> Any:
    job = view_of(document)
    rows = [
        ("job", job.job_id),
        ("type", escape(document["job_type"])),
        ("state", f"{output.state(job.status.value)} (run {document['run']})"),
        ("submitted", f"{document['created_at']} by {escape(document['submitted_by'])}"),
        *(("parameter", escape(f"{k} = {_plain(v)}")) for k, v in document["parameters"].items()),
        *(("stage", _stage_text(stage)) for stage in document.get("stages", [])),
    ]
    if job.status is Status.RUNNING:
        rows.append(("now", _doing(job)))
    if job.error:
        rows.append(("error", escape(output.one_line(job.error))))
    rows += [("result", escape(f"{k} = {_plain(v)}")) for k, v in job.result.items()]
    return output.table(("", ""), rows, numbers=set())


def _stage_text(stage: Json) -> str:
    failed = f", {stage['failed_count']} failed" if stage["failed_count"] else ""
    counts = f"{stage['finished_count']}/{stage['task_count']} tasks{failed}"
    return f"{escape(stage['name'])}: {output.state(stage['status'])}, {counts}"
