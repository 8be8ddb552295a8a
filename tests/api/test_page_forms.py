"""Forms: what they make of what was entered, what a refused one says again, and what never."""

from __future__ import annotations

import re
from html import unescape

import httpx

from netpulse.engine.clock import Clock
from tests.api.test_monitors import make, sent
from tests.api.test_pages import RANDOM, furnish, led_to, problems, text_of
from tests.cast import PASSWORD
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
