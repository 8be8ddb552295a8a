"""The pages without script, for viewers, on a phone, and when they ask before they delete."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import chrome
from tests.browser.conftest import VIEWER, VIEWERS_PASSWORD, Opener
from tests.instance import EMAIL, PASSWORD, Instance, Site


def test_it_all_works_without_script(fresh: Instance, site: Site, window: Opener) -> None:
    page, base = window(java_script_enabled=False).page, fresh.base
    page.goto(f"{base}/setup")
    page.fill("[name=setup_token]", fresh.setup_token())
    page.fill("[name=org_name]", "Acme")
    page.fill("[name=email]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.click("text=Create the administrator")
    assert page.url == f"{base}/setup/alerts"
    page.click("text=Not now")
    assert page.url == f"{base}/dashboard"
    page.click("summary:has-text('Your account')")
    page.click("text=Sign out")
    assert page.url == f"{base}/login"

    page.goto(f"{base}/monitors?sort=name")
    assert page.url.startswith(f"{base}/login?next=")
    page.fill("[name=email]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    assert page.url == f"{base}/monitors?sort=name"

    # The form shows the fields of every type; those of the chosen one count.
    page.click("main a:has-text('Add a monitor') >> nth=0")
    expect(page.locator("[name=expect]")).to_be_visible()
    expect(page.locator("[name=body_match]")).to_be_visible()
    page.select_option("[name=type]", "http")
    page.fill("[name=name]", "Shop")
    page.fill("[name=target]", site.url)
    page.fill("[name=expected_status]", "none")
    page.click("button:has-text('Start watching')")
    expect(page.locator("#form-errors")).to_contain_text("Expected status codes")
    assert page.input_value("[name=name]") == "Shop"
    page.fill("[name=expected_status]", "200")
    page.click("button:has-text('Test now')")
    expect(page.locator("#test-result")).to_contain_text("HTTP 200")
    page.click("button:has-text('Start watching')")
    expect(page.locator("h1")).to_have_text("Shop")
    address = page.url.partition("?")[0]

    page.click("button:has-text('Check now')")
    expect(page.locator("#checks")).to_contain_text("by hand")
    page.click("button:has-text('Pause')")
    expect(page.locator("#flash")).to_contain_text("Paused")
    page.click("button:has-text('Resume')")
    page.click("main a:has-text('Edit') >> nth=0")
    page.fill("[name=name]", "Store")
    page.click("button:has-text('Save')")
    expect(page.locator("h1")).to_have_text("Store")

    page.click("main a:has-text('Delete')")
    assert page.url == f"{address}/delete"
    page.click("a:has-text('Keep it')")
    assert page.url == address
    page.click("main a:has-text('Delete')")
    page.click("button:has-text('Delete the monitor')")
    expect(page.locator("main")).to_contain_text("Nothing is watched yet")


PAGES = ("/dashboard", "/monitors", "MONITOR", "/incidents", "INCIDENT", "/alerts", "/maintenance", "/docs")  # fmt: skip
FORMS = ("/monitors/new", "MONITOR/edit", "MONITOR/delete", "/alerts/channels/new", "/alerts/channels/new?type=email", "/alerts/rules/new", "/maintenance/new")  # fmt: skip


def address(page: Page, base: str, path: str) -> str:
    """Fill in the newest monitor or incident (the ones with long names)."""
    for word, where in (("MONITOR", "/monitors"), ("INCIDENT", "/incidents")):
        if path.startswith(word):
            page.goto(base + where)
            link = page.locator("main a.np-name").first.get_attribute("href")
            return f"{base}{link}{path.removeprefix(word)}"
    return base + path


def test_a_viewer_sees_nothing_to_change(peopled: Instance, window: Opener) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    seen.sign_in(base, VIEWER, VIEWERS_PASSWORD)
    for path in PAGES:
        page.goto(address(page, base, path))
        expect(page.locator("h1")).to_be_visible()
        assert page.locator("main form[method=post]").count() == 0, path
        links = [link.get_attribute("href") or "" for link in page.locator("main a").all()]
        admins = re.compile(r"/new|/edit|/delete|/test$|/alerts/(rules|channels)/")
        assert [link for link in links if admins.search(link)] == [], path
    assert seen.errors == []
    for path in FORMS:
        page.goto(address(page, base, path))
        expect(page.locator("h1")).to_have_text("Not allowed")
        expect(page.locator("main")).to_contain_text("Your role here is viewer")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone(
    peopled: Instance, window: Opener, scheme: str
) -> None:
    seen = window(viewport=chrome.PHONE, color_scheme=scheme)
    page, base = seen.page, peopled.base
    for path in ("/login", "/docs"):
        page.goto(base + path)
        assert seen.too_wide() == 0, path
    seen.sign_in(base, EMAIL, PASSWORD)
    for path in (*PAGES, *FORMS):
        page.goto(address(page, base, path))
        page.wait_for_load_state("load")
        assert seen.too_wide() == 0, path
    assert seen.errors == []


def test_deleting_asks_first(peopled: Instance, site: Site, window: Opener) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    spec = {"type": "http", "name": "Short-lived", "target": site.url, "is_paused": True}
    made = peopled.ok("POST", "/v1/monitors", spec)
    seen.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/monitors/{made['id']}")
    dialog = page.locator("dialog#np-dialog")
    ask = page.locator("a[data-confirm]")
    for leave in ("Escape", "Keep it"):
        ask.click()
        expect(dialog).to_be_visible()
        expect(dialog.locator("h1")).to_have_text("Delete Short-lived?")
        expect(dialog.get_by_text("Keep it")).to_be_focused()
        if leave == "Escape":
            page.keyboard.press(leave)
        else:
            dialog.get_by_text(leave).click()
        expect(dialog).to_be_hidden()
        expect(ask).to_be_focused()
    ask.click()
    dialog.get_by_role("button", name="Delete the monitor").click()
    expect(page.locator("#flash")).to_contain_text("Deleted")
    assert page.url.startswith(f"{base}/monitors")
    assert peopled.call("GET", f"/v1/monitors/{made['id']}")[0] == 404
    assert seen.errors == []


def test_what_people_enter_stays_text(peopled: Instance, window: Opener) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    hostile = """"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}</title>"""
    spec = {
        "type": "http",
        "name": hostile,
        "target": "http://127.0.0.1:1/",
        "description": hostile,
        "group": hostile,
        "tags": [hostile[:64]],
        "body_match": hostile,
        "runbook_url": "https://wiki.example/?q=" + hostile.replace(" ", ""),
        "is_paused": True,
    }
    made = peopled.ok("POST", "/v1/monitors", spec)
    seen.sign_in(base, EMAIL, PASSWORD)
    for path in ("", "/edit", "/delete"):
        page.goto(f"{base}/monitors/{made['id']}{path}")
        assert hostile in page.title() or path == "/edit"
        expect(page.locator("main img, main script")).to_have_count(0)
    page.goto(f"{base}/monitors?q=img")
    expect(page.locator("a.np-name")).to_have_text(hostile)
    page.goto(f"{base}/alerts/rules/new?monitor_id={made['id']}")
    assert page.input_value("[name=name]") == f"{hostile} is down"
    assert seen.errors == []


