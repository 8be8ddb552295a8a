"""The pages: what people see. They use the API's own functions, so that both obey one law."""

from __future__ import annotations

from netpulse.web.pages import (
    access,
    acknowledge,
    alert_channels,
    alert_events,
    alert_rules,
    alerts,
    api_keys,
    client_grants,
    client_settings,
    dashboard,
    docs,
    incident_new,
    incidents,
    invitations,
    maintenance,
    members,
    monitor_changes,
    monitors,
    organization,
    profile,
    profile_sessions,
    profile_two_factor,
    rollup,
    settings,
    static,
    switch,
)
from netpulse.web.pages.render import error_page

__all__ = ["ROUTES", "error_page"]

ROUTES = (
    *access.ROUTES,
    *dashboard.ROUTES,
    *monitors.ROUTES,
    *monitor_changes.ROUTES,
    *incident_new.ROUTES,
    *incidents.ROUTES,
    *acknowledge.ROUTES,
    *alerts.ROUTES,
    *alert_events.ROUTES,
    *alert_channels.ROUTES,
    *alert_rules.ROUTES,
    *maintenance.ROUTES,
    *profile.ROUTES,
    *profile_two_factor.ROUTES,
    *profile_sessions.ROUTES,
    *settings.ROUTES,
    *organization.ROUTES,
    *members.ROUTES,
    *invitations.ROUTES,
    *api_keys.ROUTES,
    *client_settings.ROUTES,
    *client_grants.ROUTES,
    *rollup.ROUTES,
    *switch.ROUTES,
    *docs.ROUTES,
    *static.ROUTES,
)
