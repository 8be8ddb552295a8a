"""Subscribing to a status page: asking, confirming, ending.

What somebody asks for is told to nobody before the owner of the address has confirmed it by the
link that was sent there, and no answer shows whether an address is subscribed. The same link ends
the subscription, at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.letter import LetterKind
from netpulse.model.status_page import StatusPage
from netpulse.model.subscriber import (
    ASK_AGAIN,
    CONFIRM_WITHIN,
    Subscriber,
    SubscriberKind,
)
from netpulse.model.time import HOUR, Millis
from netpulse.model.user import Actor
from netpulse.rules import page_letters as words
from netpulse.rules import quotas, targets
from netpulse.storage import audit, letters, page_news, status_pages, subscribers
from netpulse.storage.db import Conn
from netpulse.web.accounts import normal_email
from netpulse.web.call import Call
from netpulse.web.errors import ApiError, Problem, conflict, invalid, too_many
from netpulse.web.house import House
from netpulse.web.proxies import bucket
from netpulse.web.rates import MOST_NOTED

ANSWER_SECONDS = 0.25
"""When the answer goes out, counted from the request: whether anything had to be written or not."""
MOST = 10_000
"""Of one page; and as many who were asked and have not answered."""
MOST_ADDRESS = 2_000
MOST_TOKEN = 100

Asked = Literal["open", "confirmed", "late", "gone"]
"""What a link is good for: to be confirmed, confirmed already, too old, or ended."""


class Offer(Struct, frozen=True):
    """How a page's readers may subscribe."""

    email: bool
    webhook: bool


class _Row(Struct, frozen=True):
    """What the audit log will say."""

    actor: Actor
    action: str
    after: Mapping[str, str | int]


class Found(Struct, frozen=True):
    """Whom a link is about. The page is None where it is gone, or the subscription is."""

    subscriber: Subscriber | None
    page: StatusPage | None
    state: Asked


def offer(house: House, page: StatusPage) -> Offer:
    """Return how readers of a page may subscribe: no link leads back without `public_url`."""
    takes = page.takes_subscribers and house.links.page("/") is not None
    return Offer(email=takes and house.carrier.mail is not None, webhook=takes)


def address_of(house: House, kind: SubscriberKind, text: str) -> str:
    """Return an address as it is kept.

    Raises:
        ApiError: 400 for what is none, and for a webhook that is not on the public internet.
    """
    text = text.strip()
    if kind is SubscriberKind.EMAIL:
        email = normal_email(text)
        if email is None:
            raise invalid([Problem("$.address", "this is no email address")])
        return email
    try:
        if len(text) > MOST_ADDRESS:
            raise targets.TargetError(f"is longer than {MOST_ADDRESS} characters")
        url = targets.url(text)
    except targets.TargetError as error:
        raise invalid([Problem("$.address", str(error))]) from None
    policy = house.engine.page_webhooks.policy
    if quotas.unreachable(url.raw_host or "", url.port or 0, policy) is not None:
        why = "only addresses on the public internet are told"
        raise invalid([Problem("$.address", why)])
    if url.user is not None or url.password is not None:
        raise invalid([Problem("$.address", "must not contain a user name or password")])
    return str(url)


async def ask(call: Call, page: StatusPage, kind: SubscriberKind, text: str) -> None:
    """Ask the owner of an address whether they want the news of a page.

    It ends the same, and at the same moment, whether the address is subscribed already, was asked
    within the hour, or is asked now.

    Raises:
        ApiError: 400 for an unusable address, 409 where the page takes no (more) subscribers, 429
            after too many from one address or for one page.
    """
    house = call.house
    loop = asyncio.get_running_loop()
    answer_at = loop.time() + ANSWER_SECONDS
    offered = offer(house, page)
    if not (offered.email if kind is SubscriberKind.EMAIL else offered.webhook):
        raise conflict("NO_SUBSCRIPTIONS", "This page cannot be subscribed to in this way")
    address = address_of(house, kind, text)
    at = house.clock.monotonic()
    rates = house.rates
    wait = rates.subscriptions.wait(bucket(call.origin.ip), at)
    wait = wait or rates.page_subscriptions.wait(page.id, at)
    if wait:
        why = "Too many subscriptions were asked for; wait as long as Retry-After says"
        raise too_many(wait, why)
    whom = house.digester.digest(f"{kind.value} {address}")
    if not rates.subscribed_addresses.wait(whom, at):  # else somebody has a stranger written to
        await house.db.write(_ask, house, page, kind, address, call.now)
        house.engine.letters_written()
        house.engine.page_webhooks.wake()
    await asyncio.sleep(answer_at - loop.time())


