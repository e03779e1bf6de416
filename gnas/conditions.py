"""What a network must fulfil to be evaluated at all: conditions of black-box strategies and of the derivation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gnas.space import Genotype, Space

Admits = Callable[[Genotype], bool]


class Condition(Protocol):
    """Says whether a genotype may be evaluated; a frozen dataclass whose ``str`` is what is asked for.

    Such as :class:`gnas.costs.Limit` and :class:`gnas.zero_cost.Promising`.
    """

    def admits(self, space: Space, genotype: Genotype, task: Any, /) -> bool: ...

    def __str__(self) -> str: ...


def check_conditions(conditions: Sequence[Condition], where: str) -> None:
    """That each is a condition.

    Raises:
        TypeError: One is not.
    """
    for condition in conditions:
        if isinstance(conditions, str) or not callable(getattr(condition, "admits", None)):
            raise TypeError(
                f"{where} got conditions={conditions!r}; expected a tuple of conditions, such as "
                "(gnas.Limit('parameters', 50_000),)"
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
