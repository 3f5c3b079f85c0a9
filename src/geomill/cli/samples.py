"""Publishing a directory of vector files through the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.markup import escape

from geomill.cli import output
from geomill.cli.jobs import JobView, ProgressView, follow, view_of
from geomill.errors import GeomillError, InvalidParameter
from geomill.model.job import Status
from geomill.repositories import datasets

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from geomill.bootstrap import Services
    from geomill.cli.client import ApiClient

_SUFFIXES = {".geojson", ".gpkg", ".shp", ".zip"}


@dataclass(frozen=True)
class Sample:
    """One file and what became of it.

    ``state`` is published, unchanged or failed; ``paths`` are where the API serves it.
    """

    name: str
    state: str
    geometry: str = ""
    row_count: int | None = None
    error: str = ""
    seconds: float | None = None
    paths: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it is not published."""
        return self.state == "failed"


def find_files(directory: Path) -> list[Path]:
    """The vector files in a directory, by name.

    Raises:
        InvalidParameter: there is no such directory, or two files have one table's name.
    """
    if not directory.is_dir():
        raise InvalidParameter(
            f"--samples {directory} is not a directory.", remedy="Name one that exists."
        )
    found = (path for path in directory.absolute().iterdir() if path.is_file())
    files = sorted(path for path in found if path.suffix.lower() in _SUFFIXES)
    by_table: dict[str, Path] = {}
    for path in files:
        other = by_table.setdefault(table_of(path), path)
        if other != path:
            raise InvalidParameter(
                f"--samples {directory} has {other.name} and {path.name}, which would both be"
                f" published as '{table_of(path)}'.",
                remedy="Rename or remove one.",
            )
    return files


def publish(
    services: Services,
    client: ApiClient,
    files: list[Path],
    console: Console,
    watch: Callable[[], None],
) -> list[Sample]:
    """Submit each file as ``process_vector`` and wait until all have ended.

    Args:
        services: Asked for what is published.
        client: The API they are submitted to, as operator.
        files: What to publish.
        console: Where to show how it goes.
        watch: Called while waiting; raises when waiting is in vain.
    """
    done: dict[str, Sample] = {}
    jobs: dict[str, str] = {}
    begun_at_s: dict[str, float] = {}
    with ProgressView(console) as view:
        for path in files:
            watch()
            name = table_of(path)
            begun_at_s[name] = time.monotonic()
            try:
                job = _submit(client, path, name)
            except GeomillError as error:
                done[name] = Sample(name, "failed", error=str(error))
                continue
            if job.status is Status.SUCCEEDED:
                done[name] = _published(services, name, job, "unchanged")
            else:
                jobs[name] = job.job_id
        for name, job in follow(client, jobs, view, watch).items():
            seconds = job.ended_at_s - begun_at_s[name]
            done[name] = replace(_ended(services, name, job), seconds=seconds)
    return [done[table_of(path)] for path in files]


def results_table(samples: list[Sample]) -> Table:
    """The samples as a table."""
    rows = [
        (
            escape(sample.name),
            escape(sample.geometry),
            "" if sample.row_count is None else f"{sample.row_count:,}",
            output.state(sample.state),
            "" if sample.seconds is None else f"{sample.seconds:.1f}",
            escape(output.one_line(sample.error)),
        )
        for sample in samples
    ]
    headings = ("dataset", "geometry", "rows", "state", "seconds", "")
    return output.table(headings, rows, numbers={"rows", "seconds"})


def table_of(path: Path) -> str:
    """The table a file is published as: its stem in lower case, ``-`` as ``_``."""
    return path.stem.lower().replace("-", "_")


def _submit(client: ApiClient, path: Path, name: str) -> JobView:
    """Submit a file; a job that failed for the same file before runs again."""
    title = path.stem.replace("-", " ").replace("_", " ")
    parameters = {"source": str(path), "table": name, "title": title[:1].upper() + title[1:]}
    job = view_of(client.post("/api/jobs/submit/process_vector", parameters))
    if job.status in {Status.FAILED, Status.CANCELLED}:
        job = view_of(client.post(f"/api/jobs/{job.job_id}/resubmit"))
    return job


def _ended(services: Services, name: str, job: JobView) -> Sample:
    if job.status is Status.SUCCEEDED:
        return _published(services, name, job, "published")
    return Sample(name, "failed", error=job.error or f"The job was {job.status}.")


def _published(services: Services, name: str, job: JobView, state: str) -> Sample:
    with services.repository.transaction() as connection:
        dataset = datasets.find_dataset(connection, job.result["dataset_id"])
    if dataset is None:
        return Sample(name, "failed", error="Its job succeeded, but the dataset is gone.")
    item = f"{quote(dataset.collection_id, safe='')}/items/{quote(dataset.item_id, safe='')}"
    paths = (
        f"/api/features/collections/{quote(dataset.dataset_id, safe='')}/items?limit=1",
        f"/api/collections/{item}",
    )
    return Sample(
        name,
        state,
        geometry=dataset.geometry_type,
        row_count=dataset.row_count,
        paths=paths,
    )
