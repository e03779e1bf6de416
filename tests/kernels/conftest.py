"""Triton's interpreter, made fit for many small programs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def interpreter_prepares_once() -> Iterator[None]:
    """The interpreter patches Triton's language at each launch, and again for each function that a program calls,
    where it takes longer than the program: the second time is left out here."""
    if find_spec("triton") is None:
        yield
        return
    from triton import language
    from triton.runtime import interpreter

    patch = interpreter._patch_lang

    def once(function: Any) -> Any:
        seen = [module for module in (language, language.core) if module in function.__globals__.values()]
        return patch(function) if any(language.core.is_builtin(module.load) for module in seen) else None

    interpreter._patch_lang = once
    yield
    interpreter._patch_lang = patch
