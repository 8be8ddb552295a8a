"""A provider's day: make a client, look after it, see it among the others, and leave it alone."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser import chrome
from tests.browser.conftest import Opener
from tests.browser.test_journey import STAYS, badge
from tests.instance import EMAIL, PASSWORD, Instance, Site

ANN, ANNS_PASSWORD = "ann@acme.example", "eleven patient beavers"


def test_a_providers_day(fresh: Instance, site: Site, window: Opener, tmp_path: Any) -> None:
    fresh.register()
    fresh.add_user(ANN, ANNS_PASSWORD, "admin")
    anns = window()
    page, base = anns.page, fresh.base
    anns.sign_in(base, ANN, ANNS_PASSWORD)
    expect(page.locator(".np-org")).to_have_count(0)

    # A client, with what it may have.
    page.goto(f"{base}/settings/clients")
    page.click("main a:has-text('Add a client') >> nth=0")
    page.fill("[name=name]", "Corner Shop")
    page.fill("[name=plan]", "Silver")
    page.select_option("[name=limits]", "own")
    page.fill("[name='quotas.monitors']", "1")
    page.check("[name='quotas.private_targets']")
    page.screenshot(path=tmp_path / "client.png")
    page.click("button:has-text('Add the client')")
    expect(page.locator("#flash")).to_contain_text("Added. Open it to invite its people")
    expect(page.locator(".np-org summary")).to_contain_text("Acme")

    # Inside, which cannot be overlooked.
    page.click("main button:has-text('Open')")
    page.wait_for_url(f"{base}/dashboard")
    expect(page.locator(".np-visit")).to_contain_text(
        "You are looking at Corner Shop, with administrator rights"
    )
    expect(page.locator(".np-org summary")).to_contain_text("Corner Shop")
    page.goto(f"{base}/monitors/new")
    page.select_option("[name=type]", "http")
    page.fill("[name=name]", "Web shop")
    page.fill("[name=target]", site.url)
    page.fill("[name=interval_seconds]", "10")
    page.fill("[name=retry_interval_seconds]", "1")
    page.click("button:has-text('Start watching')")
    page.wait_for_url("**/monitors/*-*")
    expect(badge(page, "Web shop")).to_have_text("Up")
    inside = page.url.split("?")[0]

    # Another tab shows the same; then the first one goes home.
    beside = anns.context.new_page()
    beside.goto(inside)
    expect(beside.locator("[data-live-state]")).to_have_text("Live")
    page.click("button:has-text('Back to Acme')")
    page.wait_for_url(f"{base}/clients")
    expect(page.locator(".np-visit")).to_have_count(0)
    expect(page.locator("#rollup")).to_contain_text("Everything that is watched for clients is up")
    row = page.locator("#rollup tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Corner Shop")
    expect(row.locator(".c-up")).to_contain_text("1 up")
    page.screenshot(path=tmp_path / "rollup.png")

    # What the other tab shows is of an organization that this browser has left: it says so, and
    # its buttons do nothing.
    expect(beside.locator("[data-live-state]")).to_have_text(
        "Another organization is open, reload", timeout=30_000
    )
    beside.click("main button:has-text('Pause')")
    expect(beside.locator("h1")).to_have_text("Another organization is open")
    expect(beside.locator("main")).to_contain_text(
        "This page is of Corner Shop, and this browser is in Acme by now: nothing was done."
    )
    beside.screenshot(path=tmp_path / "another.png")
    beside.close()

    # The roll-up tells by itself when something goes down there, and leads to it.
    page.evaluate(f"{STAYS} = 'yes'")
    site.down()
    expect(page.locator("#rollup")).to_contain_text(
        "1 monitor is down, in 1 client", timeout=60_000
    )
    assert page.evaluate(STAYS) == "yes"
    expect(row.locator(".np-plainlist")).to_contain_text("Web shop")
    page.screenshot(path=tmp_path / "down.png")
    row.locator(".np-plainlist button").click()
    page.wait_for_url(inside)
    expect(badge(page, "Web shop")).to_have_text("Down")

    # Back by the menu, without a script's help: it is a list of buttons.
    page.click(".np-org summary")
    page.screenshot(path=tmp_path / "menu.png")
    page.click(".np-places button:has-text('Acme') >> nth=0")
    page.wait_for_url(f"{base}/dashboard")
    expect(page.locator(".np-visit")).to_have_count(0)

    # Deleted, after being asked once what goes with it.
    page.goto(f"{base}/settings/clients")
    page.click("main a:has-text('Delete')")
    expect(page.locator("#np-dialog")).to_contain_text("Delete the client Corner Shop?")
    expect(page.locator("#np-dialog")).to_contain_text("1 monitor is watched no more")
    page.click("#np-dialog button:has-text('Delete the client')")
    expect(page.locator("main")).to_contain_text("No client yet")
    expect(page.locator(".np-org")).to_have_count(0)
    # While the monitor's page is being left for another organization it may still ask for a part of
    # itself, when something happens there: that is refused, as it should be. Nothing else is.
    late = (
        f"{inside}: Failed to load resource: the server responded with a status of 409 (Conflict)"
    )
    assert [each for each in anns.errors if each != late] == []


def test_it_works_without_scripts_on_a_phone(fresh: Instance, window: Opener) -> None:
    fresh.register()
    names = [f"Client {number:02}" for number in range(12)]
    for name in names:
        fresh.ok("POST", "/v1/org/clients", {"name": name})
    plain = window(java_script_enabled=False, viewport=chrome.PHONE)
    page, base = plain.page, fresh.base
    plain.sign_in(base, EMAIL, PASSWORD)
    page.click(".np-org summary")
    page.fill("#switch-q", "client 1")
    page.press("#switch-q", "Enter")
    page.wait_for_url("**/switch?q=client+1")
    page.click("main .np-places button:has-text('Client 11')")
    page.wait_for_url(f"{base}/dashboard")
    expect(page.locator(".np-visit")).to_contain_text("You are looking at Client 11")
    assert plain.too_wide() == 0
    for path in ("/clients", "/settings/clients", "/settings/clients/new", "/switch"):
        if path == "/clients":
            page.click("button:has-text('Back to')")
        page.goto(base + path)
        assert plain.too_wide() == 0, path
    assert plain.errors == []
