"""The first day with NetPulse, as a person has it: from the setup token to the recovery."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, expect
from standardwebhooks import Webhook

from tests.browser.conftest import Opener
from tests.instance import EMAIL, PASSWORD, Instance, Sink, Site, eventually

STAYS = "document.documentElement.dataset.stays"
"""A mark on the page that a navigation or a reload would wipe off."""


def badge(page: Page, name: str) -> Any:
    return page.locator(f'[data-live-monitor][data-name="{name}"] [data-live=status]')


def add(page: Page, base: str, kind: str, name: str, target: str, tmp: Any) -> str:
    """Fill the form of a new monitor, try it, save it, and return its address."""
    page.goto(f"{base}/monitors/new")
    page.select_option("[name=type]", kind)
    page.fill("[name=name]", name)
    page.fill("[name=target]", target)
    page.fill("[name=interval_seconds]", "10")
    page.fill("[name=retry_interval_seconds]", "1")
    page.click("button[data-test]")
    expect(page.locator("#test-result")).to_contain_text("Up")
    expect(page.locator("#np-announce")).to_contain_text("Up")
    assert page.url == f"{base}/monitors/new"
    page.click("button:has-text('Start watching')")
    page.wait_for_url("**/monitors/*-*")
    expect(badge(page, name)).to_have_text("Up")
    page.screenshot(path=tmp / f"monitor-{kind}.png")
    return page.url


def test_the_first_day(
    fresh: Instance, site: Site, sink: Sink, window: Opener, tmp_path: Any
) -> None:
    first, second = window(), window()
    page, beside, base = first.page, second.page, fresh.base

    # Set up with the token that the start printed.
    page.goto(f"{base}/")
    assert page.url == f"{base}/setup"
    page.fill("[name=setup_token]", fresh.setup_token())
    page.fill("[name=org_name]", "Acme")
    page.fill("[name=email]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.screenshot(path=tmp_path / "setup.png")
    page.click("text=Create the administrator")
    page.wait_for_url(f"{base}/setup/alerts")
    page.click("text=Not now")
    page.wait_for_url(f"{base}/dashboard")
    expect(page.locator("main")).to_contain_text("Three steps until you can rely on this")
    second.sign_in(base, EMAIL, PASSWORD)

    # Two monitors; the list that is open elsewhere shows what becomes of them.
    web = add(page, base, "http", "Shop", site.url, tmp_path)
    add(page, base, "tcp", "Port", f"127.0.0.1:{site.port}", tmp_path)
    beside.goto(f"{base}/monitors")
    expect(beside.locator("[data-live-state]")).to_have_text("Live")
    expect(beside.locator("tr[data-live-monitor] [data-live=status]")).to_have_text(["Up", "Up"])
    expect(beside.locator(".np-alone")).to_have_count(2)
    expect(beside.locator(".np-alone").first).to_contain_text("Nobody is told about this")

    # A channel with a secret that is never shown again, and a test of it.
    page.goto(f"{base}/alerts/channels/new")
    page.click("a[href$='type=webhook']")
    page.fill("[name=name]", "Ops")
    page.fill("[name='config.url']", sink.url)
    page.click("button:has-text('Generate')")
    secret = page.input_value("[name='config.secret']")
    assert secret.startswith("whsec_")
    page.click("button:has-text('Save')")
    expect(page.locator("main")).to_contain_text("No rule, so nobody is told")
    page.click("button:has-text('Test')")
    expect(page.locator("#flash")).to_contain_text("Ops took the test: HTTP 200")
    assert [event["event"] for event in sink.distinct()] == ["test"]
    page.goto(page.url)
    assert page.url == f"{base}/alerts"
    page.click("a:has-text('Edit')")
    page.wait_for_load_state()
    assert secret not in page.content()
    assert page.input_value("[name='config.secret']") == ""
    page.click("button:has-text('Save')")

    # A rule from the monitor's own warning covers it.
    page.goto(web)
    page.click("main .np-note a:has-text('Add a rule')")
    assert page.input_value("[name=name]") == "Shop is down"
    page.click("button:has-text('Save')")
    expect(page.locator("main")).to_contain_text("Shop is down")
    page.goto(web)
    expect(page.locator("main")).not_to_contain_text("Nobody is told about this")
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    page.screenshot(path=tmp_path / "covered.png", full_page=True)

    # The target stops. Both windows show it, and neither is loaded again.
    for each in (page, beside):
        each.evaluate(f"{STAYS} = 'yes'")
    site.down()
    for each in (page, beside):
        expect(badge(each, "Shop")).to_have_text("Down", timeout=25_000)
        expect(each.locator(".np-nav [data-live-count=down]")).not_to_have_text("0")
    expect(page.locator("#checks")).to_contain_text("connection refused by")
    incident = page.locator("#incidents a.np-name")
    expect(incident).to_contain_text("Shop is down")
    expect(page.locator("#incidents")).to_contain_text("Investigating")
    page.screenshot(path=tmp_path / "down.png", full_page=True)
    assert page.evaluate(STAYS) == "yes"

    down = eventually("the message of the outage", lambda: _told(sink, secret, 1))[0]
    assert down["event"] == "monitor.down"
    assert down["monitor"]["name"] == "Shop"
    assert down["monitor"]["target"] == site.url
    assert down["org"]["name"] == "Acme"
    assert 0 <= down["incident"]["duration_seconds"] < 20

    # The incident, open in the second window: who was told, and then its end.
    beside.goto(f"{base}{incident.get_attribute('href')}")
    story = beside.locator("[data-incident-status]")
    expect(story).to_have_attribute("data-incident-status", "investigating")
    expect(beside.locator("#story-all")).to_contain_text("Down by Ops")
    expect(beside.locator("[data-live-state]")).to_have_text("Live")
    beside.evaluate(f"{STAYS} = 'yes'")
    site.up()
    expect(badge(page, "Shop")).to_have_text("Up", timeout=25_000)
    expect(story).to_have_attribute("data-incident-status", "resolved")
    expect(beside.locator("#story-all")).to_contain_text("Up again by Ops")
    expect(page.locator("#incidents")).to_contain_text("Resolved")
    expect(page.locator("#figures")).to_contain_text("down")
    beside.screenshot(path=tmp_path / "resolved.png", full_page=True)
    assert page.evaluate(STAYS) == beside.evaluate(STAYS) == "yes"

    told = eventually("the message of the recovery", lambda: _told(sink, secret, 2))
    assert [event["event"] for event in told] == ["monitor.down", "monitor.up"]
    up = told[1]
    assert up["incident"]["id"] == down["incident"]["id"]
    assert up["incident"]["started_at"] == down["incident"]["started_at"]
    assert up["incident"]["duration_seconds"] >= 1

    page.goto(f"{base}/dashboard")
    expect(page.locator(".np-headline")).to_contain_text("Everything that is watched is up")
    expect(page.locator("#incidents")).to_contain_text("Shop is down")
    page.screenshot(path=tmp_path / "dashboard.png", full_page=True)
    assert first.errors == []
    assert second.errors == []


def _told(sink: Sink, secret: str, count: int) -> list[dict[str, Any]]:
    """Return the messages about monitors once there are `count`; each is checked as its receiver
    would."""
    found = {}
    for headers, body in list(sink.received):
        event = Webhook(secret).verify(body, headers)
        assert event == json.loads(body)
        if event["event"] != "test":
            found[headers["webhook-id"]] = event
    assert len(found) <= count, found
    return list(found.values()) if len(found) == count else []
