"""A page's own domain, from the claim to the page: proved by a real name server's TXT record."""

from __future__ import annotations

from typing import Any

import httpx

from netpulse.config import Config, Server
from netpulse.model.ids import new_id
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, rfc3339
from netpulse.model.user import Role
from netpulse.rules import status_pages as rules
from tests.api.test_monitors import sent
from tests.api.test_status_pages import PAGE, PATH, make
from tests.cast import Person
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.nameserver import NameServer

DOMAIN = "status.acme.example"
RECORD = f"_netpulse.{DOMAIN}"


class Scene:
    """A stage whose name servers say what a zone says."""

    def __init__(self, stage: Stage, server: NameServer, clock: FakeClock) -> None:
        self.stage = stage
        self.server = server
        self.clock = clock
        self.alice = stage.client(headers=stage.cast.alice.headers)

    def say(self, *texts: str) -> None:
        """Let the TXT record say so."""
        self.server.zone[RECORD] = {"TXT": [f'"{text}"' for text in texts]}

    async def seen(self) -> int:
        """Return what a stranger under the domain is answered."""
        return (await self.stage.client(base=f"http://{DOMAIN}").get("/")).status_code


async def scene(open_stage: Opener, server: NameServer, **zone: Any) -> Scene:
    server.zone.update(zone)
    clock = FakeClock()
    config = Config(server=Server(public_url="https://netpulse.example"))
    stage = await open_stage(clock=clock, config=config, nameservers=(server.address,))
    return Scene(stage, server, clock)


async def test_proved_by_the_button(open_stage: Opener) -> None:
    async with NameServer({}) as server:
        on = await scene(open_stage, server)
        made = await make(on.alice, custom_domain=DOMAIN)
        url = f"{PATH}/{made['id']}/domain/check"
        assert await on.seen() == 421
        where = server.address
        missing = sent(await on.alice.post(url))["domain"]
        assert missing == made["domain"] | {
            "checked_at": rfc3339(START),
            "problem": f"{RECORD} does not exist (NXDOMAIN, says {where})",
        }
        for texts, problem in (
            (
                ("v=spf1 -all",),
                f"the TXT record of {RECORD} says “v=spf1 -all”, not what it should",
            ),
            (
                (made["domain"]["value"][:-1], "<b>" + "x" * 200),
                f"the TXT record of {RECORD} says “{made['domain']['value'][:-1]}”, “<b>{'x' * 76}…”, not what it should",
            ),
        ):
            on.say(*texts)
            found = sent(await on.alice.post(url))["domain"]["problem"]
            assert sorted(found) == sorted(problem)  # the records come in any order
            assert await on.seen() == 421
        on.say("something else", made["domain"]["value"])
        proved = sent(await on.alice.post(url))["domain"]
        assert proved == made["domain"] | {
            "is_active": True,
            "verified_at": rfc3339(START),
            "verified_by": "dns",
            "checked_at": rfc3339(START),
        }
        assert await on.seen() == 200
        # Once is enough: without its record it stays, whoever looks again.
        server.zone.clear()
        on.clock.advance(60)
        again = sent(await on.alice.post(url))["domain"]
        assert (again["is_active"], again["verified_at"]) == (True, rfc3339(START))
        assert await on.seen() == 200
        assert await on.stage.audit(on.stage.cast.acme.id) == [
            ("status_page.created", on.stage.cast.alice.id, "alice@acme.example"),
            ("status_page.domain_verified", on.stage.cast.alice.id, "alice@acme.example"),
        ]
        assert set(server.asked) == {(RECORD, "TXT")}


async def test_proved_in_the_background(open_stage: Opener) -> None:
    async with NameServer({}) as server:
        on = await scene(open_stage, server)
        domains = on.stage.house.engine.domains
        assert await domains.turn() is None
        made = await make(on.alice, custom_domain=DOMAIN)
        assert await domains.turn() == 60
        assert server.hits == 1
        assert await domains.turn() == 60
        assert server.hits == 1
        on.say(made["domain"]["value"])
        on.clock.advance(60)
        assert await on.seen() == 421
        assert await domains.turn() is None
        assert server.hits == 2
        assert await on.seen() == 200
        domain = sent(await on.alice.get(f"{PATH}/{made['id']}"))["domain"]
        assert domain["verified_at"] == rfc3339(START + MINUTE)
        on.clock.advance(86_400)
        assert await domains.turn() is None
        assert server.hits == 2
        audit = await on.stage.audit(on.stage.cast.acme.id)
        assert audit[-1] == ("status_page.domain_verified", None, "dns")


