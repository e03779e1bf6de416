"""A found network as one readable PyG source file that runs without gnas."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable

from torch import nn

from gnas.model import GraphModel
from gnas.ops import CategoryEncoder, find, variants
from gnas.space import Space

OPTIONAL = ("edge_weight", "edge_attr", "batch", "edge_label_index")
"""What a network may be called with besides ``x`` and ``edge_index``."""
OF_PAIRS = "edge_label_attr"
"""And what only a network that reads it is called with."""

LINE = 120
INDENT = "    "


def source(model: GraphModel, *, header: str = "") -> str:
    """The network as Python source that imports torch and torch_geometric only.

    A layer of one's own is imported from the module that defines it, which the file says it needs. The class
    ``Network`` takes the state dict of ``model`` and computes the same. The layout is that of ``ruff format`` with
    lines of 120 characters.

    Args:
        model: A network.
        header: Text for the top of the file, such as where the network was found.

    Raises:
        ValueError: A layer of one's own is not at the top level of a module, so that no file can import it.
    """
    if not isinstance(model, GraphModel):
        raise TypeError(
            f"got a {type(model).__name__}; expected a gnas.GraphModel, try the one that a supernet derives: "
            "supernet.model(supernet.derive())"
        )
    build: list[str] = []
    steps: list[str] = []
    factories: list[type] = []
    functions: list[Callable[..., object]] = []
    for node in model.space.nodes:
        op = find(str(node.op), node.name)
        settings = model.settings(node)
        calls = op.layers(len(node.inputs), settings)
        for ending, call in calls.items():
            build += call.lines(f"self.{node.name}{ending}")
            factories += call.factories()
        layers = {ending: f"self.{node.name}{ending}" for ending in calls}
        inputs = [str(node.inputs[i]) for i in op.reads(len(node.inputs), settings)]
        expression = op.source(layers, inputs, {**settings, "kind": node.kind})
        functions += op.functions
        steps.append(f"{node.name} = {_scaled(expression, node.settings.get('scale'))}")
    factories += [type(encoder) for encoder in (model.encoder, model.edge_encoder, model.units) if encoder is not None]
    network = _network(model, build, steps)
    helpers = _printed(factories)
    text = "\n".join([*helpers, *network])
    called = [function for function in functions if f"{function.__name__}(" in text]
    # A function stands above the classes that call it.
    helpers = [*_printed(called), *helpers]
    tree = ast.parse("\n".join([*helpers, *network]))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    named: list[Callable[..., object]] = [*called, *factories]
    needed = sorted({part.__module__ for part in named if _foreign(part)})
    imports = _imports(dict.fromkeys(named), names)
    header = header.strip() or "A graph neural network found by gnas."
    header += f"\n\nIt needs {' and '.join(needed)} besides PyG, for layers of one's own." if needed else ""
    blocks = [_docstring(header), "\n".join(imports), *("\n" + helper for helper in helpers)]
    return "\n\n".join([*blocks, "\n" + "\n".join(network)]) + "\n"


def check_exportable(space: Space) -> None:
    """Raise :class:`ValueError` if a network that the space may give could not be written down."""
    for node in space.nodes:
        for _, op, settings in variants(node):
            parts: list[Callable[..., object]] = [*op.functions]
            for call in op.layers(len(node.inputs), settings).values():
                parts += call.factories()
            for part in parts:
                _check_importable(part)


def _foreign(part: Callable[..., object]) -> bool:
    """Whether a class or function is neither gnas's own nor PyTorch's nor PyG's."""
    return part.__module__.split(".")[0] not in ("gnas", "torch", "torch_geometric")


def _check_importable(part: Callable[..., object]) -> None:
    if not _foreign(part):
        return
    name, module = part.__qualname__, part.__module__
    try:
        there = module != "__main__" and hasattr(importlib.import_module(module), name)
    except ImportError:
        there = False
    if not there:
        raise ValueError(
            f"{name} is defined in {module}, from where the source of a found network can't import it; expected it at "
            f"the top level of a module, try a file layers.py beside yours and: from layers import {part.__name__}"
        )


def _printed(parts: Iterable[Callable[..., object]]) -> list[str]:
    """Source of those classes and functions that are gnas's own, each once."""
    return [inspect.getsource(part).rstrip() for part in dict.fromkeys(parts) if part.__module__.startswith("gnas.")]


def _scaled(expression: str, scale: object) -> str:
    if scale is None or scale == 1:
        return expression
    atom = isinstance(ast.parse(expression, mode="eval").body, (ast.Call, ast.Name))
    return f"{scale!r} * {expression}" if atom else f"{scale!r} * ({expression})"


