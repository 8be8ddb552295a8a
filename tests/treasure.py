"""Something of everything that is kept sealed, and looking whether all of it still opens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from netpulse.crypto.vault import Vault
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.ids import Id, new_id
from netpulse.model.letter import LetterKind
from netpulse.model.monitor import BasicAuth, HttpSpec, PushSpec
from netpulse.model.status_page import StatusPage
from netpulse.model.subscriber import SubscriberKind
from netpulse.model.time import HOUR, Millis
from netpulse.storage import (
    channels,
    kept_keys,
    letters,
    monitors,
    pushes,
    sealed,
    status_pages,
    subscribers,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.opening import open_database
from netpulse.storage.sealed import TOTP_SECRET
from tests.store import NOW, add_monitor, add_org, add_user


class Treasure(Struct, frozen=True):
    """What was stored, in clear."""

    org_id: Id
    passwords: dict[Id, str]
    """By monitor."""
    tokens: dict[Id, str]
    """By push monitor."""
    urls: dict[Id, str]
    """By channel."""
    totp: dict[Id, bytes]
    """By user."""
    letters: dict[Id, str]
    addresses: dict[Id, str]
    """By subscriber of a status page."""
    kept: dict[str, bytes]
    digests: dict[str, str]
    """Of the tokens."""

    @property
    def count(self) -> int:
        """How many sealed values that makes."""
        parts = (self.passwords, self.tokens, self.urls, self.totp, self.letters, self.addresses)
        return sum(map(len, parts))


def fill(conn: Conn, each: int = 3, now: Millis = NOW) -> Treasure:
    """Store `each` of everything."""
    org = add_org(conn)
    passwords, tokens, urls, totp, written, addresses = {}, {}, {}, {}, {}, {}
    page = status_pages.insert(
        conn,
        StatusPage(
            id=new_id(now),
            org_id=org.id,
            slug=f"page-{org.id[-12:]}",
            title="Acme",
            created_at=now,
            updated_at=now,
        ),
    )
    for number in range(each):
        spec = HttpSpec(
            name=f"Shop {number}",
            target="https://shop.example/",
            auth=BasicAuth(username="u", password=f"password {number}"),
        )
        passwords[add_monitor(conn, org.id, spec, now).id] = f"password {number}"
        monitor = add_monitor(conn, org.id, PushSpec(name=f"Job {number}"), now)
        token = monitor.ping_token
        assert token is not None
        tokens[monitor.id] = token
        channel = add_channel(conn, org.id, number, now)
        urls[channel.id] = _url(channel)
        user = add_user(conn, org.id, f"user{number}@acme.example")
        totp[user.id] = f"seed {number}".encode()
        conn.execute(
            "UPDATE users SET totp_secret = ? WHERE id = ?",
            (conn.vault.seal(totp[user.id], TOTP_SECRET.context(user.id)), user.id),
        )
        letter = letters.post(
            conn,
            LetterKind.INVITATION,
            user.email,
            "Join",
            f"link {number}",
            now,
            expires_at=now + HOUR,
        )
        written[letter] = f"link {number}"
        address = f"https://hooks.example/reader-{number}"
        asked = subscribers.ask(conn, page.id, SubscriberKind.WEBHOOK, address, now)
        addresses[asked.id] = address
    return Treasure(
        org.id,
        passwords,
        tokens,
        urls,
        totp,
        written,
        addresses,
        kept_keys._stored(conn),
        {token: conn.vault.digest(token) for token in tokens.values()},
    )


def add_channel(conn: Conn, org_id: Id, number: int, now: Millis = NOW) -> Channel:
    """Add a webhook channel with an address that is a secret."""
    return channels.insert(
        conn,
        Channel(
            id=new_id(now),
            org_id=org_id,
            name=f"Ops {number}",
            type="webhook",
            config=WebhookConfig(url=f"https://hooks.example/secret-{number}"),
            created_at=now,
        ),
    )


def _url(channel: Channel) -> str:
    assert isinstance(channel.config, WebhookConfig)
    return channel.config.url


def assert_opens(conn: Conn, treasure: Treasure) -> None:
    """Look at every secret through the functions that the product reads them with."""
    assert list(sealed.broken(conn)) == []
    for monitor_id, password in treasure.passwords.items():
        monitor = monitors.get(conn, treasure.org_id, monitor_id)
        assert monitor is not None
        assert monitor.damage is None
        assert monitor.spec.auth.password == password  # type: ignore[union-attr]
    for monitor_id, token in treasure.tokens.items():
        monitor = monitors.get(conn, treasure.org_id, monitor_id)
        assert monitor is not None
        assert monitor.ping_token == token
        found = pushes.find(conn, token)
        assert found is not None
        assert found.monitor_id == monitor_id
    for channel_id, url in treasure.urls.items():
        channel = channels.get(conn, treasure.org_id, channel_id)
        assert channel is not None
        assert channel.damage is None
        assert _url(channel) == url
    for user_id, secret in treasure.totp.items():
        row = conn.one("SELECT totp_secret FROM users WHERE id = ?", (user_id,))
        assert row is not None
        assert conn.vault.open(row[0], TOTP_SECRET.context(user_id)) == secret
    due = {letter.id: letter.text for letter in letters.due(conn, NOW + HOUR, 1000)}
    assert due == treasure.letters
    for subscriber_id, address in treasure.addresses.items():
        subscriber = subscribers.get(conn, subscriber_id)
        assert subscriber is not None
        assert subscriber.address == address
        again = subscribers.find(conn, subscriber.page_id, subscriber.kind, address)
        assert again == subscriber
    assert kept_keys._stored(conn) == treasure.kept
    for token, digest in treasure.digests.items():
        assert conn.vault.digest(token) == digest


async def opened_with(
    data: Path, *masters: bytes, look: Callable[[Conn], None] | None = None
) -> Database:
    """Open the data with these master keys alone; the caller closes it."""
    db = await open_database(data, Vault(*masters))
    if look is not None:
        await db.read(look)
    return db
