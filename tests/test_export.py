"""The exported source: it runs without gnas, takes the weights, computes the same, and reads as a person wrote it."""

from __future__ import annotations

import ast
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
import torch
from graph_examples import close, example
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import SimpleConv

from gnas.export import LINE, check_exportable, source
from gnas.model import GraphModel
from gnas.ops import OPS, Call, Context, Settings
from gnas.ops.convolution import Convolution
from gnas.search import search
from gnas.space import Choice, Node, Space, gap, layered, relational, sane
from gnas.supernet import GraphSupernet

SPACES = {
    "gap": gap(2, extended=True),
    "layered": layered(3),
    "untied": layered(3, tie=(), jumps=("last", "max", "concat", "lstm"), skips=True),
    "own weights": layered(2, share="none"),
    "sane": sane(),
}
GRAPH = example(9, 25)
PAIRS = torch.tensor([[0, 1, 2, 8], [3, 1, 0, 7]])
NUMBER = count()


def written(text: str, folder: Path) -> ModuleType:
    """The source as a file, imported as a module of its own."""
    name = f"exported_{next(NUMBER)}"
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # PyG looks the module of a layer's class up
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Afterwards, the exported modules are gone."""
    yield
    for name in [name for name in sys.modules if name.startswith("exported_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def supernets() -> dict[str, GraphSupernet]:
    """A supernet of each space that has been trained for a few steps, so that scales and statistics are its own."""
    trained = {}
    for name, space in SPACES.items():
        torch.manual_seed(0)
        net = GraphSupernet(space, 5, 16, 3, dropout=0.3).double()
        optimizer = torch.optim.Adam(net.weight_parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            net(GRAPH.x, GRAPH.edge_index).square().mean().backward()
            optimizer.step()
        trained[name] = net
    return trained


def check(model: GraphModel, folder: Path) -> str:
    """Export, check what must hold for every exported source, and return it."""
    text = source(model, header="Found by a test.")
    tree = ast.parse(text)
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        assert all(name.split(".")[0] in ("__future__", "torch", "torch_geometric") for name in names)
    assert all(len(line) <= LINE and line == line.rstrip() for line in text.splitlines())
    assert text.endswith("\n") and not text.endswith("\n\n")
    network: nn.Module = written(text, folder).Network().double()
    network.load_state_dict(model.state_dict(), strict=True)
    model.eval(), network.eval()
    for weight in (None, GRAPH.edge_weight):
        given = {"x": GRAPH.x, "edge_index": GRAPH.edge_index, "edge_weight": weight, "edge_label_index": PAIRS}
        close(network(**given), model(**given))
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in model.parameters())
    return text


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(list(SPACES)), seed=st.integers(0, 10_000), inherit=st.booleans())
def test_the_source_computes_what_the_model_computes(
    name: str, seed: int, inherit: bool, supernets: dict[str, GraphSupernet], tmp_path: Path
) -> None:
    genotype = SPACES[name].sample(random.Random(seed))
    torch.manual_seed(seed)
    bound = SPACES[name].bind(genotype)
    model = supernets[name].model(genotype) if inherit else GraphModel(bound, 5, 16, 3, 0.3).double()
    check(model, tmp_path)


@pytest.mark.parametrize("name", ["gap", "layered", "untied", "relational"])
@pytest.mark.parametrize("seed", [0, 1])
def test_torch_export_takes_the_source(name: str, seed: int, tmp_path: Path) -> None:
    space = {**SPACES, "relational": relational(2)}[name]
    bound = space.bind(space.sample(random.Random(seed)))
    torch.manual_seed(seed)
    model = GraphModel(bound, 5, 16, 3).eval()
    network = written(source(model), tmp_path).Network(5, 16, 3).eval()
    network.load_state_dict(model.state_dict())
    x, edge_index = torch.randn(9, 5), torch.randint(9, (2, 25))
    taken = torch.export.export(network, (x, edge_index)).module()
    torch.testing.assert_close(taken(x, edge_index), model(x, edge_index), atol=1e-5, rtol=1e-4)


def program(op: str, transform: bool) -> Space:
    """A space with one node of an operation, which reads what the operation takes."""
    attrs = {"weight": 0.25} if op == "lerp" else {"transform": transform} if op in CONVOLUTIONS else {}
    takes, gives = OPS[op].takes or ("node",), OPS[op].gives or "node"
    inputs = tuple({"node": "x", "edge": "edge_attr"}[takes[min(i, len(takes) - 1)]] for i in range(2))
    before: tuple[Node, ...] = ()
    if type(OPS[op]).__module__.endswith(("readout", "pooling")):
        before = (Node("kept", "keep_topk", ("x",)), Node("state", "gate", ("x", "kept")))
        inputs = ("state", "kept")
    nodes = (*before, Node("first", op, inputs, gives, attrs))
    if op.startswith("keep"):
        nodes += (Node("last", "gate", ("x", "first")),)
    elif op.startswith("kept"):
        # What a node that is dropped would compute is nobody's business.
        nodes += (Node("last", "gate", ("first", "kept")),)
    else:
        nodes += (Node("last", "sum", ("first", "x" if gives == "node" else "first"), gives),)
    return Space("one", nodes, "last", ("x", "edge_attr"))


@pytest.mark.parametrize("op", sorted(OPS))
@pytest.mark.parametrize("transform", [True, False])
def test_every_operation_is_exported(op: str, transform: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    check(GraphModel(program(op, transform), 5, 16, 3).double(), tmp_path)


@pytest.mark.parametrize("kind", ["node", "edge", "graph", "pair"])
def test_zeros_of_every_kind_are_exported(kind: str, tmp_path: Path) -> None:
    space = Space("one", (Node("first", "zero", (), kind), Node("last", "relu", ("first",), kind)), "last")
    model = GraphModel(space, 5, 16, 3).double()
    check(model, tmp_path)
    rows = {"node": 9, "edge": 25, "graph": 1, "pair": 4}[kind]
    close(model(GRAPH.x, GRAPH.edge_index, edge_label_index=PAIRS), model.decoder.bias.expand(rows, -1))


def test_an_interpolation_of_weight_zero_is_its_first_input(tmp_path: Path) -> None:
    nodes = (Node("first", "relu", ("x",)), Node("last", "lerp", ("first", "x"), attrs={"weight": 0.0}))
    assert "last = first\n" in check(GraphModel(Space("one", nodes, "last"), 5, 16, 3).double(), tmp_path)


CONVOLUTIONS = [name for name, op in OPS.items() if isinstance(op, Convolution)]


# An environment's commands are on the path only where it is activated.
RUFF = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_the_source_is_formatted_as_ruff_would(supernets: dict[str, GraphSupernet], tmp_path: Path) -> None:
    deep = layered(12, tie=(), jumps=("max", "concat", "lstm"), skips=True)
    wide = gap(1, nodes=4, extended=True)
    for i in range(4):
        texts = [source(net.model(SPACES[k].sample(random.Random(i)))) for k, net in supernets.items()]
        for space in (deep, wide):
            header = "Found by a test: " + ", ".join(f"layer {j} is gcn" for j in range(i * 10))
            texts.append(source(GraphModel(space.bind(space.sample(random.Random(i))), 1433, 64, 7), header=header))
        for j, text in enumerate(texts):
            (tmp_path / f"network_{i}_{j}.py").write_text(text)
    line = f"line-length={LINE}"
    for command in (["format", "--diff"], ["check", "--select", "E,F,W,I,B,UP,SIM"]):
        done = subprocess.run(
            [str(RUFF), *command, "--isolated", "--config", line, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_source_runs_where_gnas_is_not_loaded(supernets: dict[str, GraphSupernet], tmp_path: Path) -> None:
    genotype = SPACES["sane"].sample(random.Random(0)).replace(**{"aggregate.1": "geniepath", "aggregate.2": "gat_cos"})
    (tmp_path / "network.py").write_text(source(supernets["sane"].model(genotype)))
    code = "import sys, network; network.Network(); sys.exit('gnas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_reads_as_a_person_would_have_written_it() -> None:
    nodes = (
        Node("conv1", "gcn", ("x",), attrs={"transform": True}),
        Node("conv2", "gcn", ("conv1",), attrs={"transform": False, "scale": 0.5}),
        Node("layer2", "lerp", ("conv2", "x"), attrs={"weight": 0.1}),
    )
    text = source(GraphModel(Space("s", nodes, "layer2"), 1433, 64, 7), header="Found on Cora.")
    assert text == EXPECTED


EXPECTED = '''"""Found on Cora."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import APPNP, GCNConv


