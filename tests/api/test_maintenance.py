"""/v1/maintenance and its pages: what is taken, what is refused, who may, and what follows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netpulse.model.ids import new_id
from netpulse.model.time import HOUR, MINUTE, SECOND, rfc3339
from tests.api.test_monitors import SPEC, errors, sent
from tests.clock import START, FakeClock
from tests.conftest import Stage

ONCE = {
    "title": "Move the shop",
    "starts_at": rfc3339(START + HOUR),
    "ends_at": rfc3339(START + 2 * HOUR),
    "all": True,
}
WEEKLY = {
    "title": "Sundays",
    "starts_at": "2025-12-21T01:30:00Z",
    "rrule": "freq=weekly;byday=su",
    "timezone": "Europe/Berlin",
    "duration_minutes": 90,
    "tags": ["web"],
}
PATH = "/v1/maintenance"


async def monitor(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = sent(await client.post("/v1/monitors", json=SPEC | changes), 201)
    return made


class TestVerbs:
    async def test_once(self, house: Stage, alice: httpx.AsyncClient) -> None:
        response = await alice.post(PATH, json=ONCE)
        made = sent(response, 201)
        assert made == {
            "id": made["id"],
            "org_id": house.cast.acme.id,
            "title": "Move the shop",
            "description": "",
            "starts_at": rfc3339(START + HOUR),
            "ends_at": rfc3339(START + 2 * HOUR),
            "rrule": None,
            "cron": None,
            "timezone": "UTC",
            "duration_minutes": None,
            "monitor_ids": None,
            "tags": None,
            "all": True,
            "is_public": False,
            "state": "planned",
            "is_active": False,
            "next_start": rfc3339(START + HOUR),
            "next_end": rfc3339(START + 2 * HOUR),
            "created_by": house.cast.alice.id,
            "created_at": rfc3339(START),
            "version": 1,
        }
        assert response.headers["etag"] == '"1"'
        assert sent(await alice.get(f"{PATH}/{made['id']}")) == made
        # What was read can be edited and sent back whole.
        again = await alice.put(f"{PATH}/{made['id']}", json=made | {"title": "Move"})
        assert sent(again) == made | {"title": "Move", "version": 2}
        assert sent(await alice.delete(f"{PATH}/{made['id']}")) is None
        gone = await alice.get(f"{PATH}/{made['id']}")
        assert gone.status_code == 404
        assert gone.json()["error"]["code"] == "MAINTENANCE_NOT_FOUND"
        assert await house.actions(house.cast.acme.id) == [
            "maintenance.created",
            "maintenance.updated",
            "maintenance.deleted",
        ]

    async def test_recurring(self, alice: httpx.AsyncClient) -> None:
        made = sent(await alice.post(PATH, json=WEEKLY), 201)
        assert made["rrule"] == "FREQ=WEEKLY;BYDAY=SU"
        assert (made["next_start"], made["next_end"]) == (
            "2025-12-21T01:30:00Z",
            "2025-12-21T03:00:00Z",
        )
        body = {
            "title": "Nights",
            "cron": "0  3 * * *",
            "timezone": "America/New_York",
            "duration_minutes": 30,
            "all": True,
        }
        nightly = sent(await alice.post(PATH, json=body), 201)
        assert nightly["cron"] == "0 3 * * *"
        assert nightly["starts_at"] == rfc3339(START - START % MINUTE)
        assert nightly["next_start"] == "2025-12-18T08:00:00Z"

    async def test_lists(self, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
        shop = await monitor(alice, tags=["web"])
        first = sent(await alice.post(PATH, json=ONCE), 201)
        lasting = ONCE | {"starts_at": rfc3339(START), "all": False, "monitor_ids": [shop["id"]]}
        second = sent(await alice.post(PATH, json=lasting), 201)
        assert second["is_active"]
        third = sent(await alice.post(PATH, json=WEEKLY | {"tags": ["other"]}), 201)
        listed = await bob.get(PATH)
        assert [one["id"] for one in sent(listed)] == [second["id"], first["id"], third["id"]]
        assert listed.json()["meta"]["total"] == 3
        active = sent(await bob.get(PATH, params={"state": "active"}))
        assert [one["id"] for one in active] == [second["id"]]
        about = sent(await bob.get(PATH, params={"monitor_id": shop["id"]}))
        assert [one["id"] for one in about] == [second["id"], first["id"]]

    @pytest.mark.parametrize(
        ("changes", "paths"),
        [
            ({"title": " "}, ["$.title"]),
            ({"all": False}, ["$.monitor_ids"]),
            ({"tags": ["web"]}, ["$.monitor_ids"]),
            ({"all": False, "tags": [" "]}, ["$.tags"]),
            ({"starts_at": None}, ["$.starts_at"]),
            ({"starts_at": "tomorrow"}, ["$.starts_at"]),
            ({"starts_at": "0001-01-01T00:00:00Z"}, ["$.starts_at"]),
            ({"ends_at": ONCE["starts_at"]}, ["$.ends_at"]),
            ({"ends_at": None}, ["$.ends_at"]),
            ({"starts_at": rfc3339(START - HOUR), "ends_at": rfc3339(START)}, ["$.ends_at"]),
            ({"timezone": "Moon"}, ["$.timezone"]),
            ({"duration_minutes": 0}, ["$.duration_minutes"]),
            ({"duration_minutes": 43_201}, ["$.duration_minutes"]),
            ({"rrule": "FREQ=SECONDLY", "ends_at": None, "duration_minutes": 1}, ["$.rrule"]),
            ({"rrule": "FREQ=DAILY", "duration_minutes": 5}, ["$.ends_at"]),
            ({"cron": "never", "ends_at": None, "duration_minutes": 1}, ["$.cron"]),
            (
                {"cron": "* * * * *", "ends_at": None, "duration_minutes": 1, "timezone": "Moon"},
                ["$.timezone"],
            ),
            ({"all": False, "monitor_ids": ["x", new_id(START)]}, ["$.monitor_ids[0]", "$.monitor_ids[1]"]),
            ({"until": 1}, ["$.until"]),
        ],
    )  # fmt: skip
    async def test_what_is_refused(
        self, alice: httpx.AsyncClient, changes: dict[str, Any], paths: list[str]
    ) -> None:
        assert [path for path, _ in errors(await alice.post(PATH, json=ONCE | changes))] == paths

    async def test_monitors_of_others_do_not_exist(
        self, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        theirs = await monitor(charlie)
        body = ONCE | {"all": False, "monitor_ids": [theirs["id"]]}
        assert [path for path, _ in errors(await alice.post(PATH, json=body))] == [
            "$.monitor_ids[0]"
        ]

    async def test_who_may(
        self, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        made = sent(await alice.post(PATH, json=ONCE), 201)
        one = f"{PATH}/{made['id']}"
        assert (await bob.get(one)).status_code == 200
        assert (await bob.post(PATH, json=ONCE)).status_code == 403
        assert (await bob.put(one, json=ONCE)).status_code == 403
        assert (await bob.delete(one)).status_code == 403
        assert (await bob.post(f"{one}/end")).status_code == 403
        assert sent(await charlie.get(PATH)) == []
        nobodys = f"{PATH}/{new_id(START)}"
        for method, body in (("GET", None), ("PUT", ONCE), ("DELETE", None)):
            theirs = await charlie.request(method, one, json=body)
            unknown = await charlie.request(method, nobodys, json=body)
            assert (theirs.status_code, theirs.content) == (404, unknown.content)
        assert (await charlie.post(f"{one}/end")).status_code == 404

    async def test_versions(self, alice: httpx.AsyncClient) -> None:
        made = sent(await alice.post(PATH, json=ONCE), 201)
        one = f"{PATH}/{made['id']}"
        old = {"If-Match": '"1"'}
        assert (await alice.put(one, json=ONCE, headers=old)).status_code == 200
        stale = await alice.put(one, json=ONCE, headers=old)
        assert (stale.status_code, stale.json()["error"]["code"]) == (412, "VERSION_CONFLICT")
        assert (await alice.delete(one, headers=old)).status_code == 412


class TestWhatFollows:
    async def test_a_monitor_shows_it(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop, other = await monitor(alice, tags=["web"]), await monitor(alice, name="Other")
        lasting = WEEKLY | {"rrule": None, "cron": "* * * * *", "duration_minutes": 1}
        made = sent(await alice.post(PATH, json=lasting | {"starts_at": rfc3339(START)}), 201)
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(60)
        await house.house.engine.settled()
        await house.house.engine.calendar.turn()
        seen = sent(await alice.get(f"/v1/monitors/{shop['id']}"))
        assert seen["status"] == "maintenance"
        assert seen["status_since"].startswith("2025-12-17T19:3")
        found = sent(await alice.get("/v1/monitors", params={"status": "maintenance"}))
        assert [one["id"] for one in found] == [shop["id"]]
        found = sent(await alice.get("/v1/monitors", params={"status": "pending"}))
        assert [one["id"] for one in found] == [other["id"]]
        assert house.house.engine.roster.counts(house.cast.acme.id)["maintenance"] == 1

        ended = sent(await alice.post(f"{PATH}/{made['id']}/end"))
        assert not ended["is_active"]
        assert ended["version"] == 2
        assert sent(await alice.get(f"/v1/monitors/{shop['id']}"))["status"] == "pending"
        assert (await house.actions(house.cast.acme.id))[-1] == "maintenance.ended"
        again = await alice.post(f"{PATH}/{made['id']}/end")
        assert (again.status_code, again.json()["error"]["code"]) == (
            409,
            "MAINTENANCE_NOT_ACTIVE",
        )

    async def test_uptime_has_it(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        now = {"starts_at": rfc3339(START), "ends_at": rfc3339(START + 10 * MINUTE)}
        sent(await alice.post(PATH, json=ONCE | now), 201)
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(14 * MINUTE / SECOND)
        found = sent(await alice.get(f"/v1/monitors/{shop['id']}/uptime", params={"period": "24h"}))
        assert found["maintenance_seconds"] == 600
        assert found["unknown_seconds"] == 240

    async def test_an_over_one_can_be_renamed(self, house: Stage, alice: httpx.AsyncClient) -> None:
        soon = ONCE | {"starts_at": rfc3339(START), "ends_at": rfc3339(START + 5 * MINUTE)}
        made = sent(await alice.post(PATH, json=soon), 201)
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(10 * MINUTE / SECOND)
        await house.house.engine.calendar.turn()
        one = f"{PATH}/{made['id']}"
        renamed = sent(await alice.put(one, json=soon | {"title": "It was"}))
        assert (renamed["title"], renamed["state"], renamed["next_start"]) == (
            "It was",
            "over",
            None,
        )
        later = soon | {"ends_at": rfc3339(START + 6 * MINUTE)}
        assert [path for path, _ in errors(await alice.put(one, json=later))] == ["$.ends_at"]


FORM = {
    "title": "Move",
    "scope": "all",
    "repeat": "once",
    "timezone": "Europe/Berlin",
    "starts_at": "2025-12-18T02:30",
    "ends_at": "2025-12-18T04:00",
    "duration_minutes": "60",
    "monthly": "day",
    "action": "save",
}


async def post(client: httpx.AsyncClient, path: str, fields: dict[str, Any]) -> httpx.Response:
    return await client.post(path, data=fields, headers={"Accept": "text/html"})


class TestPages:
    async def test_the_empty_list_says_what_to_do(
        self, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        text = (await alice.get("/maintenance")).text
        assert "No maintenance is planned" in text
        assert 'href="/maintenance/new"' in text
        assert 'href="/maintenance/new"' not in (await bob.get("/maintenance")).text
        assert (await bob.get("/maintenance/new")).status_code == 403

    async def test_once_by_the_clock_of_the_zone(self, alice: httpx.AsyncClient) -> None:
        made = await post(alice, "/maintenance/new", FORM)
        assert (made.status_code, made.headers["location"]) == (303, "/maintenance?told=saved")
        (one,) = sent(await alice.get(PATH))
        assert (one["starts_at"], one["ends_at"]) == (
            "2025-12-18T01:30:00Z",
            "2025-12-18T03:00:00Z",
        )
        text = (await alice.get(f"/maintenance/{one['id']}")).text
        assert 'value="2025-12-18T02:30"' in text
        assert "The next windows" in text
        assert "Thursday, 2025-12-18 02:30 Europe/Berlin" in text
        assert "Move" in (await alice.get("/maintenance?part=list")).text

    @pytest.mark.parametrize(
        ("fields", "rrule"),
        [
            ({"repeat": "daily"}, "FREQ=DAILY"),
            ({"repeat": "weekly"}, "FREQ=WEEKLY;BYDAY=TH"),
            ({"repeat": "weekly", "weekday": ["SU", "MO"]}, "FREQ=WEEKLY;BYDAY=MO,SU"),
            ({"repeat": "monthly"}, "FREQ=MONTHLY;BYMONTHDAY=18"),
            ({"repeat": "monthly", "monthly": "-1"}, "FREQ=MONTHLY;BYDAY=-1TH"),
            ({"repeat": "rrule", "rrule": "freq=yearly"}, "FREQ=YEARLY"),
        ],
    )
    async def test_helpers_write_the_rule(
        self, alice: httpx.AsyncClient, fields: dict[str, Any], rrule: str
    ) -> None:
        made = await post(alice, "/maintenance/new", FORM | fields)
        assert made.status_code == 303
        (one,) = sent(await alice.get(PATH))
        assert (one["rrule"], one["duration_minutes"]) == (rrule, 60)
        # What the form shows of it says the same when it is sent back.
        edit = f"/maintenance/{one['id']}"
        assert (await alice.get(edit)).status_code == 200
        assert (await post(alice, edit, FORM | fields | {"version": "1"})).status_code == 303

    async def test_crontabs_and_the_preview(self, alice: httpx.AsyncClient) -> None:
        fields = FORM | {"repeat": "cron", "cron": "30 2 * * *", "action": "preview"}
        shown = await post(alice, "/maintenance/new", fields)
        assert shown.status_code == 200
        assert shown.text.count("02:30 Europe/Berlin") == 5
        assert sent(await alice.get(PATH)) == []
        fields |= {"cron": "30 2 * *"}
        refused = await post(alice, "/maintenance/new", fields)
        assert refused.status_code == 400
        assert "Crontab: a crontab has five fields" in refused.text

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"title": ""}, "Title:"),
            ({"starts_at": ""}, "Begins:"),
            ({"starts_at": "soon"}, "Begins:"),
            ({"ends_at": ""}, "Ends:"),
            ({"ends_at": "2025-12-18T02:00"}, "Ends: must be later than starts_at"),
            ({"repeat": "daily", "timezone": "Moon"}, "Time zone: Moon is no time zone"),
            ({"repeat": "rrule", "rrule": ""}, "RRULE:"),
            ({"repeat": "daily", "duration_minutes": "x"}, "Lasts:"),
            ({"scope": "monitors"}, "Monitors: choose at least one."),
            ({"scope": "tags", "tags": " , "}, "Tags: name at least one."),
        ],
    )
    async def test_mistakes_stand_at_their_field(
        self, alice: httpx.AsyncClient, fields: dict[str, Any], said: str
    ) -> None:
        refused = await post(alice, "/maintenance/new", FORM | fields)
        assert refused.status_code == 400
        assert said in refused.text

    async def test_ending_and_deleting(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice, name="Shop")
        fields = {"scope": "monitors", "monitor_ids": shop["id"], "starts_at": "2025-12-17T20:00"}
        assert (await post(alice, "/maintenance/new", FORM | fields)).status_code == 303
        (one,) = sent(await alice.get(PATH))
        assert one["is_active"]
        assert "End now" in (await alice.get("/maintenance")).text
        page = (await alice.get(f"/monitors/{shop['id']}")).text
        assert "now, until" in page
        ended = await post(alice, f"/maintenance/{one['id']}/end", {})
        assert ended.headers["location"] == "/maintenance?told=ended"
        assert (await alice.get("/maintenance?told=ended")).status_code == 200
        twice = await post(alice, f"/maintenance/{one['id']}/end", {})
        assert twice.headers["location"] == "/maintenance"
        assert (
            "Delete the maintenance Move?"
            in (await alice.get(f"/maintenance/{one['id']}/delete")).text
        )
        gone = await post(alice, f"/maintenance/{one['id']}/delete", {})
        assert gone.headers["location"] == "/maintenance?told=deleted"
        assert sent(await alice.get(PATH)) == []
        assert (await alice.get(f"/maintenance/{one['id']}")).status_code == 404
