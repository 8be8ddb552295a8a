"""The pages: what people see. They use the API's own functions, so that both obey one law."""

from __future__ import annotations

from netpulse.web.pages import (
    access,
    alert_channels,
    alert_rules,
    alerts,
    dashboard,
    docs,
    incidents,
    monitor_changes,
    monitors,
    static,
)
from netpulse.web.pages.render import error_page

__all__ = ["ROUTES", "error_page"]

ROUTES = (
    *access.ROUTES,
    *dashboard.ROUTES,
    *monitors.ROUTES,
    *monitor_changes.ROUTES,
    *incidents.ROUTES,
    *alerts.ROUTES,
    *alert_channels.ROUTES,
    *alert_rules.ROUTES,
    *docs.ROUTES,
    *static.ROUTES,
)
