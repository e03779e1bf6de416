"""A user's own graphs from a folder of CSV files, each with a header.

``nodes.csv``, a row for each node:

* ``id``: any text, each once;
* ``graph``: in which graph it is, where there are several;
* ``label``, or several columns ``label_...``: what is to be predicted of the node;
* ``split``: ``train``, ``val`` or ``test``, or nothing for a node in no part;
* every other column is a feature, a number. Nodes without features get their degrees, one-hot; where edges are to be
  predicted, of which degrees would tell, a 1 each.

``edges.csv``, a row for each edge: ``source`` and ``target``, ids of nodes (``u`` and ``v`` instead for edges without a
direction, of which each becomes two, but for one from a node to itself), ``graph`` where an id may stand in several
graphs, ``weight``; every other column is an edge attribute, a number. Rows that name the same nodes are as many edges.

``graphs.csv``, for labels of whole graphs: ``graph``, ``label`` or ``label_...``, ``split``.

Labels that are whole numbers are classes as they stand; text is a class, numbered in the order of the alphabet; other
numbers (write 3.0, not 3) are values to predict. A column is of one sort. A label that is empty or no finite number
(``nan``) is not known. Columns ``label_...`` are several tasks and may have such gaps; all hold numbers, or all 0 and 1
or two words. In the one column ``label`` only a row that is in no part of the split may have a gap.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data.splits import MASKS, WORDS
from gnas.data.tu import degrees
from gnas.graphs import GraphSet

LAYOUT = (
    "expected nodes.csv (id, features, label, split) and edges.csv (source, target, weight, attributes); for several "
    "graphs a column graph, and graphs.csv (graph, label, split) where the graphs have labels"
)
COMMA = re.compile(r"[-+]?[\d.]*\d,[\d.,]*")
"""A number as some tables write it, 1,5 or 1,000."""
LARGEST = 2**53
"""Whole numbers up to this one are what they say; above it they would come out as others."""
POINT = "a point before decimals and no comma in a number"


@dataclass(frozen=True)
class Labels:
    """What the columns of labels hold.

    Args:
        y: ``[rows]``, or ``[rows, columns]`` of several columns.
        classes: The number of classes where these are words, which are numbered.
        labelled: Which rows have a class, bool ``[rows]``; None where all have one.
        numbers: Whether they are numbers to predict.
    """

    y: Tensor
    classes: int | None = None
    labelled: Tensor | None = None
    numbers: bool = False

    def told(self) -> dict[str, Any]:
        """What a graph keeps of it."""
        metric = "mae" if self.numbers else None
        kept = {"y": self.y, "num_classes": self.classes, "labelled": self.labelled, "metric": metric}
        return {key: value for key, value in kept.items() if value is not None}


@dataclass
class Table:
    """A CSV file: texts by column. A column that is taken is gone, so those that are left in the end are features."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    @property
    def rows(self) -> int:
        """Number of rows below the header."""
        return len(self.lines)

    def take(self, name: str) -> list[str]:
        """The texts of a column that has to be there."""
        if name not in self.columns:
            raise ValueError(f"{self.path} has no column {name!r}, only {list(self.columns)}; {LAYOUT}")
        return self.columns.pop(name)

    def names(self, column: str) -> list[str]:
        """The texts of a column that has to be there and to be filled in every row."""
        texts = self.take(column)
        if "" in texts:
            raise self.wrong(texts.index(""), column, "", "a name in every row")
        return texts

    def roles(self) -> dict[str, Tensor]:
        """The rows of each role, bool ``[rows]``, from the column ``split``; empty without it."""
        if "split" not in self.columns:
            return {}
        texts = [text.lower() for text in self.take("split")]
        for row, text in enumerate(texts):
            if text and text not in WORDS:
                raise self.wrong(row, "split", text, f"one of {list(WORDS)}, or nothing")
        masks = {role: torch.tensor([WORDS.get(text) == role for text in texts]) for role in MASKS}
        return {role: mask for role, mask in masks.items() if mask.any()}

    def labels(self, roles: dict[str, Tensor]) -> Labels | None:
        """From the column ``label`` or columns ``label_...``; None without them."""
        several = [name for name in self.columns if name.startswith("label_")]
        if "label" not in self.columns:
            return self._tasks(several) if several else None
        if several:
            raise ValueError(f"{self.path} has the columns label and {several}; expected the one or the others")
        texts = self.columns["label"]
        unknown = [row for row, text in enumerate(texts) if not _known(text)]
        if unknown and not roles:
            row = unknown[0]
            raise self.wrong(row, "label", texts[row], "a label, or a column split that leaves this row out")
        for row in unknown:
            if any(bool(mask[row]) for mask in roles.values()):
                raise self.wrong(row, "label", texts[row], "a label, because the row is in a part of the split")
        y, words = self._label("label")
        if words is None:
            return Labels(y.float(), numbers=True)
        if unknown and len(roles) < len(MASKS):
            # Rows in no part would become the parts that are missing.
            row, named = unknown[0], sorted(word for word, role in WORDS.items() if role in roles and word != "valid")
            raise self.wrong(row, "label", texts[row], f"a label, or train, val and test in split and not just {named}")
        # A row without a class is in no part, so what stands there is never read.
        return Labels(y.nan_to_num(0.0).long(), len(words) or None, ~y.isnan() if unknown else None)

    def _tasks(self, names: list[str]) -> Labels:
        """Columns that are all numbers, or all yes or no, as float32 ``[rows, columns]`` with NaN for the unknown."""
        texts = {name: self.columns[name] for name in names}
        found = {name: self._label(name) for name in names}
        numbers = [name for name, (_, words) in found.items() if words is None]
        if numbers and (others := [name for name in names if name not in numbers]):
            raise ValueError(
                f"{self.path} has numbers in {numbers}, but classes in {others}; expected numbers in all of them (1.0, "
                "not 1), or 0 and 1 in all"
            )
        for name, (y, words) in found.items():
            # A single word is 0, which may not be what it means.
            wrong = torch.zeros_like(y) if words is None else ((y < 0) | (y > 1) | ((y == 0) & (len(words) == 1)))
            for row in wrong.nonzero()[:1].view(-1).tolist():
                expected = (
                    "0 or 1, or one of two words, in each column label_...; try the one column label for more classes, "
                    "3.0 instead of 3 for a number to predict"
                )
                raise self.wrong(row, name, texts[name][row], expected)
        named = any(words for _, words in found.values())
        y = torch.stack([y.float() for y, _ in found.values()], dim=1)
        return Labels(y, 2 if named else None, numbers=bool(numbers))

    def _label(self, name: str) -> tuple[Tensor, list[str] | None]:
        """A column of labels as float64 with NaN where none is known, and their words in order.

        Whole numbers are classes without words; numbers to predict have None instead.
        """
        texts = [text if _known(text) else "" for text in self.take(name)]
        known = [row for row, text in enumerate(texts) if text]
        if not known:
            raise ValueError(f"the column {name!r} of {self.path} holds no label; expected class names or numbers")
        values = [_value(text) for text in texts]
        words = [row for row in known if values[row] is None]
        for row in words:
            if COMMA.fullmatch(texts[row]):
                raise self.wrong(row, name, texts[row], POINT)
        if words and len(words) < len(known):
            line = self.lines[next(row for row in known if values[row] is not None)]
            expected = f"a number as in line {line} (nothing where it is not known), or text in all rows"
            raise self.wrong(words[0], name, texts[words[0]], expected)
        if not words:
            for row in known:
                if abs(values[row] or 0) > LARGEST and _whole(texts[row]):
                    raise self.wrong(row, name, texts[row], f"a class number, at most {LARGEST}, or a text")
            return _tensor(values), [] if all(_whole(texts[row]) for row in known) else None
        names = {text: float(number) for number, text in enumerate(sorted({texts[row] for row in known}))}
        return _tensor([names.get(text) for text in texts]), list(names)

    def number(self, name: str) -> Tensor:
        """A column of finite numbers, float32 ``[rows]``."""
        texts = self.take(name)
        numbers = _tensor([_value(text) for text in texts]).float()
        for row in (~numbers.isfinite()).nonzero()[:1].view(-1).tolist():
            plain = "a finite number (a text can become a column of 0 and 1 a value)"
            raise self.wrong(row, name, texts[row], POINT if COMMA.fullmatch(texts[row]) else plain)
        return numbers

    def numbers(self) -> Tensor | None:
        """All columns that are left, float32 ``[rows, columns]``, or None where there are none."""
        names = list(self.columns)
        return torch.stack([self.number(name) for name in names], dim=1) if names else None

    def wrong(self, row: int, column: str, got: str, expected: str) -> ValueError:
        """The error of one field, with its line."""
        return ValueError(f"line {self.lines[row]} of {self.path} has the {column} {got!r}; expected {expected}")


