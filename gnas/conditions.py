"""What a network must fulfil to be evaluated at all: conditions of black-box strategies and of the derivation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gnas.space import Genotype, Space

Admits = Callable[[Genotype], bool]


class Condition(Protocol):
    """Says whether a genotype may be evaluated; a frozen dataclass whose ``str`` is what is asked for.

    Such as :class:`gnas.costs.Limit` and :class:`gnas.zero_cost.Promising`. One that depends on the networks' width has
    a field ``recipe``; where that is ``None``, it is the one that the networks are trained with (:func:`at`).
    """

    def admits(self, space: Space, genotype: Genotype, task: Any, /) -> bool: ...

    def __str__(self) -> str: ...


def check_conditions(conditions: object, where: str) -> None:
    """That these are conditions, none or several.

    Raises:
        TypeError: They are something else.
    """
    given = conditions if isinstance(conditions, (tuple, list)) else (None,)
    if not all(callable(getattr(condition, "admits", None)) for condition in given):
        raise TypeError(
            f"{where} got conditions={conditions!r}; expected a tuple of conditions, such as "
            "(gnas.Limit('parameters', 50_000),)"
        )


def at(conditions: Sequence[Condition], recipe: Any) -> tuple[Condition, ...]:
    """The conditions, those that leave the recipe open at the one that networks are trained with."""
    return tuple(
        dataclasses.replace(condition, recipe=recipe) if getattr(condition, "recipe", recipe) is None else condition  # type: ignore[type-var]
        for condition in conditions
    )


def anything(genotype: Genotype) -> bool:
    """No condition at all."""
    return True


def gate(conditions: Sequence[Condition], space: Space, task: Any) -> Admits:
    """Whether a genotype fulfils them all; each is judged once."""
    if not conditions:
        return anything
    judged: dict[Genotype, bool] = {}

    def admits(genotype: Genotype) -> bool:
        if genotype not in judged:
            judged[genotype] = all(condition.admits(space, genotype, task) for condition in conditions)
        return judged[genotype]

    return admits


def said(conditions: Sequence[Condition]) -> str:
    """The conditions in words."""
    return " and ".join(map(str, conditions)) or "no condition"
