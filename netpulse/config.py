"""The configuration: a TOML file and the environment become one frozen Struct.

The environment wins over the file, and the command line over both. A key nobody knows is an error
in the file (with its path) and a warning in the environment, where other programs' variables may
share the prefix.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from netpulse.wording import in_words

PREFIX = "NETPULSE_"

Port = Annotated[int, Meta(ge=1, le=65535)]


class ConfigError(Exception):
    """The configuration cannot be used; the message says which key, why, and what to do."""


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Where NetPulse listens and how the world reaches it."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str = ""
    """The address people and messages use, such as https://status.example.com; empty: unknown."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose X-Forwarded-* headers are believed."""
    cors_origins: tuple[str, ...] = ()
    """Origins of other sites whose pages may use the API with a token of their own."""
    tls_certificate: str = ""
    """A PEM file with the server's certificate and those that issued it; empty: no TLS of ours."""
    tls_key: str = ""
    """The PEM file with its key; the two may be one file."""
    tls_minimum: Literal["1.3", "1.2"] = "1.3"
    """The oldest version of TLS that is spoken."""


class Storage(Struct, frozen=True, forbid_unknown_fields=True):
    """Where everything is kept."""

    data_dir: str = "./data"


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may make an account."""

    registration: Literal["closed", "open"] = "closed"


Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """How much may be asked for in a minute; 0: any number."""

    requests_per_minute: Count = 6000
    """Of one key or sign-in."""
    anonymous_per_minute: Count = 600
    """Of one address (IPv6: one /64) without a key or sign-in."""
    runs_per_minute: Count = 600
    """Checks that are run by hand or tried, of one organization."""
    channel_tests_per_minute: Count = 60
    """Test messages through alert channels, of one organization."""


class Retention(Struct, frozen=True, forbid_unknown_fields=True):
    """How long raw results are kept; rollups and incidents stay."""

    raw_days: Annotated[int, Meta(ge=1, le=36_500)] = 90


class Smtp(Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """The mail server for letters, and for channels without one of their own; without a host there
    is none."""

    host: str = ""
    port: Port = 587
    user: str = ""
    password: str = ""
    sender: str = ""
    """`from` in the file: an address, or Name <address>."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """On port 465 starttls means tls."""

    def __repr__(self) -> str:
        return f"Smtp(host={self.host!r}, …)"


class Metrics(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read /metrics without signing in."""

    allow: tuple[str, ...] = ()
    """Networks (CIDR)."""


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Secrets(Struct, frozen=True):
    """What only the environment may carry; never printed."""

    encryption_key: str = ""
    """64 hexadecimal digits; empty: the key file in the data directory."""
    new_encryption_key: str = ""
    """What `netpulse key rotate` changes to; empty: it makes one."""
    jwt_secret: str = ""
    """Empty: derived from the encryption key."""
    admin_email: str = ""
    admin_password: str = ""
    twilio_sid: str = ""
    """The account that sends SMS for channels without one of their own."""
    twilio_auth_token: str = ""
    twilio_phone: str = ""
    """The number they come from, such as +15005550006."""

    def __repr__(self) -> str:
        return "Secrets(…)"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    server: Server = Server()
    storage: Storage = Storage()
    auth: Auth = Auth()
    limits: Limits = Limits()
    retention: Retention = Retention()
    smtp: Smtp = Smtp()
    metrics: Metrics = Metrics()
    log: Log = Log()


class Loaded(Struct, frozen=True):
    """The configuration in force, and what should be said about it."""

    config: Config
    secrets: Secrets
    warnings: tuple[str, ...] = ()


SECTIONS: dict[str, type[Struct]] = {
    "server": Server,
    "storage": Storage,
    "auth": Auth,
    "limits": Limits,
    "retention": Retention,
    "smtp": Smtp,
    "metrics": Metrics,
    "log": Log,
}

HIDDEN = frozenset({("smtp", "password")})
"""Settings that are never printed."""

