"""Forms: what they make of what was entered, what a refused one says again, and what never."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from netpulse.engine.clock import Clock
from netpulse.web.api.channel_configs import KINDS
from tests.api.test_alerts import HOOK
from tests.api.test_channel_types import SECRETS, TYPES, as_stored
from tests.api.test_channel_types import get as got
from tests.api.test_monitors import fail, make, sent
from tests.api.test_pages import RANDOM, furnish, led_to, problems, text_of
from tests.cast import PASSWORD
from tests.clock import START
from tests.conftest import Opener, Stage
from tests.servers import HttpServer, answer

SECRET = "s3cr3t-that-nobody-reads"

HTTP_FORM = {
    "type": "http",
    "name": "Shop",
    "target": "https://shop.example/",
    "interval_seconds": "60",
    "timeout_seconds": "10",
    "confirmations": "2",
    "recoveries": "1",
    "expected_status": "200-299",
    "method": "GET",
    "max_redirects": "10",
    "follow_redirects": "true",
    "verify_tls": "true",
    "action": "save",
}
CHANNEL_FORM = {
    "name": "Ops",
    "type": "webhook",
    "config.url": "https://hooks.example/T0",
    "retry_for_seconds": "86400",
    "is_active": "true",
}
RULE_FORM = {
    "name": "Told",
    "scope": "all",
    "condition": "down",
    "cooldown_seconds": "300",
    "notify_recovery": "true",
    "is_active": "true",
}


def flat(config: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return a config by paths: {"smtp.host": …}."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        inner = (
            flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
        )
        found |= inner
    return found


def channel_form(word: str) -> dict[str, Any]:
    """Return the form of a channel with everything that TYPES has for its type."""
    form = {"name": "C", "type": word, "retry_for_seconds": "86400", "is_active": "true"}
    for path, value in flat(TYPES[word]).items():
        form[f"config.{path}"] = "\r\n".join(value) if isinstance(value, list) else str(value)
    return form | ({"config.server": "own"} if word == "email" else {})


class TestMonitorForm:
    async def test_make_change_and_delete(self, alice: httpx.AsyncClient) -> None:
        form = HTTP_FORM | {
            "tags": "prod, , eu",
            "headers": "X-Plain: 1\r\nX-Api-Key: " + SECRET,
            "auth.type": "basic",
            "auth.username": "ann",
            "auth.password": SECRET,
            "json_path": "$.status",
            "json_value": '"ok"',
            "expected_status": "200-299, 401",
            "expect": "what another type has is not read",
        }
        where = led_to(await alice.post("/monitors/new", data=form))
        assert re.fullmatch(r"/monitors/[0-9a-f-]{36}\?told=watching", where)
        address = where.partition("?")[0]
        made = sent(await alice.get(f"/v1{address}"))
        assert made["tags"] == ["prod", "eu"]
        assert made["headers"] == {"X-Plain": "1", "X-Api-Key": None}
        assert made["json_value"] == "ok"
        assert made["expected_status"] == ["200-299", 401]
        edit = text_of(await alice.get(f"{address}/edit"))
        assert SECRET not in edit
        assert "X-Api-Key:</textarea>" in edit
        assert "set, leave empty to keep" in edit

        # Nothing typed keeps the secrets; "clear" removes one.
        again = form | {"headers": "X-Plain: 2\nX-Api-Key:", "auth.password": "", "version": "1"}  # fmt: skip
        assert led_to(await alice.post(f"{address}/edit", data=again)) == f"{address}?told=saved"
        made = sent(await alice.get(f"/v1{address}"))
        assert made["auth"]["password_set"] is True
        assert made["headers"] == {"X-Plain": "2", "X-Api-Key": None}
        cleared = again | {"clear": "auth.password", "version": "2"}
        led_to(await alice.post(f"{address}/edit", data=cleared))
        assert sent(await alice.get(f"/v1{address}"))["auth"]["password_set"] is False

        stale = await alice.post(f"{address}/edit", data=again | {"name": "Mine"})
        assert len(problems(stale, 412)) == 1
        assert 'value="Mine"' in stale.text

        page = text_of(await alice.get(f"{address}/delete"))
        assert "Delete Shop?" in page
        assert led_to(await alice.post(f"{address}/delete")) == "/monitors?told=deleted"
        text_of(await alice.get(address), 404)

    async def test_a_refused_form_is_shown_again(self, alice: httpx.AsyncClient) -> None:
        form = HTTP_FORM | {
            "name": "<i>Shop</i>",
            "interval_seconds": "3",
            "timeout_seconds": "soon",
            "confirmations": "",
            "tags": "t" * 65,
            "json_value": "ok",
            "headers": "X-Plain: kept\nX-Api-Key: " + SECRET,
            "auth.type": "bearer",
            "auth.token": SECRET,
            "client_key": SECRET,
        }
        refused = await alice.post("/monitors/new", data=form)
        assert problems(refused) == [
            'JSON value: this is not JSON; write a text in quotes: "ok".',
            "Tags: must have at most 64 characters.",
            "Check every: must be at least 10.",
            "Give up after: must be a whole number, not text.",
            "Failed checks until it is down: must be a whole number.",
        ]
        assert SECRET not in refused.text
        page = unescape(refused.text)
        assert "&lt;i&gt;Shop" in refused.text
        for kept in ('value="<i>Shop</i>"', 'value="3"', 'value="soon"', "X-Plain: kept", "X-Api-Key:"):  # fmt: skip
            assert kept in page, kept
        assert sent(await alice.get("/v1/monitors")) == []

    async def test_what_only_meaning_shows(self, alice: httpx.AsyncClient) -> None:
        form = HTTP_FORM | {"target": "nonsense", "body_regex": "(?=x)", "timeout_seconds": "99"}
        found = problems(await alice.post("/monitors/new", data=form))
        for field in ("Target: ", "The body must match: ", "Give up after: "):
            assert any(line.startswith(field) for line in found), (field, found)

    async def test_errors_are_said_at_the_field_of_the_type(self, alice: httpx.AsyncClient) -> None:
        job = {
            "type": "push",
            "name": "Backup",
            "push_target": "x" * 2049,
            "push_interval_seconds": "1",
            "push_confirmations": "0",
            "recoveries": "1",
        }
        refused = await alice.post("/monitors/new", data=job)
        assert problems(refused) == [
            "Job: must have at most 2,048 characters.",
            "A ping at least every: must be at least 10.",
            "Missed pings until it is down: must be at least 1.",
        ]
        for field in ("push_target", "push_interval_seconds", "push_confirmations"):
            assert f'<a href="#f-{field}">' in refused.text
        ssl = {"type": "ssl", "name": "x", "target": "x", "ssl_days": "0"} | {
            "interval_seconds": "60", "timeout_seconds": "10", "confirmations": "2", "recoveries": "1"
        }  # fmt: skip
        refused = await alice.post("/monitors/new", data=ssl)
        assert problems(refused) == [
            "Degraded when the certificate has less than: must be at least 1."
        ]
        assert '<a href="#f-ssl_days">' in refused.text

    async def test_a_status_in_words(self, alice: httpx.AsyncClient) -> None:
        form = HTTP_FORM | {"expected_status": "200, anything good"}
        (said,) = problems(await alice.post("/monitors/new", data=form))
        assert said == (
            "Expected status codes: anything good is neither a status such as 200 nor a range"
            ' such as "200-299".'
        )

    async def test_the_request_is_folded_until_something_is_in_it(
        self, alice: httpx.AsyncClient
    ) -> None:
        folded = re.compile(r'<details class="[^"]*" data-when="type=http\|https"( open)?>')
        usual = folded.search(text_of(await alice.get("/monitors/new")))
        assert usual is not None
        assert usual[1] is None
        for typed in ({"method": "HEAD"}, {"headers": "X-A: 1"}, {"max_redirects": "99"}):
            refused = await alice.post("/monitors/new", data=HTTP_FORM | {"name": ""} | typed)
            found = folded.search(refused.text)
            assert found is not None
            assert found[1] == " open"

    async def test_an_unknown_type(self, alice: httpx.AsyncClient) -> None:
        found = problems(await alice.post("/monitors/new", data={"type": "gopher", "name": "x"}))
        assert found[0].startswith("Type: there is no such type")

    async def test_trying_saves_nothing(self, open_stage: Opener) -> None:
        stage = await open_stage(clock=Clock(), start=True)
        client = stage.client()
        form = {"email": stage.cast.alice.email, "password": PASSWORD}
        led_to(await client.post("/login", data=form))
        async with HttpServer({"/": answer(200), "/no": answer(503)}) as server:
            for path, word in (("/", "HTTP 200, answered in"), ("/no", "503")):
                tried = HTTP_FORM | {"target": server.url(path), "action": "test", "auth.type": "bearer", "auth.token": SECRET}  # fmt: skip
                page = text_of(await client.post("/monitors/new", data=tried))
                assert word in page
                assert "Tried once; nothing was saved or counted." in page
                assert SECRET not in page
        assert sent(await client.get("/v1/monitors")) == []


class TestAlertForms:
    async def test_channel(self, house: Stage, alice: httpx.AsyncClient) -> None:
        secret = "whsec_" + "c2VjcmV0" * 4
        form = CHANNEL_FORM | {
            "config.secret": secret,
            "config.headers": "Authorization: Bearer " + SECRET,
        }
        for changes, line in (
            ({"config.url": "gopher://x"}, "Address: "),
            ({"config.secret": SECRET}, "Signing secret: "),
            ({"retry_for_seconds": "long"}, "Keep trying for: must be a whole number, not text."),
            ({"name": ""}, "Name: must not be empty."),
        ):
            refused = await alice.post("/alerts/channels/new", data=form | changes)
            (found,) = problems(refused)
            assert found.startswith(line)
            assert secret not in refused.text
            assert SECRET not in refused.text
            assert "Authorization:" in refused.text
        where = led_to(await alice.post("/alerts/channels/new", data=form))
        assert where == "/alerts?told=saved"
        (made,) = sent(await alice.get("/v1/alert-channels"))
        address = f"/alerts/channels/{made['id']}"
        page = text_of(await alice.get(address))
        assert secret not in page
        assert SECRET not in page
        kept = form | {"config.secret": "", "config.headers": "Authorization:", "version": "1"}
        led_to(await alice.post(address, data=kept))
        (made,) = sent(await alice.get("/v1/alert-channels"))
        assert made["config"]["secret_set"] is True
        assert "Ops" in text_of(await alice.get("/alerts"))
        assert led_to(await alice.get(f"{address}/test")) == "/alerts"

    async def test_rule(self, alice: httpx.AsyncClient) -> None:
        ids = await furnish(alice)
        form = {
            "name": "Told",
            "channel_id": ids["channel"],
            "scope": "tag",
            "tag": "prod",
            "monitor_id": ids["monitor"],
            "condition": "down",
            "cooldown_seconds": "300",
            "notify_recovery": "true",
            "is_active": "true",
        }
        for changes, line in (
            ({"condition": "downn"}, "When: column 1: unknown word downn; did you mean down?"),
            ({"cooldown_seconds": "-1"}, "Then be quiet for: must be at least 0."),
            ({"channel_id": RANDOM}, "Tell by: "),
            ({"scope": "monitor", "monitor_id": RANDOM}, "Monitor: "),
            ({"tag": "t" * 65}, "Tag: must have at most 64 characters."),
        ):
            refused = await alice.post("/alerts/rules/new", data=form | changes)
            (found,) = problems(refused)
            assert found.startswith(line), found
            assert 'value="Told"' in refused.text
        assert led_to(await alice.post("/alerts/rules/new", data=form)) == "/alerts?told=saved"
        rules = sent(await alice.get("/v1/alert-rules"))
        made = next(rule for rule in rules if rule["name"] == "Told")
        assert (made["tag"], made["monitor_id"]) == ("prod", None)
        # Its own monitor may be chosen, and what the scope does not name is not read.
        changed = form | {"scope": "all", "version": str(made["version"])}
        led_to(await alice.post(f"/alerts/rules/{made['id']}", data=changed))
        made = sent(await alice.get(f"/v1/alert-rules/{made['id']}"))
        assert (made["tag"], made["monitor_id"]) == (None, None)

    async def test_what_goes_beyond_the_condition(self, alice: httpx.AsyncClient) -> None:
        ids = await furnish(alice)
        other = sent(
            await alice.post("/v1/alert-channels", json={**HOOK, "name": "Other <b>"}), 201
        )["id"]
        form = RULE_FORM | {
            "channel_id": ids["channel"],
            "escalation_minutes": "10",
            "reminder_minutes": "",
            "fallback_channel_id": other,
            "quiet_hours": "weekly",
            "quiet_hours.days": ["mon", "sun"],
            "quiet_hours.from": "22:00",
            "quiet_hours.to": "07:00",
            "quiet_hours.timezone": "Europe/Berlin",
            "message": "{monitor}:\r\n{reason}",
        }
        for changes, line in (
            ({"escalation_minutes": "0"}, "Wait before telling: must be at least 1."),
            ({"reminder_minutes": "often"}, "Remind every: must be a whole number"),
            ({"fallback_channel_id": ids["channel"]}, "If that does not work: is the channel"),
            ({"quiet_hours.days": []}, "On: must not be empty."),
            ({"quiet_hours.from": "10 pm"}, "From: is no time of day"),
            ({"quiet_hours.to": ""}, "To: is no time of day"),
            ({"quiet_hours.timezone": "Mars"}, "Time zone: Mars is no time zone"),
            ({"message": "{mood}"}, "Message: column 1: {mood} is no placeholder"),
        ):
            refused = await alice.post("/alerts/rules/new", data=form | changes)
            (found,) = problems(refused)
            assert found.startswith(line), found
            assert 'np-card-fold" open' in refused.text
        led_to(await alice.post("/alerts/rules/new", data=form))
        made = next(
            row for row in sent(await alice.get("/v1/alert-rules")) if row["name"] == "Told"
        )
        assert made["quiet_hours"] == {
            "days": ["mon", "sun"],
            "from": "22:00",
            "to": "07:00",
            "timezone": "Europe/Berlin",
        }
        assert made["message"] == "{monitor}:\n{reason}"
        listed = await alice.get("/alerts")
        assert "<b>" not in listed.text
        page = text_of(listed)
        for words in (
            "after 10 min unless acknowledged",
            "quiet Mon, Sun 22:00 to 07:00 (Europe/Berlin)",
            "else by Other <b>",
        ):
            assert words in page
        address = f"/alerts/rules/{made['id']}"
        page = text_of(await alice.get(address))
        assert re.findall(r'name="quiet_hours.days" value="(\w+)" checked', page) == ["mon", "sun"]
        assert '<option value="Europe/Berlin" selected>' in page
        plain = RULE_FORM | {"channel_id": ids["channel"], "version": "1"}
        led_to(await alice.post(address, data=plain))
        made = sent(await alice.get(f"/v1/alert-rules/{made['id']}"))
        assert (made["quiet_hours"], made["message"]) == (None, None)
        assert (made["escalation_minutes"], made["fallback_channel_id"]) == (None, None)

    async def test_a_mistake_in_a_condition_is_pointed_at(self, alice: httpx.AsyncClient) -> None:
        ids = await furnish(alice)
        form = RULE_FORM | {"channel_id": ids["channel"]}
        for condition, shown in (
            ("down or upp", "down or upp\n        ^"),
            ("(down", "(down\n     ^"),
            ("down or " * 8 + "<i>", "…down or down or down or down o<i>\n"),
        ):
            refused = await alice.post("/alerts/rules/new", data=form | {"condition": condition})
            (caret,) = re.findall(
                r'<pre class="np-caret"[^>]*>(.*?)</pre>', refused.text, re.DOTALL
            )
            text, mark = unescape(caret).split("\n")
            column = int(problems(refused)[0].split("column ")[1].split(":")[0])
            assert mark.strip() == "^"
            if column <= 30:
                assert unescape(caret) == shown
            else:
                assert text[mark.index("^") :] == condition[column - 1 :]
            assert "<i>" not in refused.text
        fine = text_of(await alice.get("/alerts/rules/new"))
        assert "np-caret" not in fine

    async def test_preview(self, alice: httpx.AsyncClient) -> None:
        ids = await furnish(alice)
        before = sent(await alice.get("/v1/alert-rules"))
        form = RULE_FORM | {"channel_id": ids["channel"], "action": "preview"}
        message = "{monitor} <script>alert(1)</script> {{7*7}} {% if x %} ${reason}"
        tried = await alice.post("/alerts/rules/new", data=form | {"message": message})
        (shown,) = re.findall(r'<pre class="np-excerpt"[^>]*>(.*?)</pre>', tried.text, re.DOTALL)
        assert tried.status_code == 200
        assert "<script>alert" not in tried.text
        text = unescape(shown)
        assert text.startswith("Shop <script>alert(1)</script> {{7*7}} {% if x %} $")
        assert "{reason}" not in text
        assert text_of(tried).count(message) == 1  # what was written is still there
        page = text_of(await alice.post("/alerts/rules/new", data=form))
        assert "The usual words" in page
        refused = await alice.post("/alerts/rules/new", data=form | {"message": "{mood}"})
        assert problems(refused)[0].startswith("Message: column 1:")
        assert sent(await alice.get("/v1/alert-rules")) == before
        address = f"/alerts/rules/{before[0]['id']}"
        text_of(await alice.post(address, data=form | {"message": "{monitor}!", "version": "1"}))
        assert sent(await alice.get("/v1/alert-rules")) == before

    async def test_who_is_told(self, alice: httpx.AsyncClient) -> None:
        monitor = (await make(alice))["id"]
        for path in ("/monitors", f"/monitors/{monitor}"):
            assert "Nobody is told about this" in text_of(await alice.get(path))
        assert "Nobody is told when" in text_of(await alice.get("/dashboard"))
        led_to(await alice.post("/alerts/channels/new", data=CHANNEL_FORM))
        (channel,) = sent(await alice.get("/v1/alert-channels"))
        rule = {"name": "All", "channel_id": channel["id"], "scope": "all", "condition": "down", "is_active": "true"}  # fmt: skip
        led_to(await alice.post("/alerts/rules/new", data=rule))
        for path in ("/monitors", f"/monitors/{monitor}", "/dashboard", "/alerts"):
            assert "Nobody is told" not in text_of(await alice.get(path)), path

    async def test_types_to_choose_from(
        self, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        page = text_of(await alice.get("/alerts/channels/new"))
        offered = re.findall(r"/alerts/channels/new\?type=(\w+)", page)
        assert offered[:2] == ["email", "webhook"]
        assert set(offered) == set(KINDS)
        refused = await alice.post("/alerts/channels/new", data={"name": "x", "type": "pigeon"})
        assert refused.status_code == 400
        assert "Choose one of these first" in refused.text
        assert (await bob.get("/alerts/channels/new?type=email")).status_code == 403
        empty = text_of(await alice.get("/alerts"))
        assert "/alerts/channels/new?type=email" in empty

    @pytest.mark.parametrize("word", TYPES)
    async def test_each_type(self, house: Stage, alice: httpx.AsyncClient, word: str) -> None:
        empty = text_of(await alice.get(f"/alerts/channels/new?type={word}"))
        form = channel_form(word)
        names = set(re.findall(r'<(?:input|textarea|select)[^>]* name="([^"]+)"', empty))
        assert set(form) <= names
        for field in names - {"type", "np_org"}:  # each has a label, and a place for what is wrong
            ident = "f-" + field.replace(".", "-")
            assert f'id="{ident}"' in empty
            assert f'for="{ident}"' in empty or field == "is_active"
            assert f'id="e-{field}"' in empty
        assert led_to(await alice.post("/alerts/channels/new", data=form)) == "/alerts?told=saved"
        (made,) = sent(await alice.get("/v1/alert-channels"))
        kept = await as_stored(house, made["id"])
        for path, value in flat(TYPES[word]).items():
            kept_value = got(kept, path)
            assert (list(kept_value) if isinstance(value, list) else kept_value) == value, path
        address = f"/alerts/channels/{made['id']}"
        page = text_of(await alice.get(address))
        secrets = [got(TYPES[word], path) for path in SECRETS[word]]
        for secret in secrets:
            assert secret not in page
        assert page.count("set, leave empty to keep") == len(secrets)
        # Saved as it is shown, nothing changes.
        again = {
            name: value
            for name, value in form.items()
            if name.removeprefix("config.") not in SECRETS[word]
        }
        led_to(await alice.post(address, data=again | {"version": "1"}))
        assert await as_stored(house, made["id"]) == kept
        # What is refused is said at its field, and no secret is said again.
        refused = await alice.post(address, data=form | {"name": "", "version": "2"})
        assert problems(refused) == ["Name: must not be empty."]
        for secret in secrets:
            assert secret not in refused.text

    @pytest.mark.parametrize(
        ("word", "changes", "line"),
        [
            ("email", {"config.to": "ops@acme.example\r\nlead"}, "Recipients: lead is no mail"),
            ("email", {"config.smtp.port": "many"}, "Port: must be a whole number, not text."),
            ("email", {"config.smtp.from": "x"}, "Sender: x is no mail address"),
            ("slack", {"config.webhook_url": "x"}, "Webhook URL: a URL starts with"),
            ("telegram", {"config.chat_id": ""}, "Chat: must not be empty."),
            ("sms", {"config.to": "+49151, 12"}, "Numbers: "),
            ("ntfy", {"config.topic": "a b"}, "Topic: is no topic"),
            ("pagerduty", {"config.routing_key": ""}, "Integration key: this field is required."),
            ("pushover", {"config.user": "x"}, "User or group key: is no user"),
        ],
    )
    async def test_what_is_refused(
        self, alice: httpx.AsyncClient, word: str, changes: dict[str, str], line: str
    ) -> None:
        refused = await alice.post("/alerts/channels/new", data=channel_form(word) | changes)
        (found,) = problems(refused)
        assert found.startswith(line), found
        field = next(iter(changes))
        assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', refused.text)

    async def test_mail_without_a_server_of_its_own(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        # Without script the fields of the server are sent too: they are not read.
        led_to(
            await alice.post(
                "/alerts/channels/new", data=channel_form("email") | {"config.server": ""}
            )
        )
        (made,) = sent(await alice.get("/v1/alert-channels"))
        assert (await as_stored(house, made["id"]))["smtp"] is None


class TestRuleForm:
    async def test_enter_saves(self, alice: httpx.AsyncClient) -> None:
        # Enter in a field presses the first button that submits.
        sent(await alice.post("/v1/alert-channels", json=HOOK), 201)
        for path in ("/alerts/rules/new", "/maintenance/new", "/monitors/new?type=http"):
            form = text_of(await alice.get(path)).partition("<main")[2]
            first = re.search(r'<button[^>]*type="submit"[^>]*>', form)
            assert first is not None
            assert 'value="save"' in first[0], path

    async def test_it_begins_with_a_channel_that_is_in_use(self, alice: httpx.AsyncClient) -> None:
        sent(await alice.post("/v1/alert-channels", json=HOOK | {"name": "B"}), 201)
        off = HOOK | {"name": "A", "is_active": False}
        sent(await alice.post("/v1/alert-channels", json=off), 201)
        form = text_of(await alice.get("/alerts/rules/new"))
        assert form.index("B (Webhook)") < form.index("A (Webhook, off)")


class TestIncident:
    async def test_its_story(self, alice: httpx.AsyncClient) -> None:
        ids = await furnish(alice)
        address = f"/incidents/{ids['incident']}"
        form = {"message": "", "status": "investigating", "root_cause": ""}
        assert problems(await alice.post(address, data=form)) == [
            "What is known: there is nothing to add yet."
        ]
        wrong = form | {"message": "kept <b>", "status": "burning"}
        refused = await alice.post(address, data=wrong)
        assert problems(refused) == ["Status: there is no such status."]
        assert "kept &lt;b&gt;" in refused.text
        told = form | {"message": "A new key", "status": "monitoring", "root_cause": "Key expired"}
        assert led_to(await alice.post(address, data=told)) == f"{address}?told=added"
        page = text_of(await alice.get(address))
        for word in ("A new key", "Monitoring", "Key expired"):
            assert word in page
        text_of(await alice.post(f"/incidents/{RANDOM}", data=told), 404)


async def test_the_delivery_log_is_searched(house: Stage, alice: httpx.AsyncClient) -> None:
    ids = {}
    for name in ("Shop", "Mail"):
        monitor = await make(alice, name=name)
        config = {"url": f"https://hooks.example/{name}"}
        body = {"name": f"{name} team", "type": "webhook", "config": config}
        channel = sent(await alice.post("/v1/alert-channels", json=body), 201)
        rule = {"channel_id": channel["id"], "monitor_id": monitor["id"]}
        sent(await alice.post("/v1/alert-rules", json=rule), 201)
        await fail(house, monitor["id"], START)
        ids[name] = monitor["id"], channel["id"]
    shop, channel = ids["Shop"]

    async def listed(query: str) -> list[str]:
        page = text_of(await alice.get(f"/alerts?part=deliveries&{query}"))
        return sorted(re.findall(r">(Shop|Mail)</a>", page))

    assert await listed("") == ["Mail", "Shop"]
    assert await listed(f"monitor_id={shop}") == ["Shop"]
    assert await listed(f"channel_id={channel}") == ["Shop"]
    assert await listed("status=pending") == ["Mail", "Shop"]
    assert await listed("status=failed") == []
    # What is no filter is none.
    assert await listed("status=x&channel_id=y&monitor_id=z") == ["Mail", "Shop"]
    page = text_of(await alice.get(f"/alerts?monitor_id={shop}&status=failed"))
    assert "only of Shop" in page
    assert "No notice fits this filter" in page
    assert f'<option value="{channel}">Shop team</option>' in page
    assert f'hx-get="/alerts?status=failed&monitor_id={shop}&page=1&part=deliveries"' in page
    page = text_of(await alice.get(f"/monitors/{shop}"))
    assert f'href="/alerts?monitor_id={shop}#deliveries-title"' in page
