"""The application: Litestar's routes, behind the door and the border. `listening` serves it."""

from __future__ import annotations

from typing import cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp

from netpulse.web import denials, routes
from netpulse.web.border import Border
from netpulse.web.endpoint import SMALL_BODY, guard
from netpulse.web.failures import ErrorPage, Failures, plain_page
from netpulse.web.house import House
from netpulse.web.status.door import Door


def route_all(error_page: ErrorPage = plain_page) -> Litestar:
    """Return Litestar with all routes, whose `state` has no house yet.

    `error_page` renders errors outside /v1.
    """
    return Litestar(
        routes.ROUTES,
        guards=[guard],
        exception_handlers={Exception: Failures(error_page).handle},
        after_exception=[denials.note],
        state=State(),
        # Each route of ours says its own.
        request_max_body_size=SMALL_BODY,
        # Litestar would reconfigure the root logger, render its own document, and print
        # tracebacks to clients.
        logging_config=None,
        openapi_config=None,
        debug=False,
    )


def build_app(
    house: House, error_page: ErrorPage = plain_page, routed: Litestar | None = None
) -> ASGIApp:
    """Return the whole application: Litestar's routes behind the border.

    `error_page` renders errors outside /v1. `routed` is what `route_all` made of it, where that is
    there already: it takes a tenth of a second, and serves one house at a time.
    """
    inner = routed or route_all(error_page)
    inner.state.house = house
    return cast(
        ASGIApp,
        Border(
            Door(cast(ASGIApp, inner), house),
            Failures(error_page),
            house,
        ),
    )
