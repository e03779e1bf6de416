"""Every test of data has a cache of its own, no data but what it names, and no network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no data but what the test names."""
    monkeypatch.setenv("GNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GNAS_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(113, "no route to host")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks something on the terminal fails the test."""

    def refuse(question: str = "") -> str:
        raise AssertionError(f"asked on the terminal: {question}")

    monkeypatch.setattr("builtins.input", refuse)
