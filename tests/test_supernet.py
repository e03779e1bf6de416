"""The contracts of GraphSupernet: a one-hot mixture is the single operation, every alpha learns, zero is zero."""

from __future__ import annotations

import dataclasses
import random
from typing import cast

import pytest
import torch
from graph_examples import Example, close, example, examples, joined
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch_geometric.nn import ARMAConv

from gnas.kernels import Graph
from gnas.model import GraphModel
from gnas.ops import OPS, Context
from gnas.ops.convolution import Convolution
from gnas.relaxation import Gumbel, OnePath, Relaxation, Sigmoid, Softmax, TwoPaths
from gnas.sites import Mix, SharedSite, StackedSite, site_of
from gnas.space import Choice, Node, Space, gap, layered, sane
from gnas.space.transform import restrict
from gnas.supernet import GraphSupernet

HIDDEN = 16
CONVOLUTIONS = tuple(sorted(name for name, op in OPS.items() if isinstance(op, Convolution)))


def every_convolution(share: str) -> Space:
    """One layer with a choice of all aggregators, and of whether it projects."""
    attrs = {"transform": Choice("transform", (True, False))}
    return Space("one", (Node("conv", Choice("op", CONVOLUTIONS), ("x",), attrs=attrs),), "conv", share=share)


SPACES = {
    "gap": gap(2, extended=True),
    "layered": layered(3),
    "untied": layered(2, tie=(), jumps=("last", "max", "concat", "lstm"), skips=True),
    "own weights": layered(2, share="none"),
    "sane": sane(2),
    "shared": every_convolution("site"),
    "not shared": every_convolution("none"),
}


def supernet(space: Space, relaxation: Relaxation | None = None, dropout: float = 0.3, seed: int = 0) -> GraphSupernet:
    torch.manual_seed(seed)
    return GraphSupernet(space, 5, HIDDEN, 3, dropout=dropout, relaxation=relaxation).double()


def trained(space: Space, steps: int = 4) -> GraphSupernet:
    """A supernet whose weights, alphas, running scales and batch statistics are not those it began with."""
    net = supernet(space)
    graph = example(9, 25)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        net(graph.x, graph.edge_index).square().mean().backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def nets() -> dict[str, GraphSupernet]:
    return {name: trained(space) for name, space in SPACES.items()}


def rms(value: Tensor) -> Tensor:
    return value.square().mean().sqrt()


@pytest.mark.parametrize("share", ["shared", "not shared"])
@pytest.mark.parametrize("op", CONVOLUTIONS)
@pytest.mark.parametrize("transform", [True, False])
def test_one_hot_is_pygs_layer(share: str, op: str, transform: bool, nets: dict[str, GraphSupernet]) -> None:
    net = nets[share]
    genotype = net.space.genotype({"op": op, "transform": transform})
    model = net.model(genotype)
    net.set_arch(genotype)
    for graph in (example(9, 25), example(5, 0), example(4, 40, seed=2)):
        for weight in (None, graph.edge_weight):
            h = net.encoder(graph.x)
            if op == "identity":
                value = model.get_submodule("conv")(h.relu()) if transform else h
            else:
                arguments = [graph.edge_index] if weight is None or op != "gcn" else [graph.edge_index, weight]
                value = model.get_submodule("conv")(h.relu() if transform else h, *arguments)
                value = float(str(model.space["conv"].settings.get("scale", 1.0))) * value
            close(net(graph.x, graph.edge_index, weight), net.decoder(value))
    net.set_arch(None)


@settings(max_examples=25)
@given(name=st.sampled_from(list(SPACES)), seed=st.integers(0, 1000), graph=examples)
def test_a_derived_model_computes_what_the_supernet_does(
    name: str, seed: int, graph: Example, nets: dict[str, GraphSupernet]
) -> None:
    net = nets[name]
    genotype = net.space.sample(random.Random(seed))
    model = net.model(genotype)
    assert isinstance(model, GraphModel) and not model.training
    net.set_arch(genotype)
    for weight in (None, graph.edge_weight):
        close(model(graph.x, graph.edge_index, weight), net(graph.x, graph.edge_index, weight))
    net.set_arch(None)