_ALIASES = {
    "NEXT_PUBLIC_APP_URL": ("server", "public_url"),
    "SMTP_HOST": ("smtp", "host"),
    "SMTP_PORT": ("smtp", "port"),
    "SMTP_USER": ("smtp", "user"),
    "SMTP_PASS": ("smtp", "password"),
    "SMTP_FROM": ("smtp", "from"),
}
_NEW_KEY = "NETPULSE_NEW_ENCRYPTION_KEY"
_NOT_SETTINGS = frozenset({"NETPULSE_ADMIN_EMAIL", "NETPULSE_ADMIN_PASSWORD", _NEW_KEY})


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[tuple[str, str], Any] | None = None,
) -> Loaded:
    """Read the file at `path` (None: no file), then the environment, then the command line's
    `overrides` ((section, key) -> value), and return what is in force.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value unusable, or the
            environment asks for an engine that does not exist yet.
    """
    _refuse_other_engines(environ)
    raw = _read(path) if path is not None else {}
    warnings = _overlay_environment(raw, environ)
    for (section, key), value in (overrides or {}).items():
        raw.setdefault(section, {})[key] = value
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_in_words(str(error), path)) from None
    _check_values(config)
    secrets = Secrets(
        encryption_key=environ.get("ENCRYPTION_KEY", ""),
        new_encryption_key=environ.get(_NEW_KEY, ""),
        jwt_secret=environ.get("JWT_SECRET", ""),
        admin_email=environ.get("NETPULSE_ADMIN_EMAIL", ""),
        admin_password=environ.get("NETPULSE_ADMIN_PASSWORD", ""),
        twilio_sid=environ.get("TWILIO_SID", ""),
        twilio_auth_token=environ.get("TWILIO_AUTH_TOKEN", ""),
        twilio_phone=environ.get("TWILIO_PHONE", ""),
    )
    _check_secrets(secrets)
    if config.server.tls_certificate and config.server.public_url.startswith("http://"):
        warnings.append("server.public_url begins with http://, and NetPulse serves https only")
    return Loaded(config, secrets, (*warnings, *_advice(config)))


def settings() -> list[tuple[str, str, Any]]:
    """Return every setting as (section, key, default), in the order of the file."""
    return [
        (section, field.encode_name, field.default)
        for section, kind in SECTIONS.items()
        for field in msgspec.structs.fields(kind)
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; name another file with --config") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for section, values in raw.items():
        if section not in SECTIONS:
            known = ", ".join(SECTIONS)
            raise ConfigError(f"{path}: unknown key {section!r}; the sections are {known}")
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section!r} is a section; write [{section}] above its keys")
        names = [field.encode_name for field in msgspec.structs.fields(SECTIONS[section])]
        for key in values:
            if key not in names:
                known = ", ".join(names)
                raise ConfigError(f"{path}: unknown key {section}.{key}; [{section}] has {known}")
    return raw


def _overlay_environment(raw: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    names = {
        f"{PREFIX}{section}_{key}".upper(): (section, key, default)
        for section, key, default in settings()
    }
    defaults = {(section, key): default for section, key, default in settings()}
    for alias, place in _ALIASES.items():
        names[alias] = (*place, defaults[place])
    warnings = []
    # The aliases first: the product's own name for a setting wins over a borrowed one.
    for name in sorted(environ, key=lambda name: (name not in _ALIASES, name)):
        if name not in names:
            if name.startswith(PREFIX) and name not in _NOT_SETTINGS:
                warnings.append(f"{name} is no setting of NetPulse and is ignored")
            continue
        value = environ[name]
        if value.startswith("tcp://"):
            warnings.append(f"{name} looks like a service link ({value}) and is ignored")
            continue
        section, key, default = names[name]
        raw.setdefault(section, {})[key] = _from_text(name, value, default)
    return warnings


def _from_text(name: str, value: str, default: Any) -> Any:
    if isinstance(default, tuple):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(default, int):
        try:
            return int(value)
        except ValueError:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number") from None
    return value


def _in_words(message: str, path: Path | None) -> str:
    text, _, where = message.partition(" - at `$")
    key = where.strip("`").lstrip(".")
    source = f"{path}: " if path is not None else ""
    section, _, name = key.partition(".")
    fields = msgspec.structs.fields(SECTIONS[section]) if section in SECTIONS else ()
    kind = next((field.type for field in fields if field.encode_name == name), None)
    return f"{source}{key or 'configuration'}: {in_words(text, kind)}"


def _check_values(config: Config) -> None:
    for key, networks in (
        ("server.trusted_proxies", config.server.trusted_proxies),
        ("metrics.allow", config.metrics.allow),
    ):
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ConfigError(
                    f"{key}: {network!r} is no network; write it as 192.0.2.0/24"
                ) from None
    if config.server.public_url:
        _check_public_url(config.server.public_url)
    for text in config.server.cors_origins:
        _check_origin(text)
    _check_smtp(config.smtp)
    if bool(config.server.tls_certificate) != bool(config.server.tls_key):
        raise ConfigError("set both server.tls_certificate and server.tls_key, or neither")
    if not config.server.host:
        raise ConfigError("server.host is empty; 127.0.0.1 listens locally, 0.0.0.0 everywhere")


def _check_public_url(url: str) -> None:
    key = "server.public_url"
    wrong = ConfigError(f"{key}: {url!r} is no address such as https://status.example.com")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host or parts.scheme not in ("http", "https") or not url.isprintable() or " " in url:
        raise wrong
    if "@" in parts.netloc:
        # It stands in every message and link.
        raise ConfigError(f"{key} has a user name in it; leave that and its password out")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(f"{key}: {url!r} has a path; NetPulse lives at the root of its host")


def _check_origin(text: str) -> None:
    """Refuse what no browser would send as Origin (RFC 6454, section 6.1)."""
    key = "server.cors_origins"
    if "*" in text or text == "null":
        raise ConfigError(f"{key}: {text!r} would let in pages that you do not know; name each one")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        scheme = parts.scheme
    except ValueError:
        scheme, host, port = "", "", None
    if not host or not host.isascii() or scheme not in ("http", "https"):
        raise ConfigError(f"{key}: {text!r} is no origin such as https://dashboards.example.com")
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[scheme]
    right = f"{scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")
    if text != right:
        raise ConfigError(f"{key}: {text!r} is not as browsers send it; write {right!r}")


