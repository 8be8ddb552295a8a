"""The five verbs of a REST resource, written once.

A noun says what differs (Noun); `verbs` makes the routes. There are no switches: a resource that
wants more writes its own short handlers beside these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from netpulse.model.ids import Id
from netpulse.model.user import Role
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web.call import Call
from netpulse.web.endpoint import endpoint
from netpulse.web.envelope import DEFAULT_LIMIT, MAX_LIMIT, NOTHING, Many, One, page_of
from netpulse.web.errors import not_found, version_conflict
from netpulse.web.house import House
from netpulse.web.session import Deed, OrgSession

SpecT = TypeVar("SpecT")
RowT = TypeVar("RowT")
ListT = TypeVar("ListT")
QueryT = TypeVar("QueryT", bound="ListQuery")


class ListQuery(Struct, frozen=True, kw_only=True):
    """What every list takes."""

    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return (self.page - 1) * self.limit


class Noun(ABC, Generic[SpecT, RowT, ListT, QueryT]):
    """What one resource has of its own. The functions with a Conn or Deed run in storage's thread.

    SpecT is what a person sends, RowT what is stored, ListT a row of its list.
    """

    word: ClassVar[str]
    """Singular, in lower case: "alert channel"."""
    path: ClassVar[str]
    """"/v1/alert-channels"."""
    kind: ClassVar[str]
    """As the audit log names it: "alert_channel"."""
    spec: ClassVar[Any]
    """The body's type, for the OpenAPI document."""
    answer: ClassVar[Any]
    """The type of an answer, for the OpenAPI document."""
    query: ClassVar[type[ListQuery]] = ListQuery
    refusals: ClassVar[tuple[int, ...]] = ()
    """Statuses with which storing one may be refused beyond the usual, for the document: 409."""

    @abstractmethod
    def read_spec(self, values: dict[str, Any]) -> SpecT:
        """Return the body as a spec, or raise the 400 that names every problem."""

    async def prepare(self, house: House, spec: SpecT) -> SpecT:
        """Return the spec with what must be done before the transaction: what takes time (the
        hash of a password), or needs the house. May raise as `read_spec`."""
        del house
        return spec

    @abstractmethod
    def get(self, conn: Conn, org_id: Id, row_id: Id) -> RowT | None:
        """Return one row of the organization."""

    @abstractmethod
    def page(self, conn: Conn, org_id: Id, query: QueryT) -> Page[ListT]:
        """Return a page of the organization's rows."""

    async def find(self, house: House, session: OrgSession, query: QueryT) -> Page[ListT]:
        """Return `page`; a noun that orders its list by what only the house knows says how."""
        del house
        return await session.read(self.page, query)

    @abstractmethod
    def insert(self, deed: Deed, spec: SpecT) -> RowT:
        """Store a new row. Raises ApiError for what the database must judge."""

    @abstractmethod
    def replace(self, deed: Deed, old: RowT, spec: SpecT) -> RowT:
        """Store `spec` in place of `old`."""

    @abstractmethod
    def delete(self, deed: Deed, old: RowT) -> None:
        """Remove `old`."""

    @abstractmethod
    def show(self, house: House, session: OrgSession, row: RowT) -> Any:
        """Return the answer about a row, for the eyes of `session`."""

    @abstractmethod
    def show_listed(self, house: House, session: OrgSession, row: ListT) -> Any:
        """Return the answer about a row of the list."""

    @abstractmethod
    def record(self, row: RowT) -> Any:
        """Return what the audit log keeps of a row: plain values without secrets."""

    @abstractmethod
    def id_of(self, row: RowT) -> Id:
        """Return the row's id."""

    @abstractmethod
    def version_of(self, row: RowT) -> int:
        """Return the row's version."""

    def changed(self, house: House, row: RowT) -> None:
        """Tell whoever must know at once, after the change is durable."""
        del house, row


async def create(
    noun: Noun[SpecT, RowT, ListT, QueryT], house: House, session: OrgSession, spec: SpecT
) -> RowT:
    """Store a new row with its audit row, and tell who must know."""
    spec = await noun.prepare(house, spec)

    def work(deed: Deed) -> RowT:
        row = noun.insert(deed, spec)
        deed.note(f"{noun.kind}.created", noun.kind, noun.id_of(row), after=noun.record(row))
        return row

    row = await session.change(work)
    noun.changed(house, row)
    return row


