"""Parents, in virtual time: a child that fails asks its parent, and waits for what that says."""

from __future__ import annotations

from netpulse.model.alert import Notice, NoticeStatus, Suppressed
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor
from netpulse.model.time import SECOND
from netpulse.model.watch import Status
from netpulse.storage import held, notices
from tests.home import spec
from tests.world import Opener, Story

ROUTER, SHOP, OTHER = "203.0.113.1", "203.0.113.2", "203.0.113.3"


async def watched(story: Story, name: str, address: str, parent: Monitor | None = None) -> Monitor:
    """Add a monitor that is checked every hour, so that what comes meanwhile was asked for."""
    stored = await story.at.monitor(
        spec(
            f"http://{address}:8080/",
            name=name,
            interval_seconds=3_600,
            retry_interval_seconds=10,
            parent_id=None if parent is None else parent.id,
        )
    )
    story.engine.changed(stored.id)
    await story.engine.settled()
    return stored


async def family(story: Story) -> tuple[Monitor, Monitor]:
    """Add a router and a shop behind it, both up, and a rule that tells of both."""
    router = await watched(story, "Router", ROUTER)
    shop = await watched(story, "Shop", SHOP, router)
    # Somebody else answers: what fails is not our own network.
    other = await watched(story, "Other", OTHER)
    await story.at.rule(await story.at.channel("https://hooks.example/x"))
    await story.until(lambda: story.status(router.id) is story.status(shop.id) is Status.UP)

    def is_quiet() -> bool:
        slots = [story.engine.scheduler.next_due(one.id) for one in (router, shop, other)]
        return all(slot is not None and slot > story.clock.now() + 400 * SECOND for slot in slots)

    await story.until(is_quiet, 1_500)
    return router, shop


async def of(story: Story, monitor_id: Id) -> list[tuple[str, str]]:
    """Return what the outbox has of a monitor, after it was looked at: event, and where it is."""
    await story.at.db.write(held.resolve, story.clock.now())
    found = await story.at.db.read(notices.recent, story.at.org.id, 100)
    return [
        (one.event.value, _where(one)) for one in reversed(found) if one.monitor_id == monitor_id
    ]


def _where(notice: Notice) -> str:
    if notice.status is NoticeStatus.PENDING:
        return "due" if notice.held_for is None else f"held {notice.held_for.value}"
    return (notice.reason or notice.status).value


async def test_a_failing_child_asks_its_parent_and_speaks_when_that_is_well(story: Story) -> None:
    router, shop = await family(story)
    story.world.fates[SHOP] = "refused"
    story.world.dialled.clear()
    story.engine.scheduler.soon(shop.id, 0.0)
    await story.pass_time(2)
    # Both checks came at once, though neither's slot was near.
    assert story.world.dialled[:2] == [SHOP, ROUTER]
    assert story.status(router.id) is Status.UP
    await story.until(lambda: story.status(shop.id) is Status.DOWN, 30)

    assert await of(story, shop.id) == [("monitor.down", "due")]


async def test_the_parent_is_asked_once_a_streak(story: Story) -> None:
    _, shop = await family(story)
    story.world.fates[SHOP] = "refused"
    story.world.dialled.clear()
    story.engine.scheduler.soon(shop.id, 0.0)
    await story.until(lambda: story.status(shop.id) is Status.DOWN, 30)
    await story.pass_time(30)

    assert story.world.dialled.count(ROUTER) == 1


async def test_a_child_behind_a_dead_parent_is_told_only_if_it_outlives_it(story: Story) -> None:
    router, shop = await family(story)
    story.world.fates |= {SHOP: "refused", ROUTER: "refused"}
    story.engine.scheduler.soon(shop.id, 0.0)
    await story.until(lambda: story.status(router.id) is Status.DOWN, 40)
    await story.until(lambda: story.status(shop.id) is Status.DOWN, 40)
    assert await of(story, router.id) == [("monitor.down", "due")]
    await story.pass_time(240)
    assert await of(story, shop.id) == [("monitor.down", "held parent_down")]
    assert shop.id in story.engine.runner.dependencies

    story.world.fates[ROUTER] = "up"
    story.engine.scheduler.soon(router.id, 0.0)
    await story.until(lambda: story.status(router.id) is Status.UP, 30)
    # Its own check comes at once, and confirms that it is down for itself.
    await story.pass_time(2)
    assert await of(story, shop.id) == [("monitor.down", "due")]
    assert shop.id not in story.engine.runner.dependencies


async def test_a_child_that_comes_back_with_its_parent_is_not_told(story: Story) -> None:
    router, shop = await family(story)
    story.world.fates |= {SHOP: "refused", ROUTER: "refused"}
    story.engine.scheduler.soon(shop.id, 0.0)
    await story.until(lambda: story.status(shop.id) is Status.DOWN, 40)
    await story.pass_time(30)
    story.world.fates.clear()
    story.engine.scheduler.soon(router.id, 0.0)
    await story.until(lambda: story.status(shop.id) is Status.UP, 30)

    assert await of(story, shop.id) == [
        ("monitor.down", Suppressed.PARENT_DOWN.value),
        ("monitor.up", Suppressed.PARENT_DOWN.value),
    ]
    assert shop.id not in story.engine.runner.dependencies


async def test_a_restart_knows_who_waits(opened: Opener) -> None:
    async with opened() as story:
        router, shop = await family(story)
        story.world.fates |= {SHOP: "refused", ROUTER: "refused"}
        story.engine.scheduler.soon(shop.id, 0.0)
        await story.until(lambda: story.status(shop.id) is Status.DOWN, 40)
        await story.pass_time(30)
        assert await of(story, shop.id) == [("monitor.down", "held parent_down")]
    async with opened() as story:
        assert shop.id in story.engine.runner.dependencies
        story.world.fates[ROUTER] = "up"
        story.engine.scheduler.soon(router.id, 0.0)
        await story.until(lambda: story.status(router.id) is Status.UP, 30)
        await story.pass_time(2)
        assert await of(story, shop.id) == [("monitor.down", "due")]
