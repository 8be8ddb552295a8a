"""The names under which a request may say that it reached us.

A page of the internet can have its own name point at a machine of the network it is looked at in
(DNS rebinding); its scripts then reach that machine as if it were their own site. They bring no
cookie of ours, because cookies belong to a name, and no token. What is given to a network without
either must therefore look at the name: no stranger can have one of those below.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from netpulse.web.proxies import parse

_NOBODYS = frozenset(
    {
        # Reserved for local use: RFC 6761, RFC 6762, RFC 8375, and ICANN for .internal.
        "localhost",
        "local",
        "internal",
        "arpa",
        "test",
        "example",
        "invalid",
        # Never delegated, and common within networks.
        "lan",
        "home",
        "corp",
        "localdomain",
    }
)


def is_ours(host: str, public_url: str) -> bool:
    """Tell whether no stranger can have the name in `host` (a Host field, with or without a port):
    an address, a name without a dot, one that is reserved for local use, or that of the public
    address of this instance."""
    # An address of IPv6 without brackets is no Host, and none of the other things either.
    if parse(host) is not None:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not name or "." not in name:
        return bool(name)
    return name.rpartition(".")[2] in _NOBODYS or name == urlsplit(public_url).hostname
