"""/v1/alert-rules: the five verbs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import replace as with_changes

from netpulse.model.alert import Rule
from netpulse.model.ids import Id, is_id, new_id
from netpulse.model.time import rfc3339
from netpulse.rules import condition
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
        name = (spec.name or "").strip() or text
        tag = None if spec.tag is None else spec.tag.strip()
        spec = with_changes(spec, name=name[:200], tag=tag, condition=text)
        problems = []
        if spec.monitor_id is not None and spec.tag is not None:
            problems.append(Problem("$.tag", "give monitor_id or tag, not both"))
        if spec.tag == "":
            problems.append(Problem("$.tag", "the tag is empty"))
        try:
            condition.parse(text)
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

    def _filled(self, deed: Deed, rule: Rule, spec: RuleSpec) -> Rule:
        """Return `rule` with what `spec` says, after a look at what it names."""
        problems = []
        wanted = spec.channel_id
        if not is_id(wanted) or channels.get(deed.conn, deed.org_id, wanted) is None:
            problems.append(Problem("$.channel_id", "there is no alert channel with this id"))
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
        )


RULES = Rules()


def shown(rule: Rule) -> RuleAnswer:
    """Return a rule as the API answers it."""
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
        created_at=rfc3339(rule.created_at),
        version=rule.version,
    )


ROUTES = verbs(RULES, read=VIEWER, write=ADMIN)
