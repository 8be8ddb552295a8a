"""How every error becomes an answer: the envelope under /v1, a page elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Scope, Send

from netpulse.crypto.vault import NoKey, SealBroken
from netpulse.storage.errors import QuotaReached, StorageTrouble, VersionConflict
from netpulse.web.errors import (
    ApiError,
    ErrorBody,
    Failed,
    keyless,
    of_status,
    quota_reached,
    too_large,
    version_conflict,
)

log = logging.getLogger(__name__)

_encoder = msgspec.json.Encoder()

ErrorPage = Callable[[ApiError, Scope], str]
"""(error, the request's scope) -> HTML; `scope["state"]` has the request_id and, where somebody is
signed in, the session."""

_FOR_PROGRAMS = frozenset({"/healthz", "/readyz", "/metrics", "/live"})
_PREFIXES = ("/v1/", "/ping/", "/api/")
_TOKENS = (
    "/ping/",
    "/api/push/",
    "/acknowledge/",
    "/invitations/",
    "/reset/",
    "/subscriptions/",
    "/badge/",
    "/v1/public/badges/",
)


def is_for_programs(path: str) -> bool:
    """Tell whether errors at `path` are told in JSON rather than as a page."""
    return path == "/v1" or path.startswith(_PREFIXES) or path in _FOR_PROGRAMS


def plain_page(error: ApiError, scope: Scope) -> str:
    """Return an error page without a template: for when templates are what failed."""
    request_id = scope["state"].get("request_id", "")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{error.status} - NetPulse</title>"
        f"<h1>{error.status}</h1><p>{escape(error.message)}</p>"
        f"<p>Request {escape(request_id)}</p><p><a href=/>NetPulse</a></p>"
    )


class Failures:
    """Turns exceptions into answers."""

    def __init__(self, page: ErrorPage = plain_page) -> None:
        self._page = page

    def handle(self, request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        """Answer for Litestar: the one exception handler of the application."""
        told = self._told(error, request.scope)
        if told.status == 401 and not is_for_programs(request.scope.get("path", "")):
            return _to_login(request)
        media, body = self._body(told, request.scope)
        # Litestar adds the charset itself.
        media = media.partition(";")[0]
        return Response(body, status_code=told.status, media_type=media, headers=told.headers)

    async def send(self, scope: Scope, error: Exception, send: Send) -> None:
        """Answer where Litestar is not in the way (the border's own refusals)."""
        told = self._told(error, scope)
        media, body = self._body(told, scope)
        headers = [(key.lower().encode(), value.encode()) for key, value in told.headers.items()]
        headers += [
            (b"content-type", media.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": told.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _told(self, error: Exception, scope: Scope) -> ApiError:
        if isinstance(error, ApiError):
            return error
        if isinstance(error, HTTPException) and error.status_code == 413:
            return too_large(scope["route_handler"].opt["max_body"])
        if isinstance(error, HTTPException) and error.status_code != 500:
            return of_status(error.status_code, _allow(error))
        if isinstance(error, VersionConflict):
            return version_conflict()
        if isinstance(error, QuotaReached):
            return quota_reached(error)
        if isinstance(error, NoKey):
            # That nobody is told of anything is no business of a stranger's.
            return of_status(503) if scope["state"].get("session") is None else keyless()
        where = _where(scope)
        if isinstance(error, StorageTrouble | SealBroken):
            log.error("storage trouble: %s", error, extra=where)
            return ApiError(
                503,
                "STORAGE_TROUBLE",
                "NetPulse cannot read or write its data right now; its log says why",
                headers={"Retry-After": "5"},
            )
        log.error("unexpected error", exc_info=error, extra=where)
        return of_status(500)

    def _body(self, error: ApiError, scope: Scope) -> tuple[str, bytes]:
        if is_for_programs(scope.get("path", "")):
            body = ErrorBody(error.code, error.message, error.details)
            return "application/json", _encoder.encode(Failed(False, body))
        try:
            page = self._page(error, scope)
        except Exception:
            log.exception("the error page failed", extra=_where(scope))
            page = plain_page(error, scope)
        return "text/html; charset=utf-8", page.encode()


def _to_login(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Send a browser to the login page, and from there back to where it wanted to go, or to the
    page of the form that it sent: only what was asked for by GET can be asked for again."""
    path, query = request.scope.get("path", "/"), request.scope.get("query_string", b"")
    wanted = path + ("?" + query.decode("latin-1") if query else "")
    told = ""
    if request.method != "GET":
        wanted, told = _page_of_ours(request), "&told=signed-out"
    back = f"?next={quote(wanted, safe='/')}{told}" if wanted not in {"", "/"} else ""
    location = {"Location": "/login" + back}
    return Response(b"", status_code=303, media_type="text/html", headers=location)


def _page_of_ours(request: Request[Any, Any, Any]) -> str:
    """Return the page that a request says it came from, if that is one of this host, else "". Of
    one that only answers a form, it is the page above it that can be asked for."""
    origin = request.scope["state"].get("origin")
    try:
        page = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    if origin is None or page.netloc != origin.host or page.scheme not in {"http", "https"}:
        return ""
    path = page.path
    while path and not _can_be_asked_for(request, path):
        path = path.rpartition("/")[0]
    return path + ("?" + page.query if page.query and path == page.path else "")


def _can_be_asked_for(request: Request[Any, Any, Any], path: str) -> bool:
    try:
        request.app.asgi_router.handle_routing(path=path, method="GET")
    except HTTPException:
        return False
    return True


def _where(scope: Scope) -> dict[str, Any]:
    return {
        "request_id": scope["state"].get("request_id", ""),
        "method": scope.get("method"),
        "path": without_token(scope.get("path", "")),
    }


def without_token(path: str) -> str:
    """Return a path as the log may have it: what stands behind these is a secret."""
    for prefix in _TOKENS:
        if path.startswith(prefix):
            return f"{prefix}…"
    return path


def _allow(error: HTTPException) -> dict[str, str]:
    """Keep the one header of the framework that says something: Allow."""
    found = {key.lower(): value for key, value in (error.headers or {}).items()}
    if "allow" not in found:
        return {}
    methods = {str(method).strip() for method in found["allow"].split(",")}
    return {"Allow": ", ".join(sorted(methods - {"OPTIONS"}))}
