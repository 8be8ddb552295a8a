"""Parts of pages that are put in place: lists filtered, sorted and paged, and what becomes of focus, ticks,
addresses and trouble."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.test_journey import STAYS
from tests.browser.test_lists import paused
from tests.instance import EMAIL, PASSWORD, Instance

FOCUSED = "(document.activeElement.id || document.activeElement.name)"


def listed(page: Page) -> Any:
    return page.locator("#listing tbody tr")


def test_a_list_is_filtered_and_paged_in_place(peopled: Instance, window: Opener) -> None:
    for number in range(23):
        paused(peopled, f"Herd {number:02}", "herd")
    seen = window()
    page, base = seen.page, peopled.base
    seen.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/monitors?tag=herd&sort=name")
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    page.evaluate(f"{STAYS} = 'yes'")

    # The next page: the address goes along, the reader is at the beginning of the list.
    page.get_by_role("checkbox", name="Choose Herd 03").check()
    expect(page.locator("[data-choose-count]")).to_have_text("1 chosen")
    page.click("a[rel=next]")
    expect(listed(page)).to_have_count(3)
    assert page.url == f"{base}/monitors?tag=herd&sort=name&page=2"
    assert page.evaluate(FOCUSED) == "listing"
    expect(page.locator("#np-announce")).to_have_text("21 to 23 of 23 monitors")
    # What was ticked is not there any more, and nothing else is ticked in its place.
    expect(page.locator("[data-choose-count]")).to_have_text("None chosen")
    expect(page.locator("[name=monitor_ids]:checked")).to_have_count(0)
    page.get_by_role("checkbox", name="Choose Herd 22").check()
    expect(page.locator("[data-choose-count]")).to_have_text("1 chosen")

    # A filter applies as it is chosen, and is all that the address says.
    page.focus("[name=limit]")
    page.select_option("[name=limit]", "50")
    expect(listed(page)).to_have_count(23)
    assert page.url == f"{base}/monitors?tag=herd&sort=name&limit=50"
    assert page.evaluate(FOCUSED) == "limit"
    expect(page.locator("[name=monitor_ids]:checked")).to_have_count(0)
    page.fill("[name=q]", "Herd 07")
    page.keyboard.press("Enter")
    expect(listed(page)).to_have_count(1)
    assert page.evaluate(FOCUSED) == "q"
    expect(page.locator("#np-announce")).to_have_text("1 monitor")
    page.fill("[name=q]", "no such thing")
    page.keyboard.press("Enter")
    expect(page.locator("#listing")).to_contain_text("No monitor fits this filter")
    expect(page.locator("#np-announce")).to_have_text("No monitor fits this filter")

    # Back, and forth; the fields say what the list is.
    page.go_back()
    expect(listed(page)).to_have_count(1)
    expect(page.locator("[name=q]")).to_have_value("Herd 07")
    page.go_back()
    page.go_back()
    expect(listed(page)).to_have_count(3)
    expect(page.locator("[name=limit]")).to_have_value("20")
    page.go_forward()
    expect(listed(page)).to_have_count(23)
    expect(page.locator("[name=limit]")).to_have_value("50")
    page.click("#listing >> text=Clear")
    expect(page.locator(".np-filters [name=tag]")).to_have_value("")
    assert page.url == f"{base}/monitors"
    assert page.evaluate(STAYS) == "yes"
    # What came in place is as alive as what was there.
    page.get_by_role("checkbox", name="Choose Broken").check()
    page.select_option("#bulk [name=action]", "add_tag")
    expect(page.locator("#bulk [name=tag]")).to_be_visible()
    assert seen.errors == []


def test_other_lists_too(peopled: Instance, window: Opener) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    seen.sign_in(base, EMAIL, PASSWORD)
    broken = peopled.ok("GET", "/v1/monitors?q=Broken")[0]["id"]
    page.goto(f"{base}/incidents")
    page.evaluate(f"{STAYS} = 'yes'")
    page.click("nav[aria-label='Which incidents'] >> text=Resolved")
    expect(page.locator("[aria-current=true]")).to_contain_text("Resolved")
    assert page.url == f"{base}/incidents?status=resolved"
    page.click("nav[aria-label='Which incidents'] >> text=Open")
    expect(page.locator("#list a.np-name").first).to_contain_text("Broken")
    # The list that is there now is the one that is kept fresh.
    assert "status=open" in (page.locator("#list").get_attribute("hx-get") or "")
    assert page.evaluate(STAYS) == "yes"
    for path, field, value in (
        ("/settings/audit", "action", "monitor.created"),
        (f"/monitors/{broken}/checks", "status", "down"),
    ):
        page.goto(base + path)
        page.evaluate(f"{STAYS} = 'yes'")
        page.select_option(f"#listing .np-filters [name={field}]", value)
        page.wait_for_url(re.compile(re.escape(f"{base}{path}?{field}={value}") + "$"))
        expect(listed(page).first).to_be_visible()
        assert page.evaluate(STAYS) == "yes"
    assert seen.errors == []


def test_focus_survives_what_is_put_in(peopled: Instance, window: Opener) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    made = peopled.ok("POST", "/v1/incidents", {"title": "Kept in focus"})
    seen.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/dashboard")
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    link = page.locator(f"#incidents a[href='/incidents/{made['id']}']")
    link.focus()
    peopled.ok("POST", "/v1/incidents", {"title": "Pushes it down"})
    expect(page.locator("#incidents a.np-name").first).to_have_text("Pushes it down")
    expect(link).to_be_focused()

    # Somebody who reads the days by keyboard reads on.
    broken = peopled.ok("GET", "/v1/monitors?q=Broken")[0]["id"]
    page.goto(f"{base}/monitors/{broken}")
    bar, out = page.locator("[data-days]"), page.locator("#bar-day")
    bar.focus()
    page.keyboard.press("ArrowLeft")
    day = out.inner_text()
    with page.expect_response("**part=figures"):
        page.evaluate("htmx.trigger('#figures', 'refresh')")
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    expect(bar).to_be_focused()
    expect(out).to_have_text(day)
    page.keyboard.press("ArrowRight")
    expect(out).not_to_have_text(day)

    # An open menu does not stay behind whoever leaves it.
    page.focus(".np-user summary")
    page.keyboard.press("Enter")
    menu = page.locator(".np-user details")
    expect(menu).to_have_attribute("open", "")
    page.focus("main a >> nth=0")
    expect(menu).not_to_have_attribute("open", "")
    assert seen.errors == []


def test_trouble_is_left_to_the_browser(peopled: Instance, window: Opener) -> None:
    """Who was signed out while a list was open lands where any link would lead."""
    seen = window()
    page, base = seen.page, peopled.base
    seen.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/monitors")
    page.context.clear_cookies()
    page.select_option("[name=status]", "down")
    page.wait_for_url(re.compile(r"/login\?next="))
    page.fill("[name=email]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url(re.compile(r"/monitors\?status=down"))
    expect(page.locator("[name=status]")).to_have_value("down")
