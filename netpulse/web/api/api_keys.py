"""/v1/api-keys: make, list, rotate and revoke. A key is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.model.api_key import SCOPES, ApiKey
from netpulse.model.ids import Id, new_id
from netpulse.model.time import Millis, parse_rfc3339, rfc3339
from netpulse.rules.messages import one_line
from netpulse.storage import api_keys, users
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import reading, scopes, security_notes
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import Problem, conflict, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession


class KeySpec(Struct, frozen=True, kw_only=True):
    """A key that is to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    """What it is for."""
    scopes: Annotated[list[Annotated[str, Meta(max_length=50)]], Meta(min_length=1, max_length=50)]
    """`<resource>:read` or `:write` (which includes reading), `metrics:read`, `audit:read`."""
    expires_at: Annotated[str, Meta(max_length=50)] | None = None
    """RFC 3339; null: never."""


class KeyAnswer(Struct, frozen=True, kw_only=True):
    """A key, without itself."""

    id: Id
    org_id: Id
    name: str
    prefix: str
    """How it begins."""
    scopes: tuple[str, ...]
    created_by: Id
    """It may never do more than this person may at the moment."""
    last_used_at: str | None
    """To the minute."""
    expires_at: str | None
    created_at: str
    version: int


class NewKeyAnswer(KeyAnswer, frozen=True, kw_only=True):
    """A key as it is shown once."""

    key: str


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "org_id": key.org_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_by": key.created_by,
        "last_used_at": None if key.last_used_at is None else rfc3339(key.last_used_at),
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
        "created_at": rfc3339(key.created_at),
        "version": key.version,
    }


def shown(key: ApiKey) -> KeyAnswer:
    """Return a key as the API answers it."""
    return KeyAnswer(**_fields(key))  # type: ignore[arg-type]  # one dict, many types


def _shown_once(key: ApiKey, text: str) -> NewKeyAnswer:
    return NewKeyAnswer(**_fields(key), key=text)  # type: ignore[arg-type]  # as above


def _called(key: ApiKey) -> str:
    """Return what a key is called in a letter; its name may be long."""
    return f"{one_line(key.name, 60)} ({key.prefix}…)"


def _page(conn: Conn, org_id: Id, query: ListQuery) -> Page[ApiKey]:
    return api_keys.page(conn, org_id, offset=query.offset, limit=query.limit)


def _expiry(spec: KeySpec, now: Millis) -> tuple[Millis | None, list[Problem]]:
    if spec.expires_at is None:
        return None, []
    try:
        at = parse_rfc3339(spec.expires_at)
    except ValueError as error:
        return None, [Problem("$.expires_at", str(error))]
    return at, [] if at > now else [Problem("$.expires_at", "must be in the future")]


@endpoint(
    "GET",
    "/v1/api-keys",
    access=ADMIN,
    tag="api-keys",
    summary="List the API keys",
    query=ListQuery,
    answer=KeyAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[KeyAnswer]:
    """List."""
    query = call.query(ListQuery)
    found = await call.session.read(_page, query)
    rows = [shown(key) for key in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


async def make(house: House, session: OrgSession, spec: KeySpec) -> tuple[ApiKey, str]:
    """Make a key; returns it and the text that is shown once.

    Raises:
        ApiError: 400 for an empty name, a scope that there is not, or an expiry that has passed.
    """
    name = spec.name.strip()
    expires_at, found = _expiry(spec, session.now)
    found = [*reading.line_problems("$.name", name), *found]
    found += [
        Problem(f"$.scopes[{number}]", f"{scope!r} is none of {', '.join(sorted(SCOPES))}")
        for number, scope in enumerate(spec.scopes)
        if scope not in SCOPES
    ]
    reading.at_least_one(found)
    text, prefix = scopes.new_key()

    def work(deed: Deed) -> ApiKey:
        key = api_keys.insert(
            deed.conn,
            ApiKey(
                id=new_id(deed.now),
                org_id=deed.org_id,
                created_by=session.user.id,
                name=name,
                prefix=prefix,
                digest=house.digester.digest(text),
                scopes=tuple(sorted(set(spec.scopes))),
                expires_at=expires_at,
                created_at=deed.now,
            ),
        )
        deed.note("api_key.created", "api_key", key.id, after=shown(key))
        said = f"The API key {_called(key)} was made in your name."
        security_notes.tell(deed.conn, house, session.user, said, deed.actor, deed.now)
        return key

    key = await session.change(work)
    house.engine.letters_written()
    return key, text


@endpoint(
    "POST",
    "/v1/api-keys",
    access=ADMIN,
    tag="api-keys",
    summary="Make an API key; the answer is the only one that shows it",
    body=KeySpec,
    answer=NewKeyAnswer,
    status=201,
)
async def create(call: Call) -> One[NewKeyAnswer]:
    """Make one."""
    key, text = await make(call.house, call.session, await call.body(KeySpec))
    return One.of(_shown_once(key, text))


@endpoint(
    "POST",
    "/v1/api-keys/{id:str}/rotate",
    access=ADMIN,
    tag="api-keys",
    summary="Give an API key another secret; the old one ends at once",
    answer=NewKeyAnswer,
    errors=(404, 409),
)
async def rotate_one(call: Call) -> One[NewKeyAnswer]:
    """Rotate one."""
    key_id = call.id("id", "api key")
    return One.of(_shown_once(*await rotate(call.house, call.session, key_id)))


async def rotate(house: House, session: OrgSession, key_id: Id) -> tuple[ApiKey, str]:
    """Give a key another secret; returns it and the text that is shown once.

    Whoever rotates it is its maker from then on: nobody gets at more than they may by rotating the
    key of somebody who may more.

    Raises:
        ApiError: 404, 409 `API_KEY_EXPIRED`.
    """
    text, prefix = scopes.new_key()
    digest = house.digester.digest(text)

    def work(deed: Deed) -> ApiKey:
        old = api_keys.get(deed.conn, deed.org_id, key_id)
        if old is None:
            raise not_found("api key")
        if old.expires_at is not None and old.expires_at <= deed.now:
            raise conflict("API_KEY_EXPIRED", "This API key has expired; make another")
        key = api_keys.rotate(
            deed.conn, deed.org_id, key_id, prefix, digest, session.user.id, deed.now
        )
        deed.note("api_key.rotated", "api_key", key_id, before=shown(old), after=shown(key))
        said = f"The API key {_called(old)} that was made in your name was given another secret."
        for user_id in {old.created_by, session.user.id}:
            user = users.get(deed.conn, user_id)
            if user is not None:
                security_notes.tell(deed.conn, house, user, said, deed.actor, deed.now)
        return key

    key = await session.change(work)
    house.engine.letters_written()
    return key, text


@endpoint(
    "DELETE",
    "/v1/api-keys/{id:str}",
    access=ADMIN,
    tag="api-keys",
    summary="Revoke an API key",
    errors=(404,),
)
async def revoke_one(call: Call) -> One[None]:
    """Revoke one."""
    await revoke(call.session, call.id("id", "api key"))
    return NOTHING


async def revoke(session: OrgSession, key_id: Id) -> None:
    """Revoke a key: the next request with it is refused. Raises ApiError: 404."""

    def work(deed: Deed) -> None:
        old = api_keys.get(deed.conn, deed.org_id, key_id)
        if old is None:
            raise not_found("api key")
        api_keys.delete(deed.conn, deed.org_id, key_id)
        deed.note("api_key.revoked", "api_key", key_id, before=shown(old))

    await session.change(work)


ROUTES = (list_all, create, rotate_one, revoke_one)
