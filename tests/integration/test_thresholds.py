"""Rules that speak of a measure: from the checks to the outbox, in virtual time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from netpulse.engine.roster import Watched
from netpulse.model.alert import Cause, Notice, NoticeStatus, Rule, Suppressed
from netpulse.model.channel import Channel
from netpulse.model.check import Certificate, Check, Result
from netpulse.model.ids import new_id
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, SECOND
from netpulse.model.watch import Status
from netpulse.storage import alert_rules, channels, edges, monitors, notices, thresholds
from netpulse.storage.held import still_so
from tests.home import Home, home, spec
from tests.receiver import Receiver
from tests.unit.test_certificate_notices import certificate
from tests.world import Opener, Story


class Shop:
    """A monitor that is fed checks made by hand, and a channel that rules tell."""

    def __init__(self, story: Story, monitor: Monitor, channel: Channel) -> None:
        self.story = story
        self.monitor = monitor
        self.channel = channel

    @property
    def at(self) -> Home:
        return self.story.at

    @property
    def watched(self) -> Watched:
        found = self.story.engine.roster.get(self.monitor.id)
        assert found is not None
        return found

    async def rule(self, condition: str, **changes: object) -> Rule:
        """Store a rule and tell the engine, as the API does."""
        rule = await self.at.rule(self.channel, condition=condition, **changes)
        await self.taken_over()
        return rule

    async def change(self, rule: Rule, **changes: object) -> Rule:
        changed = replace(rule, **changes)
        at = self.story.clock.now()
        await self.at.db.write(lambda conn: alert_rules.replace(conn, changed, now=at))
        await self.taken_over()
        return changed

    async def taken_over(self) -> None:
        self.story.engine.rules_changed(self.at.org.id)
        await self.story.engine.settled()

    async def check(
        self,
        response_time_ms: int | None = 100,
        *,
        result: Result = Result.UP,
        seen: Certificate | None = None,
        after: float = 60,
    ) -> None:
        """Let some time pass, and have the schedule's check end so."""
        self.story.clock.advance(after)
        at = self.story.clock.now()
        if seen is not None:
            self.watched.certificate = seen
        check = Check(due_at=at, started_at=at, result=result, response_time_ms=response_time_ms)
        await self.story.engine.runner.take(self.watched, check)

    async def notices(self) -> list[Notice]:
        found = await self.at.db.read(notices.recent, self.at.org.id, 100)
        return list(reversed(found))

    async def told(self) -> list[str]:
        """Return the reasons of all notices but the suppressed ones."""
        return [
            json.loads(bytes(one.payload))["reason"]
            for one in await self.notices()
            if one.status is not NoticeStatus.SUPPRESSED
        ]

    async def standing(self) -> list[str]:
        found = await self.at.db.read(thresholds.of_monitor, self.monitor.id)
        return [one.term for one in found]


@pytest.fixture
async def shop(story: Story) -> Shop:
    return await open_shop(story)


async def open_shop(story: Story, **changes: object) -> Shop:
    fields: dict[str, object] = {"interval_seconds": 60, "timeout_seconds": 10} | changes
    monitor = await story.at.monitor(spec("http://203.0.113.7/", **fields))
    channel = await story.at.channel("http://127.0.0.1:1/")
    story.engine.changed(monitor.id)
    await story.engine.settled()
    return Shop(story, monitor, channel)


SLOW = "response_time_ms > 800 for 5m"


async def test_a_slow_target_is_told_of_and_its_recovery(shop: Shop) -> None:
    await shop.rule(SLOW)
    for _ in range(5):
        await shop.check(1240)
    assert await shop.told() == []
    await shop.check(1240)
    assert await shop.told() == ["response time 1,240 ms, above 800 ms for 5 min"]
    for _ in range(6):
        await shop.check(1000)
    await shop.check(320)

    problem, recovery = await shop.notices()
    assert (problem.event, problem.cause) == ("monitor.threshold", Cause.CHANGE)
    assert (recovery.event, recovery.cause) == ("monitor.threshold", Cause.RECOVERY)
    assert (await shop.told())[1] == (
        "response time 320 ms, no longer above 800 ms; it was for 12 min"
    )
    assert await shop.standing() == []


