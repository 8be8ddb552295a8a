"""Who may not reach private addresses: every type of check and every channel, on real servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netpulse.channels import CHANNELS, Carrier, DeliveryError
from netpulse.egress.connect import Egress
from netpulse.engine.permits import LOOK_SECONDS
from netpulse.model.channel import EmailConfig, Smtp
from netpulse.model.check import Check, Failure, Result
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    IcmpSpec,
    Monitor,
    MonitorSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.model.org import Org, Quotas
from netpulse.model.watch import Status
from netpulse.storage import channels, monitors, notice_list, orgs
from netpulse.storage.conn import Conn
from netpulse.storage.notice_list import NoticeFilter
from tests.certificates import Authority
from tests.home import Home, home, now
from tests.integration.test_channels_http import KINDS, Kind
from tests.mailbox import Mailbox
from tests.nameserver import NameServer, can_ping
from tests.netns import Namespaces, why_not
from tests.noticed import message
from tests.receiver import Receiver
from tests.servers import HttpServer, TcpServer, answer, redirect
from tests.sinks import Sink

ONLY = "this organization may only reach public addresses"


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Home]:
    async with home(tmp_path / "data") as opened:
        yield opened


async def client_of(at: Home, *, private_targets: bool = False) -> Org:
    """Return a new client of the home's organization, as the API makes one."""
    made = Org(
        id=new_id(now()),
        name="Client",
        slug=f"client-{new_id(now())[-8:]}",
        parent_id=at.org.id,
        quotas=Quotas(private_targets=private_targets),
        created_at=now(),
    )
    await at.db.write(orgs.insert, made)
    at.engine.org_changed(made.id, private_targets=private_targets)
    return made


async def permit(at: Home, org: Org, *, private_targets: bool) -> None:
    """Change what a client may reach behind the engine's back, as another process does."""

    def write(conn: Conn) -> None:
        conn.execute(
            "UPDATE organizations SET private_targets = ? WHERE id = ?",
            (int(private_targets), org.id),
        )

    await at.db.write(write)


async def watch(at: Home, org: Org, spec: MonitorSpec) -> Monitor:
    draft = Monitor(id=new_id(now()), key=0, org_id=org.id, spec=spec, created_at=now())
    stored = await at.db.write(monitors.insert, draft)
    at.engine.changed(stored.id)
    return stored


async def last_of(at: Home, monitor: Monitor, status: Status) -> Check:
    """Return the check of the schedule that made a monitor be in a state."""
    await at.until_status(monitor.id, status)
    found = at.engine.last_check(monitor.id)
    assert found is not None
    return found


USUAL = {"interval_seconds": 10, "timeout_seconds": 2, "confirmations": 1}


def http(url: str) -> HttpSpec:
    return HttpSpec(name="http", target=url, **USUAL)  # type: ignore[arg-type]


async def test_every_type_of_check(at: Home) -> None:
    client = await client_of(at)
    authority = Authority()
    async with (
        HttpServer({"/": answer(200)}) as web,
        TcpServer(b"220 ready\r\n") as greeter,
        TcpServer(b"", tls=authority.good()) as shop,
        NameServer({"shop.example": {"A": ["192.0.2.1"]}}) as names,
    ):
        specs: list[MonitorSpec] = [
            http(web.url()),
            http(f"http://localhost:{web.port}/"),
            TcpSpec(name="tcp", target=f"127.0.0.1:{greeter.port}", expect="ready", **USUAL),  # type: ignore[arg-type]
            SslSpec(
                name="ssl",
                target="127.0.0.1",
                port=shop.port,
                ca_certificate=authority.pem,
                **USUAL,  # type: ignore[arg-type]
            ),
            DnsSpec(name="dns", target="shop.example", nameserver=names.address, **USUAL),  # type: ignore[arg-type]
        ]
        if can_ping(socket.AF_INET):
            specs.append(IcmpSpec(name="icmp", target="127.0.0.1", packets=1, **USUAL))  # type: ignore[arg-type]
        # A client without the permission first: nothing of it may reach the servers.
        for spec in specs:
            monitor = await watch(at, client, spec)
            check = await last_of(at, monitor, Status.DOWN)
            assert (check.failure, check.message) == (
                Failure.BLOCKED,
                f"127.0.0.1 is a loopback address: {ONLY}",
            ) or (check.failure, check.message) == (
                Failure.BLOCKED,
                f"::1 is a loopback address: {ONLY}",
            ), spec.name
            by_hand = await at.engine.check_now(client.id, monitor)
            assert (by_hand.result, by_hand.failure) == (Result.DOWN, Failure.BLOCKED)
            _, _, tried = await at.engine.test(client.id, spec)
            assert (tried.result, tried.failure) == (Result.DOWN, Failure.BLOCKED)
        assert (web.connections, greeter.connections, shop.connections) == (0, 0, 0)
        assert (names.hits, names.tcp_hits) == (0, 0)
        # The same targets are the MSP's own to check.
        for spec in specs:
            monitor = await watch(at, at.org, spec)
            check = await last_of(at, monitor, Status.UP)
            assert check.result is Result.UP, spec.name
            assert (await at.engine.check_now(at.org.id, monitor)).result is Result.UP
        assert min(web.connections, greeter.connections, shop.connections, names.hits) > 0


