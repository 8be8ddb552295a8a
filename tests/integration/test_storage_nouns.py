"""The plain nouns: what goes in comes out, secrets are sealed, another organization sees nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from netpulse.model.channel import WebhookConfig
from netpulse.model.ids import new_id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin
from netpulse.model.monitor import BasicAuth, HttpSpec, MonitorSpec, TcpSpec
from netpulse.model.org import Org
from netpulse.model.time import DAY, HOUR
from netpulse.model.user import Membership, Role, User
from netpulse.model.watch import Gap, Span, Status, UnknownReason, Watch
from netpulse.storage import (
    alert_rules,
    alive,
    audit,
    audit_chains,
    channels,
    edges,
    incident_story,
    incidents,
    login_attempts,
    monitor_list,
    monitors,
    orgs,
    rollups,
    runs,
    sessions,
    setup,
    spans,
    troubles,
    users,
    watches,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import AlreadySetUp, Missing, UniqueConflict, VersionConflict
from netpulse.storage.incidents import IncidentFilter
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.rollups import Rollup
from netpulse.storage.sessions import Rotated
from netpulse.storage.table import like
from netpulse.storage.troubles import Trouble
from tests.store import (
    CLI,
    MINUTE,
    NOW,
    SECOND,
    add_channel,
    add_monitor,
    add_org,
    add_rule,
    add_user,
    open_incidents,
    opened,
    status_counts,
)


async def play(tmp_path: Path, act: object) -> None:
    async with opened(tmp_path) as db:
        await db.write(act)  # type: ignore[arg-type]


# --- organizations and people ---


async def test_organizations(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        parent = add_org(conn)
        org = Org(
            id=new_id(NOW),
            name="Client",
            slug="client",
            parent_id=parent.id,
            timezone="Europe/Berlin",
            locale="de",
            created_at=NOW,
        )
        orgs.insert(conn, org)
        assert orgs.get(conn, org.id) == org
        assert orgs.by_slug(conn, "client") == org
        assert orgs.get(conn, "nobody") is None
        assert orgs.by_slug(conn, "nobody") is None
        assert orgs.count(conn) == 2
        assert orgs.all(conn) == sorted([parent, org], key=lambda one: one.id)
        assert orgs.free_slug(conn, "client") == "client-2"
        assert orgs.free_slug(conn, "fresh") == "fresh"
        with pytest.raises(UniqueConflict) as taken:
            orgs.insert(conn, replace(org, id=new_id(NOW)))
        assert taken.value.columns == ("organizations.slug",)

    await play(tmp_path, act)


async def test_people_and_memberships(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        alice = add_user(conn, org.id, " Alice@Example.com ")
        assert alice.email == "alice@example.com"
        assert users.by_email(conn, "ALICE@example.com") == alice
        assert users.get(conn, alice.id) == alice
        assert users.get(conn, "x") is None
        with pytest.raises(UniqueConflict) as taken:
            add_user(conn, other.id, "alice@EXAMPLE.com")
        assert taken.value.columns == ("users.email",)
        users.put_membership(conn, Membership(user_id=alice.id, org_id=other.id, role=Role.VIEWER))
        assert {one.org_id: one.role for one in users.memberships(conn, alice.id)} == {
            org.id: Role.ADMIN,
            other.id: Role.VIEWER,
        }
        users.put_membership(
            conn, Membership(user_id=alice.id, org_id=other.id, role=Role.SUPER_ADMIN)
        )
        found = users.membership(conn, alice.id, other.id)
        assert found is not None
        assert found.role is Role.SUPER_ADMIN
        bob = add_user(conn, org.id, "bob@example.com", Role.VIEWER)
        assert users.membership(conn, bob.id, other.id) is None
        assert users.count(conn) == 2
        assert users.all(conn) == [alice, bob]
        page = users.page(conn, org.id, offset=1, limit=1)
        assert [(one.user, one.membership.role) for one in page.rows] == [(bob, Role.VIEWER)]
        assert page.total == 2
        users.set_password(conn, bob.id, "$new", NOW)
        users.touch_login(conn, bob.id, NOW + 5)
        users.set_active(conn, bob.id, False, NOW)
        changed = users.get(conn, bob.id)
        assert changed == replace(bob, password_hash="$new", last_login_at=NOW + 5, is_active=False)
        for deed in (users.set_password, users.set_active):
            with pytest.raises(Missing):
                deed(conn, "nobody", True, NOW)  # type: ignore[operator]

    await play(tmp_path, act)


async def test_fifty_first_owners_make_one(tmp_path: Path) -> None:
    async def claim(number: int) -> User:
        org = Org(id=new_id(NOW), name="Acme", slug=f"acme-{number}", created_at=NOW)
        user = User(
            id=new_id(NOW),
            email=f"owner{number}@example.com",
            password_hash="$",
            home_org_id=org.id,
            created_at=NOW,
        )
        return await db.write(setup.first_owner, org, user, CLI, NOW)

    async with opened(tmp_path) as db:
        results = await asyncio.gather(*map(claim, range(50)), return_exceptions=True)
        won = [one for one in results if isinstance(one, User)]
        assert len(won) == 1
        assert sum(isinstance(one, AlreadySetUp) for one in results) == 49
        assert await db.read(users.count) == 1
        assert await db.read(orgs.count) == 1
        (member,) = await db.read(users.memberships, won[0].id)
        assert member.role is Role.SUPER_ADMIN
        log = await db.read(audit.page, member.org_id)
        assert [row.action for row in log.rows] == ["user.created", "org.created"]
        assert await db.read(audit_chains.verify, member.org_id) == []


# --- sessions ---


async def test_page_sessions(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        alice = add_user(conn, org.id, "alice@example.com")
        made = sessions.create(
            conn, "d1", alice.id, org.id, NOW, NOW + HOUR, "192.0.2.1", "Firefox"
        )
        assert sessions.find(conn, "d1", NOW) == made
        assert sessions.find(conn, "d1", NOW + HOUR) is None
        assert sessions.find(conn, "d2", NOW) is None
        sessions.touch(conn, "d1", NOW + 5)
        found = sessions.find(conn, "d1", NOW + 6)
        assert found == replace(made, last_seen_at=NOW + 5)
        users.set_active(conn, alice.id, False, NOW)
        assert sessions.find(conn, "d1", NOW) is None
        users.set_active(conn, alice.id, True, NOW)
        sessions.create(conn, "d2", alice.id, org.id, NOW, NOW + HOUR, None, None)
        sessions.create(conn, "d3", alice.id, org.id, NOW, NOW + HOUR, None, None)
        sessions.end(conn, "d1")
        assert sessions.find(conn, "d1", NOW) is None
        sessions.end_all(conn, alice.id, NOW, keep="d3")
        assert sessions.find(conn, "d2", NOW) is None
        assert sessions.find(conn, "d3", NOW) is not None
        sessions.end_all(conn, alice.id, NOW)
        assert sessions.find(conn, "d3", NOW) is None

    await play(tmp_path, act)


async def test_refresh_tokens_rotate_and_reuse_revokes(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        alice = add_user(conn, org.id, "alice@example.com")
        family = sessions.start_family(conn, alice.id, "r1", NOW, NOW + DAY)
        assert sessions.family_stands(conn, family)
        assert sessions.family_of(conn, "r1") == family
        first = sessions.rotate(conn, "r1", "r2", NOW + 1, NOW + DAY)
        assert (first.outcome, first.family_id, first.user_id) == (Rotated.OK, family, alice.id)
        assert sessions.rotate(conn, "r9", "r3", NOW, NOW).outcome is Rotated.UNKNOWN
        assert sessions.rotate(conn, "r2", "r3", NOW + DAY, NOW).outcome is Rotated.EXPIRED
        reused = sessions.rotate(conn, "r1", "r3", NOW + 2, NOW + DAY)
        assert (reused.outcome, reused.user_id) == (Rotated.REUSED, alice.id)
        assert not sessions.family_stands(conn, family)
        assert sessions.rotate(conn, "r2", "r3", NOW + 3, NOW + DAY).outcome is Rotated.REVOKED
        assert sessions.revoke_family(conn, family, NOW) is None
        second = sessions.start_family(conn, alice.id, "s1", NOW, NOW + DAY)
        assert sessions.revoke_family(conn, second, NOW) == alice.id
        third = sessions.start_family(conn, alice.id, "t1", NOW, NOW + DAY)
        users.set_active(conn, alice.id, False, NOW)
        assert not sessions.family_stands(conn, third)
        assert sessions.rotate(conn, "t1", "t2", NOW, NOW + DAY).outcome is Rotated.REVOKED

    await play(tmp_path, act)


async def test_one_refresh_token_twenty_times_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        alice = await db.write(add_user, org.id, "alice@example.com")
        await db.write(sessions.start_family, alice.id, "r1", NOW, NOW + DAY)
        rotations = await asyncio.gather(
            *(db.write(sessions.rotate, "r1", f"n{n}", NOW, NOW + DAY) for n in range(20))
        )
        outcomes = [rotation.outcome for rotation in rotations]
        assert outcomes.count(Rotated.OK) == 1
        assert outcomes.count(Rotated.REUSED) == 19


async def test_expired_sign_ins_are_forgotten(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        alice = add_user(conn, org.id, "alice@example.com")
        sessions.create(conn, "d1", alice.id, org.id, NOW, NOW + HOUR, None, None)
        sessions.create(conn, "d2", alice.id, org.id, NOW, NOW + DAY, None, None)
        old = sessions.start_family(conn, alice.id, "r1", NOW, NOW + HOUR)
        new = sessions.start_family(conn, alice.id, "s1", NOW, NOW + HOUR)
        sessions.rotate(conn, "s1", "s2", NOW, NOW + DAY)
        sessions.forget_expired(conn, NOW + HOUR)
        assert conn.all("SELECT token_digest FROM sessions") == [("d2",)]
        assert not sessions.family_stands(conn, old)
        assert sessions.family_stands(conn, new)
        assert conn.all("SELECT digest FROM refresh_tokens ORDER BY 1") == [("s1",), ("s2",)]

    await play(tmp_path, act)


async def test_five_failures_close_the_door_across_restarts(tmp_path: Path) -> None:
    def fail(conn: Conn) -> None:
        for number in range(5):
            assert login_attempts.blocked_until(conn, "192.0.2.1", NOW + number) is None
            login_attempts.failed(conn, "192.0.2.1", NOW + number)
        login_attempts.failed(conn, "192.0.2.2", NOW)

    async with opened(tmp_path) as db:
        await db.write(fail)
    async with opened(tmp_path) as db:
        blocked = login_attempts.blocked_until
        assert await db.read(blocked, "192.0.2.1", NOW + MINUTE) == NOW + 10 * MINUTE
        assert await db.read(blocked, "192.0.2.2", NOW + MINUTE) is None
        assert await db.read(blocked, "192.0.2.1", NOW + 10 * MINUTE - 1) is not None
        assert await db.read(blocked, "192.0.2.1", NOW + 10 * MINUTE) is None
        assert await db.read(blocked, "192.0.2.1", NOW - HOUR) is None, "a clock set back"
        await db.write(login_attempts.forget_before, NOW + 5)
        assert await db.read(lambda conn: conn.all("SELECT 1 FROM login_failures")) == []


# --- monitors ---

SECRET = HttpSpec(
    name="Shop",
    target="https://shop.example/",
    headers={"Accept": "text/html", "X-Api-Key": "T0PSECRET"},
    auth=BasicAuth(username="probe", password="T0PSECRET"),
    json_path="$.ok",
    json_value=None,
    expected_status=(200, "300-399"),
    tags=("web", "prod"),
    group="Shops",
)


@pytest.mark.parametrize(
    "spec",
    [
        SECRET,
        TcpSpec(name="DB", target="db.example:5432", send="\x00ä"),
        HttpSpec(name="Plain", target="http://a.example/", is_paused=True),
    ],
)
async def test_a_monitor_comes_back_as_it_went_in(tmp_path: Path, spec: MonitorSpec) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        monitor = add_monitor(conn, org.id, spec)
        assert monitor.key > 0
        assert monitors.get(conn, org.id, monitor.id) == monitor
        assert monitors.get(conn, other.id, monitor.id) is None
        assert monitors.get_row(conn, other.id, monitor.id) is None
        status = Status.PAUSED if spec.is_paused else Status.PENDING
        watch = Watch(status=status, since=NOW)
        assert monitors.load_one(conn, monitor.id) == (monitor, watch)
        assert monitors.load_all(conn) == [(monitor, watch)]
        assert spans.between(conn, monitor.id, NOW, NOW + 1) == [Span(at=NOW, status=status)]

    await play(tmp_path, act)


async def test_secrets_are_nowhere_in_the_file(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        add_monitor(conn, org.id, SECRET)
        add_channel(conn, org.id)

    async with opened(tmp_path) as db:
        await db.write(act)
    content = (tmp_path / "netpulse.db").read_bytes()
    assert b"shop.example" in content
    assert b"T0PSECRET" not in content
    assert b"hooks.example" not in content


async def test_replace_counts_versions_and_refuses_stale_ones(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        monitor = add_monitor(conn, org.id, SECRET)
        spec = replace(SECRET, name="Store", tags=("mail",), auth=None, headers={}, is_paused=True)
        stored = monitors.replace(conn, org.id, monitor.id, spec, 1, now=NOW)
        assert stored.version == 2
        assert stored.key == monitor.key
        assert stored.spec == replace(spec, is_paused=False), "pausing is not replace's"
        assert monitor_list.tags(conn, org.id) == ["mail"]
        with pytest.raises(VersionConflict) as stale:
            monitors.replace(conn, org.id, monitor.id, spec, 1, now=NOW)
        assert (stale.value.expected, stale.value.actual) == (1, 2)
        assert monitors.replace(conn, org.id, monitor.id, spec, None, now=NOW).version == 3
        for org_id, monitor_id in ((other.id, monitor.id), (org.id, new_id(NOW))):
            with pytest.raises(Missing):
                monitors.replace(conn, org_id, monitor_id, spec, None, now=NOW)

    await play(tmp_path, act)


async def test_a_broken_seal_or_row_costs_one_monitor(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        broken, fine, poison = (add_monitor(conn, org.id, SECRET) for _ in range(3))
        conn.execute("UPDATE monitors SET secrets = zeroblob(60) WHERE id = ?", (broken.id,))
        conn.execute("UPDATE monitors SET config = '{}' WHERE id = ?", (poison.id,))
        shown = monitors.get(conn, org.id, broken.id)
        assert shown is not None
        assert shown.damage is not None
        assert shown.damage.startswith("its secrets do not open; enter them again (")
        unread = monitors.get(conn, org.id, poison.id)
        assert unread is not None
        assert unread.damage is not None
        assert unread.damage.startswith("its configuration cannot be read; enter it again (")
        assert (unread.spec.name, unread.spec.target) == (poison.spec.name, poison.spec.target)
        loaded = monitors.load_all(conn)
        assert [one.id for one, _ in loaded] == [broken.id, fine.id, poison.id]
        assert [one.damage is None for one, _ in loaded] == [False, True, False]
        listed = monitor_list.page(conn, org.id, MonitorFilter())
        assert (listed.total, len(listed.rows)) == (3, 3)

    await play(tmp_path, act)


async def test_filters_sorts_and_pages(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        names = ["beta", "Alpha", "100%", "1000", "a_b", "aXb", "Zürich"]
        made = {
            name: add_monitor(
                conn,
                org.id,
                HttpSpec(
                    name=name,
                    target=f"https://{number}.example/",
                    tags=("even",) if number % 2 == 0 else ("odd", "Rare%"),
                    group="Left" if number < 3 else "",
                    interval_seconds=60 + number,
                ),
                at=NOW + number,
            )
            for number, name in enumerate(names)
        }
        tcp = add_monitor(conn, org.id, TcpSpec(name="tcp", target="db.example:1"), at=NOW + 9)
        add_monitor(conn, other.id)

        def found(**wanted: object) -> list[str]:
            page = monitor_list.page(conn, org.id, MonitorFilter(**wanted), limit=100)  # type: ignore[arg-type]
            assert page.total == len(page.rows)
            return [row.monitor.spec.name for row in page.rows]

        by_name = ["100%", "1000", "Alpha", "aXb", "a_b", "beta", "tcp", "Zürich"]
        assert sorted(found()) == sorted(by_name)
        assert found() == found(sort="name") == found(sort="-name")[::-1]
        assert found().index("Alpha") < found().index("beta") < found().index("tcp")
        assert found(sort="created_at") == [*names, "tcp"]
        assert found(sort="-created_at") == [*names, "tcp"][::-1]
        assert found(q="100%") == ["100%"]
        assert found(q="a_b") == ["a_b"]
        assert found(q="\\") == []
        assert found(q="ZÜRICH") == ["Zürich"]
        assert found(q="3.EXAMPLE") == ["1000"]
        assert found(q="rare%", sort="created_at") == ["Alpha", "1000", "aXb"]
        assert found(q="  ") == found()
        assert found(tag="even", sort="created_at") == names[::2]
        assert found(tag="Even") == []
        assert found(group="Left", sort="created_at") == names[:3]
        assert found(type="tcp") == ["tcp"]
        assert found(type="tcp", tag="even") == []
        assert monitor_list.tags(conn, org.id) == ["even", "odd", "Rare%"]
        assert monitor_list.groups(conn, org.id) == ["Left"]

        for name, status in (("beta", Status.UP), ("1000", Status.DOWN), ("a_b", Status.DEGRADED)):
            watches.save(conn, org.id, made[name].id, Watch(status=status, since=NOW))
        edges.pause(conn, org.id, tcp.id, NOW + MINUTE)
        assert found(status=Status.DOWN) == ["1000"]
        assert found(status=Status.PAUSED) == ["tcp"]
        assert found(status=Status.MAINTENANCE) == []
        assert len(found(status=Status.PENDING)) == 4
        ranked = found(sort="status")
        assert ranked[:2] == ["1000", "a_b"]
        assert ranked[-2:] == ["beta", "tcp"]
        assert status_counts(conn, org.id) == {
            Status.UP: 1,
            Status.DOWN: 1,
            Status.DEGRADED: 1,
            Status.PAUSED: 1,
            Status.PENDING: 4,
        }
        page = monitor_list.page(conn, org.id, MonitorFilter(sort="created_at"), 2, 3)
        assert [row.monitor.spec.name for row in page.rows] == names[2:5]
        assert page.total == 8
        assert page.rows[1].watch.status is Status.DOWN
        assert monitor_list.page(conn, org.id, MonitorFilter(), 100, 10).rows == []
        with pytest.raises(ValueError, match="sort 'key; DROP' is none of name, -name"):
            found(sort="key; DROP")
        assert monitors.count(conn, org.id) == 8
        assert monitors.count(conn) == 9
        edges.retire(conn, org.id, tcp.id, NOW + 2 * MINUTE)
        assert len(found()) == 7
        for sort in monitor_list.SORTS:
            assert len(found(sort=sort)) == 7, sort

    await play(tmp_path, act)


def test_like_takes_text_literally() -> None:
    assert like("50%_\\") == "%50\\%\\_\\\\%"


async def test_ten_thousand_monitors_page_quickly(tmp_path: Path) -> None:
    def fill(conn: Conn, org_id: str, start: int) -> None:
        for number in range(start, start + 1000):
            spec = HttpSpec(
                name=f"Shop {number:05}", target=f"https://{number}.example/", tags=("web",)
            )
            add_monitor(conn, org_id, spec)

    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for start in range(0, 10_000, 1000):
            await db.write(fill, org.id, start)
        for wanted in (
            MonitorFilter(),
            MonitorFilter(sort="-status"),
            MonitorFilter(status=Status.PENDING),
            MonitorFilter(q="shop 099"),
            MonitorFilter(tag="web", sort="target"),
        ):
            best = float("inf")
            for _ in range(5):
                begun = time.perf_counter()
                page = await db.read(monitor_list.page, org.id, wanted, 50, 100)
                best = min(best, time.perf_counter() - begun)
            assert page.total in (10_000, 100)
            # 1 to 17 ms on idle cores; this only catches a lost index.
            assert best < 0.2, wanted


async def test_what_is_covered(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        ids = [
            add_monitor(conn, org.id, replace(SECRET, tags=tags)).id
            for tags in ((), ("web",), ("mail",), ())
        ]
        active = add_channel(conn, org.id)
        silent = add_channel(conn, org.id, is_active=False)
        assert monitors.covered(conn, org.id, ids) == set()
        add_rule(conn, org.id, silent.id)
        add_rule(conn, org.id, active.id, is_active=False)
        add_rule(conn, org.id, active.id, "up or degraded")
        add_rule(conn, org.id, active.id, "system")
        assert monitors.covered(conn, org.id, ids) == set()
        add_rule(conn, org.id, active.id, "degraded or down", tag="web")
        add_rule(conn, org.id, active.id, monitor_id=ids[3])
        assert monitors.covered(conn, org.id, ids) == {ids[1], ids[3]}
        assert monitors.covered(conn, org.id, ids[:1]) == set()
        assert monitors.covered(conn, org.id, []) == set()
        everything = add_rule(conn, org.id, active.id)
        assert monitors.covered(conn, org.id, ids) == set(ids)
        alert_rules.delete(conn, org.id, everything.id)
        assert monitors.covered(conn, org.id, ids) == {ids[1], ids[3]}

    await play(tmp_path, act)


# --- channels and rules ---


async def test_channels(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        ops, dev = add_channel(conn, org.id), add_channel(conn, org.id, "dev")
        assert channels.get(conn, org.id, ops.id) == ops
        assert channels.get(conn, other.id, ops.id) is None
        assert channels.page(conn, org.id).rows == [dev, ops]
        assert channels.page(conn, org.id, offset=1, limit=1).rows == [ops]
        assert channels.page(conn, org.id).total == 2
        new = replace(
            ops,
            name="Ops 2",
            config=WebhookConfig(url="https://b.example/", headers={"X-A": "1"}),
            is_active=False,
            max_attempts=5,
        )
        stored = channels.replace(conn, new, expected_version=1, now=NOW)
        assert stored == replace(new, version=2)
        with pytest.raises(VersionConflict):
            channels.replace(conn, new, expected_version=1, now=NOW)
        with pytest.raises(Missing):
            channels.replace(conn, replace(new, org_id=other.id), now=NOW)
        assert channels.active(conn, org.id) == [dev]
        with pytest.raises(Missing):
            channels.delete(conn, other.id, dev.id, now=NOW)
        channels.delete(conn, org.id, dev.id, now=NOW)
        assert channels.get(conn, org.id, dev.id) is None
        assert conn.one("SELECT config FROM alert_channels WHERE id = ?", (dev.id,)) == (b"",)
        with pytest.raises(Missing):
            channels.replace(conn, dev, now=NOW)

    await play(tmp_path, act)


async def test_a_seal_does_not_open_in_another_row(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        one, two = add_channel(conn, org.id), add_channel(conn, org.id)
        conn.execute(
            "UPDATE alert_channels SET config = (SELECT config FROM alert_channels WHERE id = ?)"
            " WHERE id = ?",
            (one.id, two.id),
        )
        stolen = channels.get(conn, org.id, two.id)
        assert stolen is not None
        assert stolen.damage is not None
        assert stolen.config.url == ""

    await play(tmp_path, act)


async def test_rules(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        channel = add_channel(conn, org.id)
        monitor = add_monitor(conn, org.id)
        all_of_it = add_rule(conn, org.id, channel.id, at=NOW)
        bound = add_rule(conn, org.id, channel.id, "up", monitor_id=monitor.id, at=NOW + 1)
        tagged = add_rule(conn, org.id, channel.id, "degraded", tag="web", at=NOW + 2)
        system = add_rule(conn, org.id, channel.id, "system", tag="x", at=NOW + 3)
        assert alert_rules.get(conn, org.id, bound.id) == bound
        assert alert_rules.get(conn, other.id, bound.id) is None
        assert alert_rules.page(conn, org.id, monitor_id=monitor.id).rows == [bound]
        assert alert_rules.page(conn, org.id, channel_id=channel.id).total == 4
        covering = alert_rules.for_monitor
        assert covering(conn, org.id, monitor.id, ()) == [all_of_it, bound]
        assert covering(conn, org.id, monitor.id, ("web", "a")) == [all_of_it, bound, tagged]
        assert covering(conn, other.id, monitor.id, ("web",)) == []
        assert alert_rules.for_system(conn, org.id) == [system]
        assert alert_rules.for_system(conn, other.id) == []
        changed = alert_rules.replace(
            conn, replace(bound, is_active=False, condition="down"), expected_version=1, now=NOW
        )
        assert changed == replace(bound, is_active=False, condition="down", version=2)
        assert covering(conn, org.id, monitor.id, ()) == [all_of_it]
        with pytest.raises(VersionConflict):
            alert_rules.replace(conn, bound, expected_version=1, now=NOW)
        with pytest.raises(Missing):
            alert_rules.delete(conn, other.id, bound.id)
        assert alert_rules.delete(conn, org.id, bound.id) == changed
        with pytest.raises(Missing):
            alert_rules.delete(conn, org.id, bound.id)

    await play(tmp_path, act)


# --- incidents ---


async def test_manual_incidents_and_their_story(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        alice = add_user(conn, org.id, "alice@example.com")
        shop, mail = add_monitor(conn, org.id), add_monitor(conn, org.id)
        incident = Incident(
            id=new_id(NOW),
            org_id=org.id,
            title="Card payments fail",
            status=IncidentStatus.INVESTIGATING,
            origin=Origin.MANUAL,
            impact=Impact.CRITICAL,
            monitor_ids=tuple(sorted((shop.id, mail.id))),
            started_at=NOW,
            created_at=NOW,
        )
        incidents.insert_manual(conn, incident, message="We look into it", user_id=alice.id)
        assert incidents.get(conn, org.id, incident.id) == incident
        assert incidents.get(conn, other.id, incident.id) is None
        assert incidents.for_monitor(conn, shop.id, NOW - 5, NOW + 5) == [incident]
        assert incidents.for_monitor(conn, shop.id, NOW - 5, NOW) == []
        changed = incidents.patch(
            conn,
            org.id,
            incident.id,
            now=NOW + 1,
            user_id=alice.id,
            title="Payments fail",
            status=IncidentStatus.IDENTIFIED,
            root_cause="an expired certificate",
            expected_version=1,
        )
        assert changed == replace(
            incident,
            title="Payments fail",
            status=IncidentStatus.IDENTIFIED,
            root_cause="an expired certificate",
            version=2,
        )
        with pytest.raises(VersionConflict):
            incidents.patch(conn, org.id, incident.id, now=NOW, title="x", expected_version=1)
        for org_id in (other.id,):
            with pytest.raises(Missing):
                incidents.patch(conn, org_id, incident.id, now=NOW, title="x")
            with pytest.raises(Missing):
                incidents.add_update(conn, org_id, incident.id, "x", now=NOW)
        incidents.add_update(
            conn,
            org.id,
            incident.id,
            "Fixed",
            now=NOW + 2,
            user_id=alice.id,
            status=IncidentStatus.RESOLVED,
        )
        over = incidents.get(conn, org.id, incident.id)
        assert over is not None
        assert (over.resolved_at, over.resolution) == (NOW + 2, "manual")
        assert open_incidents(conn, org.id) == 0
        incidents.patch(conn, org.id, incident.id, now=NOW + 3, status=IncidentStatus.MONITORING)
        assert open_incidents(conn, org.id) == 1
        story = incident_story.timeline(conn, incident.id)
        assert [(line.kind, line.message, line.author) for line in story] == [
            ("opened", "We look into it", "alice@example.com"),
            ("status", "", "alice@example.com"),
            ("root_cause", "an expired certificate", "alice@example.com"),
            ("update", "Fixed", "alice@example.com"),
            ("status", "", None),
        ]
        wanted = {
            IncidentFilter(): 1,
            IncidentFilter(is_open=True): 1,
            IncidentFilter(is_open=False): 0,
            IncidentFilter(status=IncidentStatus.MONITORING): 1,
            IncidentFilter(status=IncidentStatus.RESOLVED): 0,
            IncidentFilter(monitor_id=shop.id): 1,
            IncidentFilter(monitor_id=new_id(NOW)): 0,
        }
        for which, total in wanted.items():
            page = incidents.page(conn, org.id, which)
            assert (page.total, len(page.rows)) == (total, total), which
        assert incidents.page(conn, other.id, IncidentFilter()).total == 0

    await play(tmp_path, act)


# --- time ---


async def test_spans_with_the_one_in_force(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        kept = [
            Span(at=NOW, status=Status.PENDING),
            Span(at=NOW + 10, status=Status.UP),
            Span(at=NOW + 20, status=Status.UNKNOWN, reason=UnknownReason.STALE),
            Span(at=NOW + 30, status=Status.DOWN, incident_id="i"),
        ]
        for span in kept:
            spans.put(conn, "m", span)
        between = spans.between
        assert between(conn, "m", NOW, NOW + 100) == kept
        assert between(conn, "m", NOW + 15, NOW + 30) == kept[1:3]
        assert between(conn, "m", NOW + 20, NOW + 31) == kept[2:]
        assert between(conn, "m", NOW + 99, NOW + 100) == kept[3:]
        assert between(conn, "m", NOW - 9, NOW) == []
        assert between(conn, "other", NOW, NOW + 9) == []
        assert spans.last_start(conn, "m") == NOW + 30
        assert spans.last_start(conn, "other") is None
        spans.put(conn, "m", Span(at=NOW + 20, status=Status.UP))
        assert between(conn, "m", NOW + 15, NOW + 99) == [
            kept[1],
            Span(at=NOW + 20, status=Status.UP),
        ]

    await play(tmp_path, act)


async def test_runs_and_gaps(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        first, before = runs.begin(conn, NOW, "1.0")
        assert before is None
        assert runs.seen(conn, first, NOW + 5 * SECOND)
        assert runs.seen(conn, first, NOW + 1 * SECOND), "a clock set back forgets nothing"
        second, before = runs.begin(conn, NOW + 60 * SECOND, "1.0")
        assert before == NOW + 5 * SECOND
        assert not runs.seen(conn, first, NOW + 61 * SECOND)
        runs.finish(conn, second, NOW + 70 * SECOND)
        third, before = runs.begin(conn, NOW + 80 * SECOND, "1.1")
        assert before == NOW + 70 * SECOND
        assert runs.seen(conn, third, NOW + 81 * SECOND)
        _, before = runs.begin(conn, NOW, "1.1")
        assert before == NOW + 81 * SECOND
        runs.add_gap(conn, Gap(start=NOW, end=NOW, reason=UnknownReason.ISOLATED))
        suspended = Gap(start=NOW - 9, end=NOW - 2, reason=UnknownReason.STARVED)
        runs.add_gap(conn, suspended)
        stopped = [
            Gap(start=NOW + start * SECOND, end=NOW + end * SECOND, reason=UnknownReason.STOPPED)
            for start, end in ((5, 60), (70, 80))
        ]
        assert runs.gaps(conn, 0, NOW * 2) == [suspended, *stopped]
        assert runs.gaps(conn, NOW + 59 * SECOND, NOW + 70 * SECOND) == stopped[:1]
        assert runs.gaps(conn, NOW - 2, NOW + 5 * SECOND) == []
        assert conn.all("SELECT reason FROM runs ORDER BY id") == [
            ("killed",),
            ("stopped",),
            ("killed",),
            (None,),
        ]

    await play(tmp_path, act)


async def test_troubles(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        assert troubles.begin(conn, "stale", "2 of 9", NOW, monitor_count=2)
        assert not troubles.begin(conn, "stale", "3 of 9", NOW + 1)
        assert troubles.begin(conn, "isolated", "", NOW + 2)
        one, two = troubles.open(conn)
        assert one == Trouble(id=one.id, kind="stale", since=NOW, detail="2 of 9", monitor_count=2)
        assert two.kind == "isolated"
        assert troubles.end(conn, "stale", NOW + 9)
        assert not troubles.end(conn, "stale", NOW + 9)
        assert troubles.open(conn) == [two]
        assert troubles.recent(conn) == [two, replace(one, ended_at=NOW + 9)]
        assert troubles.begin(conn, "stale", "", NOW + 10)

    await play(tmp_path, act)


def test_a_sign_of_life_is_one_line_written_over_itself(tmp_path: Path) -> None:
    assert alive.last(tmp_path) is None
    for sign in (alive.Sign(12, NOW, NOW + 5 * SECOND), alive.Sign(3, 4, 5)):
        alive.give(tmp_path, sign)
        assert alive.last(tmp_path) == sign
    (tmp_path / alive.NAME).write_text("run 3 noted 4 seen 5")
    assert alive.last(tmp_path) is None, "cut off"


async def test_rollups(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        monitor, other = add_monitor(conn, org.id), add_monitor(conn, org.id)
        day = NOW - NOW % DAY

        def hour(number: int, key: int = monitor.key) -> Rollup:
            return Rollup(
                key=key,
                from_ms=day + number * HOUR,
                checks=60,
                ups=58,
                degraded=1,
                downs=1,
                inconclusive=2,
                response_count=59,
                response_sum=5900,
                response_min=10 + number,
                response_max=500 + number,
            )

        assert rollups.cursor(conn, "hour") is None
        rollups.put_hour(conn, [hour(0), hour(1), hour(24), hour(0, other.key)])
        rollups.put_hour(conn, [hour(1)], cursor=day + 2 * HOUR)
        assert rollups.cursor(conn, "hour") == day + 2 * HOUR
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), hour(1)]
        late = replace(hour(1), checks=61, ups=59)
        rollups.put_hour(conn, [late])
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), late]
        damaged = replace(hour(0), checks=12, ups=12, degraded=0, downs=0)
        rollups.put_hour(conn, [damaged, replace(late, checks=60, ups=58, inconclusive=3)])
        assert rollups.hours(conn, monitor.id, day, day + DAY)[0] == hour(0), "fewer checks"
        rollups.put_hour(conn, [replace(hour(1), inconclusive=3)])
        rollups.put_hour(conn, [replace(hour(3), region=far) for far in ("berlin", "tokyo")])
        assert set(rollups.keys_of(conn, day, day + DAY)) == {monitor.key, other.key}
        assert rollups.keys_of(conn, day - DAY, day) == []
        assert rollups.hours(conn, monitor.id, day + HOUR, day + HOUR) == []
        assert len(rollups.hours(conn, monitor.id, day, day + DAY, "berlin")) == 1
        assert rollups.hours(conn, monitor.id, day, day + DAY, "paris") == []
        rollups.fold_days(conn, day, [monitor.key, other.key], cursor=day + DAY)
        rollups.fold_days(conn, day, [monitor.key])
        assert rollups.days(conn, monitor.id, day, day + DAY) == [
            Rollup(
                key=monitor.key,
                from_ms=day,
                checks=120,
                ups=116,
                degraded=2,
                downs=2,
                inconclusive=5,
                response_count=118,
                response_sum=11_800,
                response_min=10,
                response_max=501,
            )
        ]
        assert conn.all("SELECT DISTINCT from_ms FROM rollups_recent") == [(day + DAY,)]
        assert [one.from_ms for one in rollups.hours(conn, monitor.id, day, day + 2 * DAY)] == [
            day,
            day + HOUR,
            day + DAY,
        ]
        # Late ones of a day that is summed up, and of one that is to be summed up once more.
        late = replace(hour(1), checks=70, ups=68)
        rollups.put_hour(conn, [hour(0), replace(late, checks=69, ups=67)])
        assert len(conn.all("SELECT * FROM rollups_recent")) == 1
        rollups.set_cursor(conn, "day", day)
        rollups.put_hour(conn, [late, damaged])
        assert len(conn.all("SELECT * FROM rollups_recent")) == 3
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), late]
        rollups.fold_days(conn, day, [monitor.key], cursor=day + DAY)
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), late]
        assert rollups.days(conn, monitor.id, day, day + DAY)[0].checks == 130
        assert len(rollups.days(conn, other.id, day, day + 1)) == 1
        assert len(rollups.days(conn, monitor.id, day, day + 1, "tokyo")) == 1
        assert rollups.cursor(conn, "day") == day + DAY

    await play(tmp_path, act)
