"""Many monitors from a pasted list: all of them, or none with a problem by line."""

from __future__ import annotations

from typing import Any

import httpx
from msgspec.structs import replace

from netpulse.model.org import Quotas
from netpulse.storage import orgs
from tests.conftest import Stage

LIST = """\
# the shop
https://shop.example/

Blog, http://blog.example/a,b
Database, db.example:5432
router.example
shop.example/health
https://admin:secret@back.example:8443/login
"""


async def send(client: httpx.AsyncClient, text: str, **more: Any) -> httpx.Response:
    return await client.post("/v1/monitors/import-list", json={"text": text} | more)


def told(answer: httpx.Response) -> list[tuple[int, str, str, str]]:
    lines = answer.json()["data"]["lines"]
    return [(each["line"], each["type"], each["name"], each["target"]) for each in lines]


BECOMES = [
    (2, "https", "shop.example", "https://shop.example/"),
    (4, "http", "Blog", "http://blog.example/a,b"),
    (5, "tcp", "Database", "db.example:5432"),
    (6, "icmp", "router.example", "router.example"),
    (7, "https", "shop.example/health", "https://shop.example/health"),
    (8, "https", "back.example:8443/login", "https://back.example:8443/login"),
]


async def test_what_each_line_becomes(house: Stage, alice: httpx.AsyncClient) -> None:
    before = await house.audit(house.cast.acme.id)
    looked = await send(alice, LIST, dry_run=True)
    assert looked.status_code == 200
    assert told(looked) == BECOMES
    assert looked.json()["data"]["created"] == 0
    assert await house.audit(house.cast.acme.id) == before
    assert (await alice.get("/v1/monitors")).json()["data"] == []

    made = await send(alice, LIST, interval_seconds=300, tags=["new"], group="Pasted")

    assert made.status_code == 200
    assert told(made) == BECOMES
    assert made.json()["data"]["created"] == 6
    rows = (await house.audit(house.cast.acme.id))[len(before) :]
    person = house.cast.alice
    assert rows == [("monitor.created", person.id, person.email)] * 6
    assert "secret" not in str(await house.payloads(house.cast.acme.id))
    stored = (await alice.get("/v1/monitors?sort=created_at")).json()["data"]
    assert [each["id"] for each in stored] == [each["id"] for each in made.json()["data"]["lines"]]
    assert {(each["interval_seconds"], each["group"], *each["tags"]) for each in stored} == {
        (300, "Pasted", "new")
    }
    assert stored[-1]["auth"] == {
        "type": "basic",
        "username": "admin",
        "password": None,
        "password_set": True,
    }


async def test_a_host_alone_can_be_a_page(house: Stage, alice: httpx.AsyncClient) -> None:
    answer = await send(alice, "shop.example", host_type="https", dry_run=True)
    assert told(answer) == [(1, "https", "shop.example", "https://shop.example/")]


async def test_problems_by_line_and_nothing_is_made(house: Stage, alice: httpx.AsyncClient) -> None:
    text = "good.example\nftp://x.example/\n10.1.2\ndb:0\nGOOD.example\n"
    before = await house.audit(house.cast.acme.id)
    answer = await send(alice, text)
    assert answer.status_code == 400
    found = [
        (each["path"], each["message"]) for each in answer.json()["error"]["details"]["errors"]
    ]
    assert found == [
        ("$.text:2", "the scheme is ftp; use http or https"),
        ("$.text:3", "10.1.2 is not an address: write four decimal numbers, such as 192.0.2.7"),
        ("$.text:4", "0 is not a port: use 1 to 65535"),
        ("$.text:5", "the same as line 1"),
    ]
    # What is wrong with all of them is said once.
    answer = await send(alice, "a.example\nb.example", interval_seconds=5)
    (error,) = answer.json()["error"]["details"]["errors"]
    assert error["path"] == "$.interval_seconds"
    for text, message in (
        ("\n# nothing\n", "name at least one thing to watch, one on each line"),
        (
            "\n".join(f"h{n}.example" for n in range(501)),
            "501 lines are more than the 500 that go at once; paste them in parts",
        ),
    ):
        answer = await send(alice, text)
        (error,) = answer.json()["error"]["details"]["errors"]
        assert (error["path"], error["message"]) == ("$.text", message)
    assert await house.audit(house.cast.acme.id) == before
    assert (await alice.get("/v1/monitors")).json()["data"] == []


