"""Splits of a data set: one of several published ones by its number, or a user's own from masks or index files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data.cache import brief
from gnas.graphs import GraphSet

MASKS = {"weights": "train_mask", "architecture": "val_mask", "test": "test_mask"}
WORDS = {"train": "weights", "val": "architecture", "valid": "architecture", "test": "test"}
"""What files call the three roles."""
LAYOUT = (
    "expected a folder with train, val and test (.txt or .csv: a position from 0 a line; .pt: a tensor of positions or "
    "a bool mask), or one .pt file with a dict of these three, or one .csv file with the columns index, split"
)


def split_of(text: str | None) -> int | str | None:
    """A split as a command line or a run's folder names it: a number, or a path."""
    return int(text) if text is not None and text.isdecimal() else text


def numbered(split: int | None, count: int, name: str) -> int:
    """The number of a split, 0 if none is named."""
    if split is None:
        return 0
    if not 0 <= split < count:
        numbers = "one split, so leave split out" if count == 1 else f"the splits 0 to {count - 1}"
        raise ValueError(f"got split={split} of {name!r}; it has {numbers}")
    return split


def seed_of(split: int | None, name: str) -> int:
    """The seed of a split that has to be drawn, 0 if none is named."""
    if split is not None and not 0 <= split < 2**32:
        raise ValueError(f"got split={split} of {name!r}, which has no published split; expected a seed, 0 or more")
    return split or 0


def column(data: Data, split: int, name: str) -> Data:
    """A graph of which masks ``[nodes, splits]`` hold several splits, with one of them: masks ``[nodes]``."""
    # WikiCS has one test mask for all of its splits.
    masks = {key: data[key] for key in MASKS.values() if key in data and data[key].dim() == 2}
    if not masks:
        raise ValueError(
            f"got split={split} of {name!r}, whose masks don't hold several splits; leave split out, or name a file or "
            "folder with a split"
        )
    for key, mask in masks.items():
        data[key] = mask[:, numbered(split, mask.size(1), name)].bool()
    return data


def with_split(data: Data | GraphSet, path: str | Path) -> Data | GraphSet:
    """A graph with the masks that a user's files name, or a set of graphs with such positions.

    Positions are those of nodes; of the pairs where the graph asks for pairs alone (``edge_label_index``, no ``y``); of
    the edges where ``y`` has a row for each of these and not for each node.

    Raises:
        ValueError: The files are missing or hold something else; the sentence says what is expected.
    """
    source = Path(path).expanduser()
    if isinstance(data, GraphSet):
        split = _checked(_read(source), len(data.graphs), "graphs", str(path))
        known = [bool(graph.labelled.all()) if "labelled" in graph else True for graph in data.graphs]
        _check_labelled(split, torch.tensor(known), "graphs", str(path))
        return replace(data, split=split)
    if data.num_nodes is None:
        raise ValueError("the graph does not say how many nodes it has, so it can't be split; expected x or num_nodes")
    asked = data["edge_label_index"] if "edge_label_index" in data and "y" not in data else None
    items, what = (data.num_nodes, "nodes") if asked is None else (asked.size(1), "pairs")
    if asked is None and "y" in data and data.num_nodes != data.y.size(0) == data.num_edges:
        items, what = data.num_edges, "edges"
    split = _checked(_read(source), items, what, str(path))
    if "labelled" in data and asked is None:
        _check_labelled(split, data.labelled, what, str(path))
    data = data.clone()
    for role, key in MASKS.items():
        data[key] = torch.zeros(items, dtype=torch.bool)
        data[key][split[role]] = True
    return data


