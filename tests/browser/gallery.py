"""What `make screenshots` takes a picture of: every page there is, by the route it stands at.

tests/promises/test_pictures.py holds this list against the route table, and the pictures against
this list.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "images" / "pages"

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


class Look(Struct, frozen=True):
    """A window and a theme; `folder` is where its pictures go."""

    folder: str
    viewport: dict[str, int]
    scheme: str
    highest: int
    """Pixels; what is below says no more than what is above."""


LOOKS = (
    Look("desktop", DESK, "light", 1500),
    Look("desktop-dark", DESK, "dark", 1500),
    Look("phone", PHONE, "light", 1500),
    Look("phone-dark", PHONE, "dark", 1500),
)


class Picture(Struct, frozen=True):
    """A page to take a picture of."""

    name: str
    address: str
    """With {names} of what `screenshots.known` has found in the demo."""
    who: str = "owner"
    """owner, colleague (with a second factor), or stranger."""


def _one(name: str, address: str, who: str = "owner") -> tuple[Picture, ...]:
    return (Picture(name, address, who),)


PICTURES: dict[str, tuple[Picture, ...]] = {
    "/setup": _one("setup", "/setup", "nobody yet"),
    "/setup/alerts": _one("setup-alerts", "/setup/alerts"),
    "/login": _one("login", "/login", "stranger"),
    "/forgot": _one("forgot", "/forgot", "stranger"),
    "/reset/{token:str}": _one("reset", "/reset/{reset}", "stranger"),
    "/invitations/{token:str}": _one("invitation", "/invitations/{invitation_token}", "stranger"),
    "/acknowledge/{token:str}": _one("acknowledge", "/acknowledge/{acknowledge}", "stranger"),
    "/dashboard": _one("dashboard", "/dashboard"),
    "/monitors": (
        Picture("monitors", "/monitors"),
        Picture("monitors-none", "/monitors?q=nothing+like+this"),
    ),
    "/monitors/new": _one("monitor-new", "/monitors/new"),
    "/monitors/add-many": _one("monitors-add-many", "/monitors/add-many"),
    "/monitors/{id:str}": (
        Picture("monitor-http", "/monitors/{shop}"),
        Picture("monitor-down", "/monitors/{checkout}"),
        Picture("monitor-https", "/monitors/{portal}"),
        Picture("monitor-tcp", "/monitors/{database}"),
        Picture("monitor-dns", "/monitors/{names}"),
        Picture("monitor-push", "/monitors/{push}"),
        Picture("monitor-paused", "/monitors/{old}"),
    ),
    "/monitors/{id:str}/checks": _one("monitor-checks", "/monitors/{shop}/checks"),
    "/monitors/{id:str}/edit": _one("monitor-edit", "/monitors/{shop}/edit"),
    "/monitors/{id:str}/delete": _one("monitor-delete", "/monitors/{shop}/delete"),
    "/monitors/{id:str}/badges": _one("monitor-badges", "/monitors/{shop}/badges"),
    "/monitors/{id:str}/badges/rotate": _one(
        "monitor-badges-rotate", "/monitors/{shop}/badges/rotate"
    ),
    "/monitors/{id:str}/badges/delete": _one(
        "monitor-badges-off", "/monitors/{shop}/badges/delete"
    ),
    "/incidents": _one("incidents", "/incidents"),
    "/incidents/new": _one("incident-new", "/incidents/new"),
    "/incidents/{id:str}": (
        Picture("incident-open", "/incidents/{incident}"),
        Picture("incident-over", "/incidents/{over}"),
    ),
    "/alerts": _one("alerts", "/alerts"),
    "/alerts/events/{id:str}": _one("alert-event", "/alerts/events/{event}"),
    "/alerts/channels/new": (
        Picture("channel-types", "/alerts/channels/new"),
        Picture("channel-new", "/alerts/channels/new?type=webhook"),
    ),
    "/alerts/channels/{id:str}": _one("channel", "/alerts/channels/{channel}"),
    "/alerts/channels/{id:str}/delete": _one("channel-delete", "/alerts/channels/{channel}/delete"),
    "/alerts/rules/new": _one("rule-new", "/alerts/rules/new"),
    "/alerts/rules/{id:str}": _one("rule", "/alerts/rules/{rule}"),
    "/alerts/rules/{id:str}/delete": _one("rule-delete", "/alerts/rules/{rule}/delete"),
    "/maintenance": _one("maintenance", "/maintenance"),
    "/maintenance/new": _one("maintenance-new", "/maintenance/new"),
    "/maintenance/{id:str}": _one("maintenance-edit", "/maintenance/{maintenance}"),
    "/maintenance/{id:str}/delete": _one("maintenance-delete", "/maintenance/{maintenance}/delete"),
    "/status-pages": _one("status-pages", "/status-pages"),
    "/status-pages/new": _one("status-page-new", "/status-pages/new"),
    "/status-pages/{id:str}": _one("status-page-edit", "/status-pages/{page}"),
    "/status-pages/{id:str}/services": _one(
        "status-page-services", "/status-pages/{page}/services"
    ),
    "/status-pages/{id:str}/news": _one("status-page-news", "/status-pages/{page}/news"),
    "/status-pages/{id:str}/news/{announcement_id:str}/delete": _one(
        "status-page-news-delete", "/status-pages/{page}/news/{announcement}/delete"
    ),
    "/status-pages/{id:str}/domain": _one("status-page-domain", "/status-pages/{page}/domain"),
    "/status-pages/{id:str}/subscribers": _one(
        "status-page-subscribers", "/status-pages/{page}/subscribers"
    ),
    "/status-pages/{id:str}/subscribers/{subscriber_id:str}/delete": _one(
        "status-page-subscriber-remove", "/status-pages/{page}/subscribers/{subscriber}/delete"
    ),
    "/status-pages/{id:str}/preview": _one("status-page-preview", "/status-pages/{page}/preview"),
    "/status-pages/{id:str}/delete": _one("status-page-delete", "/status-pages/{page}/delete"),
    "/status/{slug:str}": (
        Picture("public-status", "/status/{slug}", "stranger"),
        Picture("public-status-password", "/status/{closed_slug}", "stranger"),
    ),
    "/status/{slug:str}/history": _one("public-history", "/status/{slug}/history", "stranger"),
    "/status/{slug:str}/subscribe": _one(
        "public-subscribe", "/status/{slug}/subscribe", "stranger"
    ),
    "/subscriptions/{token:str}/confirm": _one(
        "subscription-confirm", "/subscriptions/{confirming}/confirm", "stranger"
    ),
    "/subscriptions/{token:str}/unsubscribe": _one(
        "subscription-end", "/subscriptions/{ending}/unsubscribe", "stranger"
    ),
    "/profile": _one("profile", "/profile"),
    "/profile/password": _one("profile-password", "/profile/password"),
    "/profile/addresses": _one("profile-addresses", "/profile/addresses"),
    "/profile/two-factor": (
        Picture("two-factor-off", "/profile/two-factor"),
        Picture("two-factor-on", "/profile/two-factor", "colleague"),
    ),
    "/profile/two-factor/codes": _one("two-factor-codes", "/profile/two-factor/codes", "colleague"),
    "/profile/two-factor/off": _one("two-factor-end", "/profile/two-factor/off", "colleague"),
    "/profile/sessions": _one("sessions", "/profile/sessions"),
    "/profile/sessions/{id:str}/delete": _one("session-end", "/profile/sessions/{session}/delete"),
    "/profile/sessions/delete": _one("sessions-end", "/profile/sessions/delete"),
    "/settings": _one("settings", "/settings"),
    "/settings/organization": _one("organization", "/settings/organization"),
    "/settings/members": _one("members", "/settings/members"),
    "/settings/invitations/{id:str}/delete": _one(
        "invitation-withdraw", "/settings/invitations/{invitation}/delete"
    ),
    "/settings/members/{id:str}": _one("member", "/settings/members/{member}"),
    "/settings/members/{id:str}/reset-2fa": _one(
        "member-reset-2fa", "/settings/members/{member}/reset-2fa"
    ),
    "/settings/members/{id:str}/delete": _one("member-remove", "/settings/members/{member}/delete"),
    "/settings/api-keys": _one("api-keys", "/settings/api-keys"),
    "/settings/api-keys/new": _one("api-key-new", "/settings/api-keys/new"),
    "/settings/api-keys/{id:str}/rotate": _one("api-key-rotate", "/settings/api-keys/{key}/rotate"),
    "/settings/api-keys/{id:str}/delete": _one("api-key-revoke", "/settings/api-keys/{key}/delete"),
    "/settings/clients": _one("clients", "/settings/clients"),
    "/settings/clients/new": _one("client-new", "/settings/clients/new"),
    "/settings/clients/{id:str}": _one("client", "/settings/clients/{client}"),
    "/settings/clients/{id:str}/delete": _one("client-delete", "/settings/clients/{client}/delete"),
    "/settings/clients/{id:str}/grants": _one("client-grants", "/settings/clients/{client}/grants"),
    "/settings/clients/{id:str}/grants/{user_id:str}/delete": _one(
        "client-grant-end", "/settings/clients/{client}/grants/{grantee}/delete"
    ),
    "/settings/security": _one("security", "/settings/security"),
    "/settings/audit": _one("audit-log", "/settings/audit"),
    "/settings/retention": _one("retention", "/settings/retention"),
    "/settings/about": _one("about", "/settings/about"),
    "/reports": _one("reports", "/reports"),
    "/agents": _one("agents", "/agents"),
    "/clients": _one("clients-overview", "/clients"),
    "/switch": _one("switch", "/switch"),
    "/docs": _one("api-reference", "/docs", "stranger"),
}
"""By route: the pictures of the page there, the ordinary one first."""

ERROR = Picture("not-found", "/nowhere")
"""The page that stands at no route of its own."""

NO_PICTURE = {
    "/": "leads to the dashboard, to signing in or to the setup",
    "/status": "leads to the builder",
    "/healthz": "for programs",
    "/readyz": "for programs",
    "/metrics": "for programs",
    "/live": "a stream of events",
    "/ping/{token:str}": "for jobs",
    "/ping/{token:str}/{what:str}": "for jobs",
    "/api/push/{token:str}": "for jobs",
    "/monitors/bulk/{id:str}": "a part of the list of monitors: how far a change has got",
    "/badge/{token:str}/{name:str}": "a badge",
    "/monitors/{id:str}/chart.json": "the figures of a chart",
    "/setup/channels/{id:str}/test": "leads back to the question who is told",
    "/alerts/channels/{id:str}/test": "leads back to the channels",
    "/settings/members/invite": "leads back to the members",
    "/settings/invitations/{id:str}/resend": "leads back to the members",
    "/static/{path:path}": "files",
    "/status/{slug:str}/feed.atom": "for feed readers",
    "/status/{slug:str}/feed.rss": "for feed readers",
    "/status/{slug:str}/badge.svg": "a badge",
    "/status/{slug:str}/badge/{service:str}/status.svg": "a badge",
    "/status/{slug:str}/badge/{service:str}/uptime.svg": "a badge",
    "/status/{slug:str}/style/{name:str}": "a style sheet",
    "/status/{slug:str}/logo/{name:str}": "a logo",
}
"""Routes that answer GET with no page of their own, and what they answer with."""


def every() -> list[Picture]:
    """Return all pictures there are, in the order of the list."""
    return [*(picture for some in PICTURES.values() for picture in some), ERROR]


def index() -> str:
    """Return docs/images/README.md: all of them, by page."""
    heads = [look.folder.replace("-", ", ") for look in LOOKS]
    lines = [
        "# Every page in pictures",
        "",
        "Taken from the [demo](../demo.md) by `make screenshots`, at a desk and on a phone, light and",
        "dark. What a page is for is in the handbook, and `/docs` of a running NetPulse has the API.",
        "",
        "| page | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for picture in every():
        shown = " | ".join(
            f"[![{picture.name}](pages/{look.folder}/{picture.name}.webp)]"
            f"(pages/{look.folder}/{picture.name}.webp)"
            for look in LOOKS
        )
        lines.append(f"| {picture.name.replace('-', ' ')}<br>`{picture.address}` | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (FOLDER.parent / "README.md").write_text(index(), "utf-8")