def _network(model: GraphModel, build: list[str], steps: list[str]) -> list[str]:
    body = "\n".join(steps)
    if re.search(r"\bgraphs\b", body):
        # With one graph a constant, which torch.export can trace.
        steps = ["graphs = 1 if batch is None else int(batch.max()) + 1", *steps]
        body = "\n".join(steps)
    optional = [*OPTIONAL, *([OF_PAIRS] if re.search(rf"\b{OF_PAIRS}\b", body) else [])]
    read = {name for name in optional if re.search(rf"\b{name}\b", body)}
    sizes = [] if model.categories else [f"in_channels: int = {model.in_channels}"]
    sizes += [f"edge_channels: int = {model.edge_channels}"] if isinstance(model.edge_encoder, nn.Linear) else []
    sizes += [f"hidden_channels: int = {model.hidden_channels}", f"out_channels: int = {model.out_channels}"]
    sizes += [f"dropout: float = {model.dropout!r}"]
    layers = ["super().__init__()", "self.dropout = nn.Dropout(dropout)"]
    layers += [f"self.encoder = {_encoder('in_channels', model.categories)}"]
    run = [f"x = self.encoder({'self.dropout(x)' if model.drop_inputs and not model.categories else 'x'})"]
    if model.edge_encoder is not None:
        layers += [f"self.edge_encoder = {_encoder('edge_channels', model.edge_categories)}"]
        run += [f"{name} = self.edge_encoder({name})" for name in ("edge_attr", OF_PAIRS) if name in read]
    elif "edge_attr" in read:
        read.remove("edge_attr")
        run += ["edge_attr = x.new_zeros(edge_index.size(1), x.size(1))"]
    layers += [*build, "self.decoder = nn.Linear(hidden_channels, out_channels)"]
    scores = f"self.decoder(self.dropout({model.space.output}))"
    if model.units is not None:
        mean, deviation = model.units.scales()
        layers += [f"self.units = Units({mean}, {deviation})"]
        scores = f"self.units({scores})"
    run += [*steps, f"return {scores}"]
    lines = [
        "class Network(nn.Module):",
        *_about([f"``{name}``" for name in OPTIONAL if name not in read]),
        "",
        *_wrapped(f"def __init__(self, {', '.join(sizes)}) -> None:", INDENT),
        *(line for statement in layers for line in _wrapped(statement, 2 * INDENT)),
        "",
    ]
    if "self.activate(" in body:
        activate = ["def activate(self, x: Tensor) -> Tensor:", INDENT + "return self.dropout(x.relu())"]
        lines += [*(INDENT + line for line in activate), ""]
    lines += [
        "    def forward(",
        "        self,",
        "        x: Tensor,",
        "        edge_index: Tensor,",
        *(f"        {name}: Tensor | None = None," for name in optional),
        "    ) -> Tensor:",
        *(line for statement in run for line in _wrapped(statement, 2 * INDENT)),
    ]
    return lines


def _encoder(channels: str, categories: tuple[int, ...] | None) -> str:
    if categories is None:
        return f"nn.Linear({channels}, hidden_channels)"
    return f"{CategoryEncoder.__name__}({list(categories)}, hidden_channels)"


def _about(unread: list[str]) -> list[str]:
    """The docstring of the network's class, which says what it is given and doesn't read."""
    first = '    """The network, called like any PyG model.'
    if not unread:
        return [first + '"""']
    names = " and ".join([", ".join(unread[:-1]), unread[-1]] if len(unread) > 1 else unread)
    return [first, "", f"    {names} {'are' if len(unread) > 1 else 'is'} accepted and not read.", '    """']


def _docstring(header: str) -> str:
    text = header.replace("\\", "\\\\").replace('"""', "'''")
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, LINE - 6) or [""]]
    end = "\n" if len(lines) > 1 or lines[-1].endswith('"') else ""
    return '"""' + "\n".join(lines) + end + '"""'


def _imports(factories: Iterable[Callable[..., object]], names: set[str]) -> list[str]:
    """Import lines for the layers and for what the printed helpers read, of those whose names occur."""
    found: dict[str, set[str]] = {}
    own: dict[str, set[str]] = {}
    for factory in factories:
        if _foreign(factory):
            _check_importable(factory)
            own.setdefault(factory.__module__, set()).add(factory.__name__)
        elif factory.__module__.startswith("torch_geometric.nn"):
            found.setdefault("torch_geometric.nn", set()).add(factory.__name__)
        elif not factory.__module__.startswith("torch."):
            for statement in ast.parse(inspect.getsource(sys.modules[factory.__module__])).body:
                if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith("torch_geometric"):
                    used = {alias.name for alias in statement.names} & names
                    found.setdefault(str(statement.module), set()).update(used)
    lines = ["from __future__ import annotations", ""]
    lines += ["import torch"] if "torch" in names else []
    lines.append("from torch import Tensor, nn")
    for module, used in (*sorted(found.items()), *sorted(own.items())):
        line = f"from {module} import {', '.join(sorted(used))}"
        if len(line) > LINE:
            line = "\n".join([f"from {module} import (", *(f"{INDENT}{name}," for name in sorted(used)), ")"])
        lines += [line] if used else []
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    """A statement in lines that are short enough, broken as ``ruff format`` breaks it."""
    if len(indent) + len(text) <= LINE:
        return [indent + text]
    groups = _groups(text)
    inner = indent + INDENT
    if not groups:
        target, _, total = text.partition(" = ")
        terms = [inner + total]
        if len(terms[0]) > LINE:
            first, *rest = total.split(" + ")
            terms = [inner + first, *(f"{inner}+ {term}" for term in rest)]
        return [f"{indent}{target} = (", *terms, indent + ")"]
    start, end = max(groups, key=lambda group: group[1] - group[0])
    body = text[start + 1 : end]
    items = _items(body)
    if text[start] == "(" and len(items) == 1:
        lines = _wrapped(body, inner)
    elif text[start] == "(" and len(inner) + len(body) <= LINE:
        lines = [inner + body]
    else:
        lines = [line for item in items for line in _wrapped(item + ",", inner)]
    return [indent + text[: start + 1], *lines, indent + text[end:]]


def _groups(text: str) -> list[tuple[int, int]]:
    """Positions of the brackets that are in no other brackets."""
    groups, opened, depth = [], 0, 0
    for i, character in enumerate(text):
        if character in "([":
            opened = opened if depth else i
            depth += 1
        elif character in ")]":
            depth -= 1
            if depth == 0:
                groups.append((opened, i))
    return groups


def _items(body: str) -> list[str]:
    """What commas outside of brackets separate."""
    items, depth, last = [], 0, 0
    for i, character in enumerate(body):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            items.append(body[last:i])
            last = i + 1
    return [item.strip() for item in [*items, body[last:]]]
