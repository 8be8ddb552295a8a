"""Passwords: argon2id hashes, and which passwords are taken at all.

The parameters are the OWASP minimum for argon2id (19 MiB, two passes, one lane): the library's own
default keeps the event loop waiting ten times as long. One worker thread makes all hashes, so that
a burst of sign-ins costs memory for one at a time.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from netpulse.crypto.common_passwords import WORDS

MIN_LENGTH = 12
MAX_BYTES = 1024

_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_WORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="argon2")

DUMMY_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$"
    "q1Xmgvie0aDLyA6yPSMobA$UJmOc1K5L2AKlDiOXKclQAYCisxBwZwNT+VNyw3XO0E"
)
"""A hash of a password nobody knows: an unknown user costs as much time as a wrong password."""

_SUBSTITUTES = str.maketrans("@4310!5$7", "aaeloisst")
_EDGES = re.compile(r"^[\W\d_]+|[\W\d_]+$")


def policy_problem(password: str, *, email: str = "") -> str | None:
    """Return why `password` is not taken, as a sentence, or None if it is fine.

    `email` is the account's own address, which makes a bad password. There are no rules of
    composition (ASVS 6.2.5); length counts in characters, the upper limit in UTF-8 bytes.
    """
    if len(password) < MIN_LENGTH:
        return f"the password needs at least {MIN_LENGTH} characters"
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return "the password has characters that cannot be encoded"
    if size > MAX_BYTES:
        return f"the password is longer than {MAX_BYTES} bytes"
    lowered = password.casefold()
    own = email.casefold().strip()
    if own and lowered in (own, own.partition("@")[0]):
        return "the password must not be the email address"
    if _is_common(lowered):
        return "this password is among the most common ones; choose another"
    return None


async def hash_password(password: str) -> str:
    """Return the argon2id hash of `password` in its PHC text form."""
    return await asyncio.get_running_loop().run_in_executor(
        _WORKER, _HASHER.hash, password.encode("utf-8", "surrogatepass")
    )


async def verify_password(stored: str | None, password: str) -> bool:
    """Tell whether `password` belongs to the hash `stored`.

    Without a stored hash (an unknown user) the same work is done against DUMMY_HASH and the
    answer is False. A password over MAX_BYTES is never hashed: it cannot be anybody's.
    """
    secret = password.encode("utf-8", "surrogatepass")
    if len(secret) > MAX_BYTES:
        stored, secret = None, b"too long"
    matches = await asyncio.get_running_loop().run_in_executor(
        _WORKER, _verify, DUMMY_HASH if stored is None else stored, secret
    )
    return matches and stored is not None


def _verify(stored: str, secret: bytes) -> bool:
    try:
        return _HASHER.verify(stored, secret)
    except (VerificationError, InvalidHashError):
        return False


def _is_common(lowered: str) -> bool:
    """Tell whether nothing but common words, walks over the keyboard and repetition is in it."""
    if len(set(lowered)) <= 3 or _is_sequence(lowered):
        return True
    forms = {lowered, _EDGES.sub("", lowered)}
    forms |= {form.translate(_SUBSTITUTES) for form in tuple(forms)}
    return any(form in WORDS or _repeats(form) or _made_of(form) for form in forms)


def _is_sequence(text: str) -> bool:
    """Tell whether every character is the neighbour (by code point) of the one before it."""
    steps = {ord(right) - ord(left) for left, right in pairwise(text)}
    # 1234567890 wraps from 9 to 0.
    return steps <= {1, -9} or steps <= {-1, 9}


def _repeats(text: str) -> bool:
    """Tell whether `text` is a short unit (at most 4 characters) over and over."""
    return any(
        len(text) > 2 * width and text == (text[:width] * len(text))[: len(text)]
        for width in range(1, 5)
    )


def _made_of(text: str) -> bool:
    """Tell whether `text` is at most three common words in a row, digits between them or not."""
    words = [word for word in re.split(r"[\W\d_]+", text) if word]
    if not 0 < len(words) <= 3:
        return False
    return all(word in WORDS or _two_words(word) for word in words)


def _two_words(word: str) -> bool:
    return any(word[:cut] in WORDS and word[cut:] in WORDS for cut in range(3, len(word) - 2))
