"""The steps that bring a main file from one layout to the next.

Append-only: a step that was released is never changed, only followed by another. Step n runs in a
transaction of its own together with the record of it and `PRAGMA user_version = n`, so that a
process killed in the middle leaves the file at a whole version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from netpulse.storage.migrations import (
    m0001_foundation,
    m0002_push,
    m0003_alerts,
    m0004_maintenance,
    m0005_thresholds,
    m0006_api_keys,
    m0007_identity,
    m0008_sign_ins,
    m0009_audit,
    m0010_status_pages,
    m0011_accounts,
    m0012_memberships,
    m0013_badges,
    m0014_subscribers,
    m0015_shares,
    m0016_page_language,
    m0017_recent_hours,
    m0018_notices_of_years,
    m0019_incidents_of_years,
    m0020_incidents_of_monitors,
    m0021_transitions_of_incidents,
    m0022_monitors_in_lists,
)

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

Step: TypeAlias = "Callable[[Database], None]"


def _script(sql: str) -> Step:
    def run(db: Database) -> None:
        db.executescript(sql)

    return run


STEPS: tuple[tuple[str, Step], ...] = (
    ("0001_foundation", _script(m0001_foundation.SQL)),
    ("0002_push", _script(m0002_push.SQL)),
    ("0003_alerts", _script(m0003_alerts.SQL)),
    ("0004_maintenance", _script(m0004_maintenance.SQL)),
    ("0005_thresholds", _script(m0005_thresholds.SQL)),
    ("0006_api_keys", _script(m0006_api_keys.SQL)),
    ("0007_identity", _script(m0007_identity.SQL)),
    ("0008_sign_ins", _script(m0008_sign_ins.SQL)),
    ("0009_audit", _script(m0009_audit.SQL)),
    ("0010_status_pages", _script(m0010_status_pages.SQL)),
    ("0011_accounts", _script(m0011_accounts.SQL)),
    ("0012_memberships", _script(m0012_memberships.SQL)),
    ("0013_badges", _script(m0013_badges.SQL)),
    ("0014_subscribers", _script(m0014_subscribers.SQL)),
    ("0015_shares", _script(m0015_shares.SQL)),
    ("0016_page_language", _script(m0016_page_language.SQL)),
    ("0017_recent_hours", _script(m0017_recent_hours.SQL)),
    ("0018_notices_of_years", _script(m0018_notices_of_years.SQL)),
    ("0019_incidents_of_years", _script(m0019_incidents_of_years.SQL)),
    ("0020_incidents_of_monitors", _script(m0020_incidents_of_monitors.SQL)),
    ("0021_transitions_of_incidents", _script(m0021_transitions_of_incidents.SQL)),
    ("0022_monitors_in_lists", _script(m0022_monitors_in_lists.SQL)),
)

LATEST = len(STEPS)
"""The version (`user_version`) of the layout that this program knows."""


def migrations(steps: tuple[tuple[str, Step], ...] = STEPS) -> Migrations:
    """Return `steps` as a set that sqlite-utils applies in order, each in its transaction."""
    # Where nothing is to be done, which is at nearly every start, nobody needs it.
    from sqlite_utils import Migrations

    known = Migrations("netpulse")
    for number, (name, step) in enumerate(steps, start=1):
        known(name=name)(_numbered(number, step))
    return known


def _numbered(number: int, step: Step) -> Step:
    def run(db: Database) -> None:
        step(db)
        db.execute(f"PRAGMA user_version = {number:d}")

    return run
