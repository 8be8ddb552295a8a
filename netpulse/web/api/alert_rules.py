"""/v1/alert-rules: the five verbs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import replace as with_changes

from netpulse.model.alert import QuietHours, Rule
from netpulse.model.ids import Id, is_id, new_id
from netpulse.model.time import rfc3339
from netpulse.rules import condition, push, templates
from netpulse.storage import alert_rules, channels, monitors
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import reading
from netpulse.web.endpoint import ADMIN, VIEWER
from netpulse.web.errors import ApiError, Problem
from netpulse.web.house import House
from netpulse.web.resource import ListQuery, Noun, verbs
from netpulse.web.session import Deed, OrgSession

MAX_RULES_NOTED = 10_000
"""How many rules that go with their monitor or channel get an audit row of their own."""

READ_ONLY = frozenset({"id", "org_id", "created_at", "version"})


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Minutes = Annotated[int, Meta(ge=1, le=10_080)]
"""At most a week."""

_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")


class QuietHoursSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of the week in which a rule keeps silent; what it would tell is told after it."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)] = DAYS
    """The days on which it begins."""
    start: Annotated[str, Meta(max_length=10)] = field(name="from")
    """HH:MM."""
    end: Annotated[str, Meta(max_length=10)] = field(name="to")
    """HH:MM; on the next day where it is not after `from`."""
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """IANA name, such as Europe/Berlin."""


class RuleSpec(Struct, frozen=True, kw_only=True):
    """Who is told about what. With neither monitor_id nor tag it covers every monitor."""

    channel_id: Annotated[str, Meta(max_length=100)]
    name: Annotated[str, Meta(max_length=200)] | None = None
    """Absent: the condition."""
    is_active: bool = True
    monitor_id: Annotated[str, Meta(max_length=100)] | None = None
    tag: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    condition: Annotated[str, Meta(min_length=1, max_length=1000)] = "down"
    cooldown_seconds: Annotated[int, Meta(ge=0, le=7 * 86_400)] = 300
    notify_recovery: bool = True
    escalation_minutes: Minutes | None = None
    """Speak first that long after the start, unless somebody acknowledged it or it is over."""
    reminder_minutes: Minutes | None = None
    """Speak again that often while it goes on and nobody has acknowledged it."""
    quiet_hours: QuietHoursSpec | None = None
    fallback_channel_id: Annotated[str, Meta(max_length=100)] | None = None
    """Told instead when the channel refuses for good, or has not taken it after 5 minutes."""
    message: Annotated[str, Meta(max_length=4000)] | None = None
    """A template for channels that people read; null: the usual words."""


class QuietHoursAnswer(Struct, frozen=True, kw_only=True):
    """The part of the week in which a rule keeps silent."""

    days: list[str]
    start: str = field(name="from")
    end: str = field(name="to")
    timezone: str


class RuleAnswer(Struct, frozen=True, kw_only=True):
    """A rule."""

    id: Id
    org_id: Id
    name: str
    is_active: bool
    monitor_id: Id | None
    tag: str | None
    channel_id: Id
    condition: str
    cooldown_seconds: int
    notify_recovery: bool
    escalation_minutes: int | None
    reminder_minutes: int | None
    quiet_hours: QuietHoursAnswer | None
    fallback_channel_id: Id | None
    message: str | None
    created_at: str
    version: int


class RuleQuery(ListQuery, frozen=True, kw_only=True):
    """Which rules."""

    monitor_id: Annotated[str, Meta(max_length=100)] | None = None
    """Those bound to this monitor."""
    channel_id: Annotated[str, Meta(max_length=100)] | None = None


class Rules(Noun[RuleSpec, Rule, Rule, RuleQuery]):
    """Alert rules."""

    word: ClassVar[str] = "alert rule"
    path: ClassVar[str] = "/v1/alert-rules"
    kind: ClassVar[str] = "alert_rule"
    spec: ClassVar[Any] = RuleSpec
    answer: ClassVar[Any] = RuleAnswer
    query: ClassVar[type[ListQuery]] = RuleQuery

    def read_spec(self, values: dict[str, Any]) -> RuleSpec:
        """Return the spec, its condition understood."""
        spec = reading.into(RuleSpec, values, ignore=READ_ONLY)
        text = spec.condition.strip()
        name = (spec.name or "").strip() or " ".join(text.split())
        tag = None if spec.tag is None else spec.tag.strip()
        spec = with_changes(
            spec,
            name=name[:200],
            tag=tag,
            condition=text,
            message=(spec.message or "").strip() or None,
        )
        problems = [] if not spec.name else reading.line_problems("$.name", spec.name)
        problems += [*_quiet_problems(spec.quiet_hours), *_message_problems(spec.message)]
        if spec.fallback_channel_id is not None and spec.fallback_channel_id == spec.channel_id:
            problems.append(
                Problem("$.fallback_channel_id", "is the channel itself: choose another one")
            )
        if spec.monitor_id is not None and spec.tag is not None:
            problems.append(Problem("$.tag", "give monitor_id or tag, not both"))
        if spec.tag == "":
            problems.append(Problem("$.tag", "the tag is empty"))
        try:
            problems += _without_effect(spec, condition.parse(text))
        except condition.ConditionError as error:
            problems.append(Problem("$.condition", str(error)))
        except condition.ConditionUnavailable as error:
            if not problems:
                details = {"errors": [{"path": "$.condition", "message": str(error)}]}
                raise ApiError(400, "CONDITION_UNAVAILABLE", str(error), details=details) from None
            problems.append(Problem("$.condition", str(error)))
        reading.at_least_one(problems)
        return spec

    def get(self, conn: Conn, org_id: Id, row_id: Id) -> Rule | None:
        """Return a rule."""
        return alert_rules.get(conn, org_id, row_id)

    def page(self, conn: Conn, org_id: Id, query: RuleQuery) -> Page[Rule]:
        """Return a page of them."""
        return alert_rules.page(
            conn,
            org_id,
            monitor_id=query.monitor_id,
            channel_id=query.channel_id,
            offset=query.offset,
            limit=query.limit,
        )

    def insert(self, deed: Deed, spec: RuleSpec) -> Rule:
        """Store a new rule."""
        rule = Rule(
            id=new_id(deed.now),
            org_id=deed.org_id,
            name=spec.name or spec.condition,
            channel_id=spec.channel_id,
            created_at=deed.now,
        )
        return alert_rules.insert(deed.conn, self._filled(deed, rule, spec))

    def replace(self, deed: Deed, old: Rule, spec: RuleSpec) -> Rule:
        """Store another spec."""
        rule = self._filled(deed, old, spec)
        return alert_rules.replace(deed.conn, rule, expected_version=old.version, now=deed.now)

    def delete(self, deed: Deed, old: Rule) -> None:
        """Remove it."""
        alert_rules.delete(deed.conn, deed.org_id, old.id)

    def show(self, house: House, session: OrgSession, row: Rule) -> RuleAnswer:
        """Return the answer about a rule."""
        del house, session
        return shown(row)

    def show_listed(self, house: House, session: OrgSession, row: Rule) -> RuleAnswer:
        """Return the answer in a list: the same."""
        del house, session
        return shown(row)

    def record(self, row: Rule) -> RuleAnswer:
        """Return it as it is: a rule has no secrets."""
        return shown(row)

    def id_of(self, row: Rule) -> Id:
        """Return its id."""
        return row.id

    def version_of(self, row: Rule) -> int:
        """Return its version."""
        return row.version

    def changed(self, house: House, row: Rule) -> None:
        """Have the engine watch for what it speaks of."""
        house.engine.rules_changed(row.org_id)

    def _filled(self, deed: Deed, rule: Rule, spec: RuleSpec) -> Rule:
        """Return `rule` with what `spec` says, after a look at what it names."""
        problems = []
        wanted = spec.channel_id
        if not is_id(wanted) or channels.get(deed.conn, deed.org_id, wanted) is None:
            problems.append(Problem("$.channel_id", "there is no alert channel with this id"))
        other = spec.fallback_channel_id
        if other is not None and (
            not is_id(other) or channels.get(deed.conn, deed.org_id, other) is None
        ):
            problems.append(
                Problem("$.fallback_channel_id", "there is no alert channel with this id")
            )
        about = spec.monitor_id
        if about is not None and (
            not is_id(about) or monitors.get(deed.conn, deed.org_id, about) is None
        ):
            problems.append(Problem("$.monitor_id", "there is no monitor with this id"))
        reading.at_least_one(problems)
        return with_changes(
            rule,
            name=spec.name or spec.condition,
            is_active=spec.is_active,
            monitor_id=spec.monitor_id,
            tag=spec.tag,
            channel_id=spec.channel_id,
            condition=spec.condition,
            cooldown_seconds=spec.cooldown_seconds,
            notify_recovery=spec.notify_recovery,
            escalation_minutes=spec.escalation_minutes,
            reminder_minutes=spec.reminder_minutes,
            quiet_hours=_stored(spec.quiet_hours),
            fallback_channel_id=spec.fallback_channel_id,
            message=spec.message,
        )


def _without_effect(spec: RuleSpec, asked: condition.Condition) -> Iterator[Problem]:
    """Yield what the condition gives no meaning to: nothing is accepted and then ignored."""
    if spec.reminder_minutes is not None and "down" not in asked.words:
        yield Problem(
            "$.reminder_minutes", "reminders are of incidents: the condition must name down"
        )
    if spec.escalation_minutes is not None and "down" not in asked.words and not asked.terms:
        yield Problem(
            "$.escalation_minutes",
            "an escalation is of an incident or a measure: the condition names neither",
        )
    if asked.words == {"system"} and not asked.terms:
        for name in ("monitor_id", "tag"):
            if getattr(spec, name) is not None:
                yield Problem(f"$.{name}", "system is about NetPulse itself, not about monitors")


RULES = Rules()


def shown(rule: Rule) -> RuleAnswer:
    """Return a rule as the API answers it."""
    quiet = rule.quiet_hours
    return RuleAnswer(
        id=rule.id,
        org_id=rule.org_id,
        name=rule.name,
        is_active=rule.is_active,
        monitor_id=rule.monitor_id,
        tag=rule.tag,
        channel_id=rule.channel_id,
        condition=rule.condition,
        cooldown_seconds=rule.cooldown_seconds,
        notify_recovery=rule.notify_recovery,
        escalation_minutes=rule.escalation_minutes,
        reminder_minutes=rule.reminder_minutes,
        quiet_hours=None
        if quiet is None
        else QuietHoursAnswer(
            days=list(quiet.days), start=quiet.start, end=quiet.end, timezone=quiet.timezone
        ),
        fallback_channel_id=rule.fallback_channel_id,
        message=rule.message,
        created_at=rfc3339(rule.created_at),
        version=rule.version,
    )


def _quiet_problems(quiet: QuietHoursSpec | None) -> list[Problem]:
    if quiet is None:
        return []
    path = "$.quiet_hours"
    found = [
        Problem(f"{path}.{name}", "is no time of day: write HH:MM, from 00:00 to 23:59")
        for name, text in (("from", quiet.start), ("to", quiet.end))
        if not _CLOCK.fullmatch(text)
    ]
    try:
        push.zone(quiet.timezone)
    except push.ScheduleError as trouble:
        found.append(Problem(f"{path}.timezone", str(trouble)))
    if quiet.start == quiet.end and set(quiet.days) == set(DAYS):
        found.append(
            Problem(f"{path}.to", "is the same as from, on every day: the rule would never speak")
        )
    return found


def _message_problems(message: str | None) -> list[Problem]:
    if message is None:
        return []
    flaw = templates.problem(message)
    return [] if flaw is None else [Problem("$.message", flaw)]


def _stored(quiet: QuietHoursSpec | None) -> QuietHours | None:
    """Return quiet hours as they are stored: the days in their order, each once."""
    if quiet is None:
        return None
    return QuietHours(
        days=tuple(day for day in DAYS if day in quiet.days),
        start=quiet.start,
        end=quiet.end,
        timezone=quiet.timezone,
    )


ROUTES = verbs(RULES, read=VIEWER, write=ADMIN)
