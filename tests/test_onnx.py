"""Networks as ONNX files: another runtime computes the same for graphs of any size."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from gnas.model import GraphModel
from gnas.onnx import write
from gnas.space import Space, for_level, gap, layered, pooling, relational

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra gnas[onnx] is not installed")

SPACES = {
    "layered": for_level(layered(3), "graph"),
    "gap": for_level(gap(2, extended=True), "graph"),
    "relational": for_level(relational(2), "graph"),
    "nodes": layered(3),
}


def network(space: Space, seed: int, **inputs: object) -> GraphModel:
    torch.manual_seed(seed)
    bound = space.bind(space.sample(random.Random(seed)))
    return GraphModel(bound, 5, 16, 3, 0.3, **inputs).eval()  # type: ignore[arg-type]


def same(model: GraphModel, path: Path, nodes: int, edges: int) -> None:
    """The file and the model score a graph alike."""
    codes = model.categories
    x = torch.randn(nodes, 5) if codes is None else torch.stack([torch.randint(c, (nodes,)) for c in codes], dim=1)
    given = {"x": x, "edge_index": torch.randint(nodes, (2, edges))}
    if model.edge_encoder is not None:
        given["edge_attr"] = torch.randn(edges, model.edge_channels)
    session = onnxruntime.InferenceSession(path)
    (scores,) = session.run(["scores"], {name: value.numpy() for name, value in given.items()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(scores), model(**given), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("seed", [0, 1])
def test_another_runtime_computes_the_same(name: str, seed: int, tmp_path: Path) -> None:
    model = network(SPACES[name], seed, edge_channels=4 if name == "relational" else 0)
    try:
        path = write(model, tmp_path / "model.onnx")
    except ValueError as error:
        if "can't translate" in str(error) and torch.__version__ < "2.13":
            pytest.skip(str(error))
        raise
    for nodes, edges in [(6, 14), (23, 51)]:
        same(model, path, nodes, edges)


def test_codes_of_atoms(tmp_path: Path) -> None:
    model = network(SPACES["layered"], 0, categories=(3, 7, 2, 4, 5))
    same(model, write(model, tmp_path / "model.onnx"), 12, 30)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    model = network(SPACES["layered"], 0)
    path = write(model, tmp_path / "model.onnx")
    with pytest.raises(FileExistsError, match="not overwritten"):
        write(model, path)
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere for model.onnx; expected one"):
        write(model, tmp_path / "nowhere" / "model.onnx")
    with pytest.raises(ValueError, match="pairs of nodes"):
        write(network(for_level(layered(2), "link"), 0), tmp_path / "pairs.onnx")
    for ending, option, message in (
        ("pool", "keep_topk", "torch.onnx of PyTorch .* can't translate this network"),
        ("readout", "readout_sort", "can't trace this network .*: sizes within it depend on numbers"),
    ):
        space = pooling()
        choices = dict(space.sample(random.Random(0)).choices)
        choices |= {name: option for name in choices if name.startswith(ending)}
        with pytest.raises(ValueError, match=message):
            write(GraphModel(space.bind(space.genotype(choices)), 5, 16, 3).eval(), tmp_path / "refused.onnx")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx"]