async def test_a_changed_quota_counts_at_the_next_check(at: Home) -> None:
    client = await client_of(at)
    async with HttpServer({"/": answer(200)}) as web:
        monitor = await watch(at, client, http(web.url()))
        await at.until_status(monitor.id, Status.DOWN)
        await permit(at, client, private_targets=True)
        at.engine.org_changed(client.id, private_targets=True)
        assert (await at.engine.check_now(client.id, monitor)).result is Result.UP
        at.nudge(monitor)
        await at.until_status(monitor.id, Status.UP)
        await permit(at, client, private_targets=False)
        at.engine.org_changed(client.id, private_targets=False)
        assert (await at.engine.check_now(client.id, monitor)).failure is Failure.BLOCKED


async def test_what_another_process_changes_counts_within_seconds(at: Home) -> None:
    assert LOOK_SECONDS == 2.0
    client = await client_of(at, private_targets=True)
    async with HttpServer({"/": answer(200)}) as web:
        monitor = await watch(at, client, http(web.url()))
        await at.until_status(monitor.id, Status.UP)
        for may, wanted in ((False, Failure.BLOCKED), (True, None)):
            await permit(at, client, private_targets=may)

            async def counts(wanted: Failure | None = wanted) -> bool:
                return (await at.engine.check_now(client.id, monitor)).failure is wanted

            await at.until(counts, "the change counts", 30)


async def test_an_older_look_does_not_undo_a_change(at: Home) -> None:
    client = await client_of(at, private_targets=True)
    await at.engine.settled()
    look = asyncio.create_task(at.engine.permits.load())
    await asyncio.sleep(0)  # it is on its way and will bring what was before
    await permit(at, client, private_targets=False)
    at.engine.org_changed(client.id, private_targets=False)
    await look
    assert not at.engine.permits.way(client.id).policy.allow_private
    assert at.engine.permits.way(at.org.id).policy.allow_private


WHY_NOT = why_not()
PUBLIC = "93.184.215.14"


@pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
async def test_a_redirect_into_the_private_network(tmp_path: Path) -> None:
    with Namespaces([PUBLIC]).made() as nets, nets.inside(nets.here):
        listening = nets.listening()
        port = listening.getsockname()[1]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            to = f"http://127.0.0.1:{inside.port}/"
            writer.write(redirect(to) if path == b"/away" else answer(200))
            await writer.drain()
            writer.close()

        async with (
            HttpServer({"/": answer(200)}) as inside,
            home(tmp_path / "data") as at,
            await asyncio.start_server(serve, sock=listening),
        ):
            client = await client_of(at)
            there = await watch(at, client, http(f"http://{PUBLIC}:{port}/"))
            assert (await last_of(at, there, Status.UP)).result is Result.UP
            away = await watch(at, client, http(f"http://{PUBLIC}:{port}/away"))
            check = await last_of(at, away, Status.DOWN)
            assert check.failure is Failure.BLOCKED
            assert check.message is not None
            assert f"127.0.0.1 is a loopback address: {ONLY}" in check.message
            assert inside.connections == 0
            own = await watch(at, at.org, http(f"http://{PUBLIC}:{port}/away"))
            assert (await last_of(at, own, Status.UP)).result is Result.UP
            assert inside.connections == 1


