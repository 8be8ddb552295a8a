"""Monitors in the main file: what goes in comes out, secrets are sealed, another organization sees
nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from netpulse.model.ids import new_id
from netpulse.model.monitor import BasicAuth, HttpSpec, MonitorSpec, TcpSpec
from netpulse.model.watch import Span, Status, Watch
from netpulse.rules.schedule import phase_ms
from netpulse.storage import (
    alert_rules,
    edges,
    monitor_list,
    monitors,
    spans,
    watches,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import Missing, VersionConflict
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.table import like
from tests.store import (
    MINUTE,
    NOW,
    add_channel,
    add_monitor,
    add_org,
    add_rule,
    opened,
    play,
    status_counts,
)

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


async def test_monitors_that_trust_the_same_authority_share_its_text(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        for name in ("One", "Two"):
            pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
            spec = HttpSpec(name=name, target="https://a.example/", ca_certificate=pem)
            add_monitor(conn, org.id, spec)
        (one, _), (two, _) = monitors.load_all(conn)
        assert isinstance(one.spec, HttpSpec)
        assert isinstance(two.spec, HttpSpec)
        assert one.spec.name != two.spec.name
        assert one.spec.ca_certificate is two.spec.ca_certificate

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
        assert {one.id: one.damage is None for one, _ in loaded} == {
            broken.id: False,
            fine.id: True,
            poison.id: False,
        }
        listed = monitor_list.page(conn, org.id, MonitorFilter())
        assert (listed.total, len(listed.rows)) == (3, 3)

    await play(tmp_path, act)


async def test_all_are_loaded_in_the_order_in_which_they_come_due(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        for number in range(30):
            add_monitor(conn, org.id, replace(SECRET, interval_seconds=60 if number % 3 else 10))
        loaded = [one for one, _ in monitors.load_all(conn)]
        places = [
            (one.spec.interval_seconds, phase_ms(one.id, one.spec.interval_seconds * 1000, step=1))
            for one in loaded
        ]
        assert len(places) == 30
        assert places == sorted(places)
        assert len({id(one.org_id) for one in loaded}) == 1, "one text for all of them"

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
