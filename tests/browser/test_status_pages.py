"""A status page, from the builder to the last letter: an administrator makes it, strangers read it on
its own domain, subscribe, hear of an outage, and leave again.

By name and over plain http, as in test_password_resets: the page's domain and NetPulse's own lead to
the same port, and only the name says which is meant.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from email.message import EmailMessage
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chrome
from tests.browser.chrome import PHONE, Window
from tests.instance import EMAIL, PASSWORD, Instance, Site, eventually
from tests.mailbox import Mailbox, in_thread

HOST, DOMAIN = "netpulse.lan", "status.acme.example"
READER, OTHER = "reader@mail.example", "other@mail.example"
PATIENCE = 40_000
"""Milliseconds: an interval, the half minute in which news are gathered, and a slow machine."""
STAYS = "document.documentElement.dataset.stays"


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with in_thread() as opened:
        yield opened


@pytest.fixture
def by_name(browser: Browser) -> Iterator[Browser]:
    """A browser that knows where the names lead."""
    rules = f"MAP {HOST} 127.0.0.1, MAP {DOMAIN} 127.0.0.1"
    with chrome.another(browser, f"--host-resolver-rules={rules}") as found:
        yield found


class Place:
    """A NetPulse that sends mail and knows its name."""

    def __init__(self, instance: Instance, box: Mailbox) -> None:
        self.instance, self.box = instance, box
        self.base = f"http://{HOST}:{instance.port}"
        self.own = f"http://{DOMAIN}:{instance.port}"
        self.environ = {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(box.port),
            "SMTP_FROM": "netpulse@example.com",
            "NETPULSE_SMTP_SECURITY": "none",
            "NETPULSE_SERVER_PUBLIC_URL": self.base,
        }

    def start(self) -> None:
        self.instance.start(environ=self.environ)

    def letters(self, recipient: str) -> list[EmailMessage]:
        """Return what came for one address, the earliest first."""
        return [mail for mail in self.box.messages if mail["To"] == recipient]

    def letter(self, recipient: str, number: int) -> EmailMessage:
        """Return one of them, waiting for it."""

        def look() -> list[EmailMessage]:
            return self.letters(recipient)[number - 1 : number]

        (found,) = eventually(f"letter {number} for {recipient}", look, PATIENCE / 1000)
        return found

    def link(self, mail: EmailMessage, act: str) -> str:
        """Return the address in a letter that does `act`."""
        pattern = rf"{re.escape(self.base)}/subscriptions/\S+/{act}"
        return re.findall(pattern, mail.get_content())[0]

    def post(self, url: str, body: str) -> int:
        """Post as a mail provider does; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.instance.port, timeout=15)
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Host": urlsplit(url).netloc}
        try:
            connection.request("POST", urlsplit(url).path, body, kind)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, box: Mailbox) -> Iterator[Place]:
    made = Place(Instance(tmp_path_factory.mktemp("status") / "data"), box)
    try:
        made.start()
        made.instance.register()
        yield made
    finally:
        made.instance.close()


def build(page: Page, place: Place) -> str:
    """Make the page in the builder, as an administrator does; return its address there."""
    base = place.base
    page.goto(f"{base}/status-pages")
    expect(page.locator("main")).to_contain_text("No status page yet")
    page.click("main .btn:has-text('Make a page') >> nth=0")
    page.fill("[name=title]", "Acme")
    page.fill("[name=text]", "What we run for you.")
    page.get_by_label("Domain of your own").fill(DOMAIN)
    page.get_by_role("button", name="Make the page").click()
    expect(page.locator("#flash")).to_contain_text("Made. Now choose what it shows.")
    here = page.url.partition("?")[0].removesuffix("/services")
    page.goto(f"{here}/services")
    page.get_by_label("db01-shop").check()
    page.get_by_label("Into the group").fill("Web")
    page.get_by_role("button", name="Put on the page").click()
    page.get_by_label("Public name of db01-shop").fill("Shop")
    page.locator("#f-groups").get_by_role("button", name="Save").click()
    expect(page.get_by_label("Public name of db01-shop")).to_have_value("Shop")
    return here


