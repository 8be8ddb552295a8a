"""The pages of one's own account."""

from __future__ import annotations

import re
from urllib.parse import unquote

import httpx
import pyotp
import pytest
import segno

from netpulse.model.time import DAY, rfc3339
from netpulse.rules.user_agents import in_words
from netpulse.storage import second_factors, sessions
from netpulse.storage.db import Conn
from tests.cast import PASSWORD
from tests.conftest import Stage
from tests.sign_ins import (
    RECOVERY,
    arm,
    browser,
    clock_of,
    code,
    login,
    signed_in,
    told,
    user_of,
    with_mail,
    wrong,
)

ALICE = "alice@acme.example"
BOB = "bob@acme.example"
NEW = "eleven brave walruses"
FACTOR = "/profile/two-factor"


def found(answer: httpx.Response, pattern: str) -> str:
    hit = re.search(pattern, answer.text)
    assert hit is not None, pattern
    return hit[1]


async def page(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer.text


async def begin(client: httpx.AsyncClient) -> tuple[str, str]:
    """Begin to turn the second factor on; returns the secret and the ticket."""
    answer = await client.post(f"{FACTOR}/begin", data={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    secret = found(answer, r"secret=([A-Z2-7]{32})")
    return secret, found(answer, r'name="ticket" value="([^"]+)"')


class TestAccount:
    async def test_what_it_shows(self, house: Stage) -> None:
        for email, role in ((ALICE, "Administrator"), (BOB, "Viewer")):
            client = await browser(house, email)
            text = await page(client, "/profile")
            assert f"<dd>{email}</dd>" in text
            assert f'Acme</span><span class="np-quiet">{role}</span>' in text
            assert "Turn on two-factor authentication" in text
            assert "2 open" in text, "this one, and the program of the cast"
            assert "anywhere" in text
        menu = await page(client, "/dashboard")
        assert 'href="/profile"' in menu

    async def test_few_recovery_codes(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        await arm(house, house.cast.alice)
        assert "10 recovery codes left" in await page(client, "/profile")
        for number, said in ((3, "3 recovery codes are left"), (1, "1 recovery code is left")):
            digests = [f"{each}" * 64 for each in range(number)]
            await house.house.db.write(second_factors.put_codes, house.cast.alice.id, digests)
            assert said in await page(client, "/profile")
            assert f"Only {said}." in await page(client, FACTOR)
        await house.house.db.write(second_factors.put_codes, house.cast.alice.id, [])
        assert "No recovery codes are left" in await page(client, "/profile")
        assert "No recovery code is left." in await page(client, FACTOR)

    async def test_strangers_are_sent_to_the_login(self, house: Stage) -> None:
        for path in ("", "/password", "/two-factor", "/sessions", "/addresses"):
            answer = await house.client().get(f"/profile{path}")
            assert answer.headers["location"] == f"/login?next=/profile{path}"


class TestPassword:
    async def test_changed(self, house: Stage) -> None:
        with_mail(house)
        client, other = await browser(house, BOB), await browser(house, BOB)
        before = client.cookies["np_session"]
        form = {"current_password": PASSWORD, "new_password": NEW, "again": NEW}
        answer = await client.post("/profile/password", data=form)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/profile?told=password-changed",
        )
        assert client.cookies["np_session"] != before
        text = await page(client, answer.headers["location"])
        assert "Your password is changed; all your other sessions have ended." in text
        assert "never changed" not in text
        assert (await other.get("/profile")).status_code == 303
        assert (await login(house.client(), BOB, NEW)).status_code == 200
        assert await told(house) == {"Your password was changed."}

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            (
                {"current_password": PASSWORD, "new_password": NEW, "again": "another one of them"},
                "Once more: this is not the same as the new password.",
            ),
            (
                {"current_password": "wrong wrong", "new_password": NEW, "again": NEW},
                "Your password: this is not your password.",
            ),
            (
                {"current_password": PASSWORD, "new_password": "short", "again": "short"},
                "New password: the password needs at least 12 characters.",
            ),
            ({"x": "y"}, "New password: the password needs at least 12 characters."),
        ],
    )
    async def test_refused(self, house: Stage, form: dict[str, str], said: str) -> None:
        client = await browser(house, BOB)
        answer = await client.post("/profile/password", data=form)
        assert answer.status_code == 400
        assert said in answer.text
        for secret in (PASSWORD, NEW, "wrong wrong"):
            assert secret not in answer.text
        assert (await login(house.client(), BOB)).status_code == 200

    async def test_guessing(self, house: Stage) -> None:
        client = await browser(house, BOB)
        form = {"current_password": "wrong wrong", "new_password": NEW, "again": NEW}
        for _ in range(5):
            assert (await client.post("/profile/password", data=form)).status_code == 400
        answer = await client.post("/profile/password", data=form | {"current_password": PASSWORD})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "900"
        assert "Too many wrong passwords for your account" in answer.text


class TestTurningOn:
    async def test_from_the_password_to_the_recovery_codes(self, house: Stage) -> None:
        client, other = await browser(house, BOB), await browser(house, BOB)
        assert "Two-factor authentication is off" in await page(client, FACTOR)
        secret, ticket = await begin(client)
        refused = await client.post(
            f"{FACTOR}/verify", data={"ticket": ticket, "code": code(house, -2, secret)}
        )
        assert refused.status_code == 400
        assert "Code: this is not the code that your app should show now." in refused.text
        assert found(refused, r"secret=([A-Z2-7]{32})") == secret, "the same one again"
        before = client.cookies["np_session"]
        done = await client.post(
            f"{FACTOR}/verify", data={"ticket": ticket, "code": code(house, 0, secret)}
        )
        assert done.status_code == 200, done.text
        assert secret not in done.text
        listed = found(done, r"<pre[^>]*>([^<]+)</pre>").split()
        assert len(listed) == 10
        saved = unquote(found(done, r'href="data:text/plain;charset=utf-8,([^"]+)"'))
        assert saved.splitlines()[2:] == listed
        assert "no-store" in done.headers["cache-control"]
        assert client.cookies["np_session"] != before
        assert (await other.get("/profile")).status_code == 303
        text = await page(client, FACTOR)
        assert "Two-factor authentication is on" in text
        assert "10 recovery codes are left" in text
        assert not any(each in text for each in (*listed, secret))
        # Sent once more (a reload), it neither shows them again nor does harm.
        again = await client.post(
            f"{FACTOR}/verify", data={"ticket": ticket, "code": code(house, 0, secret)}
        )
        assert again.headers["location"] == f"{FACTOR}?told=begin-again"
        assert "Begin again." in await page(client, again.headers["location"])
        answer = await login(house.client(), BOB, totp_code=listed[0])
        assert answer.status_code == 200

    async def test_the_qr_code_holds_the_address(self, house: Stage) -> None:
        """Read back module by module, as a camera would; and nothing in it needs a style."""
        client = await browser(house, ALICE)
        answer = await client.post(f"{FACTOR}/begin", data={"password": PASSWORD})
        drawn = found(answer, r'(<svg [^>]*class="np-qr".*?</svg>)')
        assert "style" not in drawn
        size = int(found(answer, r'<svg width="(\d+)"')) // 5
        (strokes,) = re.findall(r'<path stroke="#000" d="([^"]+)"', drawn)
        modules = dark(strokes, size)
        uri = found(answer, r'href="(otpauth://[^"]+)"').replace("&amp;", "&")
        wanted = segno.make(uri, error="m", micro=False)
        assert modules == [[bool(cell) for cell in row] for row in wanted.matrix_iter(border=4)]
        assert pyotp.parse_uri(uri).secret == found(answer, r"secret=([A-Z2-7]{32})")

    async def test_the_password_is_needed(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        for typed in ("", "wrong wrong"):
            answer = await client.post(f"{FACTOR}/begin", data={"password": typed})
            assert answer.status_code == 400
            assert "Your password: this is not your password." in answer.text
        assert await house.house.db.read(second_factors.secret, house.cast.alice.id) is None

    async def test_without_a_ticket_nothing_is_shown(self, house: Stage) -> None:
        """Whoever found the session open cannot see a secret that was begun, nor use one."""
        client, bob = await browser(house, ALICE), await browser(house, BOB)
        secret, ticket = await begin(client)
        for given in ("", "nonsense", (await begin(bob))[1]):
            answer = await client.post(
                f"{FACTOR}/verify", data={"ticket": given, "code": code(house, 0, secret)}
            )
            assert answer.headers["location"] == f"{FACTOR}?told=begin-again"
        clock_of(house).advance(30 * 60)
        late = await client.post(
            f"{FACTOR}/verify", data={"ticket": ticket, "code": code(house, 0, secret)}
        )
        assert late.headers["location"] == f"{FACTOR}?told=begin-again"
        assert not (await user_of(house, house.cast.alice)).totp_enabled

    async def test_one_that_is_on_is_not_begun_again(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        await arm(house, house.cast.alice)
        answer = await client.post(f"{FACTOR}/begin", data={"password": PASSWORD})
        assert answer.status_code == 409
        assert "Your second factor is on already" in answer.text


def dark(path: str, size: int) -> list[list[bool]]:
    """Return which modules a path of horizontal strokes covers."""
    rows = [[False] * size for _ in range(size)]
    x, y = 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", path):
        values = [float(each) for each in numbers.split()]
        if command == "M":
            x, y = values
        elif command == "m":
            x, y = x + values[0], y + values[1]
        else:
            for step in range(int(values[0])):
                rows[int(y)][int(x) + step] = True
            x += values[0]
    return rows


class TestTurningOff:
    async def test_off(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        assert (await client.get(f"{FACTOR}/off")).headers["location"] == FACTOR
        await arm(house, house.cast.alice)
        assert "Your password alone opens this account then." in await page(client, f"{FACTOR}/off")
        for form, said in (
            ({"password": "wrong wrong", "code": RECOVERY[0]}, "this is not your password."),
            ({"password": PASSWORD, "code": wrong(house)}, "wrong, or was used before."),
        ):
            answer = await client.post(f"{FACTOR}/off", data=form)
            assert answer.status_code == 400
            assert said in answer.text
            assert PASSWORD not in answer.text
        form = {"password": PASSWORD, "code": code(house)}
        answer = await client.post(f"{FACTOR}/off", data=form)
        assert answer.headers["location"] == f"{FACTOR}?told=two-factor-off"
        assert "Two-factor authentication is off" in await page(client, answer.headers["location"])
        assert (await login(house.client(), ALICE)).status_code == 200

    async def test_new_codes(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        await arm(house, house.cast.alice)
        await page(client, f"{FACTOR}/codes")
        form = {"password": PASSWORD, "code": RECOVERY[0]}
        answer = await client.post(f"{FACTOR}/codes", data=form)
        assert answer.status_code == 200, answer.text
        assert "These replace the old ones" in answer.text
        fresh = found(answer, r"<pre[^>]*>([^<]+)</pre>").split()
        assert not set(fresh) & set(RECOVERY)
        assert (await login(house.client(), ALICE, totp_code=RECOVERY[1])).status_code == 401
        assert (await login(house.client(), ALICE, totp_code=fresh[9])).status_code == 200


class TestSessions:
    async def test_list_and_end(self, house: Stage) -> None:
        linux = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        client = await browser(house, ALICE, headers={"User-Agent": linux})
        evil = "Mozilla/5.0 <script>alert(1)</script> (Windows NT 10.0) Chrome/1.0"
        other = await browser(house, ALICE, ip="203.0.113.5", headers={"User-Agent": evil})
        text = await page(client, "/profile/sessions")
        assert "Firefox on Linux" in text
        assert "Chrome on Windows" in text
        assert "<script>alert" not in text
        assert "203.0.113.5" in text
        assert text.count("this one") == 1
        # What is stored of its use is some minutes old at most; that it is used now can be seen.
        clock_of(house).advance(120)
        listed = (await page(client, "/profile/sessions")).split("<tr>")
        (mine,) = (row for row in listed if "this one" in row)
        assert f'datetime="{rfc3339(house.house.clock.now())}"' in mine
        rows = (await client.get("/v1/auth/sessions")).json()["data"]
        (target,) = (row["id"] for row in rows if row["ip"] == "203.0.113.5")
        asked = await page(client, f"/profile/sessions/{target}/delete")
        assert "End the session of Chrome on Windows from 203.0.113.5?" in asked
        assert "Whoever uses it has to sign in again." in asked
        answer = await client.post(f"/profile/sessions/{target}/delete", data={})
        assert answer.headers["location"] == "/profile/sessions?told=ended-session"
        assert (await other.get("/profile")).status_code == 303
        assert "203.0.113.5" not in await page(client, "/profile/sessions")
        assert (await client.get(f"/profile/sessions/{target}/delete")).status_code == 404

    async def test_the_one_that_asks(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        rows = (await client.get("/v1/auth/sessions")).json()["data"]
        (own,) = (row["id"] for row in rows if row["is_current"])
        asked = await page(client, f"/profile/sessions/{own}/delete")
        assert "It is the one you are looking at: you will have to sign in again." in asked
        answer = await client.post(f"/profile/sessions/{own}/delete", data={})
        assert answer.headers["location"] == "/login"
        assert "np_session" not in client.cookies
        assert (await client.get("/profile")).status_code == 303

    async def test_all_others(self, house: Stage) -> None:
        client, other = await browser(house, ALICE), await signed_in(house, ALICE)
        assert "End all other sessions?" in await page(client, "/profile/sessions/delete")
        answer = await client.post("/profile/sessions/delete", data={})
        assert answer.headers["location"] == "/profile/sessions?told=ended-sessions"
        text = await page(client, answer.headers["location"])
        assert "Ended. Only this session is left." in text
        assert "End all others" not in text
        assert (await other.get("/v1/auth/me")).status_code == 401

    async def test_many(self, house: Stage) -> None:
        def write(conn: Conn) -> None:
            now = house.house.clock.now()
            for number in range(60):
                sessions.create(
                    conn,
                    f"digest {number}",
                    house.cast.alice.id,
                    house.cast.acme.id,
                    now,
                    now + DAY,
                    None,
                    None,
                )

        await house.house.db.write(write)
        client = await browser(house, ALICE)
        first = await page(client, "/profile/sessions")
        assert "1 to 50 of 62 sessions" in first
        assert 'href="/profile/sessions?page=2"' in first
        assert "51 to 62 of 62 sessions" in await page(client, "/profile/sessions?page=2")
        for odd in ("0", "-1", "x", "9999999", "²"):
            await page(client, f"/profile/sessions?page={odd}")


class TestAddresses:
    async def test_set_and_cleared(self, house: Stage) -> None:
        client = await browser(house, BOB)
        assert "You are at <code>192.0.2.10</code> now." in await page(client, "/profile/addresses")
        form = {
            "ip_whitelist": "192.0.2.0/24\r\n\r\n 2001:db8::/32 , 198.51.100.7",
            "current_password": PASSWORD,
        }
        answer = await client.post("/profile/addresses", data=form)
        assert answer.headers["location"] == "/profile/addresses?told=saved"
        text = await page(client, answer.headers["location"])
        assert "\n192.0.2.0/24\n2001:db8::/32\n198.51.100.7</textarea>" in text
        user = await user_of(house, house.cast.bob)
        assert user.ip_whitelist == ("192.0.2.0/24", "2001:db8::/32", "198.51.100.7")
        away = house.client(ip="203.0.113.5", cookies=dict(client.cookies))
        refused = await away.get("/dashboard")
        assert refused.status_code == 403
        assert "You may not come from this address" in refused.text
        form = {"ip_whitelist": "", "current_password": PASSWORD}
        assert (await client.post("/profile/addresses", data=form)).status_code == 303
        assert (await user_of(house, house.cast.bob)).ip_whitelist == ()

    async def test_refused(self, house: Stage) -> None:
        client = await browser(house, BOB)
        for listed, password, said in (
            ("home", PASSWORD, "Addresses: &#39;home&#39; is no address or network such as"),
            (
                "203.0.113.0/24",
                PASSWORD,
                "Addresses: your own address 192.0.2.10 is not in it, and you would be locked out.",
            ),
            ("192.0.2.10", "wrong wrong", "Your password: this is not your password."),
        ):
            form = {"ip_whitelist": listed, "current_password": password}
            answer = await client.post("/profile/addresses", data=form)
            assert answer.status_code == 400
            assert said in answer.text
            assert f"\n{listed}</textarea>" in answer.text
            assert password not in answer.text
        assert (await user_of(house, house.cast.bob)).ip_whitelist == ()


async def test_another_site_changes_nothing(house: Stage) -> None:
    client = await browser(house, ALICE)
    for path, form in (
        ("password", {"current_password": PASSWORD, "new_password": NEW, "again": NEW}),
        ("addresses", {"ip_whitelist": "192.0.2.10", "current_password": PASSWORD}),
        ("two-factor/begin", {"password": PASSWORD}),
        ("sessions/delete", {}),
    ):
        answer = await client.post(
            f"/profile/{path}", data=form, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403
    assert await house.actions(house.cast.acme.id) == ["auth.logged_in"]


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
            "Safari on macOS",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1",
            "Chrome on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        ("Mozilla/5.0 (compatible)", "A browser"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("python-requests/2.32.3 extra words", "python-requests/2.32.3"),
        ("x" * 500, "x" * 40),
        ("<b>", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_user_agents_in_words(user_agent: str | None, words: str) -> None:
    assert in_words(user_agent) == words
