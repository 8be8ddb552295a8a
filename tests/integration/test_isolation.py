"""Our own network away, or the targets down: told apart by evidence, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpulse.model.alert import Event
from netpulse.model.monitor import Monitor
from netpulse.model.time import SECOND
from netpulse.model.watch import Status, UnknownReason
from netpulse.rules.outbox import Backoff
from netpulse.rules.uptime import Account, account
from netpulse.storage import monitors, notices, troubles
from tests.home import Home, home, now, spec
from tests.receiver import Receiver
from tests.servers import free_port
from tests.world import Opener, Story


async def watch(story: Story, *targets: str, **changes: object) -> list[Monitor]:
    """Put monitors on duty that are up, and a rule for everything there is to tell."""
    at: Home = story.at
    await at.rule(await at.channel("http://127.0.0.1:1/"), condition="down or up or system")
    made = []
    fields: dict[str, object] = {"interval_seconds": 60, "timeout_seconds": 10} | changes
    for number, target in enumerate(targets):
        url = target if "://" in target else f"http://{target}/"
        made.append(await at.monitor(spec(url, name=f"Monitor {number}", **fields)))
    for monitor in made:
        at.engine.changed(monitor.id)
    await at.engine.settled()
    await story.pass_time(62)
    assert {story.status(one.id) for one in made} == {Status.UP}
    return made


async def figures(story: Story, monitor: Monitor, since: int) -> Account:
    spans = await story.spans(monitor.id)
    return account(since, story.clock.now(), spans, await story.gaps(), story.clock.now())


TWELVE = [f"203.0.{net}.7" for net in range(1, 13)]


async def test_our_network_is_away_for_half_an_hour(story: Story) -> None:
    made = await watch(story, *TWELVE)
    gone_at = story.clock.now()
    story.world.network = "silent"
    await story.pass_time(30 * 60, step=2.0)
    assert story.engine.isolation.isolated
    assert await story.told() == ["system.isolated"]
    (notice,) = await story.at.db.read(notices.recent, story.at.org.id, 9)
    assert b"12 of 12 targets unreachable: our network or all of them" in bytes(notice.payload)
    assert {story.status(one.id) for one in made} == {Status.UNKNOWN}
    back_at = story.clock.now()
    story.world.network = None
    await story.pass_time(30)
    assert not story.engine.isolation.isolated
    assert await story.told() == ["system.isolated", "system.recovered"]
    assert {story.status(one.id) for one in made} == {Status.UP}
    (gap,) = await story.gaps()
    assert gap.reason is UnknownReason.ISOLATED
    assert gone_at < gap.start < gone_at + 62 * SECOND
    assert back_at <= gap.end < back_at + 12 * SECOND
    assert await story.at.db.read(troubles.open) == []
    for monitor in made:
        told = await figures(story, monitor, gone_at)
        assert told.down_seconds == 0
        assert told.unknown_reasons[UnknownReason.ISOLATED] == told.unknown_seconds
        assert 29 * 60 <= told.unknown_seconds <= 31 * 60
        await story.at.raw.flush()
        seen = await story.at.raw.range(monitor.key, gone_at, story.clock.now())
        assert "down" not in {check.result for check in seen}
        assert {check.failure for check in seen} >= {"own_network"}


async def test_nobody_is_told_even_with_one_confirmation(story: Story) -> None:
    made = await watch(story, *TWELVE[:3], confirmations=1)
    story.world.network = "unreachable"
    await story.until(lambda: story.engine.isolation.isolated, 75)
    assert {story.status(one.id) for one in made} == {Status.UP}
    assert await story.told() == ["system.isolated"]
    (notice,) = await story.at.db.read(notices.recent, story.at.org.id, 9)
    assert b"3 of 3 targets unreachable" in bytes(notice.payload)


@pytest.mark.parametrize(
    "targets", [TWELVE[:1], TWELVE[:2], ["203.0.1.7", "203.0.1.8", "203.0.2.7"]]
)
async def test_too_few_independent_targets_are_down(story: Story, targets: list[str]) -> None:
    made = await watch(story, *targets)
    story.world.network = "silent"
    await story.pass_time(90)
    assert {story.status(one.id) for one in made} == {Status.DOWN}
    assert await story.told() == ["monitor.down"] * len(made)
    assert await story.gaps() == []


@pytest.mark.parametrize("word", ["up", "refused"])
async def test_one_that_says_anything_proves_the_network(story: Story, word: str) -> None:
    made = await watch(story, *TWELVE)
    for address in TWELVE:
        story.world.fates[address] = "silent"
    story.world.fates[TWELVE[11]] = word
    await story.pass_time(100)
    assert {story.status(one.id) for one in made[:11]} == {Status.DOWN}
    assert not story.engine.isolation.isolated
    assert "system.isolated" not in await story.told()


async def test_a_target_that_is_down_costs_no_delay_and_few_questions(story: Story) -> None:
    made = await watch(story, *TWELVE[:4], confirmations=1)
    story.world.fates[TWELVE[0]] = "silent"
    before = len(story.world.dialled)
    began = story.clock.now()
    await story.until(lambda: story.status(made[0].id) is Status.DOWN, 65)
    assert len(story.world.dialled) - before <= 4 + 4
    at = story.clock.now()
    await story.pass_time(600)
    # One that is known to be down asks nobody.
    assert len(story.world.dialled) - before <= 8 + 44
    (down,) = [one for one in await story.spans(made[0].id) if one.status is Status.DOWN]
    assert began <= down.at <= at
    assert await story.told() == ["monitor.down"]


async def test_the_loss_of_one_path_is_judged_as_it_is(story: Story) -> None:
    """Only the fourth octet differs of those behind the broken path; the others answer."""
    broken, working = ["203.0.1.7", "203.0.1.8"], TWELVE[1:5]
    made = await watch(story, *broken, *working)
    for address in broken:
        story.world.fates[address] = "silent"
    await story.pass_time(90)
    assert [story.status(one.id) for one in made] == [Status.DOWN] * 2 + [Status.UP] * 4
    assert await story.told() == ["monitor.down"] * 2
    assert await story.gaps() == []


async def test_targets_on_this_host_are_judged_meanwhile(story: Story) -> None:
    made = await watch(story, *TWELVE[:3], "127.0.0.1", confirmations=1)
    story.world.network = "silent"
    await story.until(lambda: story.engine.isolation.isolated, 80)
    story.world.fates["127.0.0.1"] = "refused"
    await story.pass_time(62)
    assert story.status(made[3].id) is Status.DOWN
    assert story.engine.isolation.isolated


async def test_without_a_route_one_target_is_enough(story: Story) -> None:
    (monitor,) = await watch(story, TWELVE[0])
    story.world.network = "no_route"
    await story.pass_time(75)
    assert await story.told() == ["system.isolated"]
    assert story.engine.isolation.isolated
    (notice,) = await story.at.db.read(notices.recent, story.at.org.id, 9)
    assert b"1 of 1 targets unreachable: this host has no default route" in bytes(notice.payload)
    story.world.network = None
    await story.pass_time(20)
    assert story.status(monitor.id) is Status.UP
    assert await story.told() == ["system.isolated", "system.recovered"]


async def test_a_missing_path_is_not_a_missing_network(story: Story) -> None:
    """No IPv6 here: that monitor is not judged, the others are, and nothing is asked for ever."""
    made = await watch(story, *TWELVE[:2])
    story.world.fates["2001:db8::1"] = "no_route"
    six = await story.at.monitor(spec("http://[2001:db8::1]/", interval_seconds=60))
    story.engine.changed(six.id)
    await story.engine.settled()
    await story.pass_time(120)
    before = len(story.world.dialled)
    await story.pass_time(120)
    assert len(story.world.dialled) - before <= 8
    story.world.fates[TWELVE[0]] = "silent"
    await story.pass_time(80)
    assert [story.status(one.id) for one in made] == [Status.DOWN, Status.UP]
    assert not story.engine.isolation.isolated


async def test_without_name_servers_names_are_not_judged_and_addresses_are(story: Story) -> None:
    story.world.names = {"shop.example": "203.0.1.7", "blog.example": "203.0.2.7"}
    shop, _, address = await watch(story, "shop.example", "blog.example", "203.0.3.7")
    story.world.resolver_fate = "no_resolver"
    await story.pass_time(150)
    assert story.status(address.id) is Status.UP
    assert story.status(shop.id) is Status.UP
    assert not story.engine.isolation.isolated
    await story.pass_time(120)
    assert story.status(shop.id) is Status.UNKNOWN
    assert (await story.spans(shop.id))[-1].reason is UnknownReason.ISOLATED
    assert await story.told() == ["system.isolated"]  # nobody vouches for the names: told once
    story.world.fates["203.0.3.7"] = "500"
    assert await story.gaps() == []


async def test_with_names_only_a_dead_resolver_is_isolation(story: Story) -> None:
    story.world.names = {"shop.example": "203.0.1.7", "blog.example": "203.0.2.7"}
    made = await watch(story, "shop.example", "blog.example")
    story.world.resolver_fate = "no_resolver"
    await story.pass_time(75)
    assert await story.told() == ["system.isolated"]
    story.world.resolver_fate = None
    await story.pass_time(20)
    assert {story.status(one.id) for one in made} == {Status.UP}
    assert await story.told() == ["system.isolated", "system.recovered"]


async def test_all_names_failing_at_a_stub_resolver(story: Story) -> None:
    """A resolver beside us answers SERVFAIL for everything while the network is away."""
    story.world.names = {f"shop.{word}.example": f"203.0.{n}.7" for n, word in enumerate("abc")}
    story.world.names |= {f"www.{word}.org": f"203.0.{n + 5}.7" for n, word in enumerate("abc")}
    made = await watch(story, *story.world.names)
    story.world.resolver_fate = "servfail"
    await story.pass_time(90)
    assert story.engine.isolation.isolated
    assert await story.told() == ["system.isolated"]
    assert {story.status(one.id) for one in made} == {Status.UP}


async def test_a_channel_that_takes_the_notice_ends_it_and_the_downs_are_told(story: Story) -> None:
    made = await watch(story, *TWELVE)
    story.world.network = "silent"
    await story.until(lambda: story.engine.isolation.isolated, 90)
    story.engine.isolation.accepted("127.0.0.1")
    assert story.engine.isolation.isolated
    story.engine.isolation.accepted("198.51.100.20")
    assert not story.engine.isolation.isolated
    await story.pass_time(90)
    assert {story.status(one.id) for one in made} == {Status.DOWN}
    told = await story.told()
    assert told[:2] == ["system.isolated", "system.recovered"]
    assert sorted(told[2:]) == ["monitor.down"] * 12
    await story.pass_time(600, step=2.0)
    assert len(await story.told()) == 14
    story.world.network = None
    await story.pass_time(65)
    assert {story.status(one.id) for one in made} == {Status.UP}
    # And the next time it is news again.
    story.world.network = "silent"
    await story.pass_time(90)
    assert story.engine.isolation.isolated


async def test_a_failure_that_was_there_before_is_not_forgotten(story: Story) -> None:
    made = await watch(story, *TWELVE[:5], confirmations=3, retry_interval_seconds=60)
    story.world.fates[TWELVE[0]] = "refused"
    watched = story.engine.roster.get(made[0].id)
    assert watched is not None
    await story.until(lambda: watched.watch.downs == 2)
    first = watched.watch.first_down_at
    story.world.network = "silent"
    await story.until(lambda: story.engine.isolation.isolated, 90)
    assert (watched.watch.downs, watched.watch.first_down_at) == (2, first)
    story.world.network = None
    await story.pass_time(20)
    assert story.status(made[0].id) is Status.DOWN
    assert watched.watch.since == first


async def test_it_lasts_across_a_restart(opened: Opener) -> None:
    async with opened() as story:
        made = await watch(story, *TWELVE)
        story.world.network = "silent"
        gone_at = story.clock.now()
        await story.pass_time(200)
        assert await story.told() == ["system.isolated"]
        since = story.engine.isolation.since
    story.clock.advance(100)
    async with opened() as story:
        assert story.engine.isolation.since == since
        await story.pass_time(200)
        assert await story.told() == ["system.isolated"]
        story.world.network = None
        await story.pass_time(70)
        assert await story.told() == ["system.isolated", "system.recovered"]
        assert {story.status(one.id) for one in made} == {Status.UP}
        told = await figures(story, made[0], gone_at)
        assert told.down_seconds == 0
        assert 430 < told.unknown_seconds < 570


async def test_a_restart_while_it_is_being_decided_loses_nothing(opened: Opener) -> None:
    async with opened() as story:
        (monitor,) = await watch(story, TWELVE[0])
        story.world.network = "silent"
        watched = story.engine.roster.get(monitor.id)
        assert watched is not None
        await story.until(lambda: watched.watch.downs == 1, 80)
        first = watched.watch.first_down_at
    async with opened() as story:
        await story.pass_time(30)
        assert story.status(monitor.id) is Status.DOWN
        _, after = {m.id: (m, w) for m, w in await story.at.db.read(monitors.load_all)}[monitor.id]
        assert after.since == first


async def test_a_silence_that_began_before_the_last_answer_proves_nothing(story: Story) -> None:
    """Targets that fail one after another, each while others answer, are down one by one."""
    made = await watch(story, *TWELVE[:4])
    for number, address in enumerate(TWELVE[:4]):
        story.world.fates[address] = "silent"
        await story.pass_time(100)
        assert story.status(made[number].id) is Status.DOWN
    assert await story.told() == ["monitor.down"] * 4
    assert await story.gaps() == []


async def test_what_waited_for_a_connection_goes_out_when_the_network_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with home(tmp_path / "data", backoff=Backoff(first=600)) as at:
        channel = await at.channel(f"http://127.0.0.1:{port}/hook")
        await at.rule(channel, condition="system")
        await at.db.write(notices.add_system, Event.SYSTEM_ISOLATED, "because", now())
        at.engine.notices_written()

        async def tried() -> bool:
            (notice,) = await at.db.read(notices.recent, at.org.id, 9)
            return notice.attempt_count == 1

        await at.until(tried, "the first attempt")
        async with Receiver(port=port) as receiver:
            assert await at.db.write(notices.hurry, now()) == 1
            at.engine.notices_written()
            await receiver.wait_for(1)