async def test_quotas_hold(house: Stage, alice: httpx.AsyncClient) -> None:
    quotas = Quotas(monitors=2, users=None, retention_days=None, private_targets=False)
    await house.house.db.write(
        orgs.replace, replace(house.cast.acme, quotas=quotas), None, house.house.clock.now()
    )
    answer = await send(alice, "a.example\nb.example\nc.example", dry_run=True)
    assert answer.json()["data"]["problems"] == [
        {"path": "$.text", "message": "these are 3 monitors, and there is room for 2 more"}
    ]
    assert (await send(alice, "a.example\nb.example\nc.example")).status_code == 400
    # What is left out takes no room.
    form = {"text": "a.example\nx y\nb.example", "action": "preview"}
    looked = await alice.post("/monitors/add-many", data=form)
    assert "Leave them out, add 2 monitors</button>" in " ".join(looked.text.split())
    inside = await send(alice, "127.0.0.1:22")
    (error,) = inside.json()["error"]["details"]["errors"]
    assert error["path"] == "$.text:1"
    assert (await alice.get("/v1/monitors")).json()["data"] == []
    assert (await send(alice, "a.example\nb.example")).status_code == 200


async def test_the_page(house: Stage, alice: httpx.AsyncClient) -> None:
    assert 'name="text"' in (await alice.get("/monitors/add-many")).text
    form = {"text": "shop.example:443\r\nx y", "interval_seconds": "60", "tags": "a, b"}
    looked = await alice.post("/monitors/add-many", data=form | {"action": "preview"})
    page = " ".join(looked.text.split())
    assert looked.status_code == 200
    assert "1 line cannot be used as it is: mend it, or leave it out" in page
    assert "Leave them out, add 1 monitor</button>" in page
    assert "shop.example:443" in page
    assert (
        await alice.post("/monitors/add-many", data=form | {"action": "save"})
    ).status_code == 400
    assert (await alice.get("/v1/monitors")).json()["data"] == []

    form["text"] = "Shop, shop.example:443\r\n"
    looked = await alice.post("/monitors/add-many", data=form | {"action": "preview"})
    assert "Add 1 monitor</button>" in " ".join(looked.text.split())
    assert "TCP port" in looked.text
    made = await alice.post("/monitors/add-many", data=form | {"action": "save"})
    assert (made.status_code, made.headers["location"]) == (
        303,
        "/monitors?sort=-created_at&limit=20&told=watching-many",
    )
    (stored,) = (await alice.get("/v1/monitors")).json()["data"]
    assert (stored["name"], stored["type"], stored["tags"]) == ("Shop", "tcp", ["a", "b"])
    empty = await alice.post("/monitors/add-many", data={"text": " ", "action": "save"})
    assert empty.status_code == 400
    assert "name at least one thing to watch" in empty.text


async def test_the_lines_that_cannot_be_are_left_out_where_one_asks_for_it(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    form = {"text": "a.example\r\nx y\r\na.example\r\n\r\nb.example", "action": "save-good"}
    # Nobody has been told yet which lines go, or it was of another list.
    for seen in ("", "2", "3,2"):
        again = await alice.post("/monitors/add-many", data=form | {"left_out": seen})
        assert again.status_code == 400
        assert "Leave them out, add 2 monitors</button>" in " ".join(again.text.split())
        assert 'name="left_out" value="2,3"' in again.text
    assert (await alice.get("/v1/monitors")).json()["data"] == []
    made = await alice.post("/monitors/add-many", data=form | {"left_out": "2,3"})
    assert made.status_code == 303
    listed = (await alice.get("/v1/monitors")).json()["data"]
    assert [each["target"] for each in listed] == ["a.example", "b.example"]
    nothing = await alice.post("/monitors/add-many", data={"text": "x y", "action": "save-good"})
    assert nothing.status_code == 400
    assert "Leave them out" not in nothing.text
