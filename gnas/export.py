"""A found network as one readable PyG source file that runs without gnas."""

from __future__ import annotations

import inspect

from gnas.model import GraphModel
from gnas.ops import find
from gnas.space import Node

LINE = 120


def source(model: GraphModel, *, header: str = "") -> str:
    """The network as Python source that imports torch and torch_geometric only.

    Its class ``Network`` takes the state dict of ``model`` and computes the same.

    Args:
        model: A network.
        header: Lines for the top of the file's docstring, such as where it was found.
    """
    space = model.space
    build: list[str] = []
    steps: list[str] = []
    factories: list[type] = []
    names = {"x": "x"}
    for node in space.nodes:
        op = find(str(node.op), node.name)
        calls = op.layers(len(node.inputs), node.settings)
        for ending, call in calls.items():
            build += call.lines(f"self.{node.name}{ending}")
            factories += call.factories()
        variables = {ending: f"self.{node.name}{ending}" for ending in calls}
        inputs = [names[str(read)] for read in node.inputs]
        expression = op.source(variables, inputs, node.settings)
        scale = node.settings.get("scale")
        if scale is not None:
            expression = f"{scale!r} * ({expression})"
        names[node.name] = node.name
        steps.append(f"{node.name} = {expression}")
    body = "\n".join(steps)
    return _file(model, header, build, steps, names[space.output], factories, "self.activate(" in body)


def _file(
    model: GraphModel,
    header: str,
    build: list[str],
    steps: list[str],
    output: str,
    factories: list[type],
    activates: bool,
) -> str:
    written = [f for f in dict.fromkeys(factories) if f.__module__.startswith("gnas.")]
    named = {f.__name__ for f in factories if f.__module__.startswith("torch_geometric")}
    helpers = [inspect.getsource(f).rstrip() for f in written]
    text = "\n".join([*helpers, *steps])
    edge_weight = "edge_weight" in "\n".join(steps)
    imports = _imports(named, helpers, text)
    first = (header.strip() or "A graph neural network found by gnas.").replace('"""', "'''")
    weights = (
        "    ``edge_attr`` and ``batch``"
        if edge_weight
        else "    ``edge_weight``, ``edge_attr`` and ``batch``"
    )
    lines = [f'"""{first}\n"""' if "\n" in first else f'"""{first}"""', "", *imports, ""]
    for helper in helpers:
        lines += ["", helper, ""]
    lines += [
        "",
        "class Network(nn.Module):",
        '    """The network. It is called like any PyG model;',
        f"{weights} are accepted and not read.",
        '    """',
        "",
        f"    def __init__(self, in_channels: int = {model.in_channels}, hidden_channels: int = {model.hidden_channels},",
        f"                 out_channels: int = {model.out_channels}, dropout: float = {model.dropout!r}) -> None:",
        "        super().__init__()",
        "        self.dropout = dropout",
        "        self.encoder = nn.Linear(in_channels, hidden_channels)",
        *(f"        {line}" for line in build),
        "        self.decoder = nn.Linear(hidden_channels, out_channels)",
        "",
    ]
    drop = "F.dropout({}, p=self.dropout, training=self.training)"
    if activates:
        lines += [
            "    def activate(self, x: Tensor) -> Tensor:",
            f"        return {drop.format('x.relu()')}",
            "",
        ]
    lines += [
        "    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None,",
        "                edge_attr: Tensor | None = None, batch: Tensor | None = None) -> Tensor:",
        f"        x = self.encoder({drop.format('x')})",
        *(f"        {line}" for line in steps),
        f"        return self.decoder({drop.format(output)})",
        "",
    ]
    return "\n".join(lines)


def _imports(named: set[str], helpers: list[str], text: str) -> list[str]:
    helper_text = "\n".join(helpers)
    for name in ("GATConv", "MessagePassing"):
        if name in helper_text:
            named = named | {name}
    lines = ["from __future__ import annotations", "", "import torch" if "torch." in text else "", "import torch.nn.functional as F"]
    lines = [line for i, line in enumerate(lines) if line or i == 1]
    lines.append("from torch import Tensor, nn")
    if named:
        lines.append(f"from torch_geometric.nn import {', '.join(sorted(named))}")
    if "glorot(" in helper_text:
        lines.append("from torch_geometric.nn.inits import glorot")
    utilities = [u for u in ("add_self_loops", "remove_self_loops", "softmax") if f"{u}(" in helper_text]
    if utilities:
        lines.append(f"from torch_geometric.utils import {', '.join(utilities)}")
    return lines


