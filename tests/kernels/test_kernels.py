"""Every backend against the reference, values and gradients, on graphs of all shapes; and the front that chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import GATConv, GATv2Conv
from torch_geometric.nn.aggr import StdAggregation
from torch_geometric.utils import add_self_loops, remove_self_loops, scatter, softmax

from gnas import kernels
from gnas.kernels import Graph, Structure, portable, reference

FAST = [name for name in ("compiled", "portable") if name != "compiled" or not kernels.reason()]
Call = tuple[Callable[..., Tensor], list[Tensor]]


def graph_with(nodes: int, edges: int, seed: int, kind: str = "random") -> Graph:
    """A graph with a node that nothing reaches, unless it has one node only."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(max(1, nodes - 1), (2, edges), generator=generator)
    if kind == "loops":
        edge_index[1, ::2] = edge_index[0, ::2]
    elif kind == "twice":
        edge_index[:, edges // 2 :] = edge_index[:, : edges - edges // 2]
    elif kind == "hub":
        edge_index[1] = 0
    return Graph(edge_index, nodes)


graphs = st.builds(
    graph_with,
    st.integers(1, 12),
    st.sampled_from([0, 1, 5, 25, 300]),
    st.integers(0, 10_000),
    st.sampled_from(["random", "loops", "twice", "hub"]),
)
channels = st.sampled_from([1, 7, 16, 20, 70, 129])
heads = st.sampled_from([(1, 1), (1, 16), (3, 7), (8, 8), (8, 20), (2, 70), (4, 129)])


def normal(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()


def calls(structure: Structure, width: int, split: tuple[int, int], dtype: torch.dtype) -> dict[str, Call]:
    """Every function of the front, with inputs; those of ``extreme`` tie often."""
    rows, columns = structure.shape
    x, values = normal(columns, width, dtype=dtype), normal(structure.entries, dtype=dtype)
    coarse = normal(columns, width, dtype=dtype, seed=1).detach().round().requires_grad_()
    z = normal(columns, *split, dtype=dtype)
    source, target = normal(columns, split[0], dtype=dtype), normal(rows, split[0], dtype=dtype, seed=2)
    logits = normal(structure.entries, split[0], dtype=dtype)
    keep = 2.0 * (normal(structure.entries, split[0], dtype=dtype, seed=4).detach() > 0).to(dtype)
    back = structure.transposed()
    own = normal(rows, width, dtype=dtype, seed=3)
    return {
        "weighted_sum": (lambda v, h: kernels.weighted_sum(structure, v, h), [values, x]),
        "sum": (lambda h: kernels.weighted_sum(structure, None, h), [x]),
        "transposed": (lambda v, h: kernels.weighted_sum(back, v, h), [values, own]),
        "inner_product": (lambda a, b: kernels.inner_product(structure, a, b), [own, x]),
        "max": (lambda h: kernels.extreme(structure, h), [coarse]),
        "min": (lambda h: kernels.extreme(structure, h, largest=False), [coarse]),
        "mean": (lambda h: kernels.moments(structure, h)[0], [x]),
        "std": (lambda h: kernels.moments(structure, h)[1], [x]),
        "statistics": (lambda h: torch.cat(kernels.statistics(structure, h), dim=1), [coarse]),
        "edge_softmax": (lambda a: kernels.edge_softmax(structure, a), [logits]),
        "attention": (lambda s, t, h: kernels.attention(structure, s, t, h), [source, target, z]),
        "thinned": (lambda s, t, h: kernels.attention(structure, s, t, h, keep=keep.to(h)), [source, target, z]),
        "edges": (
            lambda s, t, h, e: kernels.attention(structure, s, t, h, keep=keep.to(h), edge=e),
            [source, target, z, logits],
        ),
    } | _second(structure, split, z, keep)


def _second(structure: Structure, split: tuple[int, int], z: Tensor, keep: Tensor) -> dict[str, Call]:
    att, own = normal(*split, dtype=z.dtype), normal(structure.shape[0], *split, dtype=z.dtype, seed=5)

    def thinned(a: Tensor, h: Tensor, t: Tensor) -> Tensor:
        return kernels.attention_v2(structure, a, h, keep=keep.to(h), target=t)

    shared = {"attention_v2": (lambda a, h: kernels.attention_v2(structure, a, h), [att, z])}
    return (shared if z.shape == own.shape else {}) | {"thinned_v2": (thinned, [att, z, own])}


def mixtures(graph: Graph, width: int, dtype: torch.dtype) -> dict[str, Call]:
    """Some mixtures of aggregations: of one, of sums, with the largest, and of all; with as many weights."""
    edges, generator = graph.edge_index.size(1), torch.Generator().manual_seed(0)
    edge_weight = torch.rand(edges, dtype=dtype, generator=generator) + 0.5
    graph = Graph(graph.edge_index, graph.num_nodes, edge_weight)
    x = normal(graph.num_nodes, width, dtype=dtype)
    sets = [("min",), ("sum", "mean"), ("gcn", "identity"), ("mean", "gcn", "max"), ("identity", "std", "sum")]

    def call(names: tuple[str, ...]) -> Call:
        weights = [normal(1, dtype=dtype, seed=k).detach().squeeze().requires_grad_() for k in range(len(names))]
        mix = lambda h, *w: kernels.mix_aggregate(h, graph, torch.stack(w), names)  # noqa: E731
        return mix, [x, *weights]

    def attending(names: tuple[str, ...], heads: int) -> Call:
        counts = {"gat": 2, "gatv2": 1}
        owners = [name for name in kernels.ATTENTIONS if name in names for _ in range(counts[name])]
        vectors = [normal(heads, width // heads, dtype=dtype, seed=10 + k) for k in range(len(owners))]
        plain, bias = call(names)[1], normal(width, dtype=dtype, seed=20)

        def mix(h: Tensor, moved: Tensor, *more: Tensor) -> Tensor:
            given: dict[str, list[Tensor]] = {}
            for owner, vector in zip(owners, more, strict=False):
                given.setdefault(owner, []).append(vector)
            w = torch.stack(more[len(owners) :])
            return kernels.mix_aggregate(h, graph, w, names, attention=given, bias=moved)

        return mix, [x, bias, *vectors, *plain[1:]]

    heads = next(h for h in (8, 7, 5, 3, 1) if width % h == 0)
    attended = {
        "gat": attending(("gat",), 1),
        "mean gatv2": attending(("gatv2", "mean"), heads),
        "all with attention": attending((*kernels.AGGREGATIONS, *kernels.ATTENTIONS), heads),
    }
    along = normal(edges, width, dtype=dtype, seed=30)
    rectified = {"rectified": (lambda h, e: kernels.rectified_sum(graph, h, e), [x, along])}
    return {" ".join(names): call(names) for names in [*sets, kernels.AGGREGATIONS]} | attended | rectified


@pytest.mark.parametrize("kind", ["random", "loops", "twice", "hub"])
def test_self_loops_get_the_mean_of_their_nodes_edges_as_with_pyg(kind: str) -> None:
    graph, values = graph_with(9, 40, 3, kind), normal(40, 2, dtype=torch.float64)
    others, kept = remove_self_loops(graph.edge_index, values)
    (source, target), filled = add_self_loops(others, kept, fill_value="mean", num_nodes=9)
    assert filled is not None
    expected = filled[torch.argsort(target * 9 + source, stable=True)]
    got = graph.along_looped(values)
    torch.testing.assert_close(got, expected)
    direction = torch.randn_like(got)
    torch.testing.assert_close(*(torch.autograd.grad(out, values, direction)[0] for out in (got, expected)))


def results(call: Call, direction: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
    """Value and gradients of a call, and the direction in which they were taken."""
    function, inputs = call
    out = function(*inputs)
    if direction is None:
        direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    grads = torch.autograd.grad(out, inputs, direction.to(out.dtype), allow_unused=True, materialize_grads=True)
    return [out.detach(), *grads], direction


def compare(backend: str, cases: dict[str, Call]) -> None:
    for name, call in cases.items():
        with kernels.use("reference"):
            expected, direction = results(call)
        with kernels.use(backend):
            got, _ = results(call, direction)
        for a, b in zip(got, expected, strict=True):
            assert a.shape == b.shape, name
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


def compare_single(backend: str, cases: dict[str, Call]) -> None:
    """As :func:`compare`, in single precision: within 1e-5, or where that cancels, what the reference is within."""
    for name, call in cases.items():
        if "max" in name or name in ("min", "statistics"):
            continue  # rounding decides which neighbours tie
        single = (call[0], [x.detach().float().requires_grad_() for x in call[1]])
        with kernels.use("reference"):
            expected, direction = results(call)
            slow, _ = results(single, direction)
        with kernels.use(backend):
            got, _ = results(single, direction)
        factors = float(direction.norm()) * prod(max(1.0, float(x.detach().norm())) for x in call[1])
        # The portable deviation subtracts squares around the mean of all nodes, so that low degrees cancel somewhat.
        within = 1e-3 if backend == "portable" and "std" in name else 1e-5
        for a, b, c in zip(got, expected, slow, strict=True):
            allowed = within * float(b.norm()) + 10 * float((c - b).norm()) + 1e-7 * factors
            assert float((a - b).norm()) <= allowed, name


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=60, deadline=None)
@given(graphs, channels, heads)
def test_every_backend_equals_the_reference(backend: str, graph: Graph, width: int, split: tuple[int, int]) -> None:
    compare(backend, calls(graph.plain, width, split, torch.float64))


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=25, deadline=None)
@given(graphs, channels, heads)
def test_single_precision_is_precise(backend: str, graph: Graph, width: int, split: tuple[int, int]) -> None:
    compare_single(backend, calls(graph.plain, width, split, torch.float64))


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=30, deadline=None)
@given(graphs, channels)
def test_mixtures_equal_the_reference(backend: str, graph: Graph, width: int) -> None:
    compare(backend, mixtures(graph, width, torch.float64))
    compare_single(backend, mixtures(graph, width, torch.float64))


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_a_mixture_of_one_is_that_one_and_a_mixture_is_linear(backend: str) -> None:
    graph = graph_with(9, 40, 4, "loops")
    x = torch.randn(9, 20, dtype=torch.float64)
    structure = graph.plain
    single = {
        "sum": kernels.weighted_sum(structure, None, x),
        "mean": kernels.moments(structure, x)[0],
        "gcn": kernels.weighted_sum(graph.looped, graph.symmetric(x.dtype), x),
        "identity": x,
        "max": kernels.extreme(structure, x),
        "min": kernels.extreme(structure, x, largest=False),
        "std": kernels.moments(structure, x)[1],
    }
    assert tuple(single) == kernels.AGGREGATIONS
    weights, parts = torch.randn(len(single), dtype=torch.float64), torch.stack(list(single.values()))
    with kernels.use(backend):
        for k, (name, part) in enumerate(single.items()):
            alone, [square, own] = kernels.mix_aggregate(x, graph, weights[k : k + 1], [name], squares=True)
            torch.testing.assert_close(alone, weights[k] * part)
            torch.testing.assert_close(square, part.square().sum())
            torch.testing.assert_close(own, x.square().sum())
            # One-hot among all.
            hot = torch.eye(len(single), dtype=torch.float64)[k]
            torch.testing.assert_close(kernels.mix_aggregate(x, graph, hot), part)
        out, squares = kernels.mix_aggregate(x, graph, weights, kernels.AGGREGATIONS, squares=True)
        torch.testing.assert_close(out, torch.einsum("k,knf->nf", weights, parts))
        torch.testing.assert_close(out, kernels.mix_aggregate(x, graph, weights))
        torch.testing.assert_close(squares[:-1], parts.square().sum(dim=(1, 2)))
        # In any order, and the weights of one that comes twice add up.
        names = ["gcn", "max", "mean", "gcn"]
        index = torch.tensor([kernels.AGGREGATIONS.index(name) for name in names])
        out, squares = kernels.mix_aggregate(x, graph, weights[:4], names, squares=True)
        torch.testing.assert_close(out, torch.einsum("k,knf->nf", weights[:4], parts[index]))
        torch.testing.assert_close(squares[:-1], parts[index].square().sum(dim=(1, 2)))
        out, squares = kernels.mix_aggregate(x, graph, weights[:2], ["std", "std"], squares=True)
        torch.testing.assert_close(out, weights[:2].sum() * single["std"])
        torch.testing.assert_close(squares[:-1], single["std"].square().sum().expand(2))


@pytest.mark.parametrize("backend", FAST)
def test_mixtures_can_be_differentiated_twice(backend: str) -> None:
    with kernels.use(backend):
        for function, inputs in mixtures(graph_with(5, 12, 1), 2, torch.float64).values():
            gradcheck_twice(function, inputs)


@pytest.mark.parametrize("backend", FAST)
def test_a_mixture_learns_edge_weights(backend: str) -> None:
    graph = graph_with(6, 14, 1, "loops")
    x, edge_weight = normal(6, 3, dtype=torch.float64), torch.rand(14, dtype=torch.float64, requires_grad=True)
    gradients = []
    for name in (backend, "reference"):
        weights = torch.full((2,), 0.5, dtype=torch.float64)
        with kernels.use(name):
            out = kernels.mix_aggregate(x, Graph(graph.edge_index, 6, edge_weight), weights, ("gcn", "max"))
        gradients.append(torch.autograd.grad(out.square().sum(), edge_weight)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize("backend", FAST)
def test_a_mixture_attends_over_a_hub_of_many_chunks(backend: str) -> None:
    # A node's neighbours are treated in chunks of 2048 numbers; logits that grow move the largest one.
    edges = 3000
    graph = Graph(torch.stack([torch.arange(edges), torch.zeros(edges, dtype=torch.int64)]), edges)
    x = (torch.linspace(-2, 2, edges, dtype=torch.float64)[:, None] * torch.ones(24)).requires_grad_()
    vectors = [normal(8, 3, dtype=torch.float64, seed=k) for k in range(3)]
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)

    def mix(h: Tensor, w: Tensor, source: Tensor, target: Tensor, both: Tensor) -> Tensor:
        given = {"gat": (source, target), "gatv2": (4 * both,)}
        return kernels.mix_aggregate(h, graph, w, kernels.ATTENTIONS, attention=given)

    with kernels.use("reference"):
        expected, direction = results((mix, [x, weights, *vectors]))
    with kernels.use(backend):
        got, _ = results((mix, [x, weights, *vectors]), direction)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_attention_in_a_mixture_is_that_of_pyg(backend: str) -> None:
    graph = graph_with(9, 40, 4, "loops")
    x = torch.randn(9, 24, dtype=torch.float64)
    first = GATConv(24, 3, heads=8, bias=False).double()
    second = GATv2Conv(24, 3, heads=8, bias=False, share_weights=True).double()
    first.lin = second.lin_l = second.lin_r = torch.nn.Identity()
    given = {"gat": (first.att_src, first.att_dst), "gatv2": (second.att,)}
    with kernels.use(backend), torch.no_grad():
        for k, conv in enumerate((first, second)):
            expected = conv(x, graph.edge_index)
            hot = torch.eye(2, dtype=torch.float64)[k]
            out, squares = kernels.mix_aggregate(x, graph, hot, kernels.ATTENTIONS, True, attention=given)
            torch.testing.assert_close(out, expected)
            torch.testing.assert_close(squares[k], expected.square().sum())


def test_vectors_of_attention_that_do_not_fit_are_refused() -> None:
    graph, x, one = graph_with(3, 2, 0), torch.ones(3, 4), torch.ones(1)
    for vectors in ({}, {"gat": (torch.ones(2, 2),)}, {"gat": (torch.ones(2, 3), torch.ones(2, 3))}):
        with pytest.raises(ValueError, match="expected two for gat and one for gatv2, each .heads, channels of a head"):
            kernels.mix_aggregate(x, graph, one, ["gat"], attention=vectors)


def test_an_unknown_aggregation_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"got the aggregations \['median'\] with .*; expected some of \['sum', 'mean', "
    ):
        kernels.mix_aggregate(torch.ones(3, 2), graph_with(3, 2, 0), torch.ones(1), ["median"])
    with pytest.raises(ValueError, match=r"\['max'\] with weights of shape \[2\]; expected .* a weight for each"):
        kernels.mix_aggregate(torch.ones(3, 2), graph_with(3, 2, 0), torch.ones(2), ["max"])


@pytest.mark.parametrize("backend", FAST)
def test_a_rectangular_pattern(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    row, column = torch.randint(6, (40,), generator=generator), torch.randint(30, (40,), generator=generator)
    structure, _ = Structure.from_entries(row, column, (6, 30))
    compare(backend, calls(structure, 20, (3, 7), torch.float64))


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("thinned", [False, True])
def test_a_hub_of_many_chunks(backend: str, thinned: bool) -> None:
    # Attention treats the neighbours of a node in chunks of 2048 numbers; logits that grow move the largest one.
    edges = 3000
    edge_index = torch.stack([torch.arange(edges), torch.zeros(edges, dtype=torch.int64)])
    structure = Graph(edge_index, edges).plain
    z = (torch.linspace(-2, 2, edges, dtype=torch.float64)[:, None, None] * torch.ones(8, 3)).requires_grad_()
    att = normal(8, 3, dtype=torch.float64)
    keep = torch.rand(edges, 8, dtype=torch.float64) if thinned else None
    call = (lambda a, h: kernels.attention_v2(structure, 4 * a, h, keep=keep), [att, z])
    with kernels.use("reference"):
        expected, direction = results(call)
    with kernels.use(backend):
        got, _ = results(call, direction)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_ties_share_the_gradient_as_with_pyg(backend: str) -> None:
    graph = graph_with(8, 60, 5)
    structure = graph.plain
    # No zeros: PyTorch takes the zero that PyG starts from for one more neighbour.
    x = torch.randint(1, 4, (8, 6)).double().requires_grad_()
    weight = torch.randn(8, 6, dtype=torch.float64)
    for largest in (True, False):
        with kernels.use(backend):
            got = torch.autograd.grad((kernels.extreme(structure, x, largest) * weight).sum(), x)[0]
        by_pyg = scatter(x[structure.column], structure.row, dim_size=8, reduce="max" if largest else "min")
        torch.testing.assert_close(got, torch.autograd.grad((by_pyg * weight).sum(), x)[0])


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_softmax_and_std_are_those_of_pyg(backend: str) -> None:
    structure = graph_with(7, 30, 3).plain
    logits = torch.randn(30, 2)
    x = torch.randn(7, 5, dtype=torch.float64) + 100
    expected = StdAggregation()(x[structure.column], structure.row, dim_size=7)
    with kernels.use(backend):
        torch.testing.assert_close(kernels.edge_softmax(structure, logits), softmax(logits, structure.row))
        torch.testing.assert_close(kernels.moments(structure, x)[1], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", FAST)
def test_a_deviation_far_from_zero_does_not_cancel(backend: str) -> None:
    if backend == "portable":
        pytest.skip("its centre is that of all nodes, which are far from each other here")
    structure = Graph(torch.tensor([[0, 1, 2, 3, 3], [0, 0, 1, 1, 2]]), 4).plain
    x = torch.tensor([[1e4], [1e4 + 1], [-3e4], [-3e4 + 2]])
    with kernels.use(backend):
        assert kernels.moments(structure, x)[1].flatten().tolist() == [0.5, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("backend", FAST)
def test_what_is_not_a_number_stays_visible(backend: str) -> None:
    structure = Graph(torch.tensor([[0, 1, 2], [0, 0, 0]]), 3).plain
    for place in range(3):
        x = torch.ones(3, 20)
        x[place] = torch.nan
        with kernels.use(backend):
            for out in (kernels.extreme(structure, x), kernels.extreme(structure, x, False)):
                assert out[0].isnan().all()
            assert kernels.moments(structure, x)[1][0].isnan().all()


def gradcheck_twice(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    assert torch.autograd.gradcheck(function, tuple(inputs))
    assert torch.autograd.gradgradcheck(function, tuple(inputs))


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("kind", ["random", "hub"])
def test_first_and_second_derivatives(backend: str, kind: str) -> None:
    structure = graph_with(6, 14, 1, kind).plain
    with kernels.use(backend):
        for name, (function, inputs) in calls(structure, 3, (2, 3), torch.float64).items():
            # Rounded states tie, where there is no derivative.
            smooth = [normal(*x.shape, dtype=torch.float64, seed=5) for x in inputs]
            if name == "statistics":
                continue
            gradcheck_twice(function, smooth)


@pytest.mark.parametrize("backend", FAST)
def test_torch_func_goes_through(backend: str) -> None:
    structure = graph_with(6, 14, 2).plain
    values = torch.randn(14, dtype=torch.float64)
    x = torch.randn(6, 3, dtype=torch.float64)
    dense = structure.matrix(values).to_dense()
    with kernels.use(backend):
        energy = lambda z: kernels.weighted_sum(structure, values, z).pow(2).sum() / 2  # noqa: E731
        torch.testing.assert_close(torch.func.grad(energy)(x), dense.t() @ dense @ x)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("edges", [0, 1, 40])
def test_isolated_nodes_and_empty_graphs_give_zeros(backend: str, edges: int) -> None:
    graph = Graph(torch.randint(5, (2, edges)), 9)
    x = torch.randn(9, 4)
    alone = graph.degree == 0
    assert alone[5:].all()
    with kernels.use(backend):
        for out in (
            kernels.weighted_sum(graph.plain, graph.weight, x),
            *kernels.statistics(graph.plain, x),
            kernels.attention(graph.plain, x, x, x.unsqueeze(2)),
            kernels.attention_v2(graph.plain, x[:4, :1], x.unsqueeze(2)),
        ):
            assert out.shape[:2] == (9, 4)
            assert (out[alone] == 0).all()


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_no_nodes_and_no_channels(backend: str) -> None:
    with kernels.use(backend):
        for nodes, width in ((0, 3), (4, 0)):
            structure = Graph(torch.zeros(2, 2 * min(nodes, 1), dtype=torch.int64), nodes).plain
            x = torch.randn(nodes, width, requires_grad=True)
            out = kernels.weighted_sum(structure, None, x)
            assert out.shape == (nodes, width)
            out.sum().backward()
            assert kernels.inner_product(structure, x, x).tolist() == [0.0] * structure.entries


def test_other_types_go_to_the_reference() -> None:
    structure = graph_with(6, 14, 2).plain
    x = torch.randn(6, 3).bfloat16()
    expected = reference.extreme(structure, x, True)
    assert kernels._backend(structure, x) is reference
    assert torch.equal(kernels.extreme(structure, x), expected)
    with kernels.use("portable"):
        assert kernels._backend(structure, x.float()) is portable


def test_a_backend_is_chosen_for_good_or_for_a_while() -> None:
    first = kernels.backend()
    assert first == ("portable" if kernels.reason() else "compiled")
    with kernels.use("reference"):
        assert kernels.backend() == "reference"
        with kernels.use("portable"):
            assert kernels.backend() == "portable"
        assert kernels.backend() == "reference"
    assert kernels.backend() == first
    try:
        kernels.use("portable")
        assert kernels.backend("cpu") == "portable"
        assert kernels.backend("cuda") == "reference"
    finally:
        kernels.use(None)
    assert kernels.backend() == first
    with pytest.raises(
        ValueError,
        match=r"got backend 'numba'; expected one of \['compiled', 'portable', 'triton', 'scatter', 'reference'\]",
    ):
        kernels.use("numba")
    assert kernels.backend() == first


def test_the_looped_pattern_has_exactly_one_loop_a_node() -> None:
    edge_index = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 2, 0]])
    graph = Graph(edge_index, 4, torch.tensor([3.0, 1.0, 5.0, 1.0, 1.0]))
    dense = graph.looped.matrix(graph._looped()[1]).to_dense()
    torch.testing.assert_close(dense.diagonal(), torch.tensor([3.0, 5.0, 1.0, 1.0]))
    assert graph.looped.entries == 3 + 4


def test_a_graph_is_remembered_until_its_edges_change() -> None:
    edge_index = torch.randint(5, (2, 9))
    first = kernels.graph_of(edge_index, 5)
    assert kernels.graph_of(edge_index, 5) is first
    edge_index[0, 0] = (edge_index[0, 0] + 1) % 5
    assert kernels.graph_of(edge_index, 5) is not first
    assert kernels.graph_of(edge_index.clone(), 5) is not first


def test_a_rectangular_pattern_transposes() -> None:
    row, column = torch.tensor([2, 0, 1]), torch.tensor([1, 4, 0])
    structure, order = Structure.from_entries(row, column, (3, 5))
    values = torch.tensor([1.0, 2.0, 3.0])[order]
    dense = torch.zeros(3, 5).index_put((row, column), torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(structure.matrix(values).to_dense(), dense)
    torch.testing.assert_close(structure.matrix_t(values).to_dense(), dense.t())


def test_a_pattern_is_the_structure_in_one_array() -> None:
    structure = Structure.from_entries(torch.tensor([2, 0, 1, 1]), torch.tensor([1, 4, 0, 1]), (3, 5))[0]
    assert structure.compact
    assert structure.pattern.dtype == torch.int32
    again = Structure.from_pattern(structure.pattern, 3, 5)
    for name in ("pointer", "column", "row", "pointer_t", "column_t", "order_t"):
        assert torch.equal(getattr(again, name), getattr(structure, name)), name


def test_an_entry_outside_the_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"name the columns 0 to 7; expected 0 to 2, try a larger shape than \(3, 3\)"):
        _ = Graph(torch.tensor([[0, 7], [1, 0]]), 3).plain
