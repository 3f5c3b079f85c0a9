"""The map page in a real browser: it draws what is published and asks nobody else for anything."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
]
READY_WITHIN_MS = 60_000
COUNTS = {"rmnp": "1 feature", "counties": "64 features", "glaciers": "134 features"}
DATASETS = [*COUNTS, "trail"]
HOSTILE = '<img src=x onerror="document.title = 1">'

# Page.wait_for_function needs eval, which the page's Content-Security-Policy forbids.
SETTLED = 'html[data-state="ready"], html[data-state="error"]'

RENDERED = """() => Object.fromEntries(geomill.datasets.map(
  ({ id, layerIds }) => [id, geomill.map.queryRenderedFeatures({ layers: layerIds }).length]))"""

# A place of the map where one feature of the dataset is drawn, and no other feature near it.
CLICKABLE_PLACE = """(wanted) => {
  const { map, datasets } = geomill;
  const layers = datasets.flatMap(({ layerIds }) => layerIds);
  const own = datasets.find(({ id }) => id === wanted).layerIds;
  const free = document.getElementById("panel").getBoundingClientRect().right;
  for (let y = 40; y < innerHeight - 120; y += 10) {
    for (let x = free + 20; x < innerWidth - 120; x += 10) {
      const box = [[x - 8, y - 8], [x + 8, y + 8]];
      const hits = map.queryRenderedFeatures(box, { layers });
      const alone = new Set(hits.map(({ source, id }) => source + id)).size === 1;
      const here = map.queryRenderedFeatures([x, y], { layers: own });
      if (alone && here.length > 0) return [x, y];
    }
  }
  return null;
}"""

# Read while a frame is being drawn: WebGL forgets its pixels afterwards.
COLOURS_ON_CANVAS = """() => new Promise((resolve) => {
  const { map } = geomill;
  map.once("render", () => {
    const { width, height } = map.getCanvas();
    const copy = new OffscreenCanvas(width, height).getContext("2d");
    copy.drawImage(map.getCanvas(), 0, 0);
    resolve(new Set(new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer)).size);
  });
  map.triggerRepaint();
})"""

ATTRIBUTES_OF = """(wanted) => geomill.datasets.find(({ id }) => id === wanted)
  .features.map(({ properties }) => properties)"""


class PublishedServer(Protocol):
    """A running server on which the four datasets are published."""

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        ...


@dataclass
class Observed:
    """What the browser asked for and complained about while a page was open."""

    requests: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])

    def watch(self, page: Page) -> None:
        """Writes down each request, console error and uncaught exception of the page."""
        page.on("request", self._note_request)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium without any service of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def observed() -> Observed:
    """The notes about the page of this test."""
    return Observed()


@pytest.fixture
def page(browser: Browser, observed: Observed) -> Iterator[Page]:
    """An empty page that is being observed."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    observed.watch(page)
    yield page
    page.close()


def open_map(page: Page, server: PublishedServer, query: str = "") -> None:
    """Opens the map page and waits until everything visible is drawn."""
    page.goto(f"{server.url}/{query}")
    page.locator(SETTLED).wait_for(state="attached", timeout=READY_WITHIN_MS)
    assert page.evaluate("document.documentElement.dataset.state") == "ready"


def click_feature_of(page: Page, dataset: str) -> str:
    """Clicks where only this dataset is drawn and returns the text of the popup."""
    place = page.evaluate(CLICKABLE_PLACE, dataset)
    assert place is not None, f"no place shows {dataset} alone"
    page.mouse.click(*place)
    popup = page.locator(".maplibregl-popup .feature")
    popup.wait_for()
    return popup.inner_text()


def test_lists_every_dataset_with_its_count(page: Page, published_server: PublishedServer) -> None:
    open_map(page, published_server)
    for dataset in DATASETS:
        card = page.locator(f'.dataset[data-id="{dataset}"]')
        assert card.count() == 1
        assert card.locator("input[type=checkbox]").is_checked()
        assert card.locator(".count").inner_text() == COUNTS.get(dataset, "1 feature")


def test_draws_every_dataset(page: Page, published_server: PublishedServer) -> None:
    open_map(page, published_server)
    rendered = page.evaluate(RENDERED)
    assert {dataset for dataset in DATASETS if rendered[dataset] > 0} == set(DATASETS)
    assert page.evaluate(COLOURS_ON_CANVAS) > len(DATASETS)


def test_stays_on_its_origin_without_errors(
    page: Page, observed: Observed, published_server: PublishedServer
) -> None:
    open_map(page, published_server)
    click_feature_of(page, "counties")
    page.locator('.dataset[data-id="trail"] .zoom').click()
    page.wait_for_timeout(1_000)
    own = urlsplit(published_server.url).netloc
    asked = [urlsplit(url) for url in observed.requests]
    foreign = [url.geturl() for url in asked if url.scheme not in {"blob", "data"}]
    assert [url for url in foreign if urlsplit(url).netloc != own] == []
    assert observed.complaints == []


def test_click_shows_the_attributes_of_a_polygon(
    page: Page, published_server: PublishedServer
) -> None:
    open_map(page, published_server, "?dataset=counties")
    text = click_feature_of(page, "counties")
    names = [attributes["name"] for attributes in page.evaluate(ATTRIBUTES_OF, "counties")]
    shown = page.locator(".feature tr", has=page.locator("th", has_text="name")).all_inner_texts()
    values = {row.partition("\t")[2] for row in shown}
    assert values & set(names), text
    page.keyboard.press("Escape")
    page.locator(".maplibregl-popup").wait_for(state="detached")


def test_hidden_dataset_is_not_drawn(page: Page, published_server: PublishedServer) -> None:
    open_map(page, published_server)
    page.locator('.dataset[data-id="counties"] input').uncheck()
    page.locator(SETTLED).wait_for(state="attached")
    rendered = page.evaluate(RENDERED)
    assert rendered["counties"] == 0
    assert rendered["trail"] > 0


def test_shows_a_hostile_attribute_as_text(page: Page, published_server: PublishedServer) -> None:
    page.route("**/api/features/collections/counties/items*", with_hostile_attributes)
    open_map(page, published_server, "?dataset=counties")
    assert HOSTILE in click_feature_of(page, "counties")
    assert page.locator(".feature img").count() == 0
    assert page.title() == "geomill"


def with_hostile_attributes(route: Route) -> None:
    """Answers as the server does, with markup as a name and as a value of every feature."""
    response = route.fetch()
    document = response.json()
    for feature in document["features"]:
        feature["properties"] = {"name": HOSTILE, HOSTILE: "as a name"}
    route.fulfill(response=response, body=json.dumps(document))


def test_one_failing_dataset_does_not_stop_the_others(
    page: Page, published_server: PublishedServer
) -> None:
    problem = {"title": "Table missing", "detail": "It is gone.", "remedy": "Publish it again."}
    page.route(
        "**/api/features/collections/glaciers/items*",
        lambda route: route.fulfill(
            status=500, content_type="application/problem+json", body=json.dumps(problem)
        ),
    )
    page.goto(published_server.url)
    page.locator(SETTLED).wait_for(state="attached", timeout=READY_WITHIN_MS)
    shown = page.locator('.dataset[data-id="glaciers"] .problem').inner_text()
    assert [part for part in problem.values() if part not in shown] == []
    rendered = page.evaluate(RENDERED)
    assert rendered["glaciers"] == 0
    assert all(rendered[dataset] > 0 for dataset in DATASETS if dataset != "glaciers")
