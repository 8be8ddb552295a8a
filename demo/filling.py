"""The data directory of the demo: an organization with a quarter behind it, and two clients."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from demo import past
from demo.company import (
    AGE,
    CLOSED_PAGE,
    COLLEAGUE,
    ORGANIZATION,
    OWNER,
    PAGE,
    PAGE_PASSWORD,
    PARENTS,
    PASSWORD,
    VIEWER,
    Watched,
    clients,
    company,
)
from demo.targets import may_ping
from netpulse import __version__
from netpulse.crypto import keys, passwords
from netpulse.crypto.vault import Vault
from netpulse.model.alert import QuietHours, Rule
from netpulse.model.channel import (
    Channel,
    ChannelConfig,
    EmailConfig,
    GotifyConfig,
    NtfyConfig,
    WebhookConfig,
)
from netpulse.model.ids import Id, new_id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin
from netpulse.model.maintenance import Coverage, Maintenance, Schedule
from netpulse.model.monitor import IcmpSpec, Monitor, PushSpec
from netpulse.model.org import Org, Quotas
from netpulse.model.status_page import (
    Announcement,
    Branding,
    Colors,
    Figures,
    Group,
    Service,
    StatusPage,
)
from netpulse.model.subscriber import SubscriberKind
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.user import Actor, Membership, Role, User
from netpulse.model.watch import Gap, UnknownReason
from netpulse.rules import monitors as monitor_rules
from netpulse.rules import push
from netpulse.storage import (
    alert_rules,
    announcements,
    audit,
    channels,
    directory,
    edges,
    incidents,
    maintenances,
    monitors,
    orgs,
    page_news,
    pushes,
    rollups,
    runs,
    status_pages,
    subscribers,
    users,
)
from netpulse.storage.conn import Conn
from netpulse.storage.opening import open_database
from netpulse.storage.raw import Raw
from netpulse.storage.raw.names import day_of, hour_of
from netpulse.storage.raw.row import to_check
from netpulse.storage.rollups import Rollup
from netpulse.web import accounts

ROWS_AT_ONCE = 1000

Lives = list[tuple[Monitor, Watched]]


async def fill(data: Path, ports: dict[str, int], authority: str) -> None:
    """Make the data directory `data` and all that is in it. Targets listen on `ports`, and trust
    the issuer `authority` (PEM)."""
    now = int(time.time() * SECOND)
    directory.prepare(data)
    master = keys.load_master(None, data / directory.KEY, has_data=False)
    hashed = await passwords.hash_password(PASSWORD)
    closed = await passwords.hash_password(PAGE_PASSWORD)
    db = await open_database(data, Vault(master))
    raw = Raw(data)
    try:
        _, org = await db.write(
            accounts.found,
            email=OWNER,
            password_hash=hashed,
            org_name=ORGANIZATION,
            actor=Actor(kind="cli", label="netpulse user add"),
            now=now - AGE,
            first=True,
        )
        scribe = Scribe(org, f"http://sink.localhost:{ports['web']}", now)
        await db.write(scribe.people, hashed)
        await db.write(scribe.alerts)
        run, _ = await db.write(runs.begin, now - AGE, __version__)
        gap = Gap(now - 41 * DAY, now - 41 * DAY + 3 * HOUR, UnknownReason.STOPPED)
        await db.write(runs.add_gap, gap)
        lives = await db.write(scribe.watch, org, company(ports, authority))
        await db.write(scribe.maintain, lives)
        for client in clients(ports):
            provided = await db.write(scribe.client, client.name, client.plan, client.quota)
            lives += await db.write(scribe.watch, provided, client.watched)
        await db.write(past.live, lives, now)
        await db.write(scribe.pause, lives)
        await db.write(scribe.publish, lives, closed)
        hour = hour_of(now)
        old = (
            (monitor.key, past.checks(monitor, watched, now, monitor.created_at, hour))
            for monitor, watched in lives
        )
        hours = past.store(data, old, now)
        for start in range(0, len(hours), ROWS_AT_ONCE):
            await db.write(rollups.put_hour, hours[start : start + ROWS_AT_ONCE])
        await db.write(_fold, hours, now)
        # Up to this moment: what was seen last vouches for the seconds until the start.
        ended = int(time.time() * SECOND)
        for monitor, watched in lives:
            young = past.checks(monitor, watched, now, hour, ended)
            raw.append([(monitor.key, to_check(row)) for row in young])
        await raw.flush()
        await db.write(runs.finish, run, ended)
    finally:
        await raw.close()
        await db.close()


def _fold(conn: Conn, hours: Iterable[Rollup], now: Millis) -> None:
    """Sum the hours up by day, and say how far that has got."""
    found = list(hours)
    monitor_keys = sorted({one.key for one in found})
    for day in range(day_of(min(one.from_ms for one in found)), day_of(now), DAY):
        rollups.fold_days(conn, day, monitor_keys)
    rollups.set_cursor(conn, "day", day_of(now))
    rollups.set_cursor(conn, "hour", hour_of(now))


class Scribe:
    """Writes what people of the company did, each with its line in the audit log."""

    def __init__(self, org: Org, sink: str, now: Millis) -> None:
        """Take the organization, and where what it sends goes; its owner does what nobody else is
        named for."""
        self._sink = sink
        self._org = org
        self._now = now
        self._owner = ""
        self._actor = Actor(kind="user", label=OWNER, ip="127.0.0.1")

    def _note(
        self, conn: Conn, org_id: Id, action: str, kind: str, about: Id, after: object, at: Millis
    ) -> None:
        audit.append(conn, org_id, self._actor, action, kind, about, None, after, at)

    def people(self, conn: Conn, hashed: str) -> None:
        """Let two more people in."""
        owner = users.by_email(conn, OWNER)
        assert owner is not None, "the organization was founded with them"
        self._owner = owner.id
        self._actor = replace(self._actor, user_id=owner.id)
        for email, role, days in ((COLLEAGUE, Role.ADMIN, 94), (VIEWER, Role.VIEWER, 60)):
            at = self._now - days * DAY
            made = User(
                id=new_id(at),
                email=email,
                password_hash=hashed,
                home_org_id=self._org.id,
                created_at=at,
            )
            member = Membership(user_id=made.id, org_id=self._org.id, role=role, created_at=at)
            users.insert(conn, made, [member])
            after = {"email": email, "role": role.word}
            self._note(conn, self._org.id, "user.created", "user", made.id, after, at)

    def alerts(self, conn: Conn) -> None:
        """Make channels into the local sink, and rules."""
        sink = self._sink
        at = self._now - 93 * DAY
        configs: dict[str, tuple[str, ChannelConfig]] = {
            "On call": (
                "webhook",
                WebhookConfig(url=f"{sink}/on-call", secret="whsec_" + "ZGVtbw" * 6),
            ),
            "Team chat": ("ntfy", NtfyConfig(url=f"{sink}/chat", topic="team")),
            "Head of the shop": ("email", EmailConfig(to=("head-of-shop@example.com",))),
            "Pager": (
                "gotify",
                GotifyConfig(url=f"{sink}/pager", token="demo-pager"),  # noqa: S106
            ),
        }
        made = {}
        for name, (kind, config) in configs.items():
            channel = Channel(
                id=new_id(at),
                org_id=self._org.id,
                name=name,
                type=kind,
                config=config,
                created_at=at,
            )
            made[name] = channels.insert(conn, channel).id
            after = {"name": name, "type": kind}
            self._note(
                conn, self._org.id, "channel.created", "alert_channel", made[name], after, at
            )
        night = QuietHours(start="22:00", end="06:30", timezone="Europe/Berlin")
        blank = Rule(id="", org_id=self._org.id, name="", channel_id="", created_at=at)
        for rule in (
            replace(blank, name="Anything is down", channel_id=made["On call"]),
            replace(
                blank,
                name="Production is slow or down",
                tag="prod",
                channel_id=made["Team chat"],
                condition="down or degraded",
                quiet_hours=night,
            ),
            replace(
                blank,
                name="Nobody has taken it on",
                tag="prod",
                channel_id=made["Pager"],
                escalation_minutes=10,
                reminder_minutes=30,
                fallback_channel_id=made["On call"],
            ),
            replace(
                blank,
                name="Nobody can sign up",
                tag="marketing",
                channel_id=made["Team chat"],
            ),
            replace(
                blank,
                name="Shop slower than it should be",
                tag="prod",
                channel_id=made["Team chat"],
                condition="response_time_ms > 800 for 5m",
            ),
            replace(
                blank,
                name="A certificate ends soon",
                channel_id=made["Team chat"],
                condition="certificate_days < 14",
            ),
            replace(
                blank,
                name="Checkout is down",
                tag="payment",
                channel_id=made["Head of the shop"],
                escalation_minutes=15,
            ),
            replace(blank, name="NetPulse itself", channel_id=made["On call"], condition="system"),
        ):
            stored = alert_rules.insert(conn, replace(rule, id=new_id(at)))
            after = {"name": stored.name, "condition": stored.condition}
            self._note(conn, self._org.id, "rule.created", "alert_rule", stored.id, after, at)

    def watch(self, conn: Conn, org: Org, cast: Iterable[Watched]) -> Lives:
        """Make monitors, a minute after each other."""
        by_name: dict[str, Id] = {}
        lives = []
        for number, watched in enumerate(cast):
            if isinstance(watched.spec, IcmpSpec) and not may_ping():
                continue
            at = org.created_at + 3 * DAY + number * MINUTE
            spec = watched.spec
            if spec.name in PARENTS:
                spec = replace(spec, parent_id=by_name[PARENTS[spec.name]])
            monitor = monitors.insert(
                conn,
                Monitor(
                    id=new_id(at),
                    key=0,
                    org_id=org.id,
                    spec=spec,
                    created_by=self._owner,
                    created_at=at,
                ),
            )
            if isinstance(spec, PushSpec):
                # As if the last ping had just come.
                pushes.save(conn, {monitor.id: push.begun(spec, self._now)})
            by_name[spec.name] = monitor.id
            after = monitor_rules.redacted(spec)
            self._note(conn, org.id, "monitor.created", "monitor", monitor.id, after, at)
            lives.append((monitor, watched))
        return lives

    def pause(self, conn: Conn, lives: Lives) -> None:
        """Pause what is not needed any more."""
        at = self._now - 20 * DAY
        for monitor, watched in lives:
            if watched.paused:
                edges.pause(conn, monitor.org_id, monitor.id, at)
                self._note(conn, monitor.org_id, "monitor.paused", "monitor", monitor.id, None, at)

    def maintain(self, conn: Conn, lives: Lives) -> None:
        """Plan maintenance: one that is over, one that lasts, and two that come back."""
        ids = {monitor.spec.name: monitor.id for monitor, _ in lives}
        now, week = self._now, 7 * DAY
        # Sunday, 2 o'clock UTC, some weeks ago.
        sunday = now - now % DAY - 12 * week - (now // DAY + 4) % 7 * DAY + 2 * HOUR
        plans = (
            (
                now - 13 * DAY,
                "New payment provider",
                "Orders are taken, but charged later.",
                Schedule(starts_at=now - 12 * DAY, ends_at=now - 12 * DAY + 90 * MINUTE),
                Coverage(monitor_ids=(ids["Checkout"],)),
                True,
            ),
            (
                sunday - DAY,
                "Weekly updates",
                "The databases restart one after the other.",
                Schedule(
                    starts_at=sunday,
                    rrule="FREQ=WEEKLY;BYDAY=SU",
                    timezone="Europe/Berlin",
                    duration_minutes=120,
                ),
                Coverage(tags=("database", "internal")),
                True,
            ),
            (
                now - 3 * HOUR,
                "The wiki counts its pages",
                "Every hour, for ten minutes.",
                Schedule(
                    starts_at=now - 3 * HOUR,
                    cron="50 * * * *",
                    timezone="Europe/Berlin",
                    duration_minutes=10,
                ),
                Coverage(monitor_ids=(ids["Wiki"],)),
                False,
            ),
            (
                now - 2 * HOUR,
                "Partners move to another data centre",
                "Their interface may be away for minutes at a time.",
                Schedule(starts_at=now - 25 * MINUTE, ends_at=now + 35 * MINUTE),
                Coverage(monitor_ids=(ids["Partner API"],)),
                True,
            ),
        )
        for at, title, description, schedule, coverage, is_public in plans:
            item = maintenances.insert(
                conn,
                Maintenance(
                    id=new_id(at),
                    org_id=self._org.id,
                    title=title,
                    description=description,
                    schedule=schedule,
                    coverage=coverage,
                    is_public=is_public,
                    created_by=self._owner,
                    created_at=at,
                ),
                at,
            )
            self._note(conn, self._org.id, "maintenance.created", "maintenance", item.id, title, at)
        # Let the windows that have been begin and end at their times.
        while (due := maintenances.next_due(conn)) is not None and due < now:
            while maintenances.keep_up(conn, due):
                pass

    def client(self, conn: Conn, name: str, plan: str, quota: int) -> Org:
        """Take a client on, whom the owner may enter."""
        at = self._now - 80 * DAY
        org = orgs.insert(
            conn,
            Org(
                id=new_id(at),
                name=name,
                slug=accounts.slug_for(conn, name),
                parent_id=self._org.id,
                plan=plan,
                quotas=Quotas(monitors=quota, users=5, private_targets=True),
                timezone="Europe/Berlin",
                created_at=at,
            ),
        )
        grant = Membership(
            user_id=self._owner,
            org_id=org.id,
            role=Role.ADMIN,
            is_grant=True,
            granted_by=self._owner,
            created_at=at,
        )
        users.put_membership(conn, grant)
        after = {"name": name, "plan": plan}
        self._note(conn, self._org.id, "client.created", "client", org.id, after, at)
        self._note(conn, org.id, "org.created", "org", org.id, after, at)
        return org

    def publish(self, conn: Conn, lives: Lives, closed: str) -> None:
        """Make two status pages, one of them behind a password, and tell something on the first."""
        at = self._now - 75 * DAY
        ids = {
            monitor.spec.name: monitor.id for monitor, _ in lives if monitor.org_id == self._org.id
        }

        def group(name: str, **services: str) -> Group:
            return Group(
                name=name,
                monitors=tuple(
                    Service(monitor_id=ids[internal], public_name=public.replace("_", " "))
                    for public, internal in services.items()
                ),
            )

        page = StatusPage(
            id=new_id(at),
            org_id=self._org.id,
            slug=PAGE,
            title="Example Works Status",
            text="How our shop and our services are, and what we are working on.",
            branding=Branding(colors=Colors(accent="#0b7285", header="#0b3954")),
            figures=Figures(uptime=True, response_times=True),
            groups=(
                group(
                    "Shop",
                    Shop="Shop front page",
                    Search="Search",
                    Checkout="Checkout",
                    Customer_accounts="Sign-in",
                    Newsletter="Newsletter sign-up",
                ),
                group(
                    "Delivery", Parcel_tracking="Parcel tracking", Partner_interface="Partner API"
                ),
                group("Business customers", Customer_portal="Customer portal"),
            ),
            created_by=self._owner,
            created_at=at,
            updated_at=at,
        )
        inside = replace(
            page,
            id=new_id(at),
            slug=CLOSED_PAGE,
            title="Warehouse",
            text="For the people of the warehouse.",
            branding=Branding(),
            password_hash=closed,
            is_indexed=False,
            groups=(group("Systems", Stock_keeping="Stock keeping", Orders="Orders database"),),
        )
        for one in (page, inside):
            stored = status_pages.insert(conn, one)
            after = {"slug": one.slug, "title": one.title}
            self._note(
                conn, self._org.id, "status_page.created", "status_page", stored.id, after, at
            )
        for days, kind, address in (
            (70, SubscriberKind.EMAIL, "warehouse@customer.example"),
            (44, SubscriberKind.WEBHOOK, self._sink + "/customer"),
            (12, SubscriberKind.EMAIL, "purchasing@customer.example"),
        ):
            asked = self._now - days * DAY
            subscriber = subscribers.ask(conn, page.id, kind, address, asked)
            subscribers.confirm(conn, subscriber, 0, asked + 3 * MINUTE)
        told = self._now - 4 * HOUR
        announcement = Announcement(
            id=new_id(told),
            page_id=page.id,
            title="New opening hours of our customer service",
            text="From Monday on we answer from 7 to 20 o'clock, on Saturdays from 9 to 14.",
            ends_at=self._now + 30 * DAY,
            created_by=self._owner,
            created_at=told,
        )
        announcements.insert(conn, announcement)
        begun = self._now - 6 * DAY
        manual = incidents.insert_manual(
            conn,
            Incident(
                id=new_id(begun),
                org_id=self._org.id,
                title="Parcels of one carrier are late",
                status=IncidentStatus.INVESTIGATING,
                origin=Origin.MANUAL,
                impact=Impact.MINOR,
                page_ids=(page.id,),
                started_at=begun,
                created_at=begun,
            ),
            message="A carrier's sorting centre stands still. Parcels come a day later.",
            user_id=self._owner,
        )
        incidents.add_update(
            conn,
            self._org.id,
            manual.id,
            "The sorting centre works again; what was left behind is on its way.",
            now=begun + 9 * HOUR,
            user_id=self._owner,
            status=IncidentStatus.MONITORING,
            is_public=True,
        )
        incidents.patch(
            conn,
            self._org.id,
            manual.id,
            now=begun + 26 * HOUR,
            user_id=self._owner,
            status=IncidentStatus.RESOLVED,
        )
        # What subscribers are told begins here: all before was told long ago.
        page_news.begin(conn, page.id, self._now)
