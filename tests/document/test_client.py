"""A client that is generated from the OpenAPI document as it is, by a tool that knows nothing of
NetPulse: it registers, signs in, and works.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyotp
import pytest

from netpulse import __version__
from netpulse.web import openapi
from netpulse.web.api.routes import ROUTES
from tests.instance import EMAIL, PASSWORD, Instance

PACKAGE = "netpulse_client_of_a_test"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package, imported."""
    folder = tmp_path_factory.mktemp("client")
    described = folder / "openapi.json"
    described.write_bytes(openapi.encoded(ROUTES, __version__, ""))
    settings = folder / "settings.json"
    # Formatting what is generated would need the network, or tools that say nothing of us.
    settings.write_text(json.dumps({"package_name_override": PACKAGE, "post_hooks": []}))
    tool = Path(sys.executable).with_name("openapi-python-client")
    command = ["generate", "--path", str(described), "--config", str(settings), "--meta", "none"]
    done = subprocess.run(
        [str(tool), *command, "--output-path", str(folder / PACKAGE), "--fail-on-warning"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(PACKAGE)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A NetPulse of its own."""
    found = Instance(tmp_path_factory.mktemp("instance") / "data")
    found.start()
    yield found
    found.close()


def operation(name: str) -> Any:
    """Return the module of an operation, by its id."""
    tag = next(
        route.opt["declaration"].tag
        for route in ROUTES
        if openapi.operation_id(route.opt["declaration"]) == name
    )
    return importlib.import_module(f"{PACKAGE}.api.{tag.replace('-', '_')}.{name}")


def model(name: str) -> Any:
    return getattr(importlib.import_module(f"{PACKAGE}.models"), name)


def test_every_operation_can_be_called(client: ModuleType) -> None:
    for route in ROUTES:
        assert callable(operation(openapi.operation_id(route.opt["declaration"])).sync_detailed)


def test_a_generated_client_works(client: ModuleType, instance: Instance) -> None:
    with client.Client(base_url=instance.base) as stranger:
        token = _signed_in(stranger, instance.setup_token())
    with client.AuthenticatedClient(base_url=instance.base, token=token) as signed:
        _work(signed, instance.base)
    _second_factor(client, instance.base, token)


def _signed_in(stranger: Any, setup_token: str) -> str:
    registration = model("Registration")(
        email=EMAIL, password=PASSWORD, org_name="Acme", setup_token=setup_token
    )
    made = operation("post_auth_register").sync(client=stranger, body=registration)
    assert made.success is True
    assert made.data.organization.name == "Acme"
    assert made.data.user.role == "super_admin"

    credentials = model("Credentials")(email=EMAIL, password="wrong")
    refused = operation("post_auth_login").sync(client=stranger, body=credentials)
    assert refused.success is False
    assert refused.error.code == "LOGIN_FAILED"
    credentials.password = PASSWORD
    granted = operation("post_auth_login").sync(client=stranger, body=credentials)
    assert granted.data.token_type == "Bearer"
    return str(granted.data.access_token)


def _second_factor(client: ModuleType, base: str, token: str) -> None:
    with client.AuthenticatedClient(base_url=base, token=token) as signed:
        begun = operation("post_auth_2fa_setup").sync(client=signed)
        assert begun.data.otpauth_uri.startswith("otpauth://totp/")
        app = pyotp.TOTP(begun.data.secret)
        code = model("CodeGiven")(code=app.now())
        codes = operation("post_auth_2fa_verify").sync(client=signed, body=code)
        assert len(codes.data.recovery_codes) == 10
    with client.Client(base_url=base) as stranger:
        credentials = model("Credentials")(email=EMAIL, password=PASSWORD)
        asked = operation("post_auth_login").sync(client=stranger, body=credentials)
        assert asked.error.code == "TOTP_REQUIRED"
        credentials.totp_code = codes.data.recovery_codes[0]
        granted = operation("post_auth_login").sync(client=stranger, body=credentials)
        assert granted.data.access_token


def _work(signed: Any, base: str) -> None:
    spec = model("HttpSpec")(
        type_=model("HttpSpecType").HTTP,
        name="Shop",
        target=f"{base}/healthz",
        interval_seconds=10,
    )
    monitor = operation("post_monitors").sync(client=signed, body=spec)
    assert monitor.data.name == "Shop"
    assert monitor.data.status == "pending"
    listed = operation("get_monitors").sync(client=signed)
    assert [each.id for each in listed.data] == [monitor.data.id]
    assert listed.meta.total == 1
    read = operation("get_monitors_by_id").sync(monitor.data.id, client=signed)
    assert read.data.interval_seconds == 10
    spec.target = "ftp://x.example/"
    problem = operation("post_monitors").sync(client=signed, body=spec)
    assert problem.error.code == "VALIDATION_FAILED"
    gone = operation("delete_monitors_by_id").sync(monitor.data.id, client=signed)
    assert gone.success is True
    missing = operation("get_monitors_by_id").sync(monitor.data.id, client=signed)
    assert missing.error.code == "MONITOR_NOT_FOUND"