async def test_a_window_over_checks_of_the_schedule(story: Story) -> None:
    shop = await open_shop(story)
    await shop.rule("response_time_ms >= 0 for 5m")
    await story.pass_time(5 * 60 - 5, step=2.0)
    assert await story.told() == []
    await story.pass_time(70)
    assert await story.told() == ["monitor.threshold"]
    # It does not answer any more: a term about its answers ends with the first such check.
    story.world.fates["203.0.113.7"] = "refused"
    await story.until(lambda: story.status(shop.monitor.id) is Status.DOWN)
    assert await story.told() == ["monitor.threshold", "monitor.threshold"]
    assert (await shop.told())[1].startswith("no answer, no longer at or above 0 ms; it was for")


async def test_checks_by_hand_and_inconclusive_ones_count_nowhere(shop: Shop) -> None:
    await shop.rule("response_time_ms >= 0")
    await shop.story.engine.check_now(shop.at.org.id, shop.monitor)
    await shop.check(900, result=Result.INCONCLUSIVE)
    assert await shop.told() == []
    await shop.check(900)
    await shop.check(None, result=Result.INCONCLUSIVE)
    assert await shop.standing() == ["response_time_ms >= 0"]
    assert len(await shop.told()) == 1


async def test_a_restart_neither_repeats_nor_forgets_it(opened: Opener) -> None:
    async with opened() as story:
        shop = await open_shop(story)
        rule = await shop.rule(SLOW)
        for _ in range(6):
            await shop.check(1240)
        assert len(await shop.told()) == 1
        monitor, channel = shop.monitor, shop.channel
    async with opened() as story:
        shop = Shop(story, monitor, channel)
        for _ in range(8):
            await shop.check(1240)
        assert len(await shop.told()) == 1
        await shop.check(1)
        _, recovery = await shop.notices()
        assert recovery.rule_id == rule.id
        assert (await shop.told())[1].endswith("it was for 14 min")


async def test_a_restart_begins_a_window_anew(opened: Opener) -> None:
    async with opened() as story:
        shop = await open_shop(story)
        await shop.rule(SLOW)
        for _ in range(5):
            await shop.check(1240)
        monitor, channel = shop.monitor, shop.channel
    async with opened() as story:
        shop = Shop(story, monitor, channel)
        for _ in range(5):
            await shop.check(1240)
        assert await shop.told() == []
        await shop.check(1240)
        assert len(await shop.told()) == 1


async def test_a_pause_ends_it_silently(shop: Shop) -> None:
    await shop.rule("response_time_ms > 800")
    await shop.check(900)
    assert await shop.standing() == ["response_time_ms > 800"]
    org_id, monitor_id = shop.at.org.id, shop.monitor.id
    at = shop.story.clock.now()
    await shop.at.db.write(edges.pause, org_id, monitor_id, at)
    assert await shop.standing() == []
    shop.story.engine.changed(monitor_id)
    await shop.story.engine.settled()
    assert not shop.story.engine.thresholds.covers(monitor_id)
    await shop.at.db.write(edges.resume, org_id, monitor_id, at)
    shop.story.engine.changed(monitor_id)
    await shop.story.engine.settled()
    # What is still so is told again: nobody has watched in between.
    await shop.check(900)
    assert await shop.told() == ["response time 900 ms, above 800 ms"] * 2


async def test_a_deleted_monitor_takes_it_along(shop: Shop) -> None:
    await shop.rule("response_time_ms > 800 or certificate_days < 14")
    await shop.check(900, seen=certificate(90, made=shop.story.clock.now() - 80 * DAY))
    assert len(await shop.standing()) == 2
    at = shop.story.clock.now()
    await shop.at.db.write(edges.retire, shop.at.org.id, shop.monitor.id, at)
    shop.story.engine.changed(shop.monitor.id)
    await shop.story.engine.settled()
    assert await shop.standing() == []
    assert not shop.story.engine.thresholds.covers(shop.monitor.id)
    left = await shop.at.db.read(lambda conn: conn.all("SELECT * FROM certificate_notices"))
    assert left == []


