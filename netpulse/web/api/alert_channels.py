"""/v1/alert-channels: the five verbs, and a test."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace as with_changes

from netpulse import channels as sending
from netpulse.channels import DeliveryError
from netpulse.model.channel import Channel
from netpulse.model.ids import Id, new_id
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import alert_rules, channels, orgs
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import reading
from netpulse.web.api import webhook
from netpulse.web.api.alert_rules import MAX_RULES_NOTED
from netpulse.web.api.alert_rules import shown as shown_rule
from netpulse.web.api.webhook import WebhookAnswer, WebhookSpec
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import Problem, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery, Noun, verbs
from netpulse.web.session import Deed, OrgSession

READ_ONLY = frozenset({"id", "org_id", "created_at", "version", "problem"})
_READ_ONLY_CONFIG = frozenset({"secret_set", "headers_set"})


class ChannelSpec(Struct, frozen=True, kw_only=True):
    """A way of telling somebody."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    type: Literal["webhook"]
    config: WebhookSpec
    is_active: bool = True
    retry_for_seconds: Annotated[int, Meta(ge=0, le=7 * 86_400)] = 86_400
    """How long a message is tried again."""
    max_attempts: Annotated[int, Meta(ge=3, le=1000)] | None = None
    """Null: as many as fit into retry_for_seconds, and at least 3."""


class ChannelAnswer(Struct, frozen=True, kw_only=True):
    """A channel."""

    id: Id
    org_id: Id
    name: str
    type: str
    config: WebhookAnswer
    is_active: bool
    retry_for_seconds: int
    max_attempts: int | None
    created_at: str
    version: int
    problem: str | None
    """Why it cannot be used as it is stored."""


class TestDelivery(Struct, frozen=True, kw_only=True):
    """What became of a test message."""

    at: str
    ok: bool
    status_code: int | None
    answer: str | None
    latency_ms: int | None
    error: str | None


class Channels(Noun[ChannelSpec, Channel, Channel, ListQuery]):
    """Alert channels."""

    word: ClassVar[str] = "alert channel"
    path: ClassVar[str] = "/v1/alert-channels"
    kind: ClassVar[str] = "alert_channel"
    spec: ClassVar[Any] = ChannelSpec
    answer: ClassVar[Any] = ChannelAnswer

    def read_spec(self, values: dict[str, Any]) -> ChannelSpec:
        """Return the spec; headers without a value are judged with the stored ones."""
        config = values.get("config")
        if isinstance(config, dict):
            kept = {key: value for key, value in config.items() if key not in _READ_ONLY_CONFIG}
            values = {**values, "config": kept}
        spec = reading.into(ChannelSpec, values, ignore=READ_ONLY)
        spec = with_changes(spec, name=spec.name.strip(), config=webhook.trimmed(spec.config))
        problems = [] if spec.name else [Problem("$.name", "the name is empty")]
        reading.at_least_one([*problems, *webhook.problems(spec.config)])
        return spec

    def get(self, conn: Conn, org_id: Id, row_id: Id) -> Channel | None:
        """Return a channel."""
        return channels.get(conn, org_id, row_id)

    def page(self, conn: Conn, org_id: Id, query: ListQuery) -> Page[Channel]:
        """Return a page of them."""
        return channels.page(conn, org_id, offset=query.offset, limit=query.limit)

    def insert(self, deed: Deed, spec: ChannelSpec) -> Channel:
        """Store a new channel."""
        return channels.insert(
            deed.conn,
            Channel(
                id=new_id(deed.now),
                org_id=deed.org_id,
                name=spec.name,
                type=spec.type,
                config=webhook.merged(spec.config, None),
                is_active=spec.is_active,
                retry_for_seconds=spec.retry_for_seconds,
                max_attempts=spec.max_attempts,
                created_at=deed.now,
            ),
        )

    def replace(self, deed: Deed, old: Channel, spec: ChannelSpec) -> Channel:
        """Store another spec, with the secrets it leaves out."""
        new = with_changes(
            old,
            name=spec.name,
            type=spec.type,
            config=webhook.merged(spec.config, old.config),
            is_active=spec.is_active,
            retry_for_seconds=spec.retry_for_seconds,
            max_attempts=spec.max_attempts,
        )
        return channels.replace(deed.conn, new, expected_version=old.version, now=deed.now)

    def delete(self, deed: Deed, old: Channel) -> None:
        """Remove it with the rules that speak through it."""
        bound = alert_rules.page(deed.conn, deed.org_id, channel_id=old.id, limit=MAX_RULES_NOTED)
        for rule in bound.rows:
            deed.note("alert_rule.deleted", "alert_rule", rule.id, before=shown_rule(rule))
        channels.delete(deed.conn, deed.org_id, old.id, now=deed.now)

    def show(self, house: House, session: OrgSession, row: Channel) -> ChannelAnswer:
        """Return the answer about a channel."""
        del house
        return shown(row, for_admin=session.role >= Role.ADMIN)

    def show_listed(self, house: House, session: OrgSession, row: Channel) -> ChannelAnswer:
        """Return the answer in a list: the same."""
        return self.show(house, session, row)

    def record(self, row: Channel) -> ChannelAnswer:
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


def shown(channel: Channel, *, for_admin: bool) -> ChannelAnswer:
    """Return a channel as the API answers it."""
    return ChannelAnswer(
        id=channel.id,
        org_id=channel.org_id,
        name=channel.name,
        type=channel.type,
        config=webhook.shown(channel.config, for_admin=for_admin),
        is_active=channel.is_active,
        retry_for_seconds=channel.retry_for_seconds,
        max_attempts=channel.max_attempts,
        created_at=rfc3339(channel.created_at),
        version=channel.version,
        problem=channel.damage,
    )


async def send_test(house: House, session: OrgSession, channel_id: Id) -> TestDelivery:
    """Send a test message through a channel, once, and note that somebody did."""
    found = await session.read(_with_org, channel_id)
    if found is None:
        raise not_found("alert channel")
    channel, org = found
    at = rfc3339(session.now)
    try:
        answer = await sending.send_test(channel, org, house.egress, now=session.now)
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
    errors=(404,),
)
async def test(call: Call) -> One[TestDelivery]:
    """Send the event `test` and say what the far side answered."""
    channel_id = call.id("id", "alert channel")
    return One.of(await send_test(call.house, call.session, channel_id))


ROUTES = (*verbs(CHANNELS, read=VIEWER, write=ADMIN), test)