class Network(nn.Module):
    """The network, called like any PyG model.

    ``edge_attr``, ``batch`` and ``edge_label_index`` are accepted and not read.
    """

    def __init__(
        self, in_channels: int = 1433, hidden_channels: int = 64, out_channels: int = 7, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.Linear(in_channels, hidden_channels)
        self.conv1 = GCNConv(hidden_channels, hidden_channels)
        self.conv2 = APPNP(K=1, alpha=0.0)
        self.decoder = nn.Linear(hidden_channels, out_channels)

    def activate(self, x: Tensor) -> Tensor:
        return self.dropout(x.relu())

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        edge_label_index: Tensor | None = None,
    ) -> Tensor:
        x = self.encoder(self.dropout(x))
        conv1 = self.conv1(self.activate(x), edge_index, edge_weight)
        conv2 = 0.5 * self.conv2(conv1, edge_index, edge_weight)
        layer2 = torch.lerp(conv2, x, 0.1)
        return self.decoder(self.dropout(layer2))
'''


@pytest.mark.parametrize(
    "header",
    [
        "",
        "one line",
        "two\nlines",
        'a "quoted" end "',
        'three """ quotes',
        "a \\ backslash \\n",
        "long " * 60,
        "a\n\nb",
    ],
)
def test_any_header_fits_into_the_docstring(header: str) -> None:
    text = source(GraphModel(Space("s", (), "x"), 5, 16, 3), header=header)
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring is not None
    expected = (header.strip() or "A graph neural network found by gnas.").replace('"""', "'''")
    assert docstring.split() == expected.split()
    assert all(len(line) <= LINE for line in text.splitlines())


