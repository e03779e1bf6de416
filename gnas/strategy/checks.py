"""The check of saved states that every strategy makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_keys(state: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    """Refuse a saved state that has other fields than these."""
    if set(state) != set(expected):
        raise ValueError(
            f"got a strategy state with the fields {sorted(map(str, state))}; expected {sorted(expected)}: "
            "it was written by another strategy or is damaged"
        )
