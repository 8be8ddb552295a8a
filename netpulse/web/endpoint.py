"""What a route is: an address, who may use it, what it takes and what it answers.

The declaration is read by three: the guard (who may), the OpenAPI document (what), and the test
that walks all routes. A route without a declared role is refused at every request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from functools import wraps
from typing import Any, Final

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from msgspec import Struct

from netpulse.model.api_key import ApiKey
from netpulse.model.user import Role
from netpulse.web import auth, denials, limits, page_org, scopes
from netpulse.web.call import Call
from netpulse.web.errors import ApiError, Elsewhere, forbidden, of_status
from netpulse.web.house import House


class Public(Enum):
    """The mark of a route that strangers may use."""

    PUBLIC = "public"


PUBLIC: Final = Public.PUBLIC
Access = Role | Public

VIEWER: Final = Role.VIEWER
ADMIN: Final = Role.ADMIN


MAX_BODY = 1024 * 1024
"""How large the body of a request may be (bytes) that somebody signed."""
SMALL_BODY = 64 * 1024
"""How large one may be that strangers send, or that is about signing in."""


class Declaration(Struct, frozen=True, kw_only=True):
    """A route of the API, as the OpenAPI document tells it."""

    method: str
    path: str
    access: Access
    tag: str
    summary: str
    body: Any = None
    """The type of the JSON body; None: the route takes none."""
    body_required: bool = True
    """False: the body may be left out as a whole."""
    query: type[Struct] | None = None
    answer: Any = None
    """The type of `data`; None: data is null."""
    many: bool = False
    media: tuple[str, ...] = ()
    """The media types of an answer that is no JSON in an envelope; none: it is."""
    status: int = 200
    errors: tuple[int, ...] = ()
    """Beyond those that every route has (400, 401, 403, 405, 500 as they apply)."""
    max_body: int = MAX_BODY
    """Bytes."""


Handler = Callable[[Call], Awaitable[Any]]


def endpoint(
    method: str,
    path: str,
    *,
    access: Access,
    summary: str,
    tag: str,
    body: Any = None,
    body_required: bool = True,
    query: type[Struct] | None = None,
    answer: Any = None,
    many: bool = False,
    media: tuple[str, ...] = (),
    status: int = 200,
    errors: tuple[int, ...] = (),
    max_body: int | None = None,
    counts: bool = True,
) -> Callable[[Handler], HTTPRouteHandler]:
    """Declare a route of the API. `path` is Litestar's: `/v1/monitors/{monitor_id:str}`.

    The handler takes a Call and returns an envelope (One, Many) or a whole Response. `max_body` is
    how large the request's body may be, in bytes (whole KiB); None: SMALL_BODY for strangers and
    for signing in, else MAX_BODY. Without `counts` requests are not counted against the limits of
    `web.limits`.
    """
    small = access is PUBLIC or tag == "auth"
    declaration = Declaration(
        method=method,
        path=path,
        access=access,
        tag=tag,
        summary=summary,
        body=body,
        body_required=body_required,
        query=query,
        answer=answer,
        many=many,
        media=media,
        status=status,
        errors=errors,
        max_body=max_body or (SMALL_BODY if small else MAX_BODY),
    )

    def declare(handler: Handler) -> HTTPRouteHandler:
        size = declaration.max_body
        return _route(handler, method, path, access, declaration, size, counts=counts)

    return declare


def page(
    method: str,
    path: str,
    *,
    access: Access,
    max_body: int | None = None,
    counts: bool = True,
    any_org: bool = False,
) -> Callable[[Handler], HTTPRouteHandler]:
    """Declare a page: a route for people, which is in no OpenAPI document.

    The handler takes a Call and returns a whole Response. `max_body` is how large the request's
    body may be, in bytes (whole KiB); None: SMALL_BODY for strangers, else MAX_BODY. Without
    `counts` requests are not counted against the limits of `web.limits`. `any_org`: what it does
    means the same whichever organization the page is of that asks for it (`web.page_org`).
    """
    size = max_body or (SMALL_BODY if access is PUBLIC else MAX_BODY)

    def declare(handler: Handler) -> HTTPRouteHandler:
        asks = handler if any_org or access is PUBLIC else _of_its_org(handler)
        return _route(asks, method, path, access, None, size, counts=counts, any_org=any_org)

    return declare


def _of_its_org(handler: Handler) -> Handler:
    """Return the handler of a page that does nothing for a page of another organization."""

    @wraps(handler)
    async def held(call: Call) -> Any:
        await page_org.refuse_moved(call.request, call.session)
        return await handler(call)

    return held


def _route(
    handler: Handler,
    method: str,
    path: str,
    access: Access,
    declaration: Declaration | None,
    max_body: int,
    *,
    counts: bool = True,
    any_org: bool = False,
) -> HTTPRouteHandler:
    status = declaration.status if declaration is not None else 200

    async def answer(request: Request) -> Response:  # type: ignore[type-arg]  # Litestar reads it
        call = Call(request)
        try:
            answered = await handler(call)
        except Elsewhere as other:
            answered = Response(b"", status_code=303, headers={"Location": other.to})
        return call.respond(answered, status)

    answer.__name__ = answer.__qualname__ = getattr(handler, "__name__", "answer")
    answer.__doc__ = handler.__doc__
    return HTTPRouteHandler(
        path,
        http_method=[method],  # type: ignore[list-item]  # a word of the closed list either way
        status_code=status,
        opt={
            "access": access,
            "declaration": declaration,
            "counts": counts,
            "max_body": max_body,
            "any_org": any_org,
        },
        include_in_schema=False,
        request_max_body_size=max_body,
    )(answer)


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request through only as its route declares.

    Raises:
        ApiError: 401 without a valid sign-in, 403 with too low a role, or for a route that
            declares nothing; 429 for too many requests.
    """
    access = handler.opt.get("access")
    house: House = connection.app.state.house
    if access is PUBLIC:
        if handler.opt.get("counts", True):
            limits.stranger_counts(house, connection.scope)
        else:
            limits.does_not_count(connection.scope)
        return
    if not isinstance(access, Role):
        if connection.scope.get("method") == "OPTIONS":
            raise of_status(405, {"Allow": ", ".join(_methods(connection))})
        raise forbidden("This address is closed")
    try:
        session = await auth.identify(connection)
    except ApiError:
        limits.stranger_counts(house, connection.scope)
        raise
    limits.sign_in_counts(house, connection.scope, session)
    denials.name_asker(connection.scope, session.org_id, session.actor)
    if session.key is not None:
        _check_scope(session.key, handler, str(connection.scope.get("method")))
    if session.role < access:
        raise forbidden(
            f"Your role here is {session.role.word}; this needs {access.word}. "
            "Ask an administrator of the organization"
        )
    connection.scope["state"]["session"] = session


def _check_scope(key: ApiKey, handler: BaseRouteHandler, method: str) -> None:
    """Let a key do only what it was made for.

    Raises:
        ApiError: 403 without the scope, or where no key is taken at all.
    """
    declaration = handler.opt.get("declaration")
    scope = None if declaration is None else scopes.needed(method, declaration.tag)
    if scope is None:
        raise forbidden("No API key is taken here; sign in as a person")
    if not key.allows(scope):
        raise forbidden(f"This API key lacks the scope {scope}")


def _methods(connection: ASGIConnection[Any, Any, Any, Any]) -> list[str]:
    """Return the methods that the address takes. (Litestar answers OPTIONS by itself, but names
    only those of the handler that was registered first.)"""
    path = connection.scope.get("path_template")
    found = {
        str(method)
        for route in connection.app.routes
        if route.path == path
        for method in route.methods
    }
    return sorted(found - {"OPTIONS"})
