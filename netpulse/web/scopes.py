"""What a key may do where: the shape of a key, and the scope that a route needs."""

from __future__ import annotations

import re
import secrets
import string

_PREFIX = string.ascii_lowercase + string.digits
_SECRET = string.ascii_letters + string.digits
_SHAPE = re.compile(r"(np_[a-z0-9]{8})_[0-9A-Za-z]{43}", re.ASCII)

RESOURCES = {
    "monitors": "monitors",
    "incidents": "incidents",
    "alert-channels": "alerts",
    "alert-rules": "alerts",
    "alert-events": "alerts",
    "maintenance": "maintenance",
    "status-pages": "status-pages",
    "org": "org",
    "members": "org",
    "invitations": "org",
    "clients": "org",
    "audit-logs": "audit",
}
"""The resource of a route's tag. A tag that is not here takes no key: signing in, and keys."""

METRICS = "metrics:read"


def new_key() -> tuple[str, str]:
    """Return a fresh key and its prefix; the key has 256 bits that nobody can guess."""
    prefix = "np_" + "".join(secrets.choice(_PREFIX) for _ in range(8))
    return f"{prefix}_{''.join(secrets.choice(_SECRET) for _ in range(43))}", prefix


def prefix_of(key: str) -> str | None:
    """Return the prefix of what has the shape of a key, or None."""
    found = _SHAPE.fullmatch(key)
    return None if found is None else found[1]


def needed(method: str, tag: str) -> str | None:
    """Return the scope that a route of the API needs, or None where no key is taken."""
    resource = RESOURCES.get(tag)
    if resource is None:
        return None
    return f"{resource}:{'read' if method in {'GET', 'HEAD'} else 'write'}"