def _ask(
    conn: Conn, house: House, page: StatusPage, kind: SubscriberKind, address: str, now: Millis
) -> None:
    if status_pages.of_id(conn, page.id) is None:
        return
    # Before anything is looked up: a page that is full is full for everybody.
    if subscribers.count(conn, page.id)[0] >= MOST:
        raise conflict("SUBSCRIBERS_FULL", "This page takes no more subscribers")
    old = subscribers.find(conn, page.id, kind, address)
    if old is not None and (old.confirmed_at is not None or 0 <= now - old.asked_at < ASK_AGAIN):
        return
    if old is None:
        # Nobody keeps others out by asking for addresses that are not theirs.
        subscribers.make_room(conn, page.id, MOST)
    asked = subscribers.ask(conn, page.id, kind, address, now)
    if kind is SubscriberKind.WEBHOOK:
        subscribers.try_from(conn, asked, now, now + HOUR)
        return
    url = house.links.subscription(asked.id, "confirm")
    assert url is not None, "it is only offered where there is an address"
    draft = words.question(page.title, url, CONFIRM_WITHIN // HOUR)
    letters.recall_from(conn, [asked.id], "it was asked for again")
    letters.post(
        conn,
        LetterKind.SUBSCRIPTION,
        address,
        draft.subject,
        draft.text,
        now,
        expires_at=now + CONFIRM_WITHIN,
        org_id=page.org_id,
        subscriber_id=asked.id,
    )


# The links


async def find(call: Call) -> Found:
    """Return whom the link of this request is about.

    Raises:
        ApiError: 404 for a link that was never ours, 429 for too many of those.
    """
    token = str(call.request.path_params["token"])
    subscriber_id = call.house.links.subscriber(token) if len(token) <= MOST_TOKEN else None
    if subscriber_id is None:
        at = call.house.clock.monotonic()
        wait = call.house.rates.stray_links.wait(bucket(call.origin.ip), at)
        if wait:
            raise too_many(wait, "Too many unknown links; wait as long as Retry-After says")
        raise ApiError(404, "NOT_FOUND", "This link is not complete; copy all of it")
    return await call.house.db.read(_find, subscriber_id, call.now)


def _find(conn: Conn, subscriber_id: Id, now: Millis) -> Found:
    subscriber = subscribers.get(conn, subscriber_id)
    page = None if subscriber is None else status_pages.of_id(conn, subscriber.page_id)
    if subscriber is None or page is None:
        return Found(None, None, "gone")
    if subscriber.confirmed_at is not None:
        return Found(subscriber, page, "confirmed")
    if not page.takes_subscribers:
        return Found(subscriber, page, "gone")
    is_late = now - subscriber.asked_at > CONFIRM_WITHIN
    return Found(subscriber, page, "late" if is_late else "open")


async def confirm(call: Call) -> Found:
    """Confirm a subscription by its link; returns what it was before. Raises as `find`."""
    found = await find(call)
    if found.state == "open" and found.subscriber is not None:
        row = _row(call, found.subscriber, "status_page.subscribed")
        return await call.house.db.write(_confirm, found.subscriber.id, row, call.now)
    return found


def _confirm(conn: Conn, subscriber_id: Id, row: _Row | None, now: Millis) -> Found:
    found = _find(conn, subscriber_id, now)
    subscriber, page = found.subscriber, found.page
    if found.state != "open" or subscriber is None or page is None:
        return found
    if subscribers.count(conn, page.id)[0] == 0:
        page_news.begin(conn, page.id, now)
    subscribers.confirm(conn, subscriber, page_news.latest(conn, page.id), now)
    _note(conn, page, row, now)
    return found


async def end(call: Call) -> Found:
    """End a subscription by its link; returns what it was before. Raises as `find`."""
    found = await find(call)
    if found.subscriber is not None:
        row = None
        if found.subscriber.confirmed_at is not None:
            row = _row(call, found.subscriber, "status_page.unsubscribed")
        return await call.house.db.write(_end, found.subscriber.id, row, call.now)
    return found


def _end(conn: Conn, subscriber_id: Id, row: _Row | None, now: Millis) -> Found:
    found = _find(conn, subscriber_id, now)
    if found.subscriber is None or found.page is None:
        return found
    remove(conn, found.subscriber)
    _note(conn, found.page, row, now)
    return found


def remove(conn: Conn, subscriber: Subscriber) -> None:
    """Remove a subscriber, and look for no more news where it was the last."""
    subscribers.end(conn, subscriber.id)
    page_news.rest(conn, subscriber.page_id)


def record(subscriber: Subscriber) -> dict[str, str]:
    """Return what the audit log, which forgets nothing, keeps of a subscriber: no address."""
    return {"subscriber_id": subscriber.id, "kind": subscriber.kind.value}


def _row(call: Call, subscriber: Subscriber, action: str) -> _Row | None:
    """Return the row of the audit log about a subscriber; once there are as many as a page may have
    in an hour, the one that says so, and then none.

    The list of subscribers itself says since when each has been one.
    """
    rates, at = call.house.rates, call.house.clock.monotonic()
    actor = Actor(kind="system", label="a subscriber", ip=call.origin.ip)
    if not rates.subscription_notes.wait(subscriber.page_id, at):
        return _Row(actor, action, record(subscriber))
    if not rates.unnoted_subscriptions.wait(subscriber.page_id, at):
        after = {"noted_an_hour": MOST_NOTED}
        return _Row(actor, "status_page.subscriptions_unnoted", after)
    return None


def _note(conn: Conn, page: StatusPage, row: _Row | None, now: Millis) -> None:
    if row is not None:
        audit.append(
            conn, page.org_id, row.actor, row.action, "status_page", page.id, None, row.after, now
        )