def publish(page: Page, here: str) -> None:
    """Have the page's domain lead to it."""
    page.goto(f"{here}/domain")
    expect(page.locator("main")).to_contain_text("is not proved yet")
    page.get_by_role("button", name="Take it as proved").click()
    expect(page.locator("main")).to_contain_text("a super administrator vouched for it")


def subscribe(page: Page, place: Place, email: str) -> str:
    """Fill in the form that the page leads to; return the link of the letter that comes."""
    page.goto(place.own)
    page.get_by_role("link", name="Subscribe").click()
    assert page.url == f"{place.own}/subscribe"
    page.get_by_label("Email address").fill(email)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    question = place.letter(email, 1)
    assert question["Subject"] == "Do you want the news of Acme?"
    return place.link(question, "confirm")


def serious(window: Window) -> list[str]:
    """Return what went wrong in a window, but for what a browser says of every page without TLS,
    and of the answers that are meant to be refusals."""
    known = ("Cross-Origin-Opener-Policy", "the server responded with a status of 4")
    return [each for each in window.errors if not any(one in each for one in known)]


def test_from_the_builder_to_the_last_letter(by_name: Browser, place: Place, site: Site) -> None:
    instance, base = place.instance, place.base
    monitor = {"type": "http", "name": "db01-shop", "target": site.url, "interval_seconds": 10}
    monitor_id = instance.ok("POST", "/v1/monitors", monitor | {"confirmations": 1})["id"]
    admin, stranger = Window(by_name), Window(by_name)
    plain = Window(by_name, viewport=PHONE, java_script_enabled=False)
    admin.sign_in(base, EMAIL, PASSWORD)
    here = build(admin.page, place)

    # Its domain leads nowhere before it is proved, and then to the page and nothing else.
    page = stranger.page
    answer = page.goto(place.own)
    assert answer is not None
    assert answer.status == 421
    publish(admin.page, here)
    eventually(
        "the first check",
        lambda: instance.ok("GET", f"/v1/monitors/{monitor_id}")["status"] == "up",
    )
    page.goto(place.own)
    overall = page.locator(".np-overall")
    expect(overall).to_have_text("All systems operational")
    expect(page.locator(".np-service")).to_contain_text(["Shop"])
    expect(page.locator(".np-services svg").first).to_be_visible()
    assert "db01" not in page.content()
    assert str(site.port) not in page.content()
    for path in ("/login", "/dashboard", "/v1/monitors", "/status/acme"):
        hidden = page.goto(place.own + path)
        assert hidden is not None
        assert hidden.status == 404, path

    # Two subscribe: one with scripts, one on a phone without. Opening a link confirms nothing.
    links = [subscribe(page, place, READER), subscribe(plain.page, place, OTHER)]
    for each, link in zip((page, plain.page), links, strict=True):
        assert link.startswith(f"{base}/subscriptions/")
        each.goto(link)
        admin.page.goto(f"{here}/subscribers")
        expect(admin.page.locator("main")).not_to_contain_text(READER if each is page else OTHER)
        each.get_by_role("button", name="Yes, subscribe").click()
        expect(each.get_by_role("heading", name="You are subscribed")).to_be_visible()
    # What was confirmed is there after a power cut.
    admin.page.goto("about:blank")
    instance.kill()
    place.start()
    admin.page.goto(f"{here}/subscribers")
    expect(admin.page.locator("main")).to_contain_text("2 subscribers")
    with admin.page.expect_download() as download:
        admin.page.get_by_role("button", name="Export CSV").click()
    exported = download.value.path().read_text()
    assert READER in exported
    assert OTHER in exported

    # The target fails. The open page says so by itself.
    page.goto(place.own)
    expect(overall).to_have_text("All systems operational")
    page.evaluate(f"{STAYS} = 'yes'")
    site.down()
    expect(overall).to_have_text("Outage", timeout=PATIENCE)
    expect(page.locator("#open + .card")).to_contain_text("Outage of Shop")
    expect(page.locator("#open + .card .np-timeline")).to_contain_text("Investigating")
    assert page.evaluate(STAYS) == "yes"
    plain.page.goto(place.own)
    expect(plain.page.locator(".np-overall")).to_have_text("Outage")
    expect(plain.page.locator("#open + .card")).to_contain_text("Outage of Shop")

    # Meanwhile: both themes, a phone, and a page with a password.
    themes(page)
    narrow(by_name, place)
    with_a_password(admin.page, by_name, place)

    # The letter of the incident, and two ways out.
    news = place.letter(READER, 2)
    assert news["Subject"] == "[Acme] Outage of Shop"
    assert news["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text = news.get_content()
    assert "Shop does not work as it should." in text
    assert f"Acme: {base}/status/acme" in text
    assert "db01" not in text
    url = news["List-Unsubscribe"].strip("<>")
    assert url == place.link(news, "unsubscribe")
    assert place.post(url, "List-Unsubscribe=One-Click") == 200
    admin.page.goto(f"{here}/subscribers")
    expect(admin.page.locator("main")).to_contain_text("1 subscriber")
    expect(admin.page.locator("main")).not_to_contain_text(READER)
    plain.page.goto(place.link(place.letter(OTHER, 2), "unsubscribe"))
    plain.page.get_by_role("button", name="End the subscription").click()
    expect(plain.page.get_by_role("heading", name="You are not told any more")).to_be_visible()
    admin.page.goto(f"{here}/subscribers")
    expect(admin.page.locator("main")).to_contain_text("No subscribers yet")

    for window in (admin, stranger, plain):
        assert serious(window) == []
        assert window.context.cookies(place.own) == []
        window.close()
    assert len(place.letters(READER)) == len(place.letters(OTHER)) == 2


def themes(page: Page) -> None:
    """Choose a theme, which the page keeps."""
    for choice in ("Dark", "Light"):
        page.get_by_role("button", name=choice).click()
        page.reload()
        theme = page.evaluate("document.documentElement.dataset.bsTheme")
        assert theme == choice.lower()
        scheme = page.evaluate("getComputedStyle(document.documentElement).colorScheme")
        assert scheme == choice.lower()


def narrow(browser: Browser, place: Place) -> None:
    """Look at what strangers see on a phone, in the dark."""
    window = Window(browser, viewport=PHONE, color_scheme="dark")
    for path in ("/", "/history", "/subscribe"):
        window.page.goto(place.own + path)
        assert window.too_wide() == 0, path
        assert window.page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    # It says what is wrong where it is wrong, and keeps what was typed.
    window.page.get_by_label("URL").fill("http://127.0.0.1:1/hook")
    window.page.get_by_role("button", name="Subscribe by webhook").click()
    expect(window.page.get_by_role("alert")).to_contain_text(
        "only addresses on the public internet are told"
    )
    expect(window.page.get_by_label("URL")).to_have_value("http://127.0.0.1:1/hook")
    expect(window.page.get_by_label("URL")).to_be_focused()
    assert window.too_wide() == 0
    assert serious(window) == []
    window.close()


def with_a_password(page: Page, browser: Browser, place: Place) -> None:
    """Make a second page, that has a password, and enter it."""
    page.goto(f"{place.base}/status-pages/new")
    page.fill("[name=title]", "Inside")
    page.get_by_label("Password").fill("open sesame")
    page.get_by_role("button", name="Make the page").click()
    expect(page.locator("#flash")).to_contain_text("Made.")
    window = Window(browser, viewport=PHONE, java_script_enabled=False)
    window.page.goto(f"{place.base}/status/inside")
    expect(window.page.get_by_role("heading")).to_have_text("This page has a password")
    for password in ("wrong", "open sesame"):
        window.page.get_by_label("Password").fill(password)
        window.page.keyboard.press("Enter")
        expect(window.page.get_by_role("alert")).to_have_count(int(password == "wrong"))
    expect(window.page.locator(".np-overall")).to_have_text("Nothing is shown here yet")
    assert serious(window) == []
    window.close()
