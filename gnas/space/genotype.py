"""Genotypes: one bound point of a space each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from gnas.space.node import Value, check_value, exact, show
from gnas.space.stored import VERSION, built, read_json


@dataclass(frozen=True)
class Genotype:
    """One bound point of a space: an option for every choice.

    Args:
        space: Name of the space.
        digest: Digest of the space (:meth:`Space.digest`), by which a genotype of another space is refused.
        choices: Option by name of choice. Given as a mapping, kept as sorted pairs.
    """

    space: str
    digest: str
    choices: tuple[tuple[str, Value], ...] | Mapping[str, Value]

    def __post_init__(self) -> None:
        pairs = self.choices.items() if isinstance(self.choices, Mapping) else self.choices
        object.__setattr__(self, "choices", tuple(sorted(((str(k), v) for k, v in pairs), key=lambda pair: pair[0])))
        for name, option in dict(self.choices).items():
            check_value(option, f"genotype of space {self.space!r}, choice {name!r},")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Genotype):
            return NotImplemented
        return exact((self.space, self.digest, self.choices)) == exact((other.space, other.digest, other.choices))

    def __getitem__(self, name: str) -> Value:
        choices = dict(self.choices)
        if name not in choices:
            raise KeyError(f"genotype of space {self.space!r} has no choice {name!r}; it has {list(choices)}")
        return choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.choices))

    def replace(self, **options: Value) -> Genotype:
        """A copy with other options; names with dots go through ``replace(**{"aggregate.1": "gcn"})``."""
        for name in options:
            self[name]
        return replace(self, choices={**dict(self.choices), **options})

    def __repr__(self) -> str:
        return f"Genotype({self.space}: {', '.join(f'{k}={show(v)}' for k, v in dict(self.choices).items())})"

    def to_json(self) -> str:
        """The genotype as JSON text with a version field."""
        content = {"space": self.space, "digest": self.digest, "choices": dict(self.choices)}
        return json.dumps({"format": "gnas.genotype", "version": VERSION, **content}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Genotype:
        """Read what :meth:`to_json` wrote; anything else is refused with a :class:`ValueError`."""
        content = read_json(text, "genotype", {"space": str, "digest": str, "choices": dict})
        return built("genotype", lambda: cls(content["space"], content["digest"], content["choices"]))
