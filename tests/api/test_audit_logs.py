"""The audit log over the API: what an entry says, filters, exports, and who may see it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.exceptions import LitestarException

from netpulse.model.time import DAY, HOUR, rfc3339
from netpulse.model.user import Actor, Role
from netpulse.storage import audit, users
from netpulse.storage.audit import FIRST
from netpulse.storage.db import Conn
from netpulse.web import exports
from netpulse.web.api import audit_logs
from netpulse.web.rates import Rate
from tests.api.test_monitors import make, sent
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage

LOGS = "/v1/audit-logs"
EXPORT = "/v1/audit-logs/export"
ROOT = Path(__file__).parents[2]


def entered(
    house: Stage, *, kind: str = "user", label: str = "alice", **more: Any
) -> Callable[..., None]:
    """Return the function that writes an entry into Acme's log."""
    action = more.pop("action", "monitor.updated")
    at = more.pop("at", START)
    before, after = more.pop("before", {"name": "Shop"}), more.pop("after", {"name": "Store"})
    resource = more.pop("resource", ("monitor", None))
    log = more.pop("log", house.cast.acme.id)
    actor = Actor(kind=kind, label=label, **more)

    def write(conn: Conn) -> None:
        audit.append(conn, log, actor, action, *resource, before, after, at)

    return write


async def enter(house: Stage, **more: Any) -> None:
    await house.house.db.write(entered(house, **more))


async def listed(client: httpx.AsyncClient, **filters: Any) -> list[int]:
    """Return the numbers of the entries that fit, and see that `total` counts them."""
    answer = await client.get(LOGS, params={"limit": 100, **filters})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["meta"]["total"] == len(body["data"])
    return [row["seq"] for row in body["data"]]