def read(folder: Path) -> Data | GraphSet:
    """One graph, or several where ``nodes.csv`` has a column ``graph``.

    Raises:
        ValueError: A file or column is missing, or a field holds something else; the sentence says where.
    """
    nodes, edges = _table(folder / "nodes.csv"), _table(folder / "edges.csv")
    groups = nodes.names("graph") if "graph" in nodes.columns else None
    if groups is None and (folder / "graphs.csv").exists():
        raise ValueError(f"{str(folder)!r} has a graphs.csv, but nodes.csv has no column 'graph'; {LAYOUT}")
    if groups is None and "graph" in edges.columns:
        raise ValueError(f"{edges.path} has a column 'graph', but nodes.csv has none; {LAYOUT}")
    ends, both_ways = _ends(nodes, edges, groups)
    data = _joined(nodes, edges, ends, both_ways)
    if groups is not None:
        return _cut(data, groups, folder)
    if data.x is None:
        degrees([data])
        data.of_degrees = True
    return data


def _table(path: Path) -> Table:
    if not path.is_file():
        raise ValueError(f"{str(path.parent)!r} has no {path.name}; {LAYOUT}")
    reader = csv.reader(io.StringIO(_text(path), newline=""), skipinitialspace=True, strict=True)
    lines, rows = [], []
    try:
        for texts in reader:
            row = [text.strip() for text in texts]
            if len(row) > 1 or any(row):
                lines.append(reader.line_num)
                rows.append(row)
    except csv.Error as error:
        raise ValueError(
            f"line {reader.line_num} of {path} could not be read as CSV ({error}); expected commas between fields and "
            "every quote closed"
        ) from error
    header = [name.lower() for name in rows.pop(0)] if rows else []
    if len(header) == 1 and (mark := re.search(r"[;\t|]", header[0])):
        raise ValueError(
            f"{path} begins with {header[0]!r}, its fields apart by {mark[0]!r}; expected commas between fields, and a "
            "point before decimals"
        )
    if not header or len(set(header)) < len(header) or "" in header:
        hint = ", try to_csv(index=False) where pandas wrote it" if header and not header[0] else ""
        raise ValueError(f"{path} begins with {header}; expected a header with another name for each column{hint}")
    del lines[0]
    for line, row in zip(lines, rows):
        if len(row) != len(header):
            raise ValueError(f"line {line} of {path} has {len(row)} fields; expected {len(header)}: {header}")
    if not rows and path.name != "edges.csv":
        raise ValueError(f"{path} has no rows; {LAYOUT}")
    return Table(path, {name: [row[i] for row in rows] for i, name in enumerate(header)}, lines)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise ValueError(
            f"line {line} of {path} holds the byte {byte:#x}, which is no text in UTF-8; expected a CSV file in UTF-8, "
            "try saving it once more in that encoding"
        ) from error


