"""From a rule to somebody who takes the outage on: on its page, and by the link in a message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import chrome
from tests.browser.conftest import Opener
from tests.instance import EMAIL, PASSWORD, Instance, Sink, Site, eventually


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Instance]:
    """A NetPulse that knows where it is, so that its messages carry links."""
    instance = Instance(tmp_path / "data")
    try:
        instance.start(environ={"NETPULSE_SERVER_PUBLIC_URL": instance.base})
        instance.register()
        yield instance
    finally:
        instance.close()


def told(sink: Sink, title: str) -> dict[str, Any] | None:
    """Return the message whose title begins so, once it is there."""
    messages = [json.loads(body) for _, body in sink.received]
    return next((each for each in messages if each["title"].startswith(title)), None)


def watched(instance: Instance, name: str, site: Site) -> str:
    """Have a site of this name watched, and return the monitor's id."""
    spec = {"type": "http", "name": name, "target": site.url, "interval_seconds": 10}
    made = instance.ok("POST", "/v1/monitors", spec | {"confirmations": 1, "tags": ["night"]})
    eventually(
        f"{name} is up",
        lambda: instance.ok("GET", f"/v1/monitors/{made['id']}")["status"] == "up",
    )
    return str(made["id"])


def test_a_rule_an_outage_and_who_takes_it_on(
    linked: Instance, sink: Sink, window: Opener, tmp_path: Path
) -> None:
    base = linked.base
    config = {"url": sink.url.removesuffix("/hook"), "topic": "night"}
    linked.ok("POST", "/v1/alert-channels", {"type": "ntfy", "name": "Night", "config": config})
    first, second = Site().up(), Site().up()
    shop, till = watched(linked, "Shop", first), watched(linked, "Till", second)

    # A rule; a mistake in its condition is shown where it is.
    here, beside = window(), window()
    page = here.page
    for each in (here, beside):
        each.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/alerts/rules/new")
    page.fill("[name=name]", "Anything at night")
    page.fill("[name=condition]", "down or response_time > 800")
    page.select_option("[name=scope]", "tag")
    page.fill("[name=tag]", "night")
    page.click("main button:has-text('Save')")
    expect(page.locator("#form-errors")).to_contain_text("response_time")
    caret = page.locator(".np-caret").text_content() or ""
    assert caret.splitlines()[1].index("^") == "down or response_time".index("response_time")
    page.fill("[name=condition]", "down")
    page.click("main button:has-text('Save')")
    page.wait_for_url(f"{base}/alerts*")
    expect(page.locator("main")).to_contain_text("Anything at night")

    try:
        # On its page: whoever looks on sees at once that somebody has.
        first.down()
        down = eventually("the message", lambda: told(sink, "Down: Shop ("))
        story = down["click"]
        for each in (page, beside.page):
            each.goto(story)
            expect(each.locator("[data-live-state]")).to_have_attribute("data-live-state", "on")
        page.screenshot(path=tmp_path / "open.png", full_page=True)
        page.click("main button:has-text('Acknowledge')")
        for each in (page, beside.page):
            expect(each.locator("[data-acknowledged]")).to_have_text(f"Acknowledged by {EMAIL}")
            expect(each.locator("main button:has-text('Acknowledge')")).to_have_count(0)
        heard = eventually("who was told hears so", lambda: told(sink, "Acknowledged: Shop"))
        assert EMAIL in heard["message"]

        # By the link, as a stranger on a phone without scripts: opening it changes nothing.
        second.down()
        down = eventually("the other message", lambda: told(sink, "Down: Till ("))
        link = next(one["url"] for one in down["actions"] if one["label"] == "Acknowledge")
        phone = window(viewport=chrome.PHONE, java_script_enabled=False)
        phone.page.goto(link)
        assert phone.too_wide() == 0
        expect(phone.page.locator("h1")).to_contain_text("Till is down")
        incident = re.sub(r".*/", "", down["click"])
        assert linked.ok("GET", f"/v1/incidents/{incident}")["acknowledged_at"] is None
        phone.page.click("main button:has-text('Acknowledge')")
        expect(phone.page.locator("main")).to_contain_text(
            "Done. Acknowledged by the link sent by Night"
        )
        phone.page.goto(f"{base}/incidents/{incident}")
        assert phone.page.url.startswith(f"{base}/login")
        phone.page.goto(link)
        expect(phone.page.locator("main form")).to_have_count(0)
        found = linked.ok("GET", f"/v1/incidents/{incident}")
        assert (found["acknowledged_by"], found["acknowledged_via"]) == (
            "the link sent by Night",
            "link",
        )

        # When it is over, the link says so.
        second.up()
        eventually(
            "it is over",
            lambda: linked.ok("GET", f"/v1/monitors/{till}")["status"] == "up",
        )
        phone.page.reload()
        expect(phone.page.locator("main")).to_contain_text("nothing left to acknowledge")
        assert linked.ok("GET", f"/v1/monitors/{shop}")["status"] == "down"
        unwanted = [each for each in here.errors if "status of 400" not in each]
        assert unwanted == beside.errors == phone.errors == []
    finally:
        first.down()
        second.down()