@pytest.mark.parametrize("drop_inputs", [True, False])
def test_the_source_drops_features_where_the_model_does(drop_inputs: bool, tmp_path: Path) -> None:
    space = SPACES["layered"]
    bound = space.bind(space.sample(random.Random(1)))
    text = source(GraphModel(bound, 5, 16, 3, drop_inputs=drop_inputs))
    assert ("self.encoder(self.dropout(x))" in text) == drop_inputs
    network = written(text, tmp_path).Network(dropout=0.5)
    read: list[torch.Tensor] = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    network(torch.ones(9, 5), GRAPH.edge_index)
    assert set(read[0].flatten().tolist()) == ({0.0, 2.0} if drop_inputs else {1.0})


def test_the_loaded_network_trains(tmp_path: Path) -> None:
    torch.manual_seed(0)
    space = SPACES["layered"]
    model = GraphModel(space.bind(space.sample(random.Random(1))), 5, 16, 3)
    network = written(source(model), tmp_path).Network(dropout=0.1)
    network.load_state_dict(model.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    x, y = GRAPH.x.float(), torch.arange(9) % 3

    def loss() -> torch.Tensor:
        return nn.functional.cross_entropy(network(x, GRAPH.edge_index), y)

    network.eval()
    before = loss().item()
    network.train()
    for _ in range(100):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    network.eval()
    assert loss().item() < before


class MyConv(SimpleConv):
    """A layer as a user has it, in a module of the user's."""


class Mine(Convolution):
    """An operation of a user's."""

    name = "mine"
    layer: type[nn.Module] = MyConv

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(self.layer)}

    def propagate(self, conv: Any, x: torch.Tensor, context: Context, project: bool) -> torch.Tensor:
        return cast(torch.Tensor, conv(x, context.graph.edge_index))


def test_a_layer_of_ones_own_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, "mine", Mine())
    space = Space("s", (Node("first", "mine", ("x",), attrs={"transform": False}),), "first")
    check_exportable(space)
    model = GraphModel(space, 5, 16, 3).eval()
    text = source(model)
    assert f"from {__name__} import MyConv" in text
    assert f"It needs {__name__} besides PyG" in str(ast.get_docstring(ast.parse(text)))
    network = written(text, tmp_path).Network().eval()
    network.load_state_dict(model.state_dict())
    close(network(GRAPH.x.float(), GRAPH.edge_index), model(GRAPH.x.float(), GRAPH.edge_index))


@pytest.mark.parametrize("module", [__name__, "__main__", "nowhere"])
def test_a_layer_that_no_file_can_import_is_refused(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(nn.Identity):
        pass

    Local.__module__ = module
    op = Mine()
    op.layer = Local
    monkeypatch.setitem(OPS, "mine", op)
    space = Space("s", (Node("first", Choice("op", ("gcn", "mine")), ("x",), attrs={"transform": False}),), "first")
    says = rf"Local is defined in {module}, .*expected it at the top level of a module, .*from layers import Local"
    data = Data(GRAPH.x.float(), GRAPH.edge_index, y=torch.arange(9) % 3)
    with pytest.raises(ValueError, match=says):
        search(data, space, folder="never made")
    with pytest.raises(ValueError, match=says):
        source(GraphModel(space.bind(space.genotype({"op": "mine"})), 5, 16, 3))


def test_a_supernet_has_no_source() -> None:
    net = GraphSupernet(layered(1), 3, 8, 2)
    with pytest.raises(TypeError, match=r"got a GraphSupernet; expected .*supernet.model\(supernet.derive\(\)\)"):
        source(net)  # type: ignore[arg-type]