@pytest.mark.parametrize("relaxation", [Softmax(), Sigmoid(), Gumbel(), OnePath()], ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_every_alpha_gets_a_gradient(name: str, relaxation: Relaxation) -> None:
    # A path that is sampled passes by some sites; over a few draws none is left out.
    net, graph = supernet(SPACES[name], relaxation, dropout=0.0), example(9, 25)
    waiting = dict(net.space.choices)
    for _ in range(1 if isinstance(relaxation, (Softmax, Sigmoid)) else 60):
        net.zero_grad()
        net(graph.x, graph.edge_index).square().sum().backward()
        for key, choice in list(waiting.items()):
            # A gate of its own in front of nothing has nothing to learn; where options compete, zero does.
            nothing = [isinstance(relaxation, Sigmoid) and option == "zero" for option in choice.options]
            gradient = net.alpha(key).grad
            if gradient is not None and torch.equal(gradient != 0, ~torch.tensor(nothing)):
                del waiting[key]
        if not waiting:
            break
    assert not waiting


@pytest.mark.parametrize("name", ["untied", "not shared"])
def test_two_paths_run_two_options_and_reach_every_alpha(name: str) -> None:
    net, graph = supernet(SPACES[name], TwoPaths(), dropout=0.0), example(9, 25)
    reached = {key: torch.zeros(len(choice.options), dtype=torch.bool) for key, choice in net.space.choices.items()}
    for _ in range(60):
        net.zero_grad()
        net(graph.x, graph.edge_index).square().sum().backward()
        for key, choice in net.space.choices.items():
            gradient = net.alpha(key).grad
            if gradient is not None:
                assert int((gradient != 0).sum()) <= min(2, len(choice.options))
                reached[key] |= gradient != 0
    assert all(bool(options.all()) for options in reached.values())


@pytest.mark.parametrize("name", SPACES)
def test_parameters_are_of_the_architecture_or_weights(name: str) -> None:
    net = supernet(SPACES[name])
    arch, weights = net.arch_parameters(), net.weight_parameters()
    assert [p.shape for p in arch] == [(len(c.options),) for c in net.space.choices.values()]
    assert not {id(p) for p in arch} & {id(p) for p in weights}
    assert {id(p) for p in arch} | {id(p) for p in weights} == {id(p) for p in net.parameters()}
    assert len(arch) + len(weights) == len(list(net.parameters()))
    for choice in net.space.choices:
        assert any(net.alpha(choice) is p for p in arch)
    example_graph = example(9, 25)
    net(example_graph.x, example_graph.edge_index).sum().backward()
    # With one layer PyG's ARMAConv has a weight that it doesn't read.
    unread = {id(layer.weight) for layer in net.modules() if isinstance(layer, ARMAConv)}
    assert all(p.grad is not None for p in weights if id(p) not in unread)


def test_arch_weights_are_the_probabilities() -> None:
    for relaxation in (Softmax(2.0), Gumbel(), OnePath(), TwoPaths(), Sigmoid()):
        net = supernet(SPACES["layered"], relaxation)
        weights = net.arch_weights()
        assert list(weights) == list(net.space.choices)
        for name, values in weights.items():
            assert not values.requires_grad
            alpha = net.alpha(name).detach()
            expected = {Softmax(2.0): (alpha / 2).softmax(0), Sigmoid(): alpha.sigmoid()}
            close(values, expected.get(relaxation, alpha.softmax(0)))
            values.zero_()
        assert all(bool((values > 0).all()) for values in net.arch_weights().values())


def test_derive_takes_the_largest_alphas() -> None:
    net = supernet(SPACES["layered"])
    genotype = net.space.sample(random.Random(5))
    with torch.no_grad():
        for name, choice in net.space.choices.items():
            net.alpha(name)[choice.index(genotype[name])] += 1
    assert net.derive() == genotype


def broken(net: GraphSupernet, *sites: str) -> None:
    """Fill a site's parameters with infinities and NaN."""
    with torch.no_grad():
        for site in sites:
            for i, parameter in enumerate(net.sites[site].parameters()):
                parameter.fill_(torch.inf if i % 2 else torch.nan)


def test_nothing_leaks_through_zero() -> None:
    nodes = (
        Node("bad", "gcn", ("x",), attrs={"transform": True}),
        Node("edge", Choice("edge", ("zero", "identity", "dense")), ("bad", "x")),
        Node("out", "sum", ("edge", "x")),
    )
    net, graph = supernet(Space("s", nodes, "out"), dropout=0.0), example()
    broken(net, "bad")
    assert net(graph.x, graph.edge_index).isnan().any()
    genotype = net.space.genotype({"edge": "zero"})
    net.set_arch(genotype)
    x = graph.x.clone().requires_grad_()
    for mode in (True, False):
        out = net.train(mode)(x, graph.edge_index)
        assert torch.equal(out, net.decoder(net.encoder(x)))
        x.grad = None
        out.sum().backward()
        assert x.grad is not None and x.grad.isfinite().all()
    assert net.model(genotype).space.nodes == ()


@pytest.mark.parametrize("share", ["site", "none"])
def test_an_option_that_is_not_chosen_is_not_computed(share: str) -> None:
    nodes = (
        Node("a", "gcn", ("x",), attrs={"transform": True}),
        Node("b", Choice("op", ("gin", "gat_cos")), ("a",), attrs={"transform": True}),
        Node("c", "geniepath", ("b",), attrs={"transform": True}),
        Node("out", "identity", (Choice("depth", ("a", "b", "c")),)),
    )
    net, graph = supernet(Space("s", nodes, "out", share=share), OnePath(), dropout=0.0), example(9, 25)
    ran: list[str] = []
    for name, site in net.sites.items():
        site.register_forward_hook(lambda *_, name=name: ran.append(name))
    broken(net, "c")
    with torch.no_grad():
        for key, layer in net.sites["b"].named_modules():
            if "cos" in key or key.endswith("layers.1"):
                for parameter in layer.parameters():
                    parameter.fill_(torch.nan)
    for depth, op, expected in (("a", "gat_cos", "a"), ("b", "gin", "ab")):
        genotype = net.space.genotype({"op": op, "depth": depth})
        net.set_arch(genotype)
        ran.clear()
        out = net(graph.x, graph.edge_index)
        assert sorted(ran) == [*expected, "out"]
        out.sum().backward()
        assert out.isfinite().all()
        for site in expected:
            assert all(p.grad is None or p.grad.isfinite().all() for p in net.sites[site].parameters())
    net.set_arch(net.space.genotype({"op": "gat_cos", "depth": "b"}))
    assert net(graph.x, graph.edge_index).isnan().any()
    net.set_arch(None)
    with torch.no_grad():
        net.alpha("depth").copy_(torch.tensor([100.0, 0.0, 0.0]))
    assert net(graph.x, graph.edge_index).isfinite().all()


@settings(max_examples=20)
@given(name=st.sampled_from(list(SPACES)), seed=st.integers(0, 1000))
def test_permuting_the_nodes_permutes_the_output(name: str, seed: int, nets: dict[str, GraphSupernet]) -> None:
    net, graph = nets[name], example(9, 25, seed)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    got = net(graph.x[order], torch.argsort(order)[graph.edge_index], graph.edge_weight)
    close(got, net(graph.x, graph.edge_index, graph.edge_weight)[order])


@settings(max_examples=20)
@given(name=st.sampled_from(list(SPACES)), a=examples, b=examples)
def test_disjoint_graphs_do_not_touch(name: str, a: Example, b: Example, nets: dict[str, GraphSupernet]) -> None:
    net = nets[name]
    both, batch = joined(a, b)
    got = net(both.x, both.edge_index, both.edge_weight, None, batch)
    close(got, torch.cat([net(g.x, g.edge_index, g.edge_weight) for g in (a, b)]))


@settings(max_examples=20)
@given(name=st.sampled_from(list(SPACES)), graph=examples)
def test_awkward_graphs_work(name: str, graph: Example) -> None:
    net = supernet(SPACES[name], Gumbel() if graph.nodes % 2 else Softmax())
    out = net(graph.x, graph.edge_index, graph.edge_weight)
    assert out.shape == (graph.nodes, 3) and out.isfinite().all()
    out.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_edge_weights_are_read_by_gcn() -> None:
    net, graph = trained(SPACES["shared"]), example(9, 25)
    for op in ("gcn", "gat"):
        net.set_arch(net.space.genotype({"op": op, "transform": True}))
        same = torch.equal(net(graph.x, graph.edge_index), net(graph.x, graph.edge_index, graph.edge_weight))
        assert same == (op != "gcn")


@pytest.mark.parametrize("name", SPACES)
def test_frozen_statistics_do_not_move(name: str) -> None:
    net, graph = supernet(SPACES[name]), example(9, 25)

    def buffers() -> dict[str, Tensor]:
        return {key: value.clone() for key, value in net.named_buffers()}

    before = buffers()
    with net.frozen_statistics(), net.frozen_statistics():
        net(graph.x, graph.edge_index).sum().backward()
    with pytest.raises(KeyError), net.frozen_statistics():
        raise KeyError
    assert all(torch.equal(value, before[key]) for key, value in buffers().items())
    if name != "own weights" and name != "not shared" and name != "sane":
        net(graph.x, graph.edge_index)
        assert any(not torch.equal(value, before[key]) for key, value in buffers().items())
        before = buffers()
        net.eval()(graph.x, graph.edge_index)
        assert all(torch.equal(value, before[key]) for key, value in buffers().items())


def test_frozen_statistics_compute_the_same() -> None:
    net, graph = supernet(SPACES["gap"], dropout=0.0), example(9, 25)
    net(graph.x, graph.edge_index)
    with net.frozen_statistics():
        frozen = net(graph.x, graph.edge_index)
    close(frozen, net(graph.x, graph.edge_index))


@pytest.mark.parametrize("transform", [True, False])
def test_shared_candidates_have_the_scale_of_what_they_read(transform: bool) -> None:
    ops = ("gcn", "sage_mean", "sage_sum", "sage_max", "gat", "gatv2", "gin", "identity", "gat_cos")
    ops += ("conv_mean", "conv_max", "conv_min", "conv_std")
    space = Space("s", (Node("conv", Choice("op", ops), ("x",), attrs={"transform": transform}),), "conv")
    net, graph = supernet(space, dropout=0.0), example(9, 25)
    values: list[Tensor] = []
    site = net.sites["conv"]
    assert isinstance(site, SharedSite)
    with torch.no_grad():
        # What GraphSAGE adds for the node itself has weights that are learned for it alone, and no scale.
        cast(torch.nn.Linear, site.root).weight.zero_()
    net(graph.x, graph.edge_index)
    site.register_forward_hook(lambda _, __, value: values.append(value))
    net.eval()
    for op in ops:
        net.set_arch(space.genotype({"op": op}))
        net(graph.x, graph.edge_index)
    assert values[0].std() > 0
    for op, value in zip(ops, values, strict=True):
        torch.testing.assert_close(rms(value), rms(values[ops.index("identity")]), msg=op)


def test_a_search_step_lowers_the_loss() -> None:
    net, graph = supernet(SPACES["layered"], dropout=0.0), example(9, 25)
    y = torch.arange(9) % 3
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(graph.x, graph.edge_index), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_the_default_generator_decides_what_is_drawn() -> None:
    graph = example(9, 25)
    for relaxation in (OnePath(), TwoPaths(), Gumbel()):
        net = supernet(SPACES["layered"], relaxation)
        outputs = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            with net.frozen_statistics():
                outputs.append(net(graph.x, graph.edge_index))
        assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
        net.eval()
        assert torch.equal(net(graph.x, graph.edge_index), net(graph.x, graph.edge_index))


def test_the_state_dict_is_all_there_is(nets: dict[str, GraphSupernet]) -> None:
    graph = example(9, 25)
    for name in ("layered", "gap"):
        other = supernet(SPACES[name], seed=7).eval()
        other.load_state_dict(nets[name].state_dict())
        assert torch.equal(other(graph.x, graph.edge_index), nets[name](graph.x, graph.edge_index))


def test_deep_spaces_work() -> None:
    net, graph = GraphSupernet(layered(64, ("gcn",)), 5, 4, 3).double(), example()
    assert net(graph.x, graph.edge_index).isfinite().all()


def test_a_network_of_a_deep_space_is_no_recursion() -> None:
    space, graph = layered(150, ("gcn", "identity")), example()
    genotype = space.genotype({name: choice.options[-1] for name, choice in space.choices.items()})
    net = GraphSupernet(space, 5, 4, 3).double().eval()
    net.set_arch(genotype)
    close(net(graph.x, graph.edge_index), net.model(genotype)(graph.x, graph.edge_index))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="got hidden_channels=20 for 8 attention heads; expected a multiple, try 64"):
        GraphSupernet(SPACES["shared"], 5, 20, 3)
    with pytest.raises(ValueError, match=r"node 'a' names the operation 'gatv3', .* try one of \['gatv2'"):
        GraphSupernet(Space("s", (Node("a", Choice("op", ("gcn", "gatv3")), ("x",)),), "a"), 5, 8, 3)
    with pytest.raises(ValueError, match="a node 'keys', which is the name of an attribute"):
        GraphSupernet(Space("s", (Node("keys", Choice("op", ("gcn", "gat")), ("x",)),), "keys"), 5, 8, 3)
    for names, said in (
        (("type", "op"), "a choice 'type', which is an attribute"),
        (("a.b", "a__b"), "'a.b' and 'a__b'"),
    ):
        nodes = tuple(Node(f"n{i}", Choice(name, ("gcn", "gat")), ("x",)) for i, name in enumerate(names))
        with pytest.raises(ValueError, match=said):
            GraphSupernet(Space("s", (*nodes, Node("out", "sum", ("n0", "n1"))), "out"), 5, 8, 3)
    net = supernet(SPACES["layered"])
    with pytest.raises(ValueError, match="got a genotype of space 'gap'"):
        net.set_arch(SPACES["gap"].sample(random.Random(0)))
    with pytest.raises(ValueError, match="got a genotype of space 'layered'"):
        net.model(dataclasses.replace(SPACES["layered"], share="none").sample(random.Random(0)))
    with pytest.raises(ValueError, match="edge_index names the nodes 0 to 9; expected 0 to 8"):
        net(example().x, torch.tensor([[0], [9]]))


