"""Every type of alert channel: what is kept of it, what is shown to whom, what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from netpulse.model.channel import EmailConfig, SlackConfig, Smtp
from netpulse.model.time import rfc3339
from netpulse.storage import channels
from tests.api.test_alerts import HOOK, stored
from tests.api.test_monitors import errors, sent
from tests.clock import START
from tests.conftest import Stage

KEY = "R0UT1NGKEYR0UT1NGKEYR0UT1NGKEY32"
BOT = "123456:s3cret-bot-token"
PUSH_USER = "uSERuSERuSERuSERuSERuSERuSERuS"
PUSH_APP = "aPPLaPPLaPPLaPPLaPPLaPPLaPPLaP"
SID = "AC" + "0123456789abcdef" * 2
HOOK_URL = "https://chat.example/services/T0/s3cretpath"

SMTP = {
    "host": "mail.acme.example",
    "port": 2525,
    "user": "netpulse",
    "password": "s3cret-mail",
    "from": "netpulse@acme.example",
    "security": "starttls",
}

TYPES: dict[str, dict[str, Any]] = {
    "email": {"to": ["ops@acme.example", "lead@acme.example"], "smtp": SMTP},
    "slack": {"webhook_url": HOOK_URL},
    "discord": {"webhook_url": HOOK_URL},
    "teams": {"webhook_url": HOOK_URL},
    "telegram": {"bot_token": BOT, "chat_id": "-100123", "api_url": "https://tg.example"},
    "sms": {
        "to": ["+4915112345678"],
        "from": "+15005550006",
        "account_sid": SID,
        "auth_token": "s3cret-twilio",
        "api_url": "https://sms.example",
    },
    "pagerduty": {"routing_key": KEY, "api_url": "https://pd.example"},
    "ntfy": {"url": "https://ntfy.example", "topic": "s3cret-topic", "token": "tk_s3cret"},
    "gotify": {"url": "https://gotify.example", "token": "As3cret"},
    "pushover": {"user": PUSH_USER, "token": PUSH_APP, "api_url": "https://po.example"},
}
"""A config of each type, with everything set."""

SECRETS = {
    "email": ["smtp.password"],
    "slack": ["webhook_url"],
    "discord": ["webhook_url"],
    "teams": ["webhook_url"],
    "telegram": ["bot_token"],
    "sms": ["auth_token"],
    "pagerduty": ["routing_key"],
    "ntfy": ["token"],
    "gotify": ["token"],
    "pushover": ["user", "token"],
}
OPTIONAL = {"ntfy": "token"}
HOSTS = {
    "email": "smtp.host",
    "telegram": "api_url",
    "sms": "api_url",
    "pagerduty": "api_url",
    "ntfy": "url",
    "gotify": "url",
    "pushover": "api_url",
}
"""The field that says where secrets are sent; that of a chat's webhook is the secret itself."""


def body(word: str, **changes: Any) -> dict[str, Any]:
    return {"name": "C", "type": word, "config": {**TYPES[word], **changes}}


