"""Alert channels and rules: secrets, tests, conditions, and their audit rows."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from netpulse.model.time import HOUR, rfc3339
from netpulse.storage import channels
from tests.api.test_monitors import SPEC, errors, sent
from tests.clock import START
from tests.conftest import Stage
from tests.servers import Sink, answer

SECRET = "whsec_" + base64.b64encode(b"a signing secret of thirty bytes").decode()
HOOK = {
    "name": "Hook",
    "type": "webhook",
    "config": {
        "url": "https://hooks.example/T0PATH/x",
        "secret": SECRET,
        "headers": {"X-Token": "s3cret-token", "X-Team": "ops"},
    },
}


async def stored(stage: Stage, channel_id: str) -> Any:
    found = await stage.house.db.read(channels.get, stage.cast.acme.id, channel_id)
    assert found is not None
    return found.config


def config(**changes: Any) -> dict[str, Any]:
    return {**HOOK, "config": {**HOOK["config"], **changes}}  # type: ignore[dict-item]


class TestChannels:
    async def test_create_and_read(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=HOOK), 201)
        assert made == {
            "id": made["id"],
            "org_id": house.cast.acme.id,
            "name": "Hook",
            "type": "webhook",
            "config": {
                "url": "https://hooks.example/T0PATH/x",
                "secret": None,
                "secret_set": True,
                "headers": {"X-Token": None, "X-Team": "ops"},
                "headers_set": {"X-Token": True},
            },
            "is_active": True,
            "retry_for_seconds": 86_400,
            "max_attempts": None,
            "created_at": rfc3339(START),
            "version": 1,
            "disabled_at": None,
            "disabled_reason": None,
            "last_test_at": None,
            "last_test_ok": None,
            "problem": None,
        }
        seen = await bob.get(f"/v1/alert-channels/{made['id']}")
        assert sent(seen)["config"] == {
            "url": "https://hooks.example",
            "secret": None,
            "secret_set": True,
            "headers": {"X-Token": None, "X-Team": None},
            "headers_set": {"X-Token": True},
        }
        assert "T0PATH" not in (await bob.get("/v1/alert-channels")).text
        written = str(await house.payloads(house.cast.acme.id))
        for secret in (SECRET, "T0PATH", "s3cret-token"):
            assert secret not in written
        files = b"".join(path.read_bytes() for path in house.data.rglob("*") if path.is_file())
        for secret in (SECRET, "T0PATH", "s3cret-token"):
            assert secret.encode() not in files
        assert await house.actions(house.cast.acme.id) == ["alert_channel.created"]

    async def test_secrets_are_kept_cleared_and_changed(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=HOOK), 201)
        url = f"/v1/alert-channels/{made['id']}"
        again = sent(await alice.put(url, json=made))
        assert again == {**made, "version": 2}
        kept = await stored(house, made["id"])
        assert (kept.secret, kept.headers["X-Token"]) == (SECRET, "s3cret-token")
        sent(await alice.put(url, json=config(secret="", headers={"X-Token": ""})))
        gone = await stored(house, made["id"])
        assert (gone.secret, gone.headers) == (None, {})

    async def test_another_host_gets_no_secret_of_the_first(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=HOOK), 201)
        url = f"/v1/alert-channels/{made['id']}"
        silent = {"secret": None, "headers": {"X-Token": None, "X-Team": "ops"}}
        for elsewhere in (
            "https://evil.example/T0PATH/x",
            "http://hooks.example/T0PATH/x",
            "https://hooks.example:8443/T0PATH/x",
            "https://hooks.example.evil.example/",
        ):
            response = await alice.put(url, json=config(url=elsewhere, **silent))
            assert errors(response) == [
                ("$.config.secret", "the URL leads to another host: enter the secret again"),
                (
                    "$.config.headers.X-Token",
                    "the URL leads to another host: enter the value again",
                ),
            ]
        kept = await stored(house, made["id"])
        assert (kept.url, kept.secret) == ("https://hooks.example/T0PATH/x", SECRET)
        sent(await alice.put(url, json=config(url="https://HOOKS.example:443/other", **silent)))
        assert (await stored(house, made["id"])).secret == SECRET
        sent(await alice.put(url, json=config(url="https://evil.example/")))
        assert await house.actions(house.cast.acme.id) == [
            "alert_channel.created",
            "alert_channel.updated",
            "alert_channel.updated",
        ]

    async def test_problems(self, alice: httpx.AsyncClient) -> None:
        response = await alice.post(
            "/v1/alert-channels",
            json={
                "name": " ",
                "type": "webhook",
                "config": {
                    "url": "ftp://x.example",
                    "secret": "not a secret",
                    "headers": {"a b": "1", "Webhook-Id": "1", "X": "1\r\n2"},
                },
            },
        )
        assert [path for path, _ in errors(response)] == [
            "$.name",
            "$.config.url",
            "$.config.secret",
            "$.config.headers.a b",
            "$.config.headers.Webhook-Id",
            "$.config.headers.X",
        ]
        response = await alice.post(
            "/v1/alert-channels",
            json={"name": "x", "type": "pigeon", "config": {"url": "https://x.example", "to": 1}},
        )
        assert [path for path, _ in errors(response)] == ["$.type"]
        response = await alice.post(
            "/v1/alert-channels", json={**config(to=1), "retry_for_seconds": "x"}
        )
        assert [path for path, _ in errors(response)] == ["$.retry_for_seconds", "$.config.to"]
        for wrong, said in (
            ({"name": "x", "type": "webhook"}, "this field is required"),
            ({"name": "x", "type": "webhook", "config": []}, "must be an object, not a list"),
        ):
            response = await alice.post("/v1/alert-channels", json=wrong)
            assert errors(response) == [("$.config", said)]
        response = await alice.post(
            "/v1/alert-channels", json=config(url="https://u:p@hooks.example/", headers={"X": None})
        )
        assert errors(response) == [("$.config.url", "leave user name and password out of the URL")]
        response = await alice.post("/v1/alert-channels", json=config(headers={"X-Token": None}))
        assert errors(response) == [("$.config.headers.X-Token", "has no value")]
        response = await alice.post("/v1/alert-channels", json={**HOOK, "max_attempts": 2})
        assert errors(response) == [("$.max_attempts", "must be at least 3")]

    async def test_a_test_message(self, house: Stage, alice: httpx.AsyncClient) -> None:
        async with Sink() as sink:
            made = sent(
                await alice.post("/v1/alert-channels", json=config(url=sink.url("/hook"))), 201
            )
            url = f"/v1/alert-channels/{made['id']}/test"
            result = sent(await alice.post(url))
            assert (result["ok"], result["status_code"], result["answer"]) == (True, 200, "ok")
            assert result["error"] is None
            (request,) = sink.requests
            assert request.headers["x-token"] == "s3cret-token"
            payload = json.loads(request.body)
            assert payload["event"] == "test"
            assert payload["monitor"] is None
            assert payload["org"] == {"id": house.cast.acme.id, "name": "Acme"}
            sink.answers.append(answer(500, body=b"broken"))
            result = sent(await alice.post(url))
            assert (result["ok"], result["status_code"], result["answer"]) == (False, 500, "broken")
            assert "HTTP 500" in result["error"]
        result = sent(await alice.post(url))
        assert (result["ok"], result["status_code"]) == (False, None)
        stands = sent(await alice.get(f"/v1/alert-channels/{made['id']}"))
        assert (stands["last_test_at"], stands["last_test_ok"]) == (rfc3339(START), False)
        assert stands["version"] == 1
        assert await house.outbox() == []
        assert await house.actions(house.cast.acme.id) == [
            "alert_channel.created",
            "alert_channel.tested",
            "alert_channel.tested",
            "alert_channel.tested",
        ]

    async def test_delete(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = sent(await alice.post("/v1/alert-channels", json=HOOK), 201)
        sent(await alice.post("/v1/alert-rules", json={"channel_id": made["id"]}), 201)
        assert sent(await alice.delete(f"/v1/alert-channels/{made['id']}")) is None
        assert (await alice.get("/v1/alert-rules")).json()["meta"]["total"] == 0
        assert await house.actions(house.cast.acme.id) == [
            "alert_channel.created",
            "alert_rule.created",
            "alert_rule.deleted",
            "alert_channel.deleted",
        ]


class TestRules:
    @pytest.fixture
    async def channel(self, alice: httpx.AsyncClient) -> str:
        return str(sent(await alice.post("/v1/alert-channels", json=HOOK), 201)["id"])

    async def test_verbs(self, house: Stage, alice: httpx.AsyncClient, channel: str) -> None:
        made = sent(await alice.post("/v1/alert-rules", json={"channel_id": channel}), 201)
        assert made == {
            "id": made["id"],
            "org_id": house.cast.acme.id,
            "name": "down",
            "is_active": True,
            "monitor_id": None,
            "tag": None,
            "channel_id": channel,
            "condition": "down",
            "cooldown_seconds": 300,
            "notify_recovery": True,
            "escalation_minutes": None,
            "reminder_minutes": None,
            "quiet_hours": None,
            "fallback_channel_id": None,
            "message": None,
            "created_at": rfc3339(START),
            "version": 1,
        }
        url = f"/v1/alert-rules/{made['id']}"
        changed = sent(await alice.put(url, json={**made, "tag": "web", "condition": "down or up"}))
        assert (changed["tag"], changed["condition"], changed["version"]) == (
            "web",
            "down or up",
            2,
        )
        assert sent(await alice.get(url)) == changed
        assert (await alice.put(url, json=made, headers={"If-Match": '"1"'})).status_code == 412
        monitor = sent(await alice.post("/v1/monitors", json=SPEC), 201)["id"]
        bound = {"channel_id": channel, "monitor_id": monitor, "name": "Bound"}
        sent(await alice.post("/v1/alert-rules", json=bound), 201)
        rows = sent(await alice.get("/v1/alert-rules", params={"monitor_id": monitor}))
        assert [row["name"] for row in rows] == ["Bound"]
        assert sent(await alice.delete(url)) is None
        assert await house.actions(house.cast.acme.id) == [
            "alert_channel.created",
            "alert_rule.created",
            "alert_rule.updated",
            "monitor.created",
            "alert_rule.created",
            "alert_rule.deleted",
        ]

    async def test_conditions(self, alice: httpx.AsyncClient, channel: str) -> None:
        async def post(condition: str) -> httpx.Response:
            body = {"channel_id": channel, "condition": condition}
            return await alice.post("/v1/alert-rules", json=body)

        fed = ("response_time_ms > 800 for 5m", "down and certificate_days < 14")
        for condition in ("down", "degraded or down", "system", " up ", *fed):
            assert (await post(condition)).status_code == 201, condition
        for condition in ("cpu_percent > 90 for 10m", "agent_offline or down", "log.x > 5 in 1m"):
            response = await post(condition)
            assert response.status_code == 400
            assert response.json()["error"]["code"] == "CONDITION_UNAVAILABLE"
        for condition in ("downn", "down and", "(down", "response_time_ms > 5 in 5m"):
            ((path, message),) = errors(await post(condition))
            assert path == "$.condition"
            assert message.startswith("column ")

    async def test_problems(self, alice: httpx.AsyncClient, channel: str) -> None:
        response = await alice.post(
            "/v1/alert-rules",
            json={"channel_id": channel, "monitor_id": "x", "tag": "y", "condition": "("},
        )
        assert [path for path, _ in errors(response)] == ["$.tag", "$.condition"]
        assert [path for path, _ in errors(await alice.post("/v1/alert-rules", json={}))] == [
            "$.channel_id"
        ]
        response = await alice.post("/v1/alert-rules", json={"channel_id": channel, "escalate": 5})
        assert errors(response) == [("$.escalate", "there is no such field here")]

    async def test_what_goes_beyond_the_condition(
        self, house: Stage, alice: httpx.AsyncClient, channel: str
    ) -> None:
        other = sent(await alice.post("/v1/alert-channels", json=HOOK), 201)["id"]
        body = {
            "channel_id": channel,
            "escalation_minutes": 10,
            "reminder_minutes": 120,
            "quiet_hours": {
                "days": ["sun", "mon", "mon"],
                "from": "22:00",
                "to": "07:30",
                "timezone": "Europe/Berlin",
            },
            "fallback_channel_id": other,
            "message": " {monitor}: {reason} ",
        }
        made = sent(await alice.post("/v1/alert-rules", json=body), 201)
        assert made["quiet_hours"] == {
            "days": ["mon", "sun"],
            "from": "22:00",
            "to": "07:30",
            "timezone": "Europe/Berlin",
        }
        assert made["message"] == "{monitor}: {reason}"
        url = f"/v1/alert-rules/{made['id']}"
        assert sent(await alice.put(url, json=made)) == {**made, "version": 2}
        short = {**body, "quiet_hours": {"from": "00:00", "to": "06:00"}}
        quiet = sent(await alice.put(url, json=short))["quiet_hours"]
        assert (len(quiet["days"]), quiet["timezone"]) == (7, "UTC")

        # Nothing stands in for a channel that is gone, and the audit log says so.
        sent(await alice.delete(f"/v1/alert-channels/{other}"))
        left = sent(await alice.get(url))
        assert (left["fallback_channel_id"], left["escalation_minutes"]) == (None, 10)
        assert (await house.actions(house.cast.acme.id))[-2:] == [
            "alert_rule.updated",
            "alert_channel.deleted",
        ]
        bare = sent(await alice.put(url, json={"channel_id": channel}))
        assert {bare[name] for name in body if name != "channel_id"} == {None}

    @pytest.mark.parametrize(
        ("changes", "path", "said"),
        [
            ({"escalation_minutes": 0}, "escalation_minutes", "must be at least 1"),
            ({"escalation_minutes": 10_081}, "escalation_minutes", "must be at most 10080"),
            ({"reminder_minutes": "5"}, "reminder_minutes", "must be a whole number"),
            ({"quiet_hours": {}}, "quiet_hours.from", "this field is required"),
            ({"quiet_hours": {"from": "24:00", "to": "07:00"}}, "quiet_hours.from", "is no time"),
            ({"quiet_hours": {"from": "22:00", "to": "7:00"}}, "quiet_hours.to", "is no time"),
            (
                {"quiet_hours": {"from": "22:00", "to": "22:00"}},
                "quiet_hours.to",
                "is the same as from, on every day: the rule would never speak",
            ),
            (
                {"quiet_hours": {"from": "22:00", "to": "07:00", "days": []}},
                "quiet_hours.days",
                "must not be empty",
            ),
            (
                {"quiet_hours": {"from": "22:00", "to": "07:00", "days": ["someday"]}},
                "quiet_hours.days[0]",
                "'someday' is",
            ),
            (
                {"quiet_hours": {"from": "22:00", "to": "07:00", "timezone": "Mars/Phobos"}},
                "quiet_hours.timezone",
                "Mars/Phobos is no time zone",
            ),
            (
                {"quiet_hours": {"from": "22:00", "to": "07:00", "nap": 1}},
                "quiet_hours.nap",
                "there is no such field here",
            ),
            ({"fallback_channel_id": "x"}, "fallback_channel_id", "there is no alert channel"),
            ({"message": "{monitor} {mood}"}, "message", "column 11: {mood} is no placeholder"),
            ({"message": "x" * 4001}, "message", "must have at most 4,000 characters"),
        ],
    )
    async def test_nonsense(
        self,
        alice: httpx.AsyncClient,
        channel: str,
        changes: dict[str, Any],
        path: str,
        said: str,
    ) -> None:
        response = await alice.post("/v1/alert-rules", json={"channel_id": channel, **changes})
        ((where, message),) = errors(response)
        assert where == f"$.{path}"
        assert message.startswith(said), message

    async def test_the_fallback_is_another_channel_of_ones_own(
        self, alice: httpx.AsyncClient, charlie: httpx.AsyncClient, channel: str
    ) -> None:
        theirs = sent(await charlie.post("/v1/alert-channels", json=HOOK), 201)["id"]
        for fallback, said in (
            (channel, "is the channel itself: choose another one"),
            (theirs, "there is no alert channel with this id"),
        ):
            body = {"channel_id": channel, "fallback_channel_id": fallback}
            response = await alice.post("/v1/alert-rules", json=body)
            assert errors(response) == [("$.fallback_channel_id", said)]


@pytest.mark.parametrize(
    ("path", "field", "body"),
    [
        ("/v1/alert-channels", "name", HOOK),
        ("/v1/alert-rules", "name", {}),
        ("/v1/incidents", "title", {}),
        (
            "/v1/maintenance",
            "title",
            {"starts_at": rfc3339(START + HOUR), "ends_at": rfc3339(START + 2 * HOUR), "all": True},
        ),
        ("/v1/api-keys", "name", {"scopes": ["alerts:read"]}),
    ],
)
async def test_names_are_one_line(
    alice: httpx.AsyncClient, path: str, field: str, body: dict[str, Any]
) -> None:
    if path == "/v1/alert-rules":
        body = {"channel_id": sent(await alice.post("/v1/alert-channels", json=HOOK), 201)["id"]}
    for text in ("two\nlines", "nul\x00"):
        refused = errors(await alice.post(path, json=body | {field: text}))
        assert refused == [(f"$.{field}", "has a line break or another control character")]
    sent(await alice.post(path, json=body | {field: "Ünë ✓"}), 201)


async def test_a_rule_is_called_as_its_condition_in_one_line(alice: httpx.AsyncClient) -> None:
    channel = sent(await alice.post("/v1/alert-channels", json=HOOK), 201)
    body = {"channel_id": channel["id"], "condition": "down\n  or degraded"}
    assert sent(await alice.post("/v1/alert-rules", json=body), 201)["name"] == "down or degraded"


async def test_what_a_condition_gives_no_meaning_to_is_refused(alice: httpx.AsyncClient) -> None:
    body = {"name": "Ops", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
    channel = sent(await alice.post("/v1/alert-channels", json=body), 201)["id"]
    monitor = sent(await alice.post("/v1/monitors", json=SPEC), 201)
    for more, path in (
        ({"condition": "degraded", "reminder_minutes": 5}, "$.reminder_minutes"),
        ({"condition": "up", "escalation_minutes": 5}, "$.escalation_minutes"),
        ({"condition": "system", "monitor_id": monitor["id"]}, "$.monitor_id"),
        ({"condition": "system", "tag": "web"}, "$.tag"),
    ):
        answer = await alice.post("/v1/alert-rules", json={"channel_id": channel, **more})
        assert [where for where, _ in errors(answer)] == [path]
    for fine in (
        {"condition": "down or degraded", "reminder_minutes": 5, "escalation_minutes": 5},
        {"condition": "response_time_ms > 800 for 5m", "escalation_minutes": 5},
        {"condition": "system or down", "tag": "web"},
    ):
        sent(await alice.post("/v1/alert-rules", json={"channel_id": channel, **fine}), 201)