def _ends(nodes: Table, edges: Table, groups: list[str] | None) -> tuple[Tensor, bool]:
    """Rows of ``nodes`` that the edges join ``[2, edges]``, and whether each edge goes both ways."""
    names: Sequence[Hashable] = nodes.names("id")
    both_ways = {"u", "v"} <= set(edges.columns)
    if both_ways and (others := {"source", "target"} & set(edges.columns)):
        raise ValueError(
            f"{edges.path} has the columns u and v, and {sorted(others)}, too; expected source and target, or u and v "
            "for edges without a direction"
        )
    sides = ("u", "v") if both_ways else ("source", "target")
    texts = {side: edges.take(side) for side in sides}
    wanted: dict[str, Sequence[Hashable]] = dict(texts)
    unique = "an id that no other row has"
    if groups is not None:
        unique = "an id that no other row has, or a column graph in edges.csv"
        if "graph" in edges.columns:
            unique = "an id that no other row of its graph has"
            of = edges.take("graph")
            names, wanted = list(zip(groups, names)), {side: list(zip(of, texts[side])) for side in sides}
    rows: dict[Hashable, int] = {}
    for row, name in enumerate(names):
        if rows.setdefault(name, row) != row:
            raise nodes.wrong(row, "id", str(name[-1] if isinstance(name, tuple) else name), unique)
    for side in sides:
        for row, name in enumerate(wanted[side]):
            if name not in rows:
                raise edges.wrong(row, side, texts[side][row], f"the id of a node in {nodes.path.name}")
    ends = torch.tensor([[rows[name] for name in wanted[side]] for side in sides], dtype=torch.long).view(2, -1)
    if groups is not None:
        for row, (a, b) in enumerate(ends.t().tolist()):
            if groups[a] != groups[b]:
                raise edges.wrong(row, sides[1], texts[sides[1]][row], f"a node of the same graph, {groups[a]!r}")
    return ends, both_ways


