"""/v1/alert-channels: the five verbs, and a test."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace as with_changes

from netpulse import channels as sending
from netpulse.channels import DeliveryError
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.ids import Id, new_id
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import alert_rules, channels, orgs, quotas
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import limits, reading
from netpulse.web.api import channel_configs
from netpulse.web.api.alert_rules import MAX_RULES_NOTED
from netpulse.web.api.alert_rules import shown as shown_rule
from netpulse.web.api.channel_configs import AnyAnswer, AnySpec
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery, Noun, verbs
from netpulse.web.session import Deed, OrgSession

READ_ONLY = frozenset(
    {
        "id",
        "org_id",
        "created_at",
        "version",
        "problem",
        "disabled_at",
        "disabled_reason",
        "last_test_at",
        "last_test_ok",
    }
)


class TestDelivery(Struct, frozen=True, kw_only=True):
    """What became of a test message."""

    at: str
    ok: bool
    status_code: int | None
    answer: str | None
    latency_ms: int | None
    error: str | None


class Channels(Noun[AnySpec, Channel, Channel, ListQuery]):
    """Alert channels."""

    word: ClassVar[str] = "alert channel"
    path: ClassVar[str] = "/v1/alert-channels"
    kind: ClassVar[str] = "alert_channel"
    spec: ClassVar[Any] = AnySpec
    answer: ClassVar[Any] = AnyAnswer

    def read_spec(self, values: dict[str, Any]) -> AnySpec:
        """Return the spec; secrets that are left out are judged with the stored ones."""
        kept = {name: value for name, value in values.items() if name not in READ_ONLY}
        spec = channel_configs.read(kept)
        kind = channel_configs.kind_of(spec)
        config: Any = kind.trimmed(spec.config)
        spec = with_changes(spec, name=spec.name.strip(), config=config)
        problems = reading.line_problems("$.name", spec.name)
        reading.at_least_one([*problems, *kind.problems(config)])
        return spec

    async def prepare(self, house: House, spec: AnySpec) -> AnySpec:
        """Return the spec, unless no configuration can be stored at all. Raises NoKey."""
        house.db.vault.demand()
        return spec

    def get(self, conn: Conn, org_id: Id, row_id: Id) -> Channel | None:
        """Return a channel."""
        return channels.get(conn, org_id, row_id)

    def page(self, conn: Conn, org_id: Id, query: ListQuery) -> Page[Channel]:
        """Return a page of them."""
        return channels.page(conn, org_id, offset=query.offset, limit=query.limit)

    def insert(self, deed: Deed, spec: AnySpec) -> Channel:
        """Store a new channel."""
        empty = Channel(
            id=new_id(deed.now),
            org_id=deed.org_id,
            name=spec.name,
            type=channel_configs.kind_of(spec).word,
            config=WebhookConfig(url=""),
            created_at=deed.now,
        )
        new = _filled(empty, spec, None)
        _refuse_private(deed, new)
        return channels.insert(deed.conn, new)

    def replace(self, deed: Deed, old: Channel, spec: AnySpec) -> Channel:
        """Store another spec, with the secrets it leaves out where the type is the same."""
        new = _filled(old, spec, old)
        _refuse_private(deed, new)
        if spec.is_active:
            new = with_changes(new, disabled_at=None, disabled_reason=None)
        return channels.replace(deed.conn, new, expected_version=old.version, now=deed.now)

    def delete(self, deed: Deed, old: Channel) -> None:
        """Remove it with the rules that speak through it."""
        bound = alert_rules.page(deed.conn, deed.org_id, channel_id=old.id, limit=MAX_RULES_NOTED)
        for rule in bound.rows:
            deed.note("alert_rule.deleted", "alert_rule", rule.id, before=shown_rule(rule))
        left = alert_rules.falling_back_to(
            deed.conn, deed.org_id, old.id, limit=MAX_RULES_NOTED
        ).rows
        for rule in left:
            if rule.channel_id != old.id:
                deed.note(
                    "alert_rule.updated",
                    "alert_rule",
                    rule.id,
                    before=shown_rule(rule),
                    after=shown_rule(with_changes(rule, fallback_channel_id=None)),
                )
        channels.delete(deed.conn, deed.org_id, old.id, now=deed.now)

    def show(self, house: House, session: OrgSession, row: Channel) -> AnyAnswer:
        """Return the answer about a channel."""
        del house
        return shown(row, for_admin=session.role >= Role.ADMIN)

    def show_listed(self, house: House, session: OrgSession, row: Channel) -> AnyAnswer:
        """Return the answer in a list: the same."""
        return self.show(house, session, row)

    def record(self, row: Channel) -> AnyAnswer:
        """Return it without secrets, and without the part of the URL that may be one."""
        return shown(row, for_admin=False)

    def id_of(self, row: Channel) -> Id:
        """Return its id."""
        return row.id

    def version_of(self, row: Channel) -> int:
        """Return its version."""
        return row.version

    def changed(self, house: House, row: Channel) -> None:
        """Let the dispatcher look at once: an active channel may have notices waiting."""
        del row
        house.engine.notices_written()


CHANNELS = Channels()


def _filled(channel: Channel, spec: AnySpec, old: Channel | None) -> Channel:
    """Return `channel` with what `spec` says, and with the secrets of `old` that it leaves out."""
    kind = channel_configs.kind_of(spec)
    return with_changes(
        channel,
        name=spec.name,
        type=kind.word,
        config=kind.merged(spec.config, kind.old(old)),
        is_active=spec.is_active,
        retry_for_seconds=spec.retry_for_seconds,
        max_attempts=spec.max_attempts,
    )


def _refuse_private(deed: Deed, channel: Channel) -> None:
    """Refuse an address that is plainly not of the public internet where the organization may
    reach no other. Raises ApiError (400)."""
    if not quotas.of(deed.conn, deed.org_id).private_targets:
        reading.at_least_one(channel_configs.private_problems(channel.config))


def shown(channel: Channel, *, for_admin: bool) -> AnyAnswer:
    """Return a channel as the API answers it."""
    kind = channel_configs.kind_of(channel)
    is_sound = channel.damage is None
    answer: AnyAnswer = kind.answer(
        id=channel.id,
        org_id=channel.org_id,
        name=channel.name,
        config=kind.shown(channel.config, for_admin=for_admin) if is_sound else None,
        is_active=channel.is_active,
        retry_for_seconds=channel.retry_for_seconds,
        max_attempts=channel.max_attempts,
        created_at=rfc3339(channel.created_at),
        version=channel.version,
        disabled_at=None if channel.disabled_at is None else rfc3339(channel.disabled_at),
        disabled_reason=channel.disabled_reason,
        last_test_at=None if channel.last_test_at is None else rfc3339(channel.last_test_at),
        last_test_ok=channel.last_test_ok,
        problem=channel.damage,
    )
    return answer


async def send_test(call: Call, channel_id: Id) -> TestDelivery:
    """Send a test message through a channel, once, and note that somebody did.

    Raises:
        ApiError: 404, and 429 for more tests of the organization in a minute than are allowed.
    """
    house, session = call.house, call.session
    found = await session.read(_with_org, channel_id)
    if found is None:
        raise not_found("alert channel")
    channel, org = found
    limits.channel_test_counts(call)
    at = rfc3339(session.now)
    try:
        answer = await sending.send_test(
            channel, org, house.engine.carrier(org.id), now=session.now
        )
        result = TestDelivery(
            at=at,
            ok=True,
            status_code=answer.status_code,
            answer=answer.text,
            latency_ms=answer.latency_ms,
            error=None,
        )
    except DeliveryError as error:
        result = TestDelivery(
            at=at,
            ok=False,
            status_code=error.status_code,
            answer=error.answer,
            latency_ms=error.latency_ms,
            error=str(error),
        )

    def note(deed: Deed) -> None:
        after = {"ok": result.ok, "status_code": result.status_code, "error": result.error}
        channels.tested(deed.conn, deed.org_id, channel_id, ok=result.ok, now=deed.now)
        deed.note("alert_channel.tested", "alert_channel", channel_id, after=after)

    await session.change(note)
    return result


def _with_org(conn: Conn, org_id: Id, channel_id: Id) -> Any:
    channel = channels.get(conn, org_id, channel_id)
    org = orgs.get(conn, org_id)
    return None if channel is None or org is None else (channel, org)


@endpoint(
    "POST",
    "/v1/alert-channels/{id:str}/test",
    access=ADMIN,
    tag="alert-channels",
    summary="Send a test message through a channel, once",
    answer=TestDelivery,
    errors=(404, 429),
)
async def test(call: Call) -> One[TestDelivery]:
    """Send the event `test` and say what the far side answered."""
    channel_id = call.id("id", "alert channel")
    return One.of(await send_test(call, channel_id))


ROUTES = (*verbs(CHANNELS, read=VIEWER, write=ADMIN), test)
