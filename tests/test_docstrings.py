"""What is public says what it is, and names each of its arguments (docs/api.md promises both)."""

from __future__ import annotations

import inspect
import re

import pytest

import gnas
import gnas.strategy

PUBLIC = {name: getattr(gnas, name) for name in gnas.__all__}
PUBLIC |= {name: getattr(gnas.strategy, name) for name in gnas.strategy.__all__}
CALLED = {name: made for name, made in PUBLIC.items() if inspect.isclass(made) or inspect.isfunction(made)}


def arguments(made: object) -> list[str]:
    """What a caller may give by name."""
    try:
        signature = inspect.signature(made)  # type: ignore[arg-type]
    except ValueError:
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, one in signature.parameters.items() if one.kind in kinds and not name.startswith("_")]


@pytest.mark.parametrize("name", CALLED)
def test_each_argument_is_told_of(name: str) -> None:
    told = inspect.getdoc(CALLED[name]) or ""
    assert told
    assert [one for one in arguments(CALLED[name]) if not re.search(rf"\b{one}\b", told)] == []