async def replace(
    noun: Noun[SpecT, RowT, ListT, QueryT],
    house: House,
    session: OrgSession,
    row_id: Id,
    spec: SpecT,
    expected_version: int | None = None,
) -> RowT:
    """Store `spec` in place of what is there.

    Raises:
        ApiError: 404, 412 if it is not at `expected_version`, or what the noun raises.
    """
    spec = await noun.prepare(house, spec)

    def work(deed: Deed) -> RowT:
        old = _there(noun, deed, row_id, expected_version)
        row = noun.replace(deed, old, spec)
        deed.note(
            f"{noun.kind}.updated",
            noun.kind,
            row_id,
            before=noun.record(old),
            after=noun.record(row),
        )
        return row

    row = await session.change(work)
    noun.changed(house, row)
    return row


async def delete(
    noun: Noun[SpecT, RowT, ListT, QueryT],
    house: House,
    session: OrgSession,
    row_id: Id,
    expected_version: int | None = None,
) -> None:
    """Remove a row. Raises ApiError: 404, 412, or what the noun raises."""

    def work(deed: Deed) -> RowT:
        old = _there(noun, deed, row_id, expected_version)
        noun.delete(deed, old)
        deed.note(f"{noun.kind}.deleted", noun.kind, row_id, before=noun.record(old))
        return old

    noun.changed(house, await session.change(work))


def _there(
    noun: Noun[SpecT, RowT, ListT, QueryT], deed: Deed, row_id: Id, expected: int | None
) -> RowT:
    old = noun.get(deed.conn, deed.org_id, row_id)
    if old is None:
        raise not_found(noun.word)
    if expected is not None and expected != noun.version_of(old):
        raise version_conflict()
    return old


def verbs(
    noun: Noun[SpecT, RowT, ListT, QueryT], *, read: Role, write: Role
) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of list, create, read, replace and delete."""
    path, word = noun.path, noun.word
    one_path = f"{path}/{{id:str}}"
    tag = path.rpartition("/")[2]
    a_word = f"an {word}" if word[0] in "aeiou" else f"a {word}"

    @endpoint(
        "GET",
        path,
        access=read,
        tag=tag,
        summary=f"List the {word}s",
        query=noun.query,
        answer=noun.answer,
        many=True,
    )
    async def list_all(call: Call) -> Many[Any]:
        query: Any = call.query(noun.query)
        found = await noun.find(call.house, call.session, query)
        rows = [noun.show_listed(call.house, call.session, row) for row in found.rows]
        return page_of(rows, page=query.page, limit=query.limit, total=found.total)

    @endpoint(
        "POST",
        path,
        access=write,
        tag=tag,
        summary=f"Make {a_word}",
        body=noun.spec,
        answer=noun.answer,
        status=201,
        errors=noun.refusals,
    )
    async def create_one(call: Call) -> One[Any]:
        spec = noun.read_spec(await call.json())
        row = await create(noun, call.house, call.session, spec)
        call.headers["Location"] = f"{path}/{noun.id_of(row)}"
        return shown(call, row)

    @endpoint(
        "GET",
        one_path,
        access=read,
        tag=tag,
        summary=f"Read {a_word}",
        answer=noun.answer,
        errors=(404,),
    )
    async def read_one(call: Call) -> One[Any]:
        row = await call.session.read(noun.get, call.id("id", word))
        if row is None:
            raise not_found(word)
        return shown(call, row)

    @endpoint(
        "PUT",
        one_path,
        access=write,
        tag=tag,
        summary=f"Replace {a_word}",
        body=noun.spec,
        answer=noun.answer,
        errors=(404, 412, *noun.refusals),
    )
    async def replace_one(call: Call) -> One[Any]:
        row_id = call.id("id", word)
        expected = call.expected_version()
        # What does not exist is a 404 before anything is said of the body.
        if await call.session.read(noun.get, row_id) is None:
            raise not_found(word)
        spec = noun.read_spec(await call.json())
        return shown(call, await replace(noun, call.house, call.session, row_id, spec, expected))

    @endpoint(
        "DELETE",
        one_path,
        access=write,
        tag=tag,
        summary=f"Delete {a_word}",
        errors=(404, 412),
    )
    async def delete_one(call: Call) -> One[None]:
        row_id = call.id("id", word)
        await delete(noun, call.house, call.session, row_id, call.expected_version())
        return NOTHING

    def shown(call: Call, row: RowT) -> One[Any]:
        call.tag(noun.version_of(row))
        return One.of(noun.show(call.house, call.session, row))

    return (list_all, create_one, read_one, replace_one, delete_one)
