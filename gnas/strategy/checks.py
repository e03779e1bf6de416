"""Checks of settings and states that every strategy makes; an error says got, expected and what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def check_keys(state: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    """Refuse a saved state that has other fields than these."""
    if set(state) != set(expected):
        raise ValueError(
            f"got a strategy state with the fields {sorted(map(str, state))}; expected {sorted(expected)}: "
            "it was written by another strategy or is damaged"
        )


def check_count(settings: Any, key: str, least: int) -> None:
    """Refuse a setting that is no whole number, or too small."""
    value = getattr(settings, key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{settings.name} got {key}={value!r}; expected a whole number of at least {least}")


def check_number(settings: Any, key: str, positive: bool = False) -> None:
    """Refuse a setting that is no finite number, or negative, or zero where it must be positive."""
    value = getattr(settings, key)
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (positive and value == 0):
        sign = "positive" if positive else "non-negative"
        raise ValueError(f"{settings.name} got {key}={value!r}; expected a {sign} number")
