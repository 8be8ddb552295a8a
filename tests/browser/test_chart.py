"""The response-time chart: phases one upon the other, gaps left open, figures by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.chrome import DESK, PHONE, Window
from tests.instance import EMAIL, PASSWORD, Instance

POINTS = 60
GAP = range(20, 40)
PATIENCE = 20_000


def figures(*, parts: bool = True) -> dict[str, Any]:
    """Return an hour of a minute each: 10 + 20 + 30 + 25 + 15 = 100 ms, and nothing for a third."""

    def values(ms: float) -> list[float | None]:
        return [None if number in GAP else ms for number in range(POINTS)]

    start = 1_796_000_400
    shares = {"DNS": 10, "Connect": 20, "TLS": 30, "First byte": 25, "Rest": 15}
    return {
        "from": start,
        "to": start + POINTS * 60,
        "at": [start + number * 60 + 30 for number in range(POINTS)],
        "total": {"label": "Response time", "values": values(100)},
        "phases": [{"label": label, "values": values(ms)} for label, ms in shares.items()]
        if parts
        else [],
        "bands": [],
        "threshold_ms": None,
    }


@pytest.fixture(scope="module")
def address(peopled: Instance) -> str:
    spec = {"type": "http", "name": "Charted", "target": "http://127.0.0.1:1/", "is_paused": True}
    made = peopled.ok("POST", "/v1/monitors", spec)
    return f"{peopled.base}/monitors/{made['id']}"


@pytest.fixture(params=["light", "dark", "phone"])
def page(
    request: pytest.FixtureRequest, browser: Browser, peopled: Instance, address: str
) -> Iterator[Page]:
    """The page of a monitor whose figures are ours, in both themes and on a phone."""
    kinds: dict[str, dict[str, Any]] = {
        "light": {"viewport": DESK},
        "dark": {"viewport": DESK, "color_scheme": "dark"},
        "phone": {"viewport": PHONE},
    }
    window = Window(browser, locale="en-GB", timezone_id="UTC", **kinds[request.param])
    window.sign_in(peopled.base, EMAIL, PASSWORD)
    serve(window.page, figures())
    window.page.goto(address)
    expect(window.page.locator("#chart[role=slider]")).to_be_visible(timeout=PATIENCE)
    yield window.page
    assert window.errors == []
    assert window.too_wide() == 0
    window.close()


def serve(page: Page, data: dict[str, Any]) -> None:
    def answered(route: Route) -> None:
        route.fulfill(body=json.dumps(data), content_type="application/json")

    page.unroute("**/chart.json*")
    page.route("**/chart.json*", answered)


def painted(page: Page, places: list[tuple[float, float]]) -> list[tuple[int, ...]]:
    """Return the colours (red, green, blue, opacity) at places of the drawing: from 0 to 1 across,
    and up in milliseconds on an axis that ends at 110."""
    found: list[list[int]] = page.evaluate(
        """(places) => {
          const canvas = document.querySelector("#chart canvas");
          const copy = document.createElement("canvas");
          [copy.width, copy.height] = [canvas.width, canvas.height];
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(canvas, 0, 0);
          const whole = canvas.getBoundingClientRect();
          const over = document.querySelector("#chart .u-over").getBoundingClientRect();
          const scale = canvas.width / whole.width;
          return places.map(([across, up]) => {
            const x = (over.left - whole.left + across * over.width) * scale;
            const y = (over.top - whole.top + (1 - up / 110) * over.height) * scale;
            return [...context.getImageData(Math.round(x), Math.round(y), 1, 1).data];
          });
        }""",
        places,
    )
    return [tuple(colour) for colour in found]


def test_phases_are_stacked_and_gaps_stay_open(page: Page) -> None:
    # In the middle of each area, off the lines of the grid.
    middles = {"DNS": 5.5, "Connect": 17, "TLS": 43, "First byte": 70, "Rest": 93}
    colours = painted(page, [(0.13, up) for up in middles.values()])
    assert len(set(colours)) == len(middles), colours
    assert all(colour[3] > 0 for colour in colours), colours
    # Nothing above the total, and nothing where there were no answers.
    empty = painted(page, [(0.13, 106), *((0.47, up) for up in middles.values())])
    assert [colour[3] for colour in empty] == [0] * len(empty)
    legend = page.locator("#chart .u-legend .u-label")
    expect(legend).to_have_text(["Time", *middles, "Response time"])


def test_the_keyboard_reads_single_phases(page: Page) -> None:
    chart = page.locator("#chart")
    assert chart.get_attribute("role") == "slider"
    chart.focus()
    values = page.locator("#chart .u-legend .u-value")
    single = ["10 ms", "20 ms", "30 ms", "25 ms", "15 ms", "100 ms"]
    expect(values).to_have_text([re.compile(r"\d\d:59$"), *single])
    told = chart.get_attribute("aria-valuetext") or ""
    parts = "(DNS 10 ms, Connect 20 ms, TLS 30 ms, First byte 25 ms, Rest 15 ms)"
    assert told.endswith(f":59: 100 ms {parts}"), told
    for key, minute in (("ArrowLeft", 58), ("PageDown", 48), ("Home", 0), ("PageUp", 10)):
        page.keyboard.press(key)
        expect(values.first).to_have_text(re.compile(rf":{minute:02}$"))
        assert f":{minute:02}: 100 ms" in (chart.get_attribute("aria-valuetext") or "")
    # Past the gap from figure to figure.
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(values.first).to_have_text(re.compile(r":40$"))
    # The legend tells and does not switch: without a phase the sum would be none.
    page.locator("#chart .u-legend .u-label").nth(2).click()
    expect(page.locator("#chart .u-legend .u-off")).to_have_count(0)
    chart.focus()
    page.keyboard.press("Escape")
    expect(values.nth(1)).to_have_text("–")


def test_a_time_without_phases_is_a_line(page: Page, address: str) -> None:
    serve(page, figures(parts=False))
    page.goto(address)
    expect(page.locator("#chart[role=slider]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#chart .u-legend")).to_have_count(0)
    assert painted(page, [(0.13, 43)])[0][3] == 0
    page.locator("#chart").focus()
    expect(page.locator("#chart-readout")).to_have_text(re.compile(r":59: 100 ms$"))
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#chart-readout")).to_have_text(re.compile(r":58: 100 ms$"))