@pytest.mark.parametrize("how", ["deleted", "inactive", "condition", "tag"])
async def test_a_rule_that_no_longer_asks_ends_it_silently(shop: Shop, how: str) -> None:
    rule = await shop.rule("response_time_ms > 800")
    await shop.check(900)
    assert await shop.standing() == ["response_time_ms > 800"]
    match how:
        case "deleted":
            await shop.at.db.write(alert_rules.delete, shop.at.org.id, rule.id)
            await shop.taken_over()
        case "inactive":
            await shop.change(rule, is_active=False)
        case "condition":
            await shop.change(rule, condition="response_time_ms > 950")
        case "tag":
            await shop.change(rule, tag="elsewhere")
    assert await shop.standing() == []
    await shop.check(1)
    assert len(await shop.told()) == 1


async def test_a_change_of_a_rule_keeps_what_is_so(shop: Shop) -> None:
    rule = await shop.rule(SLOW)
    for _ in range(4):
        await shop.check(900)
    # Its window goes on, and so does what is so.
    rule = await shop.change(rule, name="Another name")
    await shop.check(900)
    await shop.check(900)
    assert len(await shop.told()) == 1
    await shop.change(rule, name="A third one", condition=f"down or {SLOW}")
    await shop.check(900)
    assert len(await shop.told()) == 1
    await shop.check(9)
    assert len(await shop.told()) == 2


async def test_a_rule_that_nobody_spoke_of_is_noticed_when_it_matters(shop: Shop) -> None:
    rule = await shop.rule("response_time_ms > 800")
    changed = replace(rule, notify_recovery=False)
    at = shop.story.clock.now()
    await shop.at.db.write(lambda conn: alert_rules.replace(conn, changed, now=at))
    await shop.check(900)
    assert await shop.told() == []
    await shop.story.engine.settled()
    await shop.check(900)
    assert len(await shop.told()) == 1
    await shop.check(9)
    assert len(await shop.told()) == 1


async def test_which_monitors_a_rule_covers(story: Story) -> None:
    tagged = await open_shop(story, tags=("web",))
    other = await open_shop(story)
    covers = story.engine.thresholds.covers
    rule = await tagged.rule("response_time_ms > 800", tag="web")
    assert (covers(tagged.monitor.id), covers(other.monitor.id)) == (True, False)
    rule = await tagged.change(rule, tag=None, monitor_id=other.monitor.id)
    assert (covers(tagged.monitor.id), covers(other.monitor.id)) == (False, True)
    rule = await tagged.change(rule, monitor_id=None)
    assert len(story.engine.thresholds) == 2
    # A monitor that comes later is covered as well.
    third = await open_shop(story)
    assert covers(third.monitor.id)
    rule = await tagged.change(rule, tag="web")
    assert len(story.engine.thresholds) == 1
    # One that loses its tag is not any more, and what was so is forgotten.
    await tagged.check(900)
    changed = replace(tagged.monitor.spec, tags=())
    await story.at.db.write(
        lambda conn: monitors.replace(
            conn, story.at.org.id, tagged.monitor.id, changed, None, now=story.clock.now()
        )
    )
    story.engine.changed(tagged.monitor.id)
    await story.engine.settled()
    assert len(story.engine.thresholds) == 0
    assert await tagged.standing() == []


async def test_two_rules_on_a_channel_are_one_message(shop: Shop) -> None:
    await shop.rule("response_time_ms > 800")
    await shop.rule("down or response_time_ms > 800")
    await shop.check(900)
    await shop.check(9)
    found = [(one.cause, one.status, one.reason) for one in await shop.notices()]
    duplicate = (NoticeStatus.SUPPRESSED, Suppressed.DUPLICATE)
    assert found == [
        (Cause.CHANGE, NoticeStatus.PENDING, None),
        (Cause.CHANGE, *duplicate),
        (Cause.RECOVERY, NoticeStatus.PENDING, None),
        (Cause.RECOVERY, *duplicate),
    ]


