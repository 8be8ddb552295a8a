"""/v1/status-pages: what is taken, what is refused, who may, and what the audit log keeps."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from netpulse.config import Config, Server
from netpulse.model.ids import new_id
from netpulse.model.time import HOUR, rfc3339
from netpulse.rules.logos import MOST_BYTES
from netpulse.storage import status_pages
from tests.api.test_monitors import SPEC, errors, sent
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.pictures import SECRET, chunk, png

PATH = "/v1/status-pages"
PAGE = {"slug": "acme", "title": "Acme"}


def data_url(body: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(body).decode()}"


async def monitor(client: httpx.AsyncClient, **changes: Any) -> str:
    return str(sent(await client.post("/v1/monitors", json=SPEC | changes), 201)["id"])


async def make(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = sent(await client.post(PATH, json=PAGE | changes), 201)
    return made


def of(*ids: str, name: str = "") -> list[dict[str, Any]]:
    return [{"name": name, "monitors": [{"monitor_id": one, "public_name": ""} for one in ids]}]


class TestVerbs:
    async def test_create_read_list(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        groups = [{"name": "Web", "monitors": [{"monitor_id": shop, "public_name": "Our shop"}]}]
        response = await alice.post(PATH, json=PAGE | {"groups": groups, "text": " Hello \n"})
        made = sent(response, 201)
        assert response.headers["location"] == f"{PATH}/{made['id']}"
        assert response.headers["etag"] == '"1"'
        assert made == {
            "id": made["id"],
            "org_id": house.cast.acme.id,
            "slug": "acme",
            "path": "/status/acme",
            "title": "Acme",
            "text": "Hello",
            "language": None,
            "branding": {
                "logo": None,
                "colors": {"accent": None, "header": None},
                "theme": "auto",
            },
            "custom_domain": None,
            "domain": None,
            "password": None,
            "password_set": False,
            "is_indexed": True,
            "figures": {"uptime": True, "response_times": False},
            "takes_subscribers": True,
            "groups": groups,
            "created_by": house.cast.alice.id,
            "created_at": rfc3339(START),
            "updated_at": rfc3339(START),
            "version": 1,
        }
        assert sent(await alice.get(f"{PATH}/{made['id']}")) == made
        listed = (await alice.get(PATH)).json()
        assert listed["data"] == [made]
        assert listed["meta"] == {"page": 1, "limit": 20, "total": 1}
        assert await house.audit(house.cast.acme.id) == [
            ("monitor.created", house.cast.alice.id, "alice@acme.example"),
            ("status_page.created", house.cast.alice.id, "alice@acme.example"),
        ]

    async def test_what_an_answer_has_can_be_sent_back(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await make(
            alice,
            groups=of(await monitor(alice), name="Web"),
            password="open sesame",
            custom_domain="status.acme.example",
            branding={"logo": data_url(png()), "colors": {"accent": "#1660B8"}, "theme": "dark"},
        )
        url = f"{PATH}/{made['id']}"
        again = sent(await alice.put(url, json=made, headers={"If-Match": '"1"'}))
        assert again == {**made, "version": 2}
        stored = await house.house.db.read(status_pages.get, house.cast.acme.id, made["id"])
        assert stored is not None
        assert stored.password_hash is not None
        assert await house.house.db.read(status_pages.logo, made["id"]) == png()

    async def test_put_is_the_whole_spec(self, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        made = await make(
            alice, text="words", is_indexed=False, groups=of(shop), figures={"uptime": False}
        )
        url = f"{PATH}/{made['id']}"
        now = sent(await alice.put(url, json={"slug": "other", "title": "Other"}))
        assert (now["slug"], now["text"], now["is_indexed"], now["groups"]) == (
            "other",
            "",
            True,
            [],
        )
        assert now["figures"] == {"uptime": True, "response_times": False}
        assert (await alice.get("/status/acme")).status_code == 404
        assert (await alice.get("/status/other")).status_code == 200

    async def test_versions(self, alice: httpx.AsyncClient) -> None:
        made = await make(alice)
        url = f"{PATH}/{made['id']}"
        assert sent(await alice.put(url, json=PAGE, headers={"If-Match": '"1"'}))["version"] == 2
        late = await alice.put(url, json=PAGE, headers={"If-Match": '"1"'})
        assert late.json()["error"]["code"] == "VERSION_CONFLICT"
        late = await alice.delete(url, headers={"If-Match": '"1"'})
        assert late.status_code == 412

    async def test_delete(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(
            alice, branding={"logo": data_url(png())}, groups=of(await monitor(alice))
        )
        assert (await alice.get("/status/acme")).status_code == 200
        assert (await alice.delete(f"{PATH}/{made['id']}")).json() == {
            "success": True,
            "data": None,
        }
        assert (await alice.get(f"{PATH}/{made['id']}")).status_code == 404
        assert (await alice.get("/status/acme")).status_code == 404
        left = await house.house.db.read(
            lambda conn: conn.one(
                "SELECT (SELECT count(*) FROM status_page_logos),"
                " (SELECT count(*) FROM status_page_services)"
            )
        )
        assert left == (0, 0)
        # Its address is free again.
        assert (await make(alice))["id"] != made["id"]

    async def test_several_pages_show_one_monitor(self, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        for slug in ("one", "two", "three"):
            await make(alice, slug=slug, groups=of(shop))
        assert (await alice.get(PATH)).json()["meta"]["total"] == 3

    async def test_the_audit_log_keeps_no_password_and_no_picture(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await make(alice, password="open sesame", branding={"logo": data_url(png())})
        await alice.put(f"{PATH}/{made['id']}", json=PAGE | {"password": ""})
        payloads = await house.payloads(house.cast.acme.id)
        text = repr(payloads)
        assert "sesame" not in text
        assert "argon2" not in text
        assert base64.b64encode(png()).decode() not in text
        assert payloads[0]["after"]["password_set"] is True
        assert payloads[1]["before"]["password_set"] is True
        assert payloads[1]["after"]["password_set"] is False
        assert payloads[1]["before"]["logo"] != payloads[1]["after"]["logo"] is None


class TestServices:
    async def test_no_public_name_is_the_monitors_own(self, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice, name="Shop front")
        made = await make(alice, groups=of(shop))
        assert made["groups"][0]["monitors"] == [{"monitor_id": shop, "public_name": "Shop front"}]

    async def test_empty_groups_and_order_are_kept(self, alice: httpx.AsyncClient) -> None:
        ids = [await monitor(alice, name=f"m{number}") for number in range(4)]
        groups = [
            {"name": "B", "monitors": [{"monitor_id": ids[3], "public_name": "d"}]},
            {"name": "", "monitors": []},
            {
                "name": "A",
                "monitors": [
                    {"monitor_id": ids[2], "public_name": "c"},
                    {"monitor_id": ids[0], "public_name": "a"},
                ],
            },
        ]
        made = await make(alice, groups=groups)
        assert made["groups"] == groups

    async def test_a_deleted_monitor_leaves_the_page(self, alice: httpx.AsyncClient) -> None:
        shop, store = await monitor(alice), await monitor(alice, name="Store")
        made = await make(alice, groups=of(shop, store))
        await alice.delete(f"/v1/monitors/{shop}")
        now = sent(await alice.get(f"{PATH}/{made['id']}"))
        assert [one["monitor_id"] for one in now["groups"][0]["monitors"]] == [store]
        assert sent(await alice.put(f"{PATH}/{made['id']}", json=now))["version"] == 2

    async def test_what_is_no_monitor_of_ours(
        self, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        theirs = await monitor(charlie)
        deleted = await monitor(alice)
        await alice.delete(f"/v1/monitors/{deleted}")
        for bad in (theirs, deleted, new_id(START), "nonsense"):
            response = await alice.post(PATH, json=PAGE | {"groups": of(bad)})
            assert errors(response) == [
                ("$.groups[0].monitors[0].monitor_id", "there is no monitor with this id")
            ]

    async def test_a_monitor_is_on_a_page_once(self, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        response = await alice.post(PATH, json=PAGE | {"groups": of(shop) + of(shop)})
        assert errors(response) == [
            (f"$.groups[{number}].monitors[0].monitor_id", "this monitor is on the page twice")
            for number in (0, 1)
        ]


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "problems"),
        [
            (
                {"slug": "A"},
                [("$.slug", "must be 2 to 64 characters, each a lower-case letter, a digit or -")],
            ),
            ({"slug": "a" * 65}, [("$.slug", "must be 2 to 64 characters, each a lower-case letter, a digit or -")]),
            ({"slug": "a/b"}, [("$.slug", "must be 2 to 64 characters, each a lower-case letter, a digit or -")]),
            ({"slug": None}, [("$.slug", "must be text, not null")]),
            ({"title": " "}, [("$.title", "the title is empty")]),
            ({"title": "a\nb"}, [("$.title", "has a line break or another control character")]),
            ({"branding": {"colors": {"accent": "red"}}}, [("$.branding.colors.accent", "a colour is written #rrggbb, such as #1660b8")]),
            ({"branding": {"colors": {"header": "#12345"}}}, [("$.branding.colors.header", "a colour is written #rrggbb, such as #1660b8")]),
            ({"branding": {"colors": {"text": "#123456"}}}, [("$.branding.colors.text", "there is no such field here")]),
            ({"branding": {"theme": "pink"}}, [("$.branding.theme", "'pink' is not known here")]),
            ({"branding": {"css": "*{}"}}, [("$.branding.css", "there is no such field here")]),
            ({"branding": {"logo": "https://evil.example/x.png"}}, [("$.branding.logo", "is neither a data: URL nor the address of the logo that is there")]),
            ({"branding": {"logo": "data:image/png,xx"}}, [("$.branding.logo", "is no data: URL in base64")]),
            ({"branding": {"logo": "data:image/png;base64,%%%"}}, [("$.branding.logo", "is no data: URL in base64")]),
            ({"branding": {"logo": data_url(b"<svg onload=alert(1)>", "image/svg+xml")}}, [("$.branding.logo", "is neither PNG, JPEG, GIF nor WebP")]),
            ({"branding": {"logo": data_url(png() + bytes(MOST_BYTES))}}, [("$.branding.logo", "is larger than 256 KiB")]),
            ({"custom_domain": "https://status.acme.example/"}, [("$.custom_domain", "is a name alone, such as status.example.com: no https://, port or path")]),
            ({"custom_domain": "localhost"}, [("$.custom_domain", "must be a domain of your own, such as status.example.com")]),
            ({"custom_domain": "192.0.2.7"}, [("$.custom_domain", "must be a domain of your own, such as status.example.com")]),
            ({"custom_domain": "a b.example"}, [("$.custom_domain", "it has a space or control character at column 2")]),
            ({"custom_domain": f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 58}.example"}, [("$.custom_domain", "is too long")]),
            ({"password": "abc"}, [("$.password", "must have at least 4 characters")]),
            ({"password": "x" * 1025}, [("$.password", "is longer than 1024 bytes")]),
            ({"groups": [{"monitors": [{"target": "x"}]}]}, [("$.groups[0].monitors[0].target", "there is no such field here")]),
            ({"org_id": "x", "owner": "x"}, [("$.owner", "there is no such field here")]),
        ],
    )  # fmt: skip
    async def test_values(
        self, alice: httpx.AsyncClient, change: dict[str, Any], problems: list[tuple[str, str]]
    ) -> None:
        assert errors(await alice.post(PATH, json=PAGE | change)) == problems

    async def test_addresses_are_unique_on_the_instance(
        self, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        await make(alice)
        for client in (alice, charlie):
            taken = await client.post(PATH, json=PAGE | {"title": "Other"})
            assert taken.status_code == 409
            assert taken.json()["error"] == {
                "code": "SLUG_TAKEN",
                "message": "Another status page is at /status/acme already",
                "details": {},
            }
        other = await make(charlie, slug="globex")
        moved = await charlie.put(f"{PATH}/{other['id']}", json=PAGE)
        assert moved.json()["error"]["code"] == "SLUG_TAKEN"
        assert sent(await charlie.get(f"{PATH}/{other['id']}"))["slug"] == "globex"

    async def test_fields_that_only_the_product_sets(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await make(
            alice,
            id=new_id(START),
            org_id=house.cast.globex.id,
            version=99,
            created_at="2001-01-01T00:00:00Z",
            password_set=True,
            domain={"name": "x", "is_active": True},
        )
        assert made["org_id"] == house.cast.acme.id
        assert (made["version"], made["password_set"], made["domain"]) == (1, False, None)
        for extra in ("password_hash", "domain_verified_at", "logo_digest", "created_by_id"):
            response = await alice.post(PATH, json=PAGE | {"slug": "b2", extra: "x"})
            assert errors(response) == [(f"$.{extra}", "there is no such field here")]

    async def test_viewers_read(self, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
        made = await make(alice)
        url = f"{PATH}/{made['id']}"
        assert sent(await bob.get(url)) == made
        assert sent(await bob.get(PATH)) == [made]
        for response in (
            await bob.post(PATH, json=PAGE | {"slug": "bobs"}),
            await bob.put(url, json=PAGE),
            await bob.delete(url),
            await bob.post(f"{url}/announcements", json={"title": "x"}),
        ):
            assert (response.status_code, response.json()["error"]["code"]) == (403, "FORBIDDEN")

    async def test_keys_need_the_scope(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await make(alice)
        for scopes, reads, writes in (
            (["status-pages:read"], 200, 403),
            (["status-pages:write"], 200, 201),
            (["monitors:write"], 403, 403),
        ):
            body = {"name": "k", "scopes": scopes}
            key = sent(await alice.post("/v1/api-keys", json=body), 201)["key"]
            client = house.client(headers={"X-API-Key": key})
            assert (await client.get(PATH)).status_code == reads
            response = await client.post(PATH, json=PAGE | {"slug": f"by-{scopes[0][:4]}"})
            assert response.status_code == writes


class TestLogo:
    async def test_it_is_served_as_a_picture_and_nothing_else(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        tells = png(extra=chunk(b"tEXt", SECRET), after=b"<script>alert(1)</script>")
        made = await make(alice, branding={"logo": data_url(tells, "text/html")})
        address = made["branding"]["logo"]
        stranger = house.client()
        response = await stranger.get(address)
        assert response.status_code == 200
        assert response.content == png()
        headers = response.headers
        assert headers["content-type"] == "image/png"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'none'; sandbox"
        )
        assert headers["content-disposition"] == 'inline; filename="logo.png"'
        assert headers["cache-control"] == "public, max-age=31536000, immutable"
        again = await stranger.get(address, headers={"If-None-Match": headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert f'<img src="{address}" alt="">' in (await stranger.get("/status/acme")).text

    async def test_it_can_be_kept_changed_and_removed(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await make(alice, branding={"logo": data_url(png())})
        url, first = f"{PATH}/{made['id']}", made["branding"]["logo"]
        kept = sent(
            await alice.put(url, json=PAGE | {"slug": "moved", "branding": made["branding"]})
        )
        assert kept["branding"]["logo"] == first.replace("/acme/", "/moved/")
        other = sent(await alice.put(url, json=PAGE | {"branding": {"logo": data_url(png(3, 1))}}))[
            "branding"
        ]["logo"]
        assert (await house.client().get(other)).content == png(3, 1)
        assert (await house.client().get(first)).status_code == 404
        gone = sent(await alice.put(url, json=PAGE))
        assert gone["branding"]["logo"] is None
        assert (await house.client().get(other)).status_code == 404
        assert await house.house.db.read(status_pages.logo, made["id"]) is None
        late = await alice.put(url, json=PAGE | {"branding": {"logo": other}})
        assert errors(late) == [
            (
                "$.branding.logo",
                "is neither a data: URL nor the address of the logo that is there",
            )
        ]


class TestDomain:
    async def test_a_claim(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(alice, custom_domain=" Status.Acme.Example. ")
        assert made["custom_domain"] == "status.acme.example"
        domain = made["domain"]
        assert domain == {
            "name": "status.acme.example",
            "is_active": False,
            "record": "_netpulse.status.acme.example",
            "value": domain["value"],
            "verified_at": None,
            "verified_by": None,
            "checked_at": None,
            "problem": None,
        }
        assert domain["value"].startswith("netpulse-verify=")
        assert len(domain["value"]) == len("netpulse-verify=") + 24
        url = f"{PATH}/{made['id']}"
        # The same name keeps its claim, another begins anew.
        same = sent(await alice.put(url, json=PAGE | {"custom_domain": "status.acme.example"}))
        assert same["domain"] == domain
        other = sent(await alice.put(url, json=PAGE | {"custom_domain": "status2.acme.example"}))
        assert other["domain"]["value"] != domain["value"]
        assert sent(await alice.put(url, json=PAGE))["domain"] is None

    async def test_names_of_all_scripts_are_one_name(self, alice: httpx.AsyncClient) -> None:
        made = await make(alice, custom_domain="Bücher.example")
        assert made["custom_domain"] == "xn--bcher-kva.example"

    async def test_a_domain_is_unique_on_the_instance(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        await make(alice, custom_domain="status.acme.example")
        taken = await charlie.post(
            PATH, json={"slug": "globex", "title": "G", "custom_domain": "STATUS.acme.example"}
        )
        assert taken.status_code == 409
        assert taken.json()["error"]["code"] == "DOMAIN_TAKEN"
        assert taken.json()["error"]["message"] == (
            "Another status page has the domain status.acme.example already"
        )
        assert await house.actions(house.cast.globex.id) == []

    async def test_a_claim_without_a_proof_gives_way_after_a_week(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        charlie = stage.client(headers=stage.cast.charlie.headers)
        theirs = await make(charlie, slug="globex", custom_domain="status.acme.example")
        clock.advance(7 * 86_400 - 1)
        alice = stage.client(headers={})
        await _sign_in(alice, stage)
        body = PAGE | {"custom_domain": "status.acme.example"}
        assert (await alice.post(PATH, json=body)).json()["error"]["code"] == "DOMAIN_TAKEN"
        clock.advance(1)
        made = sent(await alice.post(PATH, json=body), 201)
        assert made["domain"]["name"] == "status.acme.example"
        left = await stage.house.db.read(status_pages.get, stage.cast.globex.id, theirs["id"])
        assert left is not None
        assert left.domain is None
        assert await stage.audit(stage.cast.globex.id) == [
            ("status_page.created", stage.cast.charlie.id, "charlie@globex.example"),
            ("status_page.domain_released", None, "a claim without a proof"),
        ]

    async def test_never_the_instances_own_name(self, open_stage: Opener) -> None:
        config = Config(server=Server(public_url="https://netpulse.example"))
        stage = await open_stage(config=config)
        alice = stage.client(headers=stage.cast.alice.headers)
        response = await alice.post(PATH, json=PAGE | {"custom_domain": "NetPulse.example"})
        assert errors(response) == [
            (
                "$.custom_domain",
                "is where NetPulse itself is; a page needs a domain of its own",
            )
        ]


async def _sign_in(client: httpx.AsyncClient, stage: Stage) -> None:
    """Sign Alice in anew: after a week her token of the beginning has ended."""
    from tests.cast import PASSWORD

    body = {"email": stage.cast.alice.email, "password": PASSWORD}
    token = sent(await client.post("/v1/auth/login", json=body))["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


class TestAnnouncements:
    async def test_tell_list_delete(self, open_stage: Opener) -> None:
        clock = FakeClock()
        house = await open_stage(clock=clock)
        alice = house.client(headers=house.cast.alice.headers)
        made = await make(alice)
        url = f"{PATH}/{made['id']}/announcements"
        ends_at = rfc3339(START + HOUR)
        told = sent(
            await alice.post(url, json={"title": " News ", "text": "Read.\n", "ends_at": ends_at}),
            201,
        )
        assert told == {
            "id": told["id"],
            "status_page_id": made["id"],
            "title": "News",
            "text": "Read.",
            "ends_at": ends_at,
            "created_by": house.cast.alice.id,
            "created_at": rfc3339(START),
        }
        clock.advance(1)
        later = sent(await alice.post(url, json={"title": "Later"}), 201)
        listed = (await alice.get(url, params={"limit": 1})).json()
        assert listed["data"] == [later]
        assert listed["meta"] == {"page": 1, "limit": 1, "total": 2}
        assert (await alice.delete(f"{url}/{told['id']}")).status_code == 200
        assert (await alice.delete(f"{url}/{told['id']}")).json()["error"]["code"] == (
            "ANNOUNCEMENT_NOT_FOUND"
        )
        assert sent(await alice.get(url)) == [later]
        assert await house.actions(house.cast.acme.id) == [
            "status_page.created",
            "status_page.announced",
            "status_page.announced",
            "status_page.withdrawn",
        ]

    async def test_what_is_refused(self, alice: httpx.AsyncClient) -> None:
        made = await make(alice)
        url = f"{PATH}/{made['id']}/announcements"
        bad = {"title": "\t", "ends_at": rfc3339(START)}
        assert errors(await alice.post(url, json=bad)) == [
            ("$.title", "the title is empty"),
            ("$.ends_at", "must be in the future"),
        ]
        for number in range(50):
            sent(await alice.post(url, json={"title": f"{number}"}), 201)
        assert errors(await alice.post(url, json={"title": "One more"})) == [
            ("$.title", "a page has at most 50 announcements; delete an old one first")
        ]


class TestIncidents:
    async def test_an_incident_can_be_posted_on_a_page(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        page = await make(alice)
        theirs = await make(charlie, slug="globex")
        body = {"title": "Fire", "status_page_ids": [page["id"], page["id"]]}
        made = sent(await alice.post("/v1/incidents", json=body), 201)
        assert made["status_page_ids"] == [page["id"]]
        for bad in (theirs["id"], new_id(START)):
            response = await alice.post(
                "/v1/incidents", json={"title": "Fire", "status_page_ids": [page["id"], bad]}
            )
            assert errors(response) == [
                ("$.status_page_ids[1]", "there is no status page with this id")
            ]
            response = await alice.patch(
                f"/v1/incidents/{made['id']}", json={"status_page_ids": [bad]}
            )
            assert errors(response) == [
                ("$.status_page_ids[0]", "there is no status page with this id")
            ]
        told = await house.client().get("/v1/public/status/acme/incidents")
        assert [one["title"] for one in sent(told)] == ["Fire"]
        gone = sent(await alice.patch(f"/v1/incidents/{made['id']}", json={"status_page_ids": []}))
        assert gone["status_page_ids"] == []
        assert sent(await house.client().get("/v1/public/status/acme/incidents")) == []
        await alice.patch(f"/v1/incidents/{made['id']}", json={"status_page_ids": [page["id"]]})
        assert (await alice.delete(f"{PATH}/{page['id']}")).status_code == 200
        left = sent(await alice.get(f"/v1/incidents/{made['id']}"))
        assert left["status_page_ids"] == []
