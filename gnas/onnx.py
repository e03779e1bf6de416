"""A found network as an ONNX file, for runtimes without PyTorch: one graph in, its scores out.

The network's own source (:mod:`gnas.export`) is traced by ``torch.export`` with any number of nodes and edges, and
translated by ``torch.onnx``; both need the extra ``pip install 'gnas[onnx]'``.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from gnas.export import source
from gnas.model import GraphModel

NODES, EDGES = 5, 7
"""Size of the graph that the tracing runs on; no graph has to have it."""


def write(model: GraphModel, path: str | Path) -> Path:
    """Write a network as an ONNX file.

    Its inputs are ``x`` ``[nodes, in_channels]``, ``edge_index`` ``[2, edges]`` and, where the network reads them,
    ``edge_attr`` ``[edges, edge_channels]``; its output is ``scores``, a row for each node or one for the graph.
    A batch of graphs, and edge weights, are left to PyTorch.

    Args:
        model: A network for nodes or graphs.
        path: File to write; one that exists is not overwritten.

    Raises:
        FileExistsError: There is such a file.
        FileNotFoundError: There is no folder for it.
        ImportError: The extra is missing.
        ValueError: The network scores pairs of nodes; or sizes within it depend on the numbers that it is given, which
            ``torch.export`` can't trace; or ``torch.onnx`` can't translate it: the sorting by which pooling chooses
            nodes, and with PyTorch 2.11 some networks that 2.13 translates.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists and is not overwritten; expected a new file name")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}; expected one, make it first")
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise ImportError("an ONNX file is written by onnx and onnxscript; try pip install 'gnas[onnx]'")
    if "pair" in model.kinds:
        raise ValueError("the network scores pairs of nodes; expected one that scores nodes or graphs")
    inputs = example(model)
    with _module(source(model)) as module, _quiet():
        network = module.Network()
        network.load_state_dict(model.state_dict())
        auto = torch.export.Dim.AUTO
        sizes = {name: {1 if name == "edge_index" else 0: auto} for name in inputs}
        try:
            program = torch.export.export(network.float().eval(), (), inputs, dynamic_shapes=sizes, strict=False)
        except RuntimeError as error:
            raise ValueError(
                f"torch.export can't trace this network ({_cause(error)}): sizes within it depend on numbers, as where "
                "readout_sort chooses nodes; expected a network without these, or use model.py in PyTorch"
            ) from error
        try:
            torch.onnx.export(program, f=path, dynamo=True, external_data=False, output_names=["scores"], verbose=False)
        except RuntimeError as error:
            raise ValueError(
                f"torch.onnx of PyTorch {torch.__version__} can't translate this network ({_cause(error)}); expected "
                "one without what it lacks, such as pooling that chooses nodes, or use model.py in PyTorch"
            ) from error
    return path


def _cause(error: BaseException) -> str:
    """What an error began with, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0]


def example(model: GraphModel) -> dict[str, Tensor]:
    """A small graph that fits a network."""
    generator = torch.Generator().manual_seed(0)

    def rows(count: int, channels: int, codes: tuple[int, ...] | None) -> Tensor:
        if codes is None:
            return torch.randn(count, channels, generator=generator)
        return torch.stack([torch.randint(size, (count,), generator=generator) for size in codes], dim=1)

    inputs = {
        "x": rows(NODES, model.in_channels, model.categories),
        "edge_index": torch.randint(NODES, (2, EDGES), generator=generator),
    }
    if model.edge_encoder is not None:
        inputs["edge_attr"] = rows(EDGES, model.edge_channels, model.edge_categories)
    return inputs


@contextmanager
def _module(text: str) -> Iterator[ModuleType]:
    """A source as a module; PyG looks the module of a layer's class up by name, so it has one meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gnas_exported_network.py"
        file.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        try:
            spec.loader.exec_module(module)
            yield module
        finally:
            del sys.modules[file.stem]


@contextmanager
def _quiet() -> Iterator[None]:
    """Within, the translators keep to themselves what they tell of their own workings."""
    names = ("torch.onnx", "torch._export", "torch.export", "torch.fx", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
