"""The examples of docs/deploy: the compose file names what exists, and asks for a token."""

from __future__ import annotations

from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def test_the_compose_file_names_what_exists() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert {*services} == {"recae", "redis"}
    build = services["recae"]["build"]
    assert ((DEPLOY / build["context"]) / build["dockerfile"]).is_file()
    assert "?" in services["recae"]["environment"]["RECAE_TOKEN"]  # compose stops without one
    assert services["recae"]["ports"] == ["127.0.0.1:8000:8000"]


def test_the_client_is_short() -> None:
    assert len((DEPLOY / "client.py").read_text().splitlines()) <= 30