async def test_a_record_through_a_cname(open_stage: Opener) -> None:
    async with NameServer({}) as server:
        on = await scene(open_stage, server)
        made = await make(on.alice, custom_domain=DOMAIN)
        server.zone[RECORD] = {"CNAME": ["proof.elsewhere.example."]}
        server.zone["proof.elsewhere.example"] = {"TXT": [f'"{made["domain"]["value"]}"']}
        assert sent(await on.alice.post(f"{PATH}/{made['id']}/domain/check"))["domain"]["is_active"]


async def test_our_own_trouble_is_named_as_such(open_stage: Opener) -> None:
    async with NameServer({}) as server:
        on = await scene(open_stage, server, **{RECORD: "servfail"})
        made = await make(on.alice, custom_domain=DOMAIN)
        found = sent(await on.alice.post(f"{PATH}/{made['id']}/domain/check"))["domain"]
        assert f"cannot look {RECORD} up (SERVFAIL)" in found["problem"]
        assert not found["is_active"]


async def test_another_domain_is_another_proof(open_stage: Opener) -> None:
    async with NameServer({}) as server:
        on = await scene(open_stage, server)
        made = await make(on.alice, custom_domain=DOMAIN)
        url = f"{PATH}/{made['id']}"
        on.say(made["domain"]["value"])
        assert sent(await on.alice.post(f"{url}/domain/check"))["domain"]["is_active"]
        other = sent(await on.alice.put(url, json=PAGE | {"custom_domain": "status2.acme.example"}))
        assert other["domain"]["is_active"] is False
        assert await on.seen() == 421
        # And back again: the old record is for another token.
        back = sent(await on.alice.put(url, json=PAGE | {"custom_domain": DOMAIN}))
        assert back["domain"]["is_active"] is False
        assert back["domain"]["value"] != made["domain"]["value"]
        assert not sent(await on.alice.post(f"{url}/domain/check"))["domain"]["is_active"]


async def test_a_look_that_a_change_overtook_proves_nothing(open_stage: Opener) -> None:
    async with NameServer({}) as server:
        on = await scene(open_stage, server)
        made = await make(on.alice, custom_domain=DOMAIN)
        on.say(made["domain"]["value"])
        from netpulse.storage import status_page_domains

        (claim,) = await on.stage.house.db.read(status_page_domains.claims)
        url = f"{PATH}/{made['id']}"
        await on.alice.put(url, json=PAGE)
        again = sent(await on.alice.put(url, json=PAGE | {"custom_domain": DOMAIN}))
        assert await on.stage.house.engine.domains.look(claim) is None
        assert sent(await on.alice.get(url))["domain"] == again["domain"]
        assert await on.seen() == 421


async def test_the_super_admin_may_vouch(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    made = await make(alice, custom_domain=DOMAIN)
    url = f"{PATH}/{made['id']}/domain/vouch"
    for client in (alice, bob):
        answer = await client.post(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")
    root = Person("root", Role.SUPER_ADMIN, house.cast.acme, START)
    await house.house.db.write(root.enter, START)
    client = house.client(headers=root.headers)
    proved = sent(await client.post(url))
    assert proved["domain"] == made["domain"] | {
        "is_active": True,
        "verified_at": rfc3339(START),
        "verified_by": "admin",
    }
    assert sent(await client.post(url)) == proved
    stranger = house.client(base=f"http://{DOMAIN}")
    assert "<title>Acme</title>" in (await stranger.get("/")).text
    assert await house.audit(house.cast.acme.id) == [
        ("status_page.created", house.cast.alice.id, "alice@acme.example"),
        ("status_page.domain_verified", root.id, "root@acme.example"),
    ]


async def test_a_page_without_a_domain(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await make(alice)
    answer = await alice.post(f"{PATH}/{made['id']}/domain/check")
    assert (answer.status_code, answer.json()["error"]) == (
        409,
        {
            "code": "NO_DOMAIN",
            "message": "This status page has no domain of its own; set one first",
            "details": {},
        },
    )
    assert (await alice.post(f"{PATH}/{new_id(START)}/domain/check")).status_code == 404


def test_how_often_it_is_looked_for() -> None:
    for age, wait in (
        (0, MINUTE),
        (HOUR - SECOND, MINUTE),
        (HOUR, 10 * MINUTE),
        (DAY, HOUR),
        (7 * DAY, DAY),
        (70 * DAY, DAY),
    ):
        assert rules.look_again(START, START + age) == START + age + wait
