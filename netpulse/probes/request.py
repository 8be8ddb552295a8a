"""What is asked of a web server, and where its redirects lead (RFC 9110, WHATWG Fetch)."""

from __future__ import annotations

import base64
import functools
import re
import weakref

from msgspec import Struct
from yarl import URL

from netpulse import __version__
from netpulse.model.monitor import BasicAuth, BearerAuth, HttpSpec
from netpulse.probes.decoding import ACCEPTED
from netpulse.rules.targets import TargetError, host, parse, url
from netpulse.rules.write_only import is_secret_header

USER_AGENT = f"NetPulse/{__version__}"
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_PORTS = {"http": 80, "https": 443}
_UNSAFE = re.compile(rb"[^!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]")
_SLASHES = re.compile(r"(https?:)?[/\\]{2,}", re.IGNORECASE)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_COLON_FIRST = re.compile(r"[^/?:]*:")
_AUTHORITY = re.compile(r"(?:https?:)?//[^/?]*", re.IGNORECASE)
_FORBIDDEN = re.compile(r"[\r\n\0]")


class BadRedirect(Exception):
    """A redirect leads nowhere; `detail` refines, the message says where it led."""

    def __init__(self, detail: str, message: str) -> None:
        super().__init__(message)
        self.detail = detail


class Ask(Struct, frozen=True):
    """One request, as the next hop gets it."""

    url: URL
    host: str
    """ASCII, lower case, without brackets: what is dialled and what the certificate must name."""
    port: int
    method: str
    headers: tuple[tuple[str, str], ...]
    """The person's own, in the order they were given."""
    body: bytes | None
    cookies: tuple[tuple[str, str, str], ...] = ()
    """(place, name, value) set on the way by redirects; the place is a host, with https:// before
    it for a cookie that is Secure."""

    @property
    def text(self) -> str:
        """The address as readings have it, without user and password."""
        return str(self.url.with_user(None))

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials belong to."""
        return self.url.scheme, self.host, self.port


class Opening(Struct, frozen=True):
    """The first request of every check of a monitor, made ready once."""

    ask: Ask
    written: bytes
    text: str
    """The address as readings have it."""


class _Spec(weakref.ref[HttpSpec]):
    """A spec whose opening is kept, for as long as it lives."""

    __slots__ = ("key", "opening")

    key: int
    opening: Opening


_OPENINGS: dict[int, _Spec] = {}
"""By the identity of the spec: its equality would cost more to find out than the request to write.
"""


def _forget(gone: _Spec) -> None:
    # Another spec may have taken the place by now.
    if _OPENINGS.get(gone.key) is gone:
        del _OPENINGS[gone.key]


def opening(spec: HttpSpec) -> Opening:
    """Return the request a spec asks for first.

    Raises:
        TargetError: its target cannot be read; it was never saved so.
    """
    key = id(spec)
    known = _OPENINGS.get(key)
    if known is not None and known() is spec:
        return known.opening
    ask = _first(spec)
    text = ask.text
    # One of a kind, where they are equal: there are as many as monitors.
    made = Opening(ask, written(ask), spec.target if text == spec.target else text)
    kept = _OPENINGS[key] = _Spec(spec, _forget)
    kept.key, kept.opening = key, made
    return made


def _first(spec: HttpSpec) -> Ask:
    target = url(spec.target.strip())
    headers = [(name, value) for name, value in spec.headers.items() if value is not None]
    credentials = _credentials(spec, target)
    if credentials is not None:
        headers.append(("Authorization", credentials))
    for name, value in headers:
        # Saving refuses them; sending one would let a value become a header of its own.
        if _FORBIDDEN.search(name) or _FORBIDDEN.search(value):
            raise ValueError(f"the header {name!r} has a line break")
    return Ask(
        url=target,
        host=host(target.raw_host or ""),
        port=target.port or _PORTS[target.scheme],
        method=spec.method,
        headers=tuple(headers),
        body=None if spec.body is None else spec.body.encode(),
    )


def _credentials(spec: HttpSpec, target: URL) -> str | None:
    if isinstance(spec.auth, BearerAuth):
        return f"Bearer {spec.auth.token or ''}"
    if isinstance(spec.auth, BasicAuth):
        return _basic(spec.auth.username, spec.auth.password or "")
    if target.user is not None:
        return _basic(target.user, target.password or "")
    return None


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def written(ask: Ask) -> bytes:
    """Return the request as it goes over the wire."""
    named = {name.lower() for name, _ in ask.headers}
    lines = [f"{ask.method} {ask.url.raw_path_qs or '/'} HTTP/1.1"]
    if "host" not in named:
        lines.append(f"Host: {_authority(ask)}")
    if "user-agent" not in named:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "accept" not in named:
        lines.append("Accept: */*")
    if "accept-encoding" not in named:
        lines.append(f"Accept-Encoding: {ACCEPTED}")
    places = {ask.host, f"{ask.url.scheme}://{ask.host}"}
    cookies = [f"{name}={value}" for place, name, value in ask.cookies if place in places]
    for name, value in ask.headers:
        if cookies and name.lower() == "cookie":
            value, cookies = "; ".join([value, *cookies]), []
        lines.append(f"{name}: {value}")
    if cookies:
        lines.append(f"Cookie: {'; '.join(cookies)}")
    if ask.body is not None:
        lines.append(f"Content-Length: {len(ask.body)}")
    elif ask.method in {"POST", "PUT", "PATCH"}:
        # RFC 9110, 8.6: these announce that there is nothing.
        lines.append("Content-Length: 0")
    lines.append("Connection: close\r\n\r\n")
    return "\r\n".join(lines).encode() + (ask.body or b"")


def _authority(ask: Ask) -> str:
    name = f"[{ask.host}]" if ":" in ask.host else ask.host
    return name if ask.port == _PORTS[ask.url.scheme] else f"{name}:{ask.port}"


def onward(ask: Ask, status: int, location: str, set_cookies: list[str]) -> Ask:
    """Return the request that a redirect asks for.

    Credentials (Authorization, Cookie, a Host of one's own, every header that is write-only) stay
    with their origin. Cookies set on the way go back to the host that set them, as in a browser.

    Raises:
        BadRedirect: another scheme than http and https, or no usable address.
    """
    target = destination(ask.url, location)
    try:
        name, port = host(target.raw_host or ""), target.port or _PORTS[target.scheme]
    except TargetError as error:
        raise BadRedirect("bad_location", f"redirected to {_cut(location)}: {error}") from None
    method, body, headers = ask.method, ask.body, ask.headers
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        method, body = "GET", None
        headers = tuple(each for each in headers if not each[0].lower().startswith("content-"))
    if (target.scheme, name, port) != ask.origin:
        headers = tuple(
            each for each in headers if each[0].lower() != "host" and not is_secret_header(each[0])
        )
    if target.user is not None:
        headers = tuple(each for each in headers if each[0].lower() != "authorization")
        headers += (("Authorization", _basic(target.user, target.password or "")),)
    return Ask(
        url=target,
        host=name,
        port=port,
        method=method,
        headers=headers,
        body=body,
        cookies=_kept_cookies(ask, set_cookies),
    )


def _kept_cookies(ask: Ask, set_cookies: list[str]) -> tuple[tuple[str, str, str], ...]:
    kept = {(place, name): value for place, name, value in ask.cookies}
    for line in set_cookies[:50]:
        pair, _, rest = line.partition(";")
        name, equals, value = pair.partition("=")
        attributes = [word.strip().lower() for word in rest.split(";")]
        place = f"https://{ask.host}" if "secure" in attributes else ask.host
        key = (place, name.strip())
        if not (equals and key[1]) or _FORBIDDEN.search(line):
            continue
        if "max-age=0" in attributes:
            kept.pop(key, None)
        else:
            kept[key] = value.strip()
    return tuple((place, name, value) for (place, name), value in kept.items())


@functools.lru_cache(maxsize=1024)
def destination(base: URL, location: str) -> URL:
    """Return where a Location leads, read as browsers read it (WHATWG URL): spaces and foreign
    letters are encoded, backslashes are slashes, the fragment goes.

    Raises:
        BadRedirect: another scheme than http and https, or no usable address.
    """
    # Headers are decoded as Latin-1; what people send is UTF-8.
    text = location.strip().encode("latin-1", "replace").decode("utf-8", "replace")
    text = text.partition("#")[0]
    before, mark, query = text.partition("?")
    text = before.replace("\\", "/") + mark + query
    slashes = _SLASHES.match(text)
    if slashes:
        text = f"{slashes[1] or ''}//{text[slashes.end() :]}"
    scheme = _SCHEME.match(text)
    if scheme and scheme[0].lower() not in {"http:", "https:"}:
        raise BadRedirect("scheme", f"redirected to {_cut(location)}, which is not http or https")
    if not scheme and _COLON_FIRST.match(text):
        text = f"./{text}"  # no letter first, so no scheme but a path (RFC 3986, 4.2)
    try:
        target = base.join(_encoded(text)).with_fragment(None)
        port = target.explicit_port
    except ValueError as error:
        raise BadRedirect(
            "bad_location", f"redirected to {_cut(location)}: {str(error).rstrip('.')}"
        ) from None
    if not target.raw_host or port == 0:
        why = "port 0 cannot be connected to" if port == 0 else "it has no host"
        raise BadRedirect("bad_location", f"redirected to {_cut(location)}: {why}")
    return target


def _encoded(text: str) -> URL:
    """Parse without touching what is encoded already: a signed URL must stay as it is."""
    authority = _AUTHORITY.match(text)
    head = "" if authority is None else authority[0]
    return parse(head + _quoted(text[len(head) :]), encoded=True)


def _quoted(text: str) -> str:
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], text.encode()).decode()


def shown(target: URL) -> str:
    """Return a URL as a sentence has it: without user and password, and without its query, which
    is where redirects carry their secrets.
    """
    text = str(target.with_user(None).with_query(None))
    return f"{text}?…" if target.raw_query_string else text


def _cut(location: str) -> str:
    location, mark, _ = location.partition("?")
    location += "?…" if mark else ""
    clean = "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in location.strip())
    without = re.sub(r"//[^/@]*@", "//", clean)
    return without if len(without) <= 200 else f"{without[:200]}…"