# What channels send


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
async def test_every_channel(at: Home, kind: Kind) -> None:
    client = await client_of(at)
    async with Sink(kind.service) as sink:
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS[kind.word](
                kind.config(sink.url), message(), at.engine.carrier(client.id)
            )
        assert str(caught.value) == f"127.0.0.1 is a loopback address: {ONLY}"
        assert (caught.value.permanent, sink.taken, sink.wrong) == (True, [], [])
        await CHANNELS[kind.word](kind.config(sink.url), message(), at.engine.carrier(at.org.id))
        assert len(sink.taken) == 1


async def test_mail_by_a_server_of_the_channels_own(at: Home) -> None:
    client = await client_of(at)
    async with Mailbox() as box:
        smtp = Smtp(host="127.0.0.1", port=box.port, sender="np@acme.example", security="none")
        config = EmailConfig(to=("ops@client.example",), smtp=smtp)
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS["email"](config, message(), at.engine.carrier(client.id))
        assert str(caught.value) == f"127.0.0.1 is a loopback address: {ONLY}"
        assert (box.greeted_as, box.taken) == ([], [])
        await CHANNELS["email"](config, message(), at.engine.carrier(at.org.id))
        assert len(box.taken) == 1


async def test_the_installations_own_mail_server_serves_everybody(at: Home) -> None:
    client = await client_of(at)
    async with Mailbox() as box:
        smtp = Smtp(host="127.0.0.1", port=box.port, sender="np@acme.example", security="none")
        whole = Carrier(egress=at.egress, mail=smtp)
        carrier = whole.under(at.engine.permits.way(client.id))
        await CHANNELS["email"](EmailConfig(to=("ops@client.example",)), message(), carrier)
        assert len(box.taken) == 1
        # It lends its way to nobody's own server.
        own = EmailConfig(to=("ops@client.example",), smtp=smtp)
        with pytest.raises(DeliveryError):
            await CHANNELS["email"](own, message(), carrier)
        assert len(box.taken) == 1


async def channel_of(at: Home, org: Org, url: str) -> Id:
    channel = await at.channel(url, org_id=org.id)
    await at.rule(channel, org_id=org.id)
    return channel.id


async def test_notices_are_told_under_the_organizations_policy(at: Home) -> None:
    client = await client_of(at)
    async with Receiver() as receiver:
        theirs = await channel_of(at, client, receiver.url)
        ours = await channel_of(at, at.org, receiver.url)
        for org in (client, at.org):
            monitor = await watch(at, org, http("http://127.0.0.1:1/"))
            await at.until_status(monitor.id, Status.DOWN)

        async def told() -> bool:
            return len(receiver.taken) == 1 and await disabled()

        async def disabled() -> bool:
            found = await at.db.read(channels.get, client.id, theirs)
            return found is not None and found.disabled_at is not None

        await at.until(told, "one notice is taken, the other refused")
        found = await at.db.read(channels.get, client.id, theirs)
        assert found is not None
        assert found.disabled_reason == f"127.0.0.1 is a loopback address: {ONLY}"
        failed = (
            await at.db.read(notice_list.page, client.id, NoticeFilter(channel_id=theirs))
        ).rows
        assert [(one.status.value, one.error) for one in failed] == [
            ("failed", f"127.0.0.1 is a loopback address: {ONLY}")
        ]
        sent = (await at.db.read(notice_list.page, at.org.id, NoticeFilter(channel_id=ours))).rows
        assert [one.status.value for one in sent] == ["sent"]


async def test_views_need_no_closing_and_share_the_root(at: Home) -> None:
    client = await client_of(at)
    way = at.engine.permits.way(client.id)
    assert isinstance(way, Egress)
    assert way.pinger is at.egress.pinger
    assert way.resolver is at.egress.resolver