def test_the_keyboard_is_enough(peopled: Instance, window: Opener) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    seen.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/dashboard")
    page.keyboard.press("Tab")
    expect(page.locator(".np-skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("main a:has-text('Add a monitor')").first).to_be_focused()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/monitors/new")
    # What was refused is what the reader lands on.
    page.fill("[name=name]", "Shop")
    page.fill("[name=target]", "not a target")
    page.locator("[name=target]").press("Enter")
    expect(page.locator("#form-errors")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[name=target]")).to_be_focused()


def test_what_was_typed_survives_the_end_of_a_sign_in(peopled: Instance, window: Opener) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    seen.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/monitors/new")
    typed = {"name": "Night", "target": "https://night.example/", "description": "Night shift's"}
    for fold in page.locator("main details:visible > summary").all():
        fold.click()
    for name, text in typed.items():
        page.fill(f"[name={name}]", text)
    for secret in ("headers", "client_key"):
        page.fill(f"[name={secret}]", "X-Secret: not-to-be-kept")
    page.uncheck("[name=verify_tls]")
    seen.context.clear_cookies()
    page.click("button:has-text('Start watching')")
    expect(page.locator("#flash")).to_contain_text("You were signed out by now, and nothing was")
    assert "not-to-be-kept" not in page.evaluate("JSON.stringify(sessionStorage)")
    page.fill("[name=email]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")

    expect(page.locator("#flash")).to_contain_text("What you had typed is here again")
    assert page.url == f"{base}/monitors/new"
    for name, text in typed.items():
        expect(page.locator(f"[name={name}]")).to_have_value(text)
    expect(page.locator("[name=verify_tls]")).not_to_be_checked()
    for secret in ("headers", "client_key"):
        expect(page.locator(f"[name={secret}]")).to_have_value("")
    # It is there once, and not after an answer: a refused form says itself what was entered.
    page.fill("[name=target]", "nonsense")
    page.click("button:has-text('Start watching')")
    expect(page.locator("#form-errors")).to_be_visible()
    page.goto(f"{base}/monitors/new")
    expect(page.locator("[name=name]")).to_have_value("")
    assert page.evaluate("sessionStorage.length") == 0
    assert [each for each in seen.errors if " 400 " not in each] == []


def test_what_is_kept_holds_no_secret_and_all_that_was_chosen(
    peopled: Instance, window: Opener
) -> None:
    seen = window()
    page, base = seen.page, peopled.base
    for name in ("Pier", "Quay", "Wharf"):
        spec = {"type": "http", "name": name, "target": "http://127.0.0.1:1/", "is_paused": True}
        peopled.ok("POST", "/v1/monitors", spec)
    seen.sign_in(base, EMAIL, PASSWORD)

    def send_signed_out(button: str) -> str:
        seen.context.clear_cookies()
        page.click(f"main button:has-text('{button}')")
        expect(page.locator("#flash")).to_contain_text("You were signed out by now")
        return str(page.evaluate("JSON.stringify(sessionStorage)"))

    def come_back(email: str = EMAIL, password: str = PASSWORD) -> None:
        page.fill("[name=email]", email)
        page.fill("[name=password]", password)
        page.click("main button[type=submit]")

    # A secret that is shown because it was made here; the password in an address.
    page.goto(f"{base}/alerts/channels/new?type=webhook")
    page.fill("[name=name]", "Kept name")
    page.fill("[name='config.url']", "https://hook:hush-hush@hook.example/")
    page.click("button:has-text('Generate')")
    secret = page.input_value("[name='config.secret']")
    assert secret.startswith("whsec_")
    kept = send_signed_out("Save")
    assert "Kept name" in kept
    assert secret not in kept
    assert "hush-hush" not in kept
    come_back()
    expect(page.locator("[name='config.url']")).to_have_value("https://hook@hook.example/")
    expect(page.locator("[name='config.secret']")).to_have_value("")

    # All that is chosen in a list, not the first of it.
    page.goto(f"{base}/incidents/new")
    page.fill("[name=title]", "Harbour closed")
    page.select_option("[name=monitor_ids]", label=["Pier", "Wharf"])
    send_signed_out("Announce")
    come_back()
    expect(page.locator("[name=title]")).to_have_value("Harbour closed")
    chosen = page.locator("[name=monitor_ids] option:checked")
    assert chosen.all_text_contents() == ["Pier", "Wharf"]

    # Of somebody else who signs in, nothing is put back, and nothing stays.
    # Codes are not kept whatever their form.
    page.fill("[name=title]", "Harbour closed again")
    page.fill("[name=message]", "abcd-efgh-hush")
    page.evaluate("document.querySelector('[name=message]').autocomplete = 'one-time-code'")
    kept = send_signed_out("Announce")
    assert "Harbour closed again" in kept
    assert "abcd-efgh-hush" not in kept
    come_back(VIEWER, VIEWERS_PASSWORD)
    expect(page.locator("h1")).to_have_text("Not allowed")
    page.goto(f"{base}/dashboard")
    expect(page.locator(".np-email")).to_have_text(VIEWER)
    assert page.evaluate("sessionStorage.length") == 0
    assert [each for each in seen.errors if " 403 " not in each] == []


def test_badges_to_embed(peopled: Instance, window: Opener) -> None:
    seen, stranger = window(), window()
    page, base = seen.page, peopled.base
    spec = {"type": "http", "name": "Depot", "target": "http://127.0.0.1:1/", "is_paused": True}
    made = peopled.ok("POST", "/v1/monitors", spec)
    seen.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/monitors/{made['id']}")
    page.click("a:has-text('Switch the badges on')")
    page.fill("[name=label]", "The depot")
    page.click("button:has-text('Switch the badges on')")
    expect(page.locator("#flash")).to_contain_text("Switched on. Copy what you need below.")
    drawn = "element => element.complete && element.naturalWidth > 0"
    badges = page.locator("main img")
    expect(badges).to_have_count(page.locator(".np-snippets").count())
    for badge in badges.all():
        assert badge.evaluate(drawn), badge.get_attribute("src")

    # What is copied works for strangers, on a page of their own.
    snippet = page.locator(".np-snippets code", has_text="<img").first.text_content() or ""
    stranger.page.goto(f"{base}/login")
    shown = stranger.page.evaluate(
        """async html => {
          document.querySelector("main").innerHTML = html;
          const image = document.querySelector("main img");
          await image.decode();
          return [image.naturalHeight, image.alt];
        }""",
        snippet,
    )
    assert shown[0] == 20
    assert "Depot" not in snippet
    address = page.locator("main img").first.get_attribute("src") or ""
    assert "The depot" in stranger.page.request.get(base + address).text()

    # A new address, and none: each asks once.
    for act, button, told in (
        ("New address", "New address", "They have a new address"),
        ("Switch off", "Switch them off", "Switched off"),
    ):
        page.click(f"main a[data-confirm]:has-text('{act}')")
        page.locator("dialog#np-dialog").get_by_role("button", name=button).click()
        expect(page.locator("#flash")).to_contain_text(told)
        assert stranger.page.request.get(base + address).status == 404
    expect(page.locator("main")).to_contain_text("The badges are off")
    assert seen.errors == []