async def exported(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(EXPORT, params={"format": "jsonl", **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/jsonl")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_entry_says_who_what_when_from_where_before_and_after(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    alice.headers["User-Agent"] = "curl/8"
    monitor = await make(alice)
    spec = {"name": "Store", "type": "http", "target": "https://store.example/"}
    sent(await alice.put(f"/v1/monitors/{monitor['id']}", json=spec))
    answer = await alice.get(LOGS)
    assert answer.json()["meta"] == {"page": 1, "limit": 20, "total": 2}
    newest, oldest = answer.json()["data"]
    assert newest == {
        "id": newest["id"],
        "org_id": house.cast.acme.id,
        "seq": 2,
        "user_id": house.cast.alice.id,
        "action": "monitor.updated",
        "resource_type": "monitor",
        "resource_id": monitor["id"],
        "actor": {"kind": "user", "label": "alice@acme.example"},
        "ip_address": "192.0.2.10",
        "user_agent": "curl/8",
        "payload": newest["payload"],
        "created_at": rfc3339(START),
        "prev_hash": oldest["hash"],
        "hash": newest["hash"],
    }
    assert newest["payload"]["before"]["name"] == "Shop"
    assert newest["payload"]["after"]["name"] == "Store"
    assert (oldest["action"], oldest["payload"]["before"]) == ("monitor.created", None)
    assert oldest["prev_hash"] == FIRST
    assert re.fullmatch(r"[0-9a-f]{64}", newest["hash"])


async def test_filters(house: Stage, alice: httpx.AsyncClient) -> None:
    one, other = house.cast.alice.id, house.cast.bob.id
    for number, more in enumerate(
        (
            {"user_id": one, "ip": "192.0.2.1"},
            {
                "user_id": other,
                "label": "Bob 100%",
                "ip": "2001:db8::1",
                "action": "auth.logged_in",
            },
            {"kind": "cli", "label": "key_rotate", "resource": ("key", None), "before": None},
            {"user_id": one, "resource": ("monitor", one), "after": {"name": "Bäckerei_1"}},
        )
    ):
        await enter(house, at=START + number * HOUR, **more)
    assert await listed(alice) == [4, 3, 2, 1]
    cases: tuple[tuple[dict[str, str], list[int]], ...] = (
        ({"action": "auth.logged_in"}, [2]),
        ({"action": "auth"}, []),
        ({"resource_type": "key"}, [3]),
        ({"resource_id": one}, [4]),
        ({"user_id": one}, [4, 1]),
        ({"actor": "BOB"}, [2]),
        ({"actor": "100%"}, [2]),
        ({"actor": "1__%"}, []),
        ({"actor": "y_r"}, [3]),
        ({"ip": "2001:db8::1"}, [2]),
        ({"q": "bäckerei_"}, [4]),
        ({"q": "BÄCKEREI_"}, []),
        ({"q": "logged"}, [2]),
        ({"q": "192.0.2.1"}, [1]),
        ({"q": one}, [4]),
        ({"q": '"name":"Store"'}, [3, 2, 1]),
        ({"q": "!"}, []),
        ({"from": rfc3339(START + HOUR)}, [4, 3, 2]),
        ({"to": rfc3339(START + HOUR)}, [1]),
        ({"from": rfc3339(START + HOUR), "to": rfc3339(START + 3 * HOUR)}, [3, 2]),
        ({"from": rfc3339(START + DAY)}, []),
        ({"user_id": one, "from": rfc3339(START + HOUR), "q": "monitor"}, [4]),
        ({"user_id": "nobody"}, []),
    )
    for filters, found in cases:
        assert await listed(alice, **filters) == found, filters
    for filters, found in cases:
        house.house.rates.exports = Rate(0)
        rows = await exported(alice, **filters)
        # The exports that came before are entries too.
        assert [row["seq"] for row in rows if row["seq"] <= 4] == found[::-1], filters
        assert all(row["action"] == "audit.exported" for row in rows if row["seq"] > 4)


async def test_a_clock_that_was_set_back_hides_nothing(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    for at in (START, START + 2 * HOUR, START + HOUR, START + 3 * HOUR):
        await enter(house, at=at)
    moments = {"from": rfc3339(START + HOUR), "to": rfc3339(START + 2 * HOUR)}
    assert await listed(alice, **moments) == [3]
    moments = {"from": rfc3339(START + HOUR), "to": rfc3339(START + 3 * HOUR)}
    assert await listed(alice, **moments) == [3, 2]


async def test_pages(house: Stage, alice: httpx.AsyncClient) -> None:
    for number in range(45):
        await enter(house, at=START + number)
    first = (await alice.get(LOGS)).json()
    assert first["meta"] == {"page": 1, "limit": 20, "total": 45}
    assert [row["seq"] for row in first["data"]] == list(range(45, 25, -1))
    last = (await alice.get(LOGS, params={"page": 3})).json()
    assert [row["seq"] for row in last["data"]] == [5, 4, 3, 2, 1]
    beyond = (await alice.get(LOGS, params={"page": 4})).json()
    assert (beyond["data"], beyond["meta"]["total"]) == ([], 45)


@pytest.mark.parametrize(
    ("query", "path", "message"),
    [
        ({"from": "yesterday"}, "?from", None),
        ({"log": "everything"}, "?log", "'everything' is none of organization, instance"),
        ({"who": "x"}, "?who", "there is no such parameter here"),
        ({"limit": "101"}, "?limit", "must be at most 100"),
        ({"q": "x" * 201}, "?q", "must have at most 200 characters"),
    ],
)
async def test_mistakes(
    alice: httpx.AsyncClient, query: dict[str, str], path: str, message: str | None
) -> None:
    answer = await alice.get(LOGS, params=query)
    assert answer.status_code == 400
    (error,) = answer.json()["error"]["details"]["errors"]
    assert error["path"] == path
    assert message is None or error["message"] == message
    if path != "?limit":
        again = await alice.get(EXPORT, params={"format": "csv", **query})
        assert again.status_code == 400
        assert again.json()["error"]["details"]["errors"][0]["path"] == path


# --- who may ---


async def test_only_administrators_of_the_organization(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    await make(alice)
    for path in (LOGS, f"{EXPORT}?format=csv"):
        refused = await bob.get(path)
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "FORBIDDEN"
        assert (await house.client().get(path)).status_code == 401
    assert await listed(charlie) == []
    assert await exported(charlie) == []
    assert await house.actions(house.cast.acme.id) == ["monitor.created"]


async def test_keys_need_their_own_scope(house: Stage, alice: httpx.AsyncClient) -> None:
    async def key(*scopes: str) -> httpx.AsyncClient:
        body = {"name": "SIEM", "scopes": list(scopes)}
        made = sent(await alice.post("/v1/api-keys", json=body), 201)
        return house.client(headers={"X-API-Key": made["key"]})

    reader, other = await key("audit:read"), await key("org:write", "monitors:write")
    assert len(await listed(reader)) == 2
    assert [row["action"] for row in await exported(reader)] == ["api_key.created"] * 2
    last = sent(await alice.get(LOGS))[0]
    assert (last["action"], last["actor"]["kind"]) == ("audit.exported", "api_key")
    assert last["actor"]["label"].startswith("SIEM (np_")
    for path in (LOGS, f"{EXPORT}?format=csv"):
        refused = await other.get(path)
        assert refused.status_code == 403
        assert refused.json()["error"]["message"] == "This API key lacks the scope audit:read"


async def test_the_log_of_the_instance_is_the_super_administrators(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    await enter(house, log=audit.INSTANCE, action="key.rotated", resource=("key", None))
    query = {"log": "instance"}
    refused = await alice.get(LOGS, params=query)
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == (
        "The log of the instance is for its super administrators, signed in"
    )
    assert (await alice.get(EXPORT, params={"format": "csv", **query})).status_code == 403

    def promote(conn: Conn) -> None:
        conn.execute(
            "UPDATE memberships SET role = ? WHERE user_id = ?",
            (Role.SUPER_ADMIN.word, house.cast.alice.id),
        )

    await house.house.db.write(promote)
    (row,) = sent(await alice.get(LOGS, params=query))
    assert (row["action"], row["org_id"]) == ("key.rotated", None)
    assert [row["action"] for row in await exported(alice, **query)] == ["key.rotated"]
    # The export is an entry of the log that was exported.
    assert [row["action"] for row in sent(await alice.get(LOGS, params=query))] == [
        "audit.exported",
        "key.rotated",
    ]
    assert await house.actions(house.cast.acme.id) == []
    body = {"name": "SIEM", "scopes": ["audit:read"]}
    key = sent(await alice.post("/v1/api-keys", json=body), 201)["key"]
    by_key = house.client(headers={"X-API-Key": key})
    assert (await by_key.get(LOGS, params=query)).status_code == 403


# --- exports ---


async def test_an_export_is_an_entry_with_what_was_asked_for(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    await make(alice)
    assert len(await exported(alice, action="monitor.created", q="Shop")) == 1
    row = sent(await alice.get(LOGS))[0]
    assert (row["action"], row["resource_type"]) == ("audit.exported", "audit")
    assert row["payload"] == {
        "before": None,
        "after": {"format": "jsonl", "action": "monitor.created", "q": "Shop"},
    }


async def test_csv_has_no_formulas(house: Stage, alice: httpx.AsyncClient) -> None:
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"]
    for text in evil:
        await enter(house, label=text, user_agent=text, action=text, ip=text, after={"name": text})
    answer = await alice.get(EXPORT, params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="audit-{rfc3339(START)[:10]}.csv"'
    )
    assert answer.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["actor"] for row in rows] == [f"'{text}" for text in evil]
    for row in rows:
        assert not any(cell[:1] in "=+-@\t\r＝" for cell in row.values() if cell)
    assert list(rows[0]) == list(audit_logs.COLUMNS)
    assert rows[0]["after"] == '{"name":"=1+1"}'
    assert (rows[0]["seq"], rows[0]["before"]) == ("1", '{"name":"Shop"}')
    assert answer.text.startswith("created_at,actor,actor_kind,")
    assert "\r\n" in answer.text


async def test_an_export_goes_through_in_pieces(
    house: Stage, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_logs, "AT_ONCE", 10)
    for number in range(30):
        await enter(house, at=START + number)
    for count in (30, 31):
        rows = await exported(alice)
        assert [row["seq"] for row in rows] == list(range(1, count + 1))
    answer = await alice.get(EXPORT, params={"format": "csv"})
    assert len(list(csv.DictReader(io.StringIO(answer.text, newline="")))) == 32
    assert (await alice.get(EXPORT, params={"format": "csv", "q": "Zaphod"})).text.count(
        "\r\n"
    ) == 1


async def test_an_export_breaks_off_when_the_right_to_it_ends(
    house: Stage, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_logs, "AT_ONCE", 10)
    for number in range(30):
        await enter(house, at=START + number)
    pieces = 0
    really = audit.following

    def following(*args: Any, **named: Any) -> Any:
        nonlocal pieces
        pieces += 1
        return really(*args, **named)

    monkeypatch.setattr(audit, "following", following)
    may_still = exports._may_still

    async def ended(call: Any) -> bool:
        await house.house.db.write(users.set_active, house.cast.alice.id, False, START)
        return await may_still(call)

    monkeypatch.setattr(exports, "_may_still", ended)
    with pytest.raises(LitestarException) as broken:
        await alice.get(EXPORT, params={"format": "jsonl"})
    assert "BrokenOff" in repr(broken.value.__cause__)
    assert pieces == 1


async def test_whoever_has_an_export_can_verify_it(house: Stage, alice: httpx.AsyncClient) -> None:
    """With the program in the handbook."""
    await make(alice)
    await enter(house, label="Zoë", after={"ratio": 0.1, "big": 2**40, "text": 'a "quoted" \\ ü\n'})
    await enter(house, before=None, after=None, kind="cli", label="key rotate")
    program = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "audit.md").read_text(), re.DOTALL
    )
    text = (await alice.get(EXPORT, params={"format": "jsonl"})).text

    def verify(lines: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program[0]],
            input=lines,
            capture_output=True,
            text=True,
            check=False,
        )

    done = verify(text)
    last = json.loads(text.splitlines()[-1])["hash"]
    assert (done.returncode, done.stdout) == (0, f"all as they were written, up to {last}\n")
    done = verify(text.replace("Zoë", "Zoe"))
    assert (done.returncode, done.stderr) == (1, "entry 2 is not as it was written\n")
    lines = text.splitlines(keepends=True)
    done = verify("".join([lines[0], *lines[2:]]))
    assert (done.returncode, done.stderr) == (1, "entry 3 is not as it was written\n")


async def test_exports_are_limited(open_stage: Opener) -> None:
    clock = FakeClock()
    house = await open_stage(clock=clock)
    alice = house.client(headers=house.cast.alice.headers)
    for _ in range(20):
        assert (await alice.get(EXPORT, params={"format": "csv"})).status_code == 200
    refused = await alice.get(EXPORT, params={"format": "csv"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["message"] == (
        "Too many exports in one minute for this organization; wait as long as Retry-After says"
    )
    assert (await alice.get(LOGS)).status_code == 200
    clock.advance(120)
    assert (await alice.get(EXPORT, params={"format": "csv"})).status_code == 200


async def test_the_document_says_what_an_export_is(house: Stage) -> None:
    document = (await house.client().get("/v1/openapi.json")).json()
    export = document["paths"][EXPORT]["get"]
    assert set(export["responses"]["200"]["content"]) == {"text/csv", "application/jsonl"}
    assert export["x-scope"] == "audit:read"
    assert export["x-role"] == "admin"
    (form,) = (each for each in export["parameters"] if each["name"] == "format")
    assert form["required"]
    assert form["schema"]["enum"] == ["csv", "jsonl"]


# --- quickness ---


async def test_every_filter_with_an_index_uses_it(house: Stage) -> None:
    """The plan of each query: no scan of a whole log where an index leads to what is asked for."""

    def plans(conn: Conn) -> dict[str, str]:
        found = {}
        for name, wanted in (
            ("any", audit.ANY),
            ("action", audit.AuditFilter(action="x")),
            ("user", audit.AuditFilter(user_id="x")),
            ("resource", audit.AuditFilter(resource_id="x")),
            ("action and time", audit.AuditFilter(action="x", start=0)),
        ):
            where = audit._where(conn, house.cast.acme.id, wanted)
            rows = conn.all(
                f"EXPLAIN QUERY PLAN SELECT {audit.COLUMNS} FROM audit_logs WHERE {where.sql}"  # noqa: S608 - ours
                " ORDER BY seq DESC LIMIT 20",
                where.values,
            )
            found[name] = "; ".join(row[3] for row in rows)
        rows = conn.all(
            "EXPLAIN QUERY PLAN SELECT min(seq), max(seq), count(*) FROM audit_logs"
            " WHERE org_id = ? AND created_at >= ? AND created_at < ?",
            ("x", 1, 2),
        )
        found["time"] = "; ".join(row[3] for row in rows)
        return found

    await enter(house)
    search = "SEARCH audit_logs USING"
    assert await house.house.db.read(plans) == {
        "any": f"{search} INDEX sqlite_autoindex_audit_logs_2 (org_id=?)",
        "action": f"{search} INDEX audit_logs_action (org_id=? AND action=?)",
        "user": f"{search} INDEX audit_logs_user (org_id=? AND user_id=?)",
        "resource": f"{search} INDEX audit_logs_resource (org_id=? AND resource_id=?)",
        "action and time": (
            f"{search} INDEX audit_logs_action (org_id=? AND action=? AND seq>? AND seq<?)"
        ),
        "time": (
            f"{search} COVERING INDEX audit_logs_time (org_id=? AND created_at>? AND created_at<?)"
        ),
    }
