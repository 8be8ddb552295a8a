"""One action on many monitors: through the API, and through the list's form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import httpx

from netpulse.config import Config, Limits
from netpulse.model.ids import Id, new_id
from netpulse.model.user import Membership, Role
from netpulse.storage import users
from netpulse.web import bulk
from tests.clock import START
from tests.conftest import Opener, Stage

TARGET = "http://127.0.0.1:9/"


async def make(client: httpx.AsyncClient, *names: str, **more: Any) -> list[Id]:
    ids = []
    for name in names:
        body = {"type": "http", "name": name, "target": TARGET, "timeout_seconds": 1} | more
        answer = await client.post("/v1/monitors", json=body)
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["data"]["id"])
    return ids


async def do(client: httpx.AsyncClient, action: str, ids: Sequence[Id], **more: Any) -> Any:
    body = {"action": action, "monitor_ids": list(ids)} | more
    answer = await client.post("/v1/monitors/bulk", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def states(client: httpx.AsyncClient) -> dict[str, str]:
    answer = await client.get("/v1/monitors?limit=100")
    return {each["name"]: each["status"] for each in answer.json()["data"]}


async def test_pause_and_resume(house: Stage, alice: httpx.AsyncClient) -> None:
    ids = await make(alice, "A", "B", "C")
    await alice.post(f"/v1/monitors/{ids[0]}/pause")
    before = len(await house.audit(house.cast.acme.id))

    done = await do(alice, "pause", ids)

    assert done["is_done"]
    assert (done["total"], done["done"], done["changed"], done["left_total"]) == (3, 3, 2, 0)
    assert (done["action"], done["tag"], done["stopped"], done["left"]) == ("pause", None, None, [])
    assert await states(alice) == dict.fromkeys("ABC", "paused")
    # One row for each that was changed, and none for the one that was paused already.
    rows = (await house.audit(house.cast.acme.id))[before:]
    alice_ = house.cast.alice
    assert rows == [("monitor.paused", alice_.id, alice_.email)] * 2
    payloads = (await house.payloads(house.cast.acme.id))[before:]
    assert (
        payloads
        == [
            {
                "before": {"is_paused": False, "status": "pending"},
                "after": {"is_paused": True, "status": "paused"},
            }
        ]
        * 2
    )

    again = await do(alice, "resume", [ids[1], ids[1], ids[2]])
    assert (again["total"], again["changed"]) == (2, 2)
    assert await states(alice) == {"A": "paused", "B": "pending", "C": "pending"}
    assert (await alice.get(f"/v1/monitors/bulk/{again['id']}")).json()["data"] == again


async def test_tags_by_filter(house: Stage, alice: httpx.AsyncClient) -> None:
    await make(alice, "A", "B", tags=["prod"], group="Shop")
    await make(alice, "C", tags=["test"])
    full = (await make(alice, "Full", tags=[f"t{n}" for n in range(50)], group="Shop"))[0]
    before = len(await house.audit(house.cast.acme.id))

    body = {"action": "add_tag", "tag": " night ", "filter": {"group": "Shop"}}
    done = (await alice.post("/v1/monitors/bulk", json=body)).json()["data"]

    assert (done["total"], done["changed"], done["left_total"], done["tag"]) == (3, 2, 1, "night")
    assert [(each["monitor_id"], each["name"]) for each in done["left"]] == [(full, "Full")]
    assert done["left"][0]["message"] == "tags: a monitor has at most 50"
    found = (await alice.get("/v1/monitors?tag=night")).json()["data"]
    assert [(each["name"], each["tags"]) for each in found] == [
        ("A", ["prod", "night"]),
        ("B", ["prod", "night"]),
    ]
    assert (await house.actions(house.cast.acme.id))[before:] == ["monitor.updated"] * 2
    (payload, _) = (await house.payloads(house.cast.acme.id))[before:]
    assert payload["before"]["tags"] == ["prod"]
    assert payload["after"]["tags"] == ["prod", "night"]

    # The filter says who it is when it begins: taking the tag away empties its own list.
    body = {"action": "remove_tag", "tag": "night", "filter": {"tag": "night", "q": ""}}
    done = (await alice.post("/v1/monitors/bulk", json=body)).json()["data"]
    assert (done["total"], done["changed"]) == (2, 2)
    assert (await alice.get("/v1/monitors?tag=night")).json()["data"] == []


async def test_delete_takes_what_belongs_to_it(house: Stage, alice: httpx.AsyncClient) -> None:
    ids = await make(alice, "A", "B", "C")
    config = {"url": "https://hooks.example/x"}
    channel = {"name": "Ops", "type": "webhook", "config": config}
    channel_id = (await alice.post("/v1/alert-channels", json=channel)).json()["data"]["id"]
    rule = {"name": "A alone", "channel_id": channel_id, "monitor_id": ids[0]}
    await alice.post("/v1/alert-rules", json=rule)
    before = len(await house.audit(house.cast.acme.id))

    done = await do(alice, "delete", ids[:2])

    assert (done["total"], done["changed"]) == (2, 2)
    assert (await house.actions(house.cast.acme.id))[before:] == [
        "alert_rule.deleted",
        "monitor.deleted",
        "monitor.deleted",
    ]
    assert await states(alice) == {"C": "pending"}
    assert (await alice.get("/v1/alert-rules")).json()["data"] == []


async def test_check_now_by_hand(open_stage: Opener) -> None:
    limits = Limits(runs_per_minute=3)
    stage = await open_stage(config=Config(limits=limits))
    alice = stage.client(headers=stage.cast.alice.headers)
    ids = await make(alice, "A", "B", "C", "D")
    push = {"type": "push", "name": "Job", "interval_seconds": 3600}
    ids.append((await alice.post("/v1/monitors", json=push)).json()["data"]["id"])
    before = len(await stage.audit(stage.cast.acme.id))

    done = await do(alice, "check", ids)

    assert (done["total"], done["done"], done["changed"], done["left_total"]) == (5, 5, 3, 2)
    assert {each["name"]: each["message"] for each in done["left"]} == {
        "D": "not checked: too many checks by hand in one minute",
        "Job": "A push monitor is not checked: it waits for pings. Call its ping URL instead",
    }
    # A check changes nothing: there is no audit row, and nothing is confirmed.
    assert len(await stage.audit(stage.cast.acme.id)) == before
    assert set((await states(alice)).values()) == {"pending"}
    checks = (await alice.get(f"/v1/monitors/{ids[0]}/checks")).json()["data"]
    assert [each["counted"] for each in checks] == [False]


async def test_refusals(house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient) -> None:
    (mine,) = await make(alice, "A")
    (theirs,) = await make(charlie, "Theirs")
    before = await house.audit(house.cast.acme.id)
    unknown = "there is no monitor with this id"
    for body, path, message in (
        ({"action": "explode", "monitor_ids": [mine]}, "$.action", None),
        ({"action": "pause"}, "$.monitor_ids", "give monitor_ids or filter, and not both"),
        (
            {"action": "pause", "monitor_ids": [mine], "filter": {}},
            "$.monitor_ids",
            "give monitor_ids or filter, and not both",
        ),
        ({"action": "pause", "monitor_ids": []}, "$.monitor_ids", None),
        ({"action": "pause", "monitor_ids": [mine, theirs]}, "$.monitor_ids[1]", unknown),
        ({"action": "pause", "monitor_ids": [new_id(START)]}, "$.monitor_ids[0]", unknown),
        ({"action": "pause", "monitor_ids": ["x"]}, "$.monitor_ids[0]", unknown),
        ({"action": "add_tag", "monitor_ids": [mine]}, "$.tag", "say which tag"),
        ({"action": "add_tag", "monitor_ids": [mine], "tag": "  "}, "$.tag", "say which tag"),
        (
            {"action": "pause", "monitor_ids": [mine], "tag": "x"},
            "$.tag",
            "goes with add_tag and remove_tag, not pause",
        ),
        ({"action": "pause", "filter": {"colour": "red"}}, "$.filter.colour", None),
        ({"action": "pause", "monitor_ids": [mine], "force": True}, "$.force", None),
    ):
        answer = await alice.post("/v1/monitors/bulk", json=body)
        assert answer.status_code == 400, body
        (error, *_) = answer.json()["error"]["details"]["errors"]
        assert error["path"] == path, error
        assert message is None or error["message"] == message
    assert await house.audit(house.cast.acme.id) == before
    assert await states(charlie) == {"Theirs": "pending"}


async def test_a_viewer_may_only_look(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    ids = await make(alice, "A")
    answer = await bob.post("/v1/monitors/bulk", json={"action": "pause", "monitor_ids": ids})
    assert answer.status_code == 403
    body = {"text": TARGET}
    assert (await bob.post("/v1/monitors/import-list", json=body)).status_code == 403
    done = await do(alice, "pause", ids)
    assert (await bob.get(f"/v1/monitors/bulk/{done['id']}")).status_code == 200
    gone = await charlie.get(f"/v1/monitors/bulk/{done['id']}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "BULK_CHANGE_NOT_FOUND")


async def test_long_work_is_watched_and_there_is_one_at_a_time(
    house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    ids = await make(alice, *(f"M{number:02}" for number in range(60)))
    acme = house.cast.acme
    seen: list[tuple[int, int]] = []
    write = house.house.db.write

    async def slowly(work: Any, *args: Any, **more: Any) -> Any:
        job = house.house.jobs.busy(acme.id)
        if job is not None:
            seen.append((job.done, job.changed))
            # Meanwhile nobody else of the organization begins another, and others may.
            body = {"action": "resume", "filter": {}}
            other = await alice.post("/v1/monitors/bulk", json=body)
            assert (other.status_code, other.json()["error"]["code"]) == (409, "BULK_RUNNING")
        return await write(work, *args, **more)

    house.house.db.write = slowly  # type: ignore[method-assign]
    done = await do(alice, "pause", ids)
    house.house.db.write = write  # type: ignore[method-assign]
    assert seen == [(0, 0), (25, 25), (50, 50)]
    assert (done["done"], done["changed"]) == (60, 60)
    paused = [each for each in await house.actions(acme.id) if each == "monitor.paused"]
    assert len(paused) == 60


async def test_it_ends_when_a_right_is_taken_away(house: Stage, alice: httpx.AsyncClient) -> None:
    ids = await make(alice, *(f"M{number:02}" for number in range(bulk.AT_ONCE + 5)))
    cast = house.cast
    write = house.house.db.write

    async def lowered(work: Any, *args: Any, **more: Any) -> Any:
        found = await write(work, *args, **more)
        job = house.house.jobs.busy(cast.acme.id)
        if job is not None and job.done == 0:
            role = Membership(
                user_id=cast.alice.id, org_id=cast.acme.id, role=Role.VIEWER, created_at=START
            )
            await write(users.put_membership, role)
        return found

    house.house.db.write = lowered  # type: ignore[method-assign]
    done = await do(alice, "pause", ids)
    assert (done["is_done"], done["done"], done["changed"]) == (True, 25, 25)
    assert done["stopped"] == (
        "whoever began it has signed out, or may not change monitors here any more"
    )
    paused = [each for each in await house.actions(cast.acme.id) if each == "monitor.paused"]
    assert len(paused) == 25


# The page


async def test_the_form_around_the_list(house: Stage, alice: httpx.AsyncClient) -> None:
    ids = await make(alice, "Alpha", "Beta", "Gamma", group="Shop")
    form = {"action": "pause", "monitor_ids": ids[:2], "f_group": "Shop", "f_sort": "name"}

    answer = await alice.post("/monitors/bulk", data=form)

    assert answer.status_code == 303
    where = answer.headers["location"]
    assert where.startswith("/monitors?group=Shop&sort=name&limit=20&job=")
    listed = (await alice.get(where)).text
    assert "2 monitors were paused." in " ".join(listed.split())
    assert listed.count('name="monitor_ids"') == 3
    assert await states(alice) == {"Alpha": "paused", "Beta": "paused", "Gamma": "pending"}
    # All that fit the filter, not only those on the page.
    form = {"action": "add_tag", "tag": "x", "all": "true", "f_status": "paused", "f_q": "b"}
    answer = await alice.post("/monitors/bulk", data=form)
    listed = " ".join((await alice.get(answer.headers["location"])).text.split())
    assert "1 monitor was given the tag x." in listed
    job = answer.headers["location"].rpartition("=")[2]
    assert "1 monitor was given the tag x." in (await alice.get(f"/monitors/bulk/{job}")).text


def confirmed(asked: httpx.Response) -> dict[str, str]:
    """Return the field in which the page that asks says what it named."""
    found = re.search(r'name="confirmed" value="([^"]+)"', asked.text)
    assert found is not None
    return {"confirmed": found[1]}


async def test_deleting_asks_once_and_names_what_goes(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    names = [f"Shop {number:02}" for number in range(12)]
    ids = await make(alice, *names)
    await make(alice, "Other")
    whole = await alice.post("/monitors/bulk", data={"action": "delete", "all": "true"})
    assert "and 3 more</li>" in " ".join(whole.text.split())
    ticked = await alice.post("/monitors/bulk", data={"action": "delete", "monitor_ids": ids})
    assert "and 2 more</li>" in " ".join(ticked.text.split())
    form = {"action": "delete", "all": "true", "f_q": "shop"}

    asked = await alice.post("/monitors/bulk", data=form)

    assert asked.status_code == 200
    page = " ".join(asked.text.split())
    assert "<h1>Delete 12 monitors?</h1>" in page
    assert all(f">{name}</li>" in page for name in names[:10])
    assert "and 2 more that fit the filter" in page
    assert len(await states(alice)) == 13
    # One was added while the question stood: it is asked again.
    await make(alice, "Shop 99")
    again = await alice.post("/monitors/bulk", data=form | confirmed(asked))
    assert "<h1>Delete 13 monitors?</h1>" in " ".join(again.text.split())
    # As many fit, but others: it is asked again, too.
    await alice.delete(f"/v1/monitors/{ids[0]}")
    await make(alice, "Shop 98")
    other = await alice.post("/monitors/bulk", data=form | confirmed(again))
    assert other.status_code == 200
    assert "<h1>Delete 13 monitors?</h1>" in " ".join(other.text.split())
    assert len(await states(alice)) == 14
    done = await alice.post("/monitors/bulk", data=form | confirmed(other))
    assert done.status_code == 303
    assert await states(alice) == {"Other": "pending"}
    assert (await house.actions(house.cast.acme.id)).count("monitor.deleted") == 14


async def test_what_the_form_refuses(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    (mine,) = await make(alice, "Mine")
    (theirs,) = await make(charlie, "Theirs")
    before = await house.audit(house.cast.acme.id)
    for form, told in (
        ({"action": "pause"}, "none-chosen"),
        ({"action": "pause", "monitor_ids": [mine, theirs]}, "chosen-gone"),
        ({"action": "delete", "monitor_ids": [theirs]}, "chosen-gone"),
        ({"action": "add_tag", "monitor_ids": [mine], "tag": " "}, "no-tag"),
        ({"action": "add_tag", "monitor_ids": [mine], "tag": "x" * 65}, "no-tag"),
    ):
        answer = await alice.post("/monitors/bulk", data=form)
        assert answer.headers["location"] == f"/monitors?sort=status&limit=20&told={told}", form
    answer = await alice.post("/monitors/bulk", data={"action": "burn", "monitor_ids": [mine]})
    assert answer.status_code == 400
    # A viewer has neither boxes nor buttons, and is refused.
    seen = (await bob.get("/monitors")).text
    assert "Mine" in seen
    for control in ("monitor_ids", "/monitors/bulk", "/monitors/add-many", "/monitors/new"):
        assert control not in seen
    for path in ("/monitors/bulk", "/monitors/add-many"):
        assert (await bob.post(path, data={"monitor_ids": [mine]})).status_code == 403
    assert (await bob.get("/monitors/add-many")).status_code == 403
    assert await house.audit(house.cast.acme.id) == before
