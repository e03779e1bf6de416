"""Checks that strategies share: of saved states, and of partial channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnas.checks import check_count


def check_keys(state: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    """Refuse a saved state that has other fields than these."""
    if set(state) != set(expected):
        raise ValueError(
            f"got a strategy state with the fields {sorted(map(str, state))}; expected {sorted(expected)}: "
            "it was written by another strategy or is damaged"
        )


def check_partial(settings: Any) -> None:
    """Refuse a ``partial`` that leaves no channel of ``hidden_channels``."""
    check_count(settings, "partial", 1)
    if settings.partial > settings.hidden_channels:
        raise ValueError(
            f"{settings.name} got partial={settings.partial} for hidden_channels={settings.hidden_channels}; expected "
            "no more; 1 is all channels"
        )