@pytest.mark.slow
@pytest.mark.parametrize("relaxation", [Softmax(), OnePath()], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_it_compiles_with_breaks_at_the_kernels(relaxation: Relaxation) -> None:
    graph = example(9, 25)
    net = supernet(layered(2, ("gcn", "gat", "sage_max")), relaxation, dropout=0.0)
    net(graph.x, graph.edge_index)
    compiled = torch.compile(net, backend="aot_eager")
    for training in (True, False):
        net.train(training)
        results = []
        for call in (net, compiled):
            net.zero_grad()
            torch.manual_seed(0)
            with net.frozen_statistics():
                out = call(graph.x, graph.edge_index)
            out.square().sum().backward()
            results.append([out, *(p.grad for p in net.parameters() if p.grad is not None)])
        assert len(results[0]) == len(results[1])
        for got, expected in zip(results[1], results[0], strict=True):
            close(got, expected)


def test_given_weights_are_those_of_the_open_options() -> None:
    net = trained(SPACES["layered"])
    space, graph = net.space, example(9, 25)
    name = "aggregate"
    net.narrow(restrict(space, {name: space.choices[name].options[1:]}))
    shares = {choice: alpha.softmax(dim=0) for choice, alpha in net.open_alphas().items()}
    assert len(shares[name]) == len(space.choices[name].options) - 1
    with torch.no_grad():
        plain = net(graph.x, graph.edge_index)
        with net.weighted(shares):
            close(net(graph.x, graph.edge_index), plain)
        first = {choice: one_hot(torch.tensor(0), len(p)).to(p) for choice, p in shares.items()}
        with net.weighted(first):
            given = net(graph.x, graph.edge_index)
        options = net.narrowed().choices
        net.set_arch(space.genotype({choice: options[choice].options[0] for choice in options}))
        close(given, net(graph.x, graph.edge_index))
    # One that is zero is computed where its slope is asked for.
    net.set_arch(None)
    leaves = {choice: p.detach().requires_grad_() for choice, p in first.items()}
    with net.weighted(leaves):
        net(graph.x, graph.edge_index).square().sum().backward()
    assert leaves["depth"].grad is not None and bool((leaves["depth"].grad[1:] != 0).any())


def test_a_transform_without_a_weight_is_nothing() -> None:
    net = trained(SPACES["shared"])
    graph = example(9, 25)
    shares = {choice: torch.ones_like(alpha) for choice, alpha in net.open_alphas().items()}
    with torch.no_grad(), net.weighted({**shares, "transform": torch.zeros_like(shares["transform"])}), net.undecoded():
        assert not net(graph.x, graph.edge_index).any()


@pytest.mark.parametrize("ends", [(0.1, 1.0), (-1.0, 1.0), (0.0, 0.0)], ids=str)
def test_candidates_with_projections_of_their_own_add_up(ends: tuple[float, float]) -> None:
    # A weight goes into what is linear in it, or into the argument of what is homogeneous where it is positive.
    ops = tuple(op for op in CONVOLUTIONS if op != "geniepath")
    torch.manual_seed(0)
    node = Node("conv", Choice("op", ops), ("x",), attrs={"transform": True})
    site = cast(StackedSite, site_of(node, HIDDEN, "none").double())
    graph = example(9, 25)
    context = Context(Graph(graph.edge_index, 9), torch.zeros(9, HIDDEN).double(), 0.0, True)
    for parameter in site.parameters():
        parameter.data.normal_(std=0.2)
    x = torch.randn(9, HIDDEN, dtype=torch.float64, requires_grad=True)
    weights = torch.linspace(*ends, len(ops), dtype=torch.float64, requires_grad=True)

    def plain() -> Tensor:
        layers = [{"": cast(nn.ModuleDict, candidate)["conv"]} for candidate in site.layers]
        pairs = zip(site.candidates, layers, strict=True)
        values = [op.forward(layer, [x], settings, context) for (_, op, settings), layer in pairs]
        return cast(Tensor, (weights.view(-1, 1, 1) * torch.stack(values)).sum(dim=0))

    leaves, found = [x, weights, *site.parameters()], []
    for value in (site({0: x}, {"op": Mix(weights, tuple(range(len(ops))))}, context), plain()):
        first = torch.autograd.grad(value.square().mean(), leaves, create_graph=True, materialize_grads=True)
        energy = sum(gradient.square().mean() for gradient in first)
        second = torch.autograd.grad(cast(Tensor, energy), leaves, materialize_grads=True)
        found.append([value, *first, *second])
    for got, expected in zip(*found, strict=True):
        close(got, expected)


@pytest.mark.parametrize("pairs", [12, 20])
def test_a_node_does_not_pass_an_operation_on_pairs_by(pairs: int) -> None:
    pair = Node("pair", Choice("pair", ("pair_hadamard", "pair_concat")), ("x",), kind="pair")
    torch.manual_seed(0)
    net = GraphSupernet(Space("pairs", (pair,), "pair"), 3, 8, 1).eval()
    x, ends = torch.randn(12, 3), torch.randint(12, (2, pairs))
    given = {"edge_label_index": ends}
    plain = net(x, ends, **given)
    net.auxiliary = 1.0
    assert torch.equal(net(x, ends, **given), plain)
