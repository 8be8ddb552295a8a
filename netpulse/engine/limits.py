"""How many checks may run at once, and how many may be connected to us: what the system's limit on
open files leaves room for."""

from __future__ import annotations

import logging
import sys

log = logging.getLogger(__name__)

RESERVED = 64
"""Descriptors kept for files of the database, the server's sockets and the log."""
LEAST = 8
MOST = 8_192
"""Beyond this a check costs more in memory than another process would."""
WANTED_FILES = 1_048_576


def raise_file_limit() -> int:
    """Raise the soft limit on open files to the hard one; return what it is then."""
    if sys.platform == "win32":
        return 2_048
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("the limit on open files stays %d: %s", soft, error)
        else:
            soft = wanted
    return WANTED_FILES if soft == resource.RLIM_INFINITY else soft


def checks_at_once(open_files: int) -> int:
    """Return how many checks may run at once: a check may need two descriptors (a connection,
    and one to the name server)."""
    return max(LEAST, min(MOST, (open_files - RESERVED) // 2))


def connections_at_once(open_files: int) -> int:
    """Return how many may be connected to us: the half that checks leave, as long as each of these
    needs one descriptor, which is what most of them do."""
    return max(LEAST, (open_files - RESERVED) // 2)