def _checked(split: Mapping[str, Tensor], items: int, what: str, path: str) -> dict[str, Tensor]:
    """Positions by role, each in range and in one role only."""
    taken = torch.zeros(items, dtype=torch.bool)
    result = {}
    for role in MASKS:
        if role not in split:
            missing = next(word for word, meant in WORDS.items() if meant == role)
            raise ValueError(f"the split in {path!r} has no {missing!r}; {LAYOUT}")
        index = split[role]
        if index.dtype == torch.bool:
            if tuple(index.shape) != (items,):
                raise ValueError(
                    f"the {role} mask in {path!r} has shape {list(index.shape)}; expected one bool for each of the "
                    f"{items} {what}, [{items}]"
                )
            index = index.nonzero().view(-1)
        if index.is_floating_point() or index.dim() != 1 or not index.numel():
            raise ValueError(
                f"the {role} part of {path!r} is a tensor of shape {list(index.shape)} and dtype {index.dtype}; "
                "expected positions [count], int64, or a bool mask, at least one of them"
            )
        index = index.long()
        wrong = index[(index < 0) | (index >= items)]
        if wrong.numel():
            raise ValueError(
                f"the {role} part of {path!r} names position {int(wrong[0])} of {items} {what}; expected 0 to "
                f"{items - 1}"
            )
        twice = torch.cat([index[taken[index]], (index.bincount() > 1).nonzero().view(-1)])
        if twice.numel():
            raise ValueError(f"the split in {path!r} names position {int(twice[0])} twice; expected each at most once")
        taken[index] = True
        result[role] = index.sort().values
    return result


def _check_labelled(split: Mapping[str, Tensor], known: Tensor, what: str, path: str) -> None:
    """Refuse a part with an item that has no class: what stands there instead is none."""
    for role, index in split.items():
        if not bool(known[index].all()):
            raise ValueError(
                f"the {role} part of {path!r} names position {int(index[~known[index]][0])}, which has no label "
                f"({int((~known[index]).sum())} such {what}); expected {what} with a label, try leaving it out"
            )


def _read(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        found = {}
        for word, role in WORDS.items():
            for file in filter(Path.is_file, (path / f"{word}{suffix}" for suffix in (".txt", ".csv", ".pt"))):
                if role in found:
                    raise ValueError(f"the folder {str(path)!r} names the {role} part twice ({file.name}); {LAYOUT}")
                found[role] = _part(file)
        return found
    if not path.is_file():
        raise ValueError(f"the split {str(path)!r} is neither a file nor a folder; {LAYOUT}")
    if path.suffix == ".csv":
        return _table(path)
    content = _load(path)
    if not isinstance(content, dict) or any(not isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{str(path)!r} holds a {type(content).__name__}, not a dict of tensors; {LAYOUT}")
    if {"val", "valid"} <= set(content):
        raise ValueError(f"{str(path)!r} names the architecture part twice (val and valid); {LAYOUT}")
    return {WORDS[word]: value for word, value in content.items() if word in WORDS}


def _part(path: Path) -> Tensor:
    if path.suffix == ".pt":
        content = _load(path)
        if not isinstance(content, Tensor):
            raise ValueError(f"{str(path)!r} holds a {type(content).__name__}, not a tensor; {LAYOUT}")
        return content
    lines = [line.strip() for line in _text(path).splitlines()]
    return _positions([(i, line) for i, line in enumerate(lines, 1) if line], path)


def _table(path: Path) -> dict[str, Tensor]:
    rows = [[part.strip() for part in line.split(",")] for line in _text(path).splitlines()]
    if not rows or sorted(rows[0]) != ["index", "split"]:
        got = ",".join(rows[0]) if rows else ""
        raise ValueError(f"{str(path)!r} begins with {got!r}; {LAYOUT}")
    where = {name: place for place, name in enumerate(rows[0])}
    parts: dict[str, list[tuple[int, str]]] = {}
    for number, row in enumerate(rows[1:], 2):
        if row == [""]:
            continue
        word = row[where["split"]] if len(row) == 2 else ""
        if word not in WORDS:
            raise ValueError(
                f"line {number} of {str(path)!r} is {','.join(row)!r}; expected a position and one of {list(WORDS)}"
            )
        parts.setdefault(WORDS[word], []).append((number, row[where["index"]]))
    return {role: _positions(lines, path) for role, lines in parts.items()}


def _positions(lines: list[tuple[int, str]], path: Path) -> Tensor:
    """Whole numbers, given with the lines that they stand on."""
    for number, text in lines:
        # More digits than an int64 always holds.
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
            raise ValueError(f"line {number} of {str(path)!r} is {text!r}; expected a position from 0")
    return torch.tensor([int(text) for _, text in lines], dtype=torch.long)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} is no text file ({brief(error)}); {LAYOUT}") from error


def _load(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of any other kind can fail in any way inside the unpickler
        raise ValueError(f"{str(path)!r} could not be read ({brief(error)}); {LAYOUT}") from error
