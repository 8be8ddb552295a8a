"""The example file is what the code accepts, and the documents name every setting."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from netpulse import config

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_is_the_default_configuration() -> None:
    path = ROOT / "config.example.toml"
    assert config.load(path, {}).config == config.Config()


def test_the_example_names_every_setting() -> None:
    raw = tomllib.loads((ROOT / "config.example.toml").read_text())
    named = {(section, key) for section, values in raw.items() for key in values}
    assert named == {(section, key) for section, key, _ in config.settings()}


def test_the_handbook_names_every_setting() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for section, key, default in config.settings():
        assert f"`{section}.{key}`" in text
        assert f"`NETPULSE_{section.upper()}_{key.upper()}`" in text
        shown = msgspec.json.encode(default).decode()
        line = next(row for row in text.splitlines() if f"`{section}.{key}`" in row)
        assert f"`{shown}`" in line, f"the default of {section}.{key} is {shown}"