async def test_who_was_not_told_hears_of_no_recovery(shop: Shop) -> None:
    inactive = replace(shop.channel, is_active=False)
    at = shop.story.clock.now()
    await shop.at.db.write(lambda conn: channels.replace(conn, inactive, now=at))
    await shop.rule("response_time_ms > 800")
    await shop.check(900)
    await shop.check(9)
    (notice,) = await shop.notices()
    assert notice.reason is Suppressed.CHANNEL_INACTIVE


async def test_a_problem_that_is_held_and_ends_is_not_told(shop: Shop) -> None:
    await shop.rule("response_time_ms > 800", cooldown_seconds=600)
    await shop.check(900)
    await shop.check(9)
    await shop.check(900)
    held = (await shop.notices())[-1]
    assert held.held_for is Suppressed.COOLDOWN
    assert await shop.at.db.read(still_so, held.id)
    await shop.check(9)
    found = [(one.cause, one.status, one.reason) for one in await shop.notices()]
    assert found == [
        (Cause.CHANGE, NoticeStatus.PENDING, None),
        (Cause.RECOVERY, NoticeStatus.PENDING, None),
        (Cause.CHANGE, NoticeStatus.SUPPRESSED, Suppressed.COOLDOWN),
    ]
    assert not await shop.at.db.read(still_so, held.id)


async def test_no_recovery_where_the_rule_wants_none(shop: Shop) -> None:
    await shop.rule("response_time_ms > 800", notify_recovery=False)
    await shop.check(900)
    await shop.check(9)
    assert len(await shop.told()) == 1


async def test_a_rule_that_escalates_speaks_later(shop: Shop) -> None:
    await shop.rule("response_time_ms > 800", escalation_minutes=3)
    for value in (900, 900, 9, 900, 900, 900):
        await shop.check(value)
    assert await shop.told() == []
    await shop.check(901)
    assert await shop.told() == ["response time 901 ms, above 800 ms"]
    await shop.check(9)
    assert len(await shop.told()) == 2


async def test_up_with_a_measure_is_no_word_about_the_first_check(shop: Shop) -> None:
    await shop.rule("up or up and response_time_ms > 800")
    await shop.check(900)
    assert shop.story.status(shop.monitor.id) is Status.UP
    assert await shop.told() == []


async def test_a_certificate_over_its_life(shop: Shop) -> None:
    await shop.rule("certificate_days < 14")
    made = shop.story.clock.now()
    old = certificate(90, made=made)
    await shop.check(seen=old, after=75 * DAY / SECOND)
    assert await shop.told() == []
    for _ in range(16 * 4):
        await shop.check(seen=old, after=6 * 3600)
    kinds = [(one.event, one.cause) for one in await shop.notices()]
    assert kinds == [("certificate.expiring", Cause.CHANGE)] * 5
    told = await shop.told()
    assert [words.split(" on ")[0] for words in told] == [
        "certificate of shop.example expires in 13 days,",
        "certificate of shop.example expires in 6 days,",
        "certificate of shop.example expires in 2 days,",
        "certificate of shop.example expires in less than a day,",
        "certificate of shop.example has expired,",
    ]
    new = certificate(90, "bb", made=shop.story.clock.now())
    await shop.check(seen=new)
    renewed = (await shop.notices())[-1]
    assert (renewed.event, renewed.cause) == ("certificate.expiring", Cause.RECOVERY)
    assert (await shop.told())[-1].startswith("certificate of shop.example renewed: valid until ")
    await shop.check(seen=new, after=80 * DAY / SECOND)
    assert (await shop.told())[-1].startswith("certificate of shop.example expires in 9 days")


async def test_a_certificate_is_not_told_of_again_after_a_restart(opened: Opener) -> None:
    async with opened() as story:
        shop = await open_shop(story)
        await shop.rule("certificate_days < 14")
        seen = certificate(90, made=story.clock.now() - 80 * DAY)
        await shop.check(seen=seen)
        assert len(await shop.told()) == 1
        monitor, channel = shop.monitor, shop.channel
    async with opened() as story:
        shop = Shop(story, monitor, channel)
        # Nobody has seen the certificate yet: that is no end of it.
        await shop.check()
        assert await shop.standing() == ["certificate_days < 14"]
        await shop.check(seen=seen)
        assert len(await shop.told()) == 1
        await shop.check(seen=certificate(90, "bb", made=story.clock.now()))
        assert len(await shop.told()) == 2