def _joined(nodes: Table, edges: Table, ends: Tensor, both_ways: bool) -> Data:
    """All nodes and edges as one graph."""
    data = Data(num_nodes=nodes.rows)
    roles = nodes.roles()
    found, x = nodes.labels(roles), nodes.numbers()
    if labels := [name for name in edges.columns if name == "label" or name.startswith("label_")]:
        raise ValueError(
            f"{edges.path} has the columns {labels}, but gnas reads no labels of edges from CSV; save a Data with "
            "edge_label_index and edge_label instead"
        )
    weight = edges.number("weight") if "weight" in edges.columns else None
    of_edges = {"edge_weight": weight, "edge_attr": edges.numbers()}
    if both_ways:
        # Not PyG's to_undirected, which makes one edge of several between the same nodes.
        back = (ends[0] != ends[1]).nonzero().view(-1)
        rows = torch.cat([torch.arange(edges.rows), back])
        ends = torch.cat([ends, ends[:, back].flip(0)], dim=1)
        order = (ends[0] * nodes.rows + ends[1]).argsort(stable=True)
        ends, rows = ends[:, order], rows[order]
        of_edges = {key: None if value is None else value[rows] for key, value in of_edges.items()}
    masks = {MASKS[role]: mask for role, mask in roles.items()}
    of_labels = {} if found is None else found.told()
    for key, value in {"x": x, **masks, **of_labels, "edge_index": ends, **of_edges}.items():
        if value is not None:
            data[key] = value
    return data


def _cut(data: Data, groups: list[str], folder: Path) -> GraphSet:
    """The graphs of a joined one, in the order of ``graphs.csv``, else in that of their first nodes."""
    listed = _table(folder / "graphs.csv") if (folder / "graphs.csv").exists() else None
    names = list(dict.fromkeys(groups)) if listed is None else listed.take("graph")
    if listed is not None:
        there, seen = set(groups), set[str]()
        for row, name in enumerate(names):
            if name in seen or name not in there:
                raise listed.wrong(row, "graph", name, "a graph of nodes.csv, each once")
            seen.add(name)
        if unlisted := sorted(there - seen):
            raise ValueError(f"{listed.path} has no row for the graph {unlisted[0]!r} of nodes.csv; expected one")
    number = {name: i for i, name in enumerate(names)}
    metric = data.to_dict().get("metric")
    graphs = _parts(data, torch.tensor([number[name] for name in groups]), len(names))
    if "x" not in data:
        degrees(graphs)
    if listed is None:
        return GraphSet(tuple(graphs), None, name=folder.name, metric=metric)
    roles = listed.roles()
    found = listed.labels(roles)
    if listed.columns:
        raise ValueError(f"{listed.path} has the columns {list(listed.columns)}, too; {LAYOUT}")
    if found is not None and "y" in data:
        raise ValueError(f"both nodes.csv and {listed.path} have labels; expected those of nodes or those of graphs")
    if found is not None:
        for row, graph in enumerate(graphs):
            for key, value in found.told().items():
                graph[key] = value[row : row + 1] if isinstance(value, Tensor) else value
        metric = graphs[0].to_dict().get("metric")
    split = {role: mask.nonzero().view(-1) for role, mask in roles.items()}
    if split and len(split) < len(MASKS):
        raise ValueError(
            f"the split in {listed.path} names only {sorted(split)}; expected train, val and test, or none"
        )
    return GraphSet(tuple(graphs), split or None, name=folder.name, metric=metric)


def _parts(data: Data, group: Tensor, count: int) -> list[Data]:
    """A joined graph cut by the group of each node ``[nodes]``."""
    order = group.argsort(stable=True)
    sizes = group.bincount(minlength=count)
    inside = torch.empty_like(group)
    inside[order] = torch.arange(group.numel()) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    of_edge = group[data.edge_index[0]]
    edges = of_edge.argsort(stable=True)
    degree = of_edge.bincount(minlength=count).tolist()
    graphs = [Data(num_nodes=size) for size in sizes.tolist()]
    for key, value in data.to_dict().items():
        if key == "num_nodes":
            continue
        if not isinstance(value, Tensor):
            for graph in graphs:
                graph[key] = value
            continue
        if key == "edge_index":
            parts = inside[value][:, edges].split(degree, dim=1)
        elif key.startswith("edge_"):
            parts = value[edges].split(degree)
        else:
            parts = value[order].split(sizes.tolist())
        for graph, part in zip(graphs, parts):
            graph[key] = part.contiguous()
    return graphs


def _value(text: str) -> float | None:
    """The number that a field holds, or None; 1_0 is one to Python alone."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _tensor(values: list[float | None]) -> Tensor:
    return torch.tensor([math.nan if value is None else value for value in values], dtype=torch.float64)


def _known(text: str) -> bool:
    """Whether a field holds a label: pandas and others write ``nan`` where there is none."""
    value = _value(text)
    return bool(text) and (value is None or math.isfinite(value))


def _whole(text: str) -> bool:
    return text.lstrip("-+").isdecimal()
