"""The table of contents of the API: everything under /v1 that the OpenAPI document tells of."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from netpulse.web.api import (
    alert_channels,
    alert_events,
    alert_rules,
    announcements,
    api_keys,
    auth,
    clients,
    grants,
    incident_acts,
    incidents,
    invitations,
    joining,
    maintenance,
    me,
    members,
    monitor_acts,
    monitors,
    org,
    password_resets,
    public_status,
    second_factor,
    sign_ins,
    status_page_domains,
    status_pages,
)

ROUTES: tuple[HTTPRouteHandler, ...] = (
    *auth.ROUTES,
    *password_resets.ROUTES,
    *second_factor.ROUTES,
    *me.ROUTES,
    *sign_ins.ROUTES,
    *joining.ROUTES,
    *org.ROUTES,
    *members.ROUTES,
    *invitations.ROUTES,
    *api_keys.ROUTES,
    *clients.ROUTES,
    *grants.ROUTES,
    *monitors.ROUTES,
    *monitor_acts.ROUTES,
    *incidents.ROUTES,
    *incident_acts.ROUTES,
    *alert_channels.ROUTES,
    *alert_rules.ROUTES,
    *alert_events.ROUTES,
    *maintenance.ROUTES,
    *status_pages.ROUTES,
    *status_page_domains.ROUTES,
    *announcements.ROUTES,
    *public_status.ROUTES,
)
