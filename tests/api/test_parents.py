"""`parent_id`: a monitor that another depends on, by the API and by the form."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.test_monitors import SPEC, errors, make, sent


async def test_a_monitor_depends_on_another(alice: httpx.AsyncClient) -> None:
    router = await make(alice, name="Router")
    assert router["parent_id"] is None
    shop = await make(alice, parent_id=router["id"])
    assert shop["parent_id"] == router["id"]
    path = f"/v1/monitors/{shop['id']}"
    free = sent(await alice.put(path, json={**SPEC, "parent_id": None}))
    assert free["parent_id"] is None
    bound = sent(await alice.put(path, json={**SPEC, "parent_id": router["id"]}))
    assert bound["parent_id"] == router["id"]
    # A parent that goes is nobody's parent any more.
    sent(await alice.delete(f"/v1/monitors/{router['id']}"))
    assert sent(await alice.get(path))["parent_id"] is None


async def test_no_circles_and_no_strangers(
    alice: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    theirs = await make(charlie)
    top = await make(alice, name="Top")
    middle = await make(alice, name="Middle", parent_id=top["id"])
    bottom = await make(alice, name="Bottom", parent_id=middle["id"])

    async def refused(monitor: Any, parent_id: str) -> str:
        answer = await alice.put(
            f"/v1/monitors/{monitor['id']}", json={**SPEC, "parent_id": parent_id}
        )
        ((path, message),) = errors(answer)
        assert path == "$.parent_id"
        return message

    assert await refused(top, top["id"]) == "a monitor cannot depend on itself"
    assert await refused(top, bottom["id"]) == "that monitor depends on this one already"
    for unknown in (theirs["id"], "nobody"):
        assert await refused(top, unknown) == "there is no such monitor"
        made = await alice.post("/v1/monitors", json={**SPEC, "parent_id": unknown})
        assert errors(made) == [("$.parent_id", "there is no such monitor")]
    assert sent(await alice.get(f"/v1/monitors/{top['id']}"))["parent_id"] is None
