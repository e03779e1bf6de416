"""The Triton backend in Triton's interpreter, on the CPU: every kernel against the reference, and what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernels import Call, calls, compare, compare_single, gradcheck_twice, graph_with, mixtures, normal, results

from gnas import kernels
from gnas.kernels import Graph, Structure, reference, triton, triton_plan

pytestmark = pytest.mark.skipif(
    bool(kernels.reason("triton")) or not triton.INTERPRETED,
    reason=kernels.reason("triton") or "TRITON_INTERPRET=1 is not set",
)

ROOT = os.pathsep.join(filter(None, [str(Path(kernels.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))

small = st.builds(
    graph_with,
    st.integers(1, 5),
    st.sampled_from([0, 1, 5, 25]),
    st.integers(0, 10_000),
    st.sampled_from(["random", "loops", "twice", "hub"]),
)
widths = st.sampled_from([1, 7, 16, 20, 70, 129])
heads = st.sampled_from([(1, 1), (3, 7), (8, 20), (2, 70), (1, 129)])
examples = settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Rows of more than eight entries are hubs here, so that small graphs have some."""
    monkeypatch.setattr(triton_plan, "CHUNK", 8)
    yield


@examples
@given(small, widths, heads)
def test_it_equals_the_reference(graph: Graph, width: int, split: tuple[int, int]) -> None:
    compare("triton", calls(graph.plain, width, split, torch.float64))


@examples
@given(small, widths)
def test_mixtures_equal_the_reference(graph: Graph, width: int) -> None:
    compare("triton", mixtures(graph, width, torch.float64))


def hub(dtype: torch.dtype) -> dict[str, Call]:
    """A hub of many chunks, some of them not full, ties across chunks, and a node that nothing reaches."""
    row = torch.tensor([0] * 37 + [1] * 3 + [3] * 9)
    column = torch.tensor(list(range(4)) * 9 + [1] + [2] * 3 + [0] * 5 + [2, 2, 1, 3])
    graph = Graph(torch.stack([column, row]), 4)
    mixed = mixtures(graph, 20, dtype)
    return calls(graph.plain, 20, (2, 7), dtype) | {name: mixed[name] for name in ("mean gcn max",)}


