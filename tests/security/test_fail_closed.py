"""A setting that cannot be used stops the start in one line that names it: nothing falls back to
something weaker.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from netpulse import config
from netpulse.config import ConfigError
from tests.instance import SOURCE, free_port

BAD: dict[str, list[str]] = {
    "server.host": ["", "no.such.host.invalid", "192.0.2.1", "256.1.1.1", "127.0.0.1:80"],
    "server.port": ["", "0", "-1", "65536", "http", "80.5", "٨٠٨٠x"],
    "server.public_url": [
        "status.example.com",
        "ftp://status.example.com",
        "https://",
        "https://status.example.com/netpulse",
        "https://status.example.com/?x=1",
        "https://status.example.com/#x",
        "https://[::1",
        "https://status.example.com:99999",
        "https://status.example.com:port",
        "https://user:password@status.example.com",
        "https://status.example.com\r\nX: y",
        "javascript:alert(1)",
    ],
    "server.trusted_proxies": ["*", "all", "10.0.0.0/33", "10.0.0.1/8", "proxy", "::/129"],
    "server.cors_origins": ["*", "null", "dashboards.example.com", "https://a.example/", "file://"],
    "server.tls_certificate": ["/dev/null", "/proc/netpulse/none.pem"],
    "server.tls_key": ["/dev/null", "/proc/netpulse/none.pem"],
    "server.tls_minimum": ["", "1.1", "1.0", "TLSv1.2", "3"],
    "storage.data_dir": ["/proc/netpulse", "/dev/null", "/dev/null/x"],
    "auth.registration": ["", "yes", "OPEN", "1", "true"],
    "limits.requests_per_minute": ["", "-1", "many", "1e9", "1000000001"],
    "limits.anonymous_per_minute": ["", "-1", "off"],
    "limits.runs_per_minute": ["", "-1", "off"],
    "limits.channel_tests_per_minute": ["", "-1", "off"],
    "retention.raw_days": ["", "0", "-1", "36501", "forever"],
    "smtp.host": ["mail.example\r\nX"],
    "smtp.port": ["", "0", "65536", "smtp"],
    "smtp.user": ["user\nX"],
    "smtp.password": ["password"],
    "smtp.from": ["nobody", "a@b.example\r\nBcc: c@d.example"],
    "smtp.security": ["", "ssl", "STARTTLS", "opportunistic", "true"],
    "metrics.allow": ["*", "any", "10.0.0.0/33", "localhost"],
    "log.level": ["", "trace", "INFO", "0"],
    "log.format": ["", "xml", "JSON"],
}
"""By setting: values that must stop the start."""
AT_THE_START = {"storage.data_dir", "server.host"}
"""Settings of which only the start itself can tell."""
SECRETS = {
    "ENCRYPTION_KEY": ["short", "x" * 64, "0" * 63, "0" * 65, " " + "0" * 63],
    "JWT_SECRET": ["short", "x" * 31],
    "NETPULSE_ADMIN_EMAIL": ["a@b.example"],
    "NETPULSE_ADMIN_PASSWORD": ["correct horse battery staple"],
    "TWILIO_SID": ["AC0"],
    "TWILIO_AUTH_TOKEN": ["x"],
    "DATABASE_URL": ["postgresql://db/netpulse"],
    "REDIS_URL": ["redis://cache"],
}


def name_of(setting: str) -> str:
    return f"NETPULSE_{setting.upper().replace('.', '_')}"


def test_every_setting_is_tried() -> None:
    known = {f"{section}.{key}" for section, key, _ in config.settings()}
    assert set(BAD) == known, "give each setting values that must stop the start"


@pytest.mark.parametrize(
    ("setting", "value"),
    [(setting, value) for setting, values in BAD.items() for value in values],
)
def test_a_bad_value_is_refused_and_named(setting: str, value: str) -> None:
    if setting in AT_THE_START and value:
        return
    with pytest.raises(ConfigError) as caught:
        config.load(None, {name_of(setting): value})
    said = str(caught.value)
    assert setting in said or name_of(setting) in said, said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SECRETS.items() for value in values]
)
def test_a_bad_secret_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, {name: value})
    assert name in str(caught.value)
    assert value not in str(caught.value) or len(value) < 8


STARTS = [
    *((setting, value) for setting in sorted(AT_THE_START) for value in BAD[setting] if value),
    ("server.public_url", "https://[::1"),
    ("auth.registration", "yes"),
]


@pytest.mark.parametrize(("setting", "value"), STARTS)
def test_the_start_is_refused_in_one_line(tmp_path: Path, setting: str, value: str) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "NETPULSE_STORAGE_DATA_DIR": str(tmp_path / "data"),
        "NETPULSE_SERVER_PORT": str(free_port()),
        name_of(setting): value,
    }
    done = subprocess.run(
        [*SOURCE, "serve"], capture_output=True, text=True, timeout=60, env=environ, check=False
    )
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("netpulse: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
