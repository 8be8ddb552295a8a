"""The configuration: what wins, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpulse import config
from netpulse.config import ConfigError, load


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_defaults_need_no_file() -> None:
    loaded = load(None, {})
    assert loaded.config.server.host == "127.0.0.1"
    assert loaded.config.server.port == 8080
    assert loaded.config.storage.data_dir == "./data"
    assert loaded.config.retention.raw_days == 90
    assert loaded.warnings == ()


def test_environment_wins_over_file_and_command_line_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, '[server]\nport = 1000\nhost = "192.0.2.1"\n')
    environ = {"NETPULSE_SERVER_PORT": "2000", "NETPULSE_SERVER_HOST": "192.0.2.2"}
    loaded = load(path, environ, {("server", "port"): 3000})
    assert loaded.config.server.port == 3000
    assert loaded.config.server.host == "192.0.2.2"


def test_lists_come_with_commas_from_the_environment() -> None:
    loaded = load(None, {"NETPULSE_SERVER_TRUSTED_PROXIES": "10.0.0.0/8, ::1/128,"})
    assert loaded.config.server.trusted_proxies == ("10.0.0.0/8", "::1/128")


def test_the_blueprints_name_for_the_public_address() -> None:
    environ = {"NEXT_PUBLIC_APP_URL": "https://a.example"}
    assert load(None, environ).config.server.public_url == "https://a.example"
    environ["NETPULSE_SERVER_PUBLIC_URL"] = "https://b.example"
    assert load(None, environ).config.server.public_url == "https://b.example"


def test_unknown_variables_and_service_links_warn() -> None:
    environ = {
        "NETPULSE_PORT": "tcp://10.0.0.1:8080",
        "NETPULSE_SERVER_PORT": "tcp://10.0.0.1:8080",
        "NETPULSE_SERVER_PROT": "1",
        "NETPULSE_ADMIN_EMAIL": "a@example.com",
        "NETPULSE_ADMIN_PASSWORD": "secret words",
    }
    loaded = load(None, environ)
    assert loaded.config.server.port == 8080
    assert sorted(loaded.warnings) == [
        "NETPULSE_PORT is no setting of NetPulse and is ignored",
        "NETPULSE_SERVER_PORT looks like a service link (tcp://10.0.0.1:8080) and is ignored",
        "NETPULSE_SERVER_PROT is no setting of NetPulse and is ignored",
    ]


REFUSED = [
    (
        "[server]\nprot = 1\n",
        "unknown key server.prot; [server] has host, port, public_url, trusted_proxies, cors_origins, tls_certificate, tls_key, tls_minimum",
    ),
    (
        "[sever]\nport = 1\n",
        "unknown key 'sever'; the sections are server, storage, auth, limits, retention, smtp, metrics, log",
    ),
    (
        "port = 1\n",
        "unknown key 'port'; the sections are server, storage, auth, limits, retention, smtp, metrics, log",
    ),
    ("server = 1\n", "'server' is a section; write [server] above its keys"),
    ('[server]\nport = "x"\n', "server.port: must be a whole number, not text"),
    ("[server]\nport = 0\n", "server.port: must be at least 1"),
    ('[auth]\nregistration = "maybe"\n', "auth.registration: 'maybe' is none of closed, open"),
    (
        '[metrics]\nallow = ["ten"]\n',
        "metrics.allow: 'ten' is no network; write it as 192.0.2.0/24",
    ),
    (
        '[server]\npublic_url = "example.com"\n',
        "server.public_url: 'example.com' is no address such as https://status.example.com",
    ),
    (
        '[server]\npublic_url = "https://a.example/x"\n',
        "server.public_url: 'https://a.example/x' has a path; NetPulse lives at the root of its host",
    ),
    (
        '[server]\ntls_certificate = "a.pem"\n',
        "set both server.tls_certificate and server.tls_key, or neither",
    ),
    ('[server]\ntls_minimum = "1.1"\n', "server.tls_minimum: '1.1' is none of 1.3, 1.2"),
    ("[limits]\nrequests_per_minute = -1\n", "limits.requests_per_minute: must be at least 0"),
    *(
        (f'[server]\ncors_origins = ["{origin}"]\n', f"server.cors_origins: {origin!r} {message}")
        for origin, message in (
            ("*", "would let in pages that you do not know; name each one"),
            ("null", "would let in pages that you do not know; name each one"),
            ("https://*.example", "would let in pages that you do not know; name each one"),
            ("dashboards.example", "is no origin such as https://dashboards.example.com"),
            ("ftp://a.example", "is no origin such as https://dashboards.example.com"),
            ("https://a.example:x", "is no origin such as https://dashboards.example.com"),
            ("https://", "is no origin such as https://dashboards.example.com"),
            ("https://ä.example", "is no origin such as https://dashboards.example.com"),
            ("https://[::1", "is no origin such as https://dashboards.example.com"),
            ("https://a.example/", "is not as browsers send it; write 'https://a.example'"),
            ("https://A.example", "is not as browsers send it; write 'https://a.example'"),
            ("https://a.example:443", "is not as browsers send it; write 'https://a.example'"),
            ("https://u@a.example/x?y", "is not as browsers send it; write 'https://a.example'"),
        )
    ),
]


def test_an_address_without_tls_beside_a_certificate_warns() -> None:
    environ = {
        "NETPULSE_SERVER_TLS_CERTIFICATE": "a.pem",
        "NETPULSE_SERVER_TLS_KEY": "a.key",
        "NETPULSE_SERVER_PUBLIC_URL": "http://status.example.com",
    }
    said = "server.public_url begins with http://, and NetPulse serves https only"
    assert load(None, environ).warnings == (said,)
    assert load(None, {**environ, "NETPULSE_SERVER_TLS_CERTIFICATE": "", "NETPULSE_SERVER_TLS_KEY": ""}).warnings == ()  # fmt: skip


def test_origins_as_browsers_send_them(tmp_path: Path) -> None:
    origins = ["https://a.example", "http://localhost:3000", "https://[::1]:8443"]
    text = f"[server]\ncors_origins = {origins}\n"
    assert list(load(written(tmp_path, text), {}).config.server.cors_origins) == origins


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refusals_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, text), {})
    assert str(refused.value).removeprefix(f"{tmp_path}/config.toml: ") == message


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not TOML"):
        load(written(tmp_path, "[server\n"), {})
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "nothing.toml", {})


ENVIRONMENT_REFUSED = [
    ({"NETPULSE_SERVER_PORT": "http"}, "NETPULSE_SERVER_PORT is 'http'; it must be a whole number"),
    (
        {"ENCRYPTION_KEY": "abc"},
        "ENCRYPTION_KEY must be 64 hexadecimal digits; make one with `openssl rand -hex 32`",
    ),
    (
        {"JWT_SECRET": "short"},
        "JWT_SECRET is shorter than 32 characters; unset it to have one derived",
    ),
    (
        {"DATABASE_URL": "postgresql://u:p@db/x"},
        "DATABASE_URL asks for PostgreSQL, which this version does not support; unset DATABASE_URL to use the built-in storage",
    ),
    (
        {"REDIS_URL": "redis://r"},
        "REDIS_URL asks for Redis, which this version does not support; unset REDIS_URL to use the built-in storage",
    ),
    (
        {"NETPULSE_ADMIN_EMAIL": "a@example.com"},
        "set both NETPULSE_ADMIN_EMAIL and NETPULSE_ADMIN_PASSWORD, or neither",
    ),
]


@pytest.mark.parametrize(("environ", "message"), ENVIRONMENT_REFUSED)
def test_refusals_of_the_environment(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, environ)
    assert str(refused.value) == message


def test_secrets_are_never_shown() -> None:
    loaded = load(None, {"ENCRYPTION_KEY": "ab" * 32})
    assert "abab" not in repr(loaded)
    assert loaded.secrets.encryption_key == "ab" * 32


def test_every_setting_has_a_default_and_a_plain_type() -> None:
    for section, key, default in config.settings():
        assert isinstance(default, str | int | tuple), f"{section}.{key}"


def test_the_mail_server_from_the_usual_variables() -> None:
    environ = {
        "SMTP_HOST": "smtp.example.com",
        "SMTP_PORT": "465",
        "SMTP_USER": "postmaster@example.com",
        "SMTP_PASS": "correct horse",
        "SMTP_FROM": "NetPulse <alerts@example.com>",
    }
    smtp = load(None, environ).config.smtp
    assert (smtp.host, smtp.port, smtp.user) == ("smtp.example.com", 465, "postmaster@example.com")
    assert (smtp.password, smtp.sender) == ("correct horse", "NetPulse <alerts@example.com>")
    own = {**environ, "NETPULSE_SMTP_FROM": "b@example.com", "NETPULSE_SMTP_SECURITY": "tls"}
    smtp = load(None, own).config.smtp
    assert (smtp.sender, smtp.security) == ("b@example.com", "tls")
    assert "horse" not in repr(load(None, environ))


def test_open_registration_is_pointed_out() -> None:
    environ = {"NETPULSE_AUTH_REGISTRATION": "open"}
    assert load(None, environ).warnings == (
        'auth.registration is "open": whoever registers can have monitors reach private addresses and read what they answer',
    )
    assert load(None, {"NETPULSE_AUTH_REGISTRATION": "closed"}).warnings == ()


def test_mail_without_an_address_to_link_to_is_pointed_out() -> None:
    environ = {"SMTP_HOST": "smtp.example.com", "SMTP_FROM": "a@example.com"}
    assert load(None, environ).warnings == (
        "smtp.host is set and server.public_url is not: mail carries no links then, and nobody can set a forgotten password anew by mail",
    )
    known = {**environ, "NETPULSE_SERVER_PUBLIC_URL": "https://status.example.com"}
    assert load(None, known).warnings == ()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SMTP_HOST": "x"}, "smtp.from is missing; set it to the address that mail comes from"),
        ({"SMTP_PORT": "ssl"}, "SMTP_PORT is 'ssl'; it must be a whole number"),
        ({"SMTP_PASS": "x"}, "smtp.password is set without smtp.user"),
        (
            {"SMTP_HOST": "x", "SMTP_FROM": "a@b.example\r\nBcc: c@d.example"},
            "smtp.from has a line break or another control character in it",
        ),
        ({"TWILIO_SID": "AC1"}, "set both TWILIO_SID and TWILIO_AUTH_TOKEN, or neither"),
    ],
)
def test_mail_and_sms_that_cannot_work(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, environ)
    assert str(refused.value) == message


def test_secrets_of_sms_are_never_shown() -> None:
    environ = {"TWILIO_SID": "AC1", "TWILIO_AUTH_TOKEN": "sesame", "TWILIO_PHONE": "+15005550006"}
    loaded = load(None, environ)
    assert loaded.secrets.twilio_auth_token == "sesame"
    assert "sesame" not in repr(loaded)


def test_the_password_is_not_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from netpulse.cli.config import run

    path = written(
        tmp_path, '[smtp]\nhost = "x"\nuser = "a@b.example"\npassword = "correct horse"\n'
    )
    import argparse

    options = argparse.Namespace(config=path, data=None, host=None, port=None)
    assert run(options) == 0
    printed = capsys.readouterr().out
    assert "horse" not in printed
    assert "# password is set, and not shown" in printed
    assert 'from = ""' in printed