def test_a_hub_of_many_chunks() -> None:
    assert triton_plan.plan(graph_with(4, 40, 1, "hub").plain).hubs.size(0) == 5
    compare("triton", hub(torch.float64))
    compare_single("triton", hub(torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(dtype: torch.dtype) -> None:
    exact = hub(torch.float64)
    for name in ("weighted_sum", "std", "attention", "attention_v2", "mean gcn max"):
        function, inputs = exact[name]
        rounded = [x.detach().to(dtype).requires_grad_() for x in inputs]
        with kernels.use("reference"):
            expected, direction = results((function, [x.detach().double().requires_grad_() for x in rounded]))
        with kernels.use("triton"):
            got, _ = results((function, rounded), direction)
        for a, b in zip(got, expected, strict=True):
            assert a.dtype == dtype
            # One rounding of what comes out, and of what the kernels are given: a graph's coefficients, the direction.
            error = (a.double() - b).norm() / b.norm().clamp(min=1)
            assert error < 4 * torch.finfo(dtype).eps, (name, float(error))


def test_first_and_second_derivatives() -> None:
    structure = graph_with(3, 7, 1).plain
    with kernels.use("triton"):
        for name, (function, inputs) in calls(structure, 2, (1, 2), torch.float64).items():
            # Rounded states tie, where there is no derivative.
            smooth = [normal(*x.shape, dtype=torch.float64, seed=5) for x in inputs]
            if name in ("weighted_sum", "inner_product", "max", "std", "edge_softmax", "attention"):
                gradcheck_twice(function, smooth)


def test_a_mixture_can_be_differentiated_twice_and_learns_edge_weights() -> None:
    graph = graph_with(3, 7, 1, "loops")
    function, inputs = mixtures(graph, 2, torch.float64)["mean gcn max"]
    with kernels.use("triton"):
        gradcheck_twice(function, inputs)
    x, edge_weight = normal(3, 2, dtype=torch.float64), torch.rand(7, dtype=torch.float64, requires_grad=True)
    gradients = []
    for name in ("triton", "reference"):
        weights = torch.full((2,), 0.5, dtype=torch.float64)
        with kernels.use(name):
            out = kernels.mix_aggregate(x, Graph(graph.edge_index, 3, edge_weight), weights, ("gcn", "max"))
        gradients.append(torch.autograd.grad(out.square().sum(), edge_weight)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


def test_squares_are_those_of_the_reference() -> None:
    graph = graph_with(4, 30, 2, "hub")
    x = torch.randn(4, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for names in (kernels.AGGREGATIONS, ("mean", "max")):
        weights = torch.full((len(names),), 0.5, dtype=torch.float64)
        found = []
        for backend in ("triton", "reference"):
            with kernels.use(backend):
                found.append(kernels.mix_aggregate(x, graph, weights, names, squares=True))
        torch.testing.assert_close(*found)


def test_what_is_not_a_number_stays_visible() -> None:
    structure = Graph(torch.tensor([[0, 1, 2], [0, 0, 0]]), 3).plain
    for place in range(3):
        x = torch.ones(3, 20)
        x[place] = torch.nan
        with kernels.use("triton"):
            high, low, _, std = kernels.statistics(structure, x)
        assert all(out[0].isnan().all() for out in (high, low, std))


def test_a_deviation_far_from_zero_does_not_cancel() -> None:
    structure = Graph(torch.tensor([[0, 1, 2, 3, 3], [0, 0, 1, 1, 2]]), 4).plain
    x = torch.tensor([[1e4], [1e4 + 1], [-3e4], [-3e4 + 2]])
    with kernels.use("triton"):
        assert kernels.moments(structure, x)[1].flatten().tolist() == [0.5, 1.0, 0.0, 0.0]


def test_a_rectangular_pattern_and_nothing_at_all() -> None:
    row, column = torch.tensor([2, 0, 1, 2, 2]), torch.tensor([1, 4, 0, 1, 3])
    compare("triton", calls(Structure.from_entries(row, column, (3, 5))[0], 7, (3, 2), torch.float64))
    with kernels.use("triton"):
        for nodes, width in ((0, 3), (4, 0)):
            structure = Graph(torch.zeros(2, 2 * min(nodes, 1), dtype=torch.int64), nodes).plain
            x = torch.randn(nodes, width, requires_grad=True)
            out = kernels.weighted_sum(structure, None, x)
            assert out.shape == (nodes, width)
            out.sum().backward()
            assert kernels.inner_product(structure, x, x).tolist() == [0.0] * structure.entries


def test_the_operators_keep_the_rules_of_torch_library() -> None:
    graph = graph_with(3, 10, 1, "hub")
    plan, dtype = triton_plan.plan(graph.plain), torch.float32
    x, values, weights = normal(3, 2, dtype=dtype), normal(10, dtype=dtype), normal(7, dtype=dtype)
    logits, z, att = normal(3, 1, dtype=dtype), normal(3, 1, 2, dtype=dtype), normal(1, 2, dtype=dtype)
    sizes = (*plan, 3, 3)
    mixing = (*plan, 6, x, weights, *graph.propagation(dtype, True))
    arguments = {
        "weighted_sum": (*sizes, values, x, True),
        "inner_product": (*sizes, x, normal(3, 2, dtype=dtype)),
        "statistics": (*sizes, x, True, False, True),
        "edge_softmax": (*sizes, normal(10, 1, dtype=dtype)),
        "attention": (*sizes, logits, normal(3, 1, dtype=dtype), z, 0.2),
        "attention_v2": (*plan, 3, att, z, 0.2),
        "mix": (*mixing, True),
    }
    for name, case in arguments.items():
        # What a GPU and its compiler need: the schema, and the shapes that come out without running.
        tests = ("test_schema", "test_faketensor", "test_autograd_registration")
        torch.library.opcheck(getattr(torch.ops.gnas, f"triton_{name}").default, case, test_utils=tests)


def test_the_front_compiles_without_a_graph_break() -> None:
    graph = graph_with(3, 9, 1)
    cases = calls(graph.plain, 2, (1, 2), torch.float64) | mixtures(graph, 2, torch.float64)
    for name in ("weighted_sum", "statistics", "attention", "mean gcn max"):
        function, inputs = cases[name]
        with kernels.use("triton"):
            expected, direction = results((function, inputs))
            compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
            got, _ = results((compiled, inputs), direction)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, msg=name)


def test_nothing_of_entries_by_channels_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    # Entries by channels would be 160,000 numbers; a chunk has eight partial results of 400.
    monkeypatch.setattr(triton_plan, "CHUNK", 64)
    structure = Structure.from_entries(torch.arange(400) % 3, torch.arange(400) % 4, (3, 4))[0]
    x = torch.ones(4, 400, requires_grad=True)
    with kernels.use("triton"), torch.profiler.profile(profile_memory=True) as profile:
        (kernels.extreme(structure, x) + kernels.weighted_sum(structure, None, x)).sum().backward()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < 4 * 400 * 400 / 2


def test_the_interpreter_serves_the_cpu_when_asked_for() -> None:
    structure, x = graph_with(4, 9, 2).plain, torch.randn(4, 3)
    assert kernels._backend(structure, x) is not triton
    with kernels.use("triton"):
        assert kernels.backend() == "triton"
        assert kernels._backend(structure, x) is triton
        # What it can't serve goes to the next.
        assert kernels._backend(structure, x.long()) is reference
    assert kernels.backend("cuda") != "triton"


def test_importing_the_front_does_not_import_the_programs() -> None:
    # PyTorch's own compiler may import Triton; what defines programs of ours waits for the first that runs.
    code = "import sys, gnas.kernels; print([name for name in sys.modules if name.startswith('gnas.kernels.programs')])"
    env = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp32", "fp64", "fp16", "bf16"])
def test_every_program_compiles_for_a_gpu(dtype: str, tmp_path: Path) -> None:
    env = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": ROOT}
    script = str(Path(__file__).with_name("compile_programs.py"))
    done = subprocess.run([sys.executable, script, dtype], env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
