"""Many monitors in the list, a chart looked at closely, and what the pages weigh."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, expect

from tests.browser.chrome import PHONE
from tests.browser.conftest import Opener
from tests.instance import EMAIL, PASSWORD, Instance

PATIENCE = 20_000
FIRST_LOAD, NEXT_LOAD = 300_000, 30_000
"""Bytes on the wire that a page may take: with an empty cache, and from another page."""
HOUR = 3600
END = 1_796_000_400


def paused(instance: Instance, name: str, *tags: str) -> str:
    spec = {"type": "http", "name": name, "target": "http://127.0.0.1:1/", "is_paused": True}
    made = instance.ok("POST", "/v1/monitors", spec | {"tags": list(tags)})
    return str(made["id"])


def test_several_are_changed_at_once(peopled: Instance, window: Opener) -> None:
    for name in ("Ant", "Bee", "Cat"):
        paused(peopled, name, "zoo")
    seen = window()
    page = seen.page
    seen.sign_in(peopled.base, EMAIL, PASSWORD)
    page.goto(f"{peopled.base}/monitors?tag=zoo&sort=name")
    count, tag = page.locator("[data-choose-count]"), page.locator("#bulk [name=tag]")
    expect(count).to_have_text("None chosen")
    expect(tag).to_be_hidden()
    whole = page.locator("[data-choose-page]")
    # By keyboard, as every box.
    whole.focus()
    page.keyboard.press("Space")
    expect(count).to_have_text("3 chosen")
    page.get_by_role("checkbox", name="Choose Cat").uncheck()
    expect(count).to_have_text("2 chosen")
    assert whole.evaluate("(box) => box.indeterminate")
    page.select_option("#bulk [name=action]", "add_tag")
    tag.fill("petted")
    page.click("#bulk button")
    expect(page.locator("#job")).to_contain_text("2 monitors were given the tag petted.")
    assert "tag=zoo" in page.url
    expect(page.locator("tr:has-text('petted')")).to_have_count(2)

    # Deleting asks, and names what goes.
    page.get_by_role("checkbox", name="Choose Ant").check()
    page.select_option("#bulk [name=action]", "delete")
    page.click("#bulk button")
    expect(page.locator("h1")).to_have_text("Delete 1 monitor?")
    expect(page.locator("main li").first).to_have_text("Ant")
    page.click("text=Keep it")
    expect(page.locator("tbody tr")).to_have_count(3)
    assert seen.errors == []

    # Without script, on a phone.
    plain = window(java_script_enabled=False, viewport=PHONE)
    plain.sign_in(peopled.base, EMAIL, PASSWORD)
    plain.page.goto(f"{peopled.base}/monitors?tag=zoo")
    expect(plain.page.locator("#bulk [name=tag]")).to_be_visible()
    for name in ("Ant", "Bee", "Cat"):
        plain.page.get_by_role("checkbox", name=f"Choose {name}").check()
    plain.page.select_option("#bulk [name=action]", "delete")
    plain.page.click("#bulk button")
    plain.page.click("button:has-text('Delete 3 monitors')")
    expect(plain.page.locator("#job")).to_contain_text("3 monitors were deleted.")
    assert plain.too_wide() == 0


def serve(page: Page, asked: list[tuple[int, int] | None]) -> None:
    """Answer for the chart: a figure for each minute of the stretch that is asked for."""

    def answered(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        stretch = (int(query["from"][0]), int(query["to"][0])) if "from" in query else None
        asked.append(stretch)
        start, end = stretch or (END - HOUR, END)
        moments = list(range(start, end, max(1, (end - start) // 60)))
        data: dict[str, Any] = {
            "from": start,
            "to": end,
            "at": moments,
            "total": {"label": "Response time", "values": [100.0] * len(moments)},
            "phases": [],
            "bands": [],
            "threshold_ms": None,
        }
        route.fulfill(body=json.dumps(data), content_type="application/json")

    page.route("**/chart.json*", answered)


def test_a_chart_is_looked_at_closely(peopled: Instance, window: Opener) -> None:
    monitor_id = paused(peopled, "Zoomed")
    seen = window(locale="en-GB", timezone_id="UTC")
    page = seen.page
    asked: list[tuple[int, int] | None] = []
    seen.sign_in(peopled.base, EMAIL, PASSWORD)
    serve(page, asked)
    page.goto(f"{peopled.base}/monitors/{monitor_id}")
    chart, back = page.locator("#chart[role=slider]"), page.locator("[data-chart-back]")
    expect(chart).to_be_visible(timeout=PATIENCE)
    expect(back).to_be_hidden()
    assert asked == [None]

    # Drag over the second quarter of the hour.
    box = page.locator("#chart .u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    with page.expect_response("**/chart.json*"):
        page.mouse.up()
    expect(back).to_be_visible()
    assert len(asked) == 2
    assert asked[1] is not None
    start, end = asked[1]
    assert abs(start - (END - HOUR * 3 // 4)) < 60
    assert abs(end - (END - HOUR // 2)) < 60

    with page.expect_response("**/chart.json*"):
        back.click()
    expect(back).to_be_hidden()
    assert asked[2:] == [None]

    # By keyboard: closer at the last figure, closer still, less closely, and all of it.
    expect(chart).to_be_visible()
    chart.focus()
    lengths = []
    for key in ("+", "+", "-"):
        with page.expect_response("**/chart.json*"):
            page.keyboard.press(key)
        expect(page.locator("#chart")).not_to_have_attribute("aria-busy", "true")
        last = asked[-1]
        assert last is not None
        lengths.append(last[1] - last[0])
    assert lengths == [HOUR // 2, HOUR // 4, HOUR // 2]
    # The new drawing is read on where the old one was.
    expect(page.locator("#chart-readout")).to_have_text(re.compile(r": 100 ms$"))
    expect(chart).to_have_attribute("aria-valuetext", re.compile(r": 100 ms$"))
    assert (asked[-1] or (0, 0))[1] == END
    expect(chart).to_be_focused()
    with page.expect_response("**/chart.json*"):
        page.keyboard.press("0")
    expect(back).to_be_hidden()
    assert asked[-1] is None
    assert seen.errors == []


class Scale:
    """What comes over the wire while a page is loaded, in bytes as they are sent."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        self._session = page.context.new_cdp_session(page)
        self._session.send("Network.enable")
        self._session.on("Network.loadingFinished", self._finished)

    def _finished(self, event: Any) -> None:
        self.bytes += int(event["encodedDataLength"])


def test_pages_are_light(peopled: Instance, window: Opener) -> None:
    one = peopled.ok("GET", "/v1/monitors?q=Shop")[0]["id"]
    weights: dict[str, tuple[int, int]] = {}
    for path in ("/dashboard", "/monitors", f"/monitors/{one}"):
        seen = window()
        page = seen.page
        # Signing in fills the cache; the first load is of somebody who comes with an empty one.
        seen.sign_in(peopled.base, EMAIL, PASSWORD)
        scale = Scale(page)
        scale._session.send("Network.clearBrowserCache")
        page.goto(f"{peopled.base}{path}")
        expect(page.locator("[data-live-state]")).to_have_text(re.compile("Live"), timeout=PATIENCE)
        first = scale.bytes
        scale.bytes = 0
        page.goto(f"{peopled.base}{path}?again=1")
        expect(page.locator("[data-live-state]")).to_have_text(re.compile("Live"), timeout=PATIENCE)
        weights[path] = (first, scale.bytes)
        assert seen.errors == []
    for path, (first, again) in weights.items():
        # Less than a page's style sheet alone would be: then nothing was measured.
        assert 20_000 < first < FIRST_LOAD, (path, weights)
        assert 1_000 < again < NEXT_LOAD, (path, weights)