async def test_two_certificates_in_turn_are_told_of_once_each(shop: Shop) -> None:
    """A farm of servers, one of which was forgotten when the certificate was renewed."""
    await shop.rule("certificate_days < 14")
    made = shop.story.clock.now()
    old, new = certificate(90, made=made - 80 * DAY), certificate(90, "bb", made=made)
    for _ in range(5):
        await shop.check(seen=old)
        await shop.check(seen=new)
    told = await shop.told()
    assert len(told) == 2
    await shop.check(seen=old, after=4 * DAY / SECOND)
    assert (await shop.told())[-1].startswith("certificate of shop.example expires in 5 days")


async def test_a_certificate_of_six_days_is_told_of_on_its_last_day(shop: Shop) -> None:
    await shop.rule("certificate_days < 14")
    seen = certificate(6, made=shop.story.clock.now())
    for _ in range(5 * 24 - 1):
        await shop.check(seen=seen, after=3600)
    assert await shop.told() == []
    await shop.check(seen=seen, after=3600)
    assert [words.split(",")[0] for words in await shop.told()] == [
        "certificate of shop.example expires in less than a day"
    ]


async def test_down_with_a_certificate_that_runs_out(shop: Shop) -> None:
    await shop.rule("down and certificate_days < 10")
    seen = certificate(90, made=shop.story.clock.now() - 85 * DAY)
    await shop.check(seen=seen)
    await shop.check(None, result=Result.DOWN)
    assert await shop.told() == []
    await shop.check(None, result=Result.DOWN)
    assert [words.split(",")[0] for words in await shop.told()] == [
        "certificate of shop.example expires in 4 days"
    ]
    await shop.check(seen=seen)
    assert (await shop.told())[-1] == "up, no longer down; it was for 1 min"


async def test_monitors_that_no_such_rule_covers_cost_nothing(story: Story) -> None:
    shop = await open_shop(story)
    await shop.rule("down")
    await shop.rule("response_time_ms > 800", monitor_id=shop.monitor.id)
    org_id, mono = story.at.org.id, story.clock.monotonic()
    for number in range(10_000):
        monitor = replace(shop.monitor, id=new_id(shop.monitor.created_at), key=100_000 + number)
        story.engine.roster.add(Watched(monitor, shop.watched.watch, mono))
    await story.engine.thresholds.load()
    story.engine.rules_changed(org_id)
    await story.engine.settled()
    assert len(story.engine.thresholds) == 1
    await shop.check(900)
    for number, watched in enumerate(story.engine.roster):
        if number < 500 and watched.id != shop.monitor.id:
            at = story.clock.now()
            check = Check(due_at=at, started_at=at, result=Result.UP, response_time_ms=900)
            await story.engine.thresholds.weigh(watched, check)
    assert story.engine.thresholds.weighed == 1
    assert len(await shop.told()) == 1


async def test_a_threshold_from_check_to_message(tmp_path: Path) -> None:
    async with Receiver() as target, Receiver() as receiver, home(tmp_path / "real") as at:
        monitor = await at.monitor(spec(target.url, confirmations=1))
        await at.rule(await at.channel(receiver.url), condition="response_time_ms >= 0")
        at.engine.rules_changed(at.org.id)
        await at.engine.settled()
        at.nudge(monitor)
        (told,) = await receiver.wait_for(1)
        assert told.payload["event"] == "monitor.threshold"
        assert told.payload["monitor"]["id"] == monitor.id
        assert told.payload["incident"] is None
        assert told.payload["reason"].endswith(", at or above 0 ms")

        await target.close()
        at.nudge(monitor)
        _, over = await receiver.wait_for(2)
        assert over.payload["event"] == "monitor.threshold"
        assert over.payload["reason"].startswith(
            "no answer, no longer at or above 0 ms; it was for"
        )