def _check_smtp(smtp: Smtp) -> None:
    for key, value in (("host", smtp.host), ("user", smtp.user), ("from", smtp.sender)):
        if any(not sign.isprintable() for sign in value):
            raise ConfigError(f"smtp.{key} has a line break or another control character in it")
    if smtp.sender and "@" not in smtp.sender:
        raise ConfigError(
            f"smtp.from: {smtp.sender!r} is no address such as NetPulse <alerts@example.com>"
        )
    if smtp.host and not smtp.sender and "@" not in smtp.user:
        raise ConfigError("smtp.from is missing; set it to the address that mail comes from")
    if smtp.password and not smtp.user:
        raise ConfigError("smtp.password is set without smtp.user")


def _advice(config: Config) -> list[str]:
    """Return what works and is hardly meant."""
    said = []
    if config.auth.registration == "open":
        said.append(
            'auth.registration is "open": whoever registers can have monitors reach private '
            "addresses and read what they answer"
        )
    if config.smtp.host and not config.server.public_url:
        said.append(
            "smtp.host is set and server.public_url is not: mail carries no links then, and nobody "
            "can set a forgotten password anew by mail"
        )
    return said


def _check_secrets(secrets: Secrets) -> None:
    for name, key in (
        ("ENCRYPTION_KEY", secrets.encryption_key),
        (_NEW_KEY, secrets.new_encryption_key),
    ):
        if key and (len(key) != 64 or any(char not in "0123456789abcdefABCDEF" for char in key)):
            raise ConfigError(
                f"{name} must be 64 hexadecimal digits; make one with `openssl rand -hex 32`"
            )
    if secrets.jwt_secret and len(secrets.jwt_secret) < 32:
        raise ConfigError("JWT_SECRET is shorter than 32 characters; unset it to have one derived")
    if bool(secrets.twilio_sid) != bool(secrets.twilio_auth_token):
        raise ConfigError("set both TWILIO_SID and TWILIO_AUTH_TOKEN, or neither")
    if bool(secrets.admin_email) != bool(secrets.admin_password):
        raise ConfigError("set both NETPULSE_ADMIN_EMAIL and NETPULSE_ADMIN_PASSWORD, or neither")


def _refuse_other_engines(environ: Mapping[str, str]) -> None:
    for name, what in (("DATABASE_URL", "PostgreSQL"), ("REDIS_URL", "Redis")):
        value = environ.get(name, "")
        if not value or (name == "DATABASE_URL" and not value.startswith("postgres")):
            continue
        raise ConfigError(
            f"{name} asks for {what}, which this version does not support; "
            f"unset {name} to use the built-in storage"
        )
