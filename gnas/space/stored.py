"""Reading what was stored as JSON: whatever is not what was written is refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

VERSION = 1
T = TypeVar("T")


def read_json(text: str, what: str, shape: Mapping[str, type]) -> dict[str, Any]:
    """The fields of stored text, of these types.

    Raises:
        ValueError: It is no such text, of another version, or damaged.
    """
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"the {what} is not JSON ({error}); expected what to_json() writes") from None
    if not isinstance(content, dict) or content.get("format") != f"gnas.{what}":
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"the JSON is no {what}: got format {got!r}, expected 'gnas.{what}', as to_json() writes it")
    if content.get("version") != VERSION:
        raise ValueError(
            f"the {what} has version {content.get('version')!r}; this gnas reads version {VERSION}: "
            "install the gnas that wrote it, or search again"
        )
    for key, kind in shape.items():
        if not isinstance(content.get(key), kind):
            raise ValueError(
                f"the {what}'s field {key!r} is {content.get(key)!r}; expected a {kind.__name__}: the file is damaged"
            )
    return content


def listed(value: Any) -> tuple[Any, ...]:
    """A list as a tuple; anything else is refused."""
    if not isinstance(value, list):
        raise ValueError(f"got {value!r} where a list was expected")
    return tuple(value)


def built(what: str, build: Callable[[], T]) -> T:
    """What is built of stored fields; what fails on them is said to be malformed."""
    try:
        return build()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the {what} is malformed: {error}") from None