def put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return `config` with `value` at `path`."""
    name, _, rest = path.partition(".")
    return {**config, name: put(config[name], rest, value) if rest else value}


def get(config: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        config = config[name]
    return config


async def as_stored(house: Stage, channel_id: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(await stored(house, channel_id))
    return found


class TestEachType:
    @pytest.mark.parametrize("word", TYPES)
    async def test_round_trip(
        self,
        house: Stage,
        alice: httpx.AsyncClient,
        bob: httpx.AsyncClient,
        charlie: httpx.AsyncClient,
        word: str,
    ) -> None:
        answer = await alice.post("/v1/alert-channels", json=body(word))
        made = sent(answer, 201)
        url = f"/v1/alert-channels/{made['id']}"
        texts = [answer.text]
        secrets = [get(TYPES[word], path) for path in SECRETS[word]]
        assert (made["type"], made["problem"]) == (word, None)
        for path in SECRETS[word]:
            assert get(made["config"], path) is None
            assert get(made["config"], path + "_set") is True
        for name, value in TYPES[word].items():
            if name not in SECRETS[word] and name != "smtp":
                assert made["config"][name] == value, name

        # What was read can be sent back: secrets stay, and nothing else changes.
        before = await as_stored(house, made["id"])
        again = await alice.put(url, json=made)
        assert sent(again) == {**made, "version": 2}
        assert await as_stored(house, made["id"]) == before
        assert [get(before, path) for path in SECRETS[word]] == secrets

        # Viewers see no secret and no address that may be one; strangers see nothing.
        texts += [again.text, (await bob.get(url)).text, (await bob.get("/v1/alert-channels")).text]
        assert "ops@" not in texts[2]
        assert "12345678" not in texts[2]
        assert "s3cret" not in texts[2]
        unknown = await charlie.get("/v1/alert-channels/" + house.cast.acme.id)
        for refused in (await charlie.get(url), await charlie.put(url, json=made)):
            assert (refused.status_code, refused.json()) == (404, unknown.json())
        texts += [(await alice.get("/alerts")).text, (await alice.get(f"/alerts/channels/{made['id']}")).text]  # fmt: skip
        texts.append(str(await house.payloads(house.cast.acme.id)))
        for text in texts:
            for secret in secrets:
                assert secret not in text

    @pytest.mark.parametrize(("word", "host"), HOSTS.items())
    async def test_another_host_gets_no_secret_of_the_first(
        self, house: Stage, alice: httpx.AsyncClient, word: str, host: str
    ) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=body(word)), 201)
        url = f"/v1/alert-channels/{made['id']}"
        before = await as_stored(house, made["id"])
        elsewhere = ["evil.example"] if word == "email" else ["https://evil.example", "https://x.example:8443"]  # fmt: skip
        for other in [*elsewhere, *([None] if host == "api_url" else [])]:
            moved = {**made, "config": put(made["config"], host, other)}
            response = await alice.put(url, json=moved)
            assert [path for path, _ in errors(response)] == [
                f"$.config.{path}" for path in SECRETS[word]
            ]
            assert all(text.endswith(": enter the secret again") for _, text in errors(response))
        assert await as_stored(house, made["id"]) == before
        whole = put(TYPES[word], host, elsewhere[0])
        sent(await alice.put(url, json={**made, "config": whole}))
        assert get(await as_stored(house, made["id"]), host) == elsewhere[0]

    @pytest.mark.parametrize("word", TYPES)
    async def test_a_secret_that_is_needed(self, alice: httpx.AsyncClient, word: str) -> None:
        for path in SECRETS[word]:
            if OPTIONAL.get(word) == path:
                continue
            for value in (None, ""):
                config = put(TYPES[word], path, value)
                response = await alice.post("/v1/alert-channels", json=body(word, **config))
                assert [where for where, _ in errors(response)] == [f"$.config.{path}"]

    @pytest.mark.parametrize(("word", "path"), OPTIONAL.items())
    async def test_a_secret_is_cleared(
        self, house: Stage, alice: httpx.AsyncClient, word: str, path: str
    ) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=body(word)), 201)
        cleared = {**made, "config": put(made["config"], path, "")}
        answer = sent(await alice.put(f"/v1/alert-channels/{made['id']}", json=cleared))
        assert get(answer["config"], path + "_set") is False
        assert get(await as_stored(house, made["id"]), path) is None

    @pytest.mark.parametrize(
        ("word", "changes", "path"),
        [
            ("email", {"to": []}, "to"),
            ("email", {"to": ["a@b.example"] * 51}, "to"),
            ("email", {"to": "ops@acme.example"}, "to"),
            ("email", {"to": ["ops@acme.example", "Ann <ann@acme.example>"]}, "to[1]"),
            ("email", {"to": ["ops"]}, "to[0]"),
            ("email", {"to": [""]}, "to[0]"),
            ("email", {"to": ["a..b@acme.example"]}, "to[0]"),
            ("email", {"to": ["ops@acme.example\r\nBcc: x@evil.example"]}, "to[0]"),
            ("email", {"to": ["ops@-acme.example"]}, "to[0]"),
            ("email", {"to": ["x" * 65 + "@acme.example"]}, "to[0]"),
            ("email", {"smtp": SMTP | {"port": 0}}, "smtp.port"),
            ("email", {"smtp": SMTP | {"port": 65_536}}, "smtp.port"),
            ("email", {"smtp": SMTP | {"security": "ssl"}}, "smtp.security"),
            ("email", {"smtp": SMTP | {"host": "mail host"}}, "smtp.host"),
            ("email", {"smtp": SMTP | {"host": ""}}, "smtp.host"),
            ("email", {"smtp": SMTP | {"from": "nobody"}}, "smtp.from"),
            ("email", {"smtp": SMTP | {"from": None}}, "smtp.from"),
            ("email", {"smtp": SMTP | {"user": None}}, "smtp.user"),
            ("email", {"smtp": SMTP | {"user": "a\nb"}}, "smtp.user"),
            ("email", {"smtp": SMTP | {"helo": "x"}}, "smtp.helo"),
            ("email", {"cc": []}, "cc"),
            ("slack", {"webhook_url": "ftp://chat.example/x"}, "webhook_url"),
            ("slack", {"webhook_url": "https://u:p@chat.example/x"}, "webhook_url"),
            ("discord", {"webhook_url": "chat.example"}, "webhook_url"),
            ("teams", {"webhook_url": 7}, "webhook_url"),
            ("telegram", {"bot_token": "no token"}, "bot_token"),
            ("telegram", {"bot_token": "1:x/../getUpdates"}, "bot_token"),
            ("telegram", {"chat_id": "ops"}, "chat_id"),
            ("telegram", {"chat_id": " "}, "chat_id"),
            ("telegram", {"chat_id": True}, "chat_id"),
            ("telegram", {"api_url": "https://tg.example/?a=1"}, "api_url"),
            ("sms", {"to": ["015112345678"]}, "to[0]"),
            ("sms", {"to": ["+49151abc"]}, "to[0]"),
            ("sms", {"to": ["+" + "1" * 16]}, "to[0]"),
            ("sms", {"to": []}, "to"),
            ("sms", {"from": "a name that is long"}, "from"),
            ("sms", {"account_sid": "AC1"}, "account_sid"),
            ("sms", {"account_sid": None}, "account_sid"),
            ("sms", {"auth_token": "a b"}, "auth_token"),
            ("pagerduty", {"routing_key": "short"}, "routing_key"),
            ("pagerduty", {"api_url": "pd.example"}, "api_url"),
            ("ntfy", {"topic": "a topic"}, "topic"),
            ("ntfy", {"topic": "../admin"}, "topic"),
            ("ntfy", {"topic": "t" * 65}, "topic"),
            ("ntfy", {"topic": " "}, "topic"),
            ("ntfy", {"url": ""}, "url"),
            ("ntfy", {"token": "a\nb"}, "token"),
            ("gotify", {"url": "gotify.example"}, "url"),
            ("gotify", {"token": "a b"}, "token"),
            ("pushover", {"user": "me"}, "user"),
            ("pushover", {"token": "x" * 31}, "token"),
            ("pushover", {"device": "x"}, "device"),
        ],
    )
    async def test_nonsense(
        self, alice: httpx.AsyncClient, word: str, changes: dict[str, Any], path: str
    ) -> None:
        response = await alice.post("/v1/alert-channels", json=body(word, **changes))
        ((where, message),) = errors(response)
        assert where == f"$.config.{path}", (where, message)
        assert sent(await alice.get("/v1/alert-channels")) == []

    async def test_what_is_meant_is_kept(self, house: Stage, alice: httpx.AsyncClient) -> None:
        to = [" Ops@ACME.example ", "ops@acme.example", "ops@bücher.example", "Ops@acme.example"]
        kept = await self._made(house, alice, body("email", to=to, smtp=None))
        assert list(kept["to"]) == [
            "Ops@acme.example",
            "ops@acme.example",
            "ops@xn--bcher-kva.example",
        ]
        for security, port in (("starttls", 587), ("tls", 465), ("none", 25)):
            smtp = {"host": "Mail.acme.example", "from": "n@acme.example", "security": security}
            kept = await self._made(house, alice, body("email", smtp=smtp))
            assert (kept["smtp"]["host"], kept["smtp"]["port"]) == ("mail.acme.example", port)
        smtp = {"host": "mail.acme.example", "user": "n@acme.example", "password": "p"}
        assert (await self._made(house, alice, body("email", smtp=smtp)))["smtp"]["from"] == (
            "n@acme.example"
        )
        kept = await self._made(house, alice, body("sms", to=["+49 (151) 123-45678"]))
        assert list(kept["to"]) == ["+4915112345678"]
        for sender in ("NetPulse", "MG" + "0" * 32, "12345"):
            kept = await self._made(house, alice, body("sms", **{"from": sender}))
            assert kept["from"] == sender
        assert (await self._made(house, alice, body("telegram", chat_id=-42)))["chat_id"] == "-42"
        assert (await self._made(house, alice, body("telegram", chat_id="@ops_room")))["chat_id"]

    async def _made(
        self, house: Stage, alice: httpx.AsyncClient, spec: dict[str, Any]
    ) -> dict[str, Any]:
        made = sent(await alice.post("/v1/alert-channels", json=spec), 201)
        return await as_stored(house, made["id"])


class TestTrust:
    async def test_the_installations_account_goes_nowhere_else(
        self, alice: httpx.AsyncClient
    ) -> None:
        # Without an account of its own the channel uses the token of the whole installation.
        config = {"to": ["+4915112345678"], "api_url": "https://evil.example"}
        response = await alice.post("/v1/alert-channels", json={**body("sms"), "config": config})
        assert errors(response) == [
            ("$.config.auth_token", "is needed with another address than Twilio's own")
        ]
        config.pop("api_url")
        sent(await alice.post("/v1/alert-channels", json={**body("sms"), "config": config}), 201)

    async def test_a_password_is_not_sent_in_the_open_later(self, alice: httpx.AsyncClient) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=body("email")), 201)
        smtp = {**made["config"]["smtp"], "security": "none"}
        response = await alice.put(
            f"/v1/alert-channels/{made['id']}",
            json={**made, "config": {**made["config"], "smtp": smtp}},
        )
        assert errors(response) == [
            (
                "$.config.smtp.password",
                "the password would be sent in the open now: enter the secret again",
            )
        ]

    async def test_another_type_takes_nothing_over(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=body("slack")), 201)
        url = f"/v1/alert-channels/{made['id']}"
        response = await alice.put(url, json={**made, "type": "discord"})
        assert errors(response) == [("$.config.webhook_url", "this field is required")]
        gotify = {"url": "https://ntfy.example"}
        made = sent(await alice.post("/v1/alert-channels", json=body("ntfy")), 201)
        url = f"/v1/alert-channels/{made['id']}"
        response = await alice.put(url, json={**made, "type": "gotify", "config": gotify})
        assert errors(response) == [("$.config.token", "this field is required")]
        changed = sent(await alice.put(url, json={**HOOK, "name": "Now a webhook"}))
        assert (changed["type"], changed["version"]) == ("webhook", 2)
        assert (await as_stored(house, made["id"]))["type"] == "webhook"

    async def test_one_that_does_not_open(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=body("slack")), 201)
        await house.house.db.write(
            lambda conn: conn.execute("UPDATE alert_channels SET config = x'00'")
        )
        url = f"/v1/alert-channels/{made['id']}"
        broken = sent(await alice.get(url))
        assert (broken["type"], broken["config"]) == ("slack", None)
        assert "enter it again" in broken["problem"]
        for page in ("/alerts", f"/alerts/channels/{made['id']}"):
            assert "annot be used: its configuration does not open" in (await alice.get(page)).text
        response = await alice.put(url, json={**broken, "config": {"webhook_url": None}})
        assert errors(response) == [("$.config.webhook_url", "this field is required")]
        assert sent(await alice.put(url, json=body("slack")))["problem"] is None


class TestSwitchedOff:
    async def test_it_says_why_and_is_switched_on_again(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        sent(await alice.post("/v1/alert-channels", json={**body("email"), "name": "A mail"}), 201)
        made = sent(await alice.post("/v1/alert-channels", json={**HOOK, "name": "Z hook"}), 201)
        url = f"/v1/alert-channels/{made['id']}"
        reason = "the receiver answered HTTP 410: there is no such address; check the URL"
        await house.house.db.write(
            lambda conn: conn.execute(
                "UPDATE alert_channels SET is_active = 0, disabled_at = ?, disabled_reason = ?"
                " WHERE id = ?",
                (START, reason, made["id"]),
            )
        )
        off = sent(await bob.get(url))
        assert (off["is_active"], off["disabled_at"], off["disabled_reason"]) == (
            False,
            rfc3339(START),
            reason,
        )
        page = (await alice.get("/alerts")).text
        assert page.index("Z hook") < page.index("A mail")
        assert "Switched off" in page
        assert reason in page
        assert (
            "switched this channel off" in (await alice.get(f"/alerts/channels/{made['id']}")).text
        )
        # Saved as it is it stays off, and still says why.
        still = sent(await alice.put(url, json=off | {"config": made["config"]}))
        assert still["disabled_reason"] == reason
        on = sent(await alice.put(url, json={**still, "is_active": True}))
        assert (on["is_active"], on["disabled_at"], on["disabled_reason"]) == (True, None, None)


class TestTests:
    async def test_sixty_a_minute_and_organization(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        hook = {**HOOK, "config": {"url": "http://127.0.0.1:9/"}}
        made = sent(await alice.post("/v1/alert-channels", json=hook), 201)
        theirs = sent(await charlie.post("/v1/alert-channels", json=hook), 201)
        at = house.house.clock.monotonic()
        for _ in range(60):
            house.house.rates.channel_tests.wait(house.cast.acme.id, at)
        refused = await alice.post(f"/v1/alert-channels/{made['id']}/test")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "TOO_MANY_REQUESTS")
        assert 1 <= int(refused.headers["retry-after"]) <= 65
        page = await alice.post(f"/alerts/channels/{made['id']}/test")
        assert page.status_code == 429
        said = "Too many tests of channels in one minute for this organization; wait 1 min 5 s."
        assert said in page.text
        assert sent(await charlie.post(f"/v1/alert-channels/{theirs['id']}/test"))["ok"] is False
        assert sent(await alice.get(f"/v1/alert-channels/{made['id']}"))["last_test_at"] is None

    async def test_viewers_send_none(
        self, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=HOOK), 201)
        assert (await bob.post(f"/v1/alert-channels/{made['id']}/test")).status_code == 403


async def test_what_is_stored_is_the_models(house: Stage, alice: httpx.AsyncClient) -> None:
    made = sent(await alice.post("/v1/alert-channels", json=body("email")), 201)
    assert await stored(house, made["id"]) == EmailConfig(
        to=("ops@acme.example", "lead@acme.example"),
        smtp=Smtp(
            host="mail.acme.example",
            port=2525,
            user="netpulse",
            password="s3cret-mail",
            sender="netpulse@acme.example",
        ),
    )
    made = sent(await alice.post("/v1/alert-channels", json=body("slack")), 201)
    assert await stored(house, made["id"]) == SlackConfig(webhook_url=HOOK_URL)
    files = b"".join(path.read_bytes() for path in house.data.rglob("*") if path.is_file())
    assert b"s3cret" not in files
    listed = await house.house.db.read(channels.page, house.cast.acme.id)
    assert listed.total == 2
