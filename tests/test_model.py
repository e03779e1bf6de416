"""GraphModel: a bound space as plain PyG modules, called as any PyG model is."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from graph_examples import Example, close, example, examples, joined
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import APPNP

from gnas.model import GraphModel, last_readers
from gnas.space import Choice, Node, Space, gap, layered, sane
from gnas.supernet import GraphSupernet

SPACES = [layered(3), gap(2, extended=True), sane()]


def sampled(space: Space, seed: int, dropout: float = 0.5) -> GraphModel:
    """A random network of a space in float64, in eval mode."""
    torch.manual_seed(seed)
    bound = space.bind(space.sample(random.Random(seed)))
    return GraphModel(bound, 5, 16, 3, dropout).double().eval()


networks = st.builds(sampled, st.sampled_from(SPACES), st.integers(0, 1000))


@settings(max_examples=25)
@given(networks, examples)
def test_it_scores_every_node_of_any_graph(model: GraphModel, graph: Example) -> None:
    for weight in (None, graph.edge_weight):
        out = model(graph.x, graph.edge_index, weight)
        assert out.shape == (graph.nodes, 3) and out.isfinite().all()
        assert torch.equal(out, model(graph.x, graph.edge_index, weight))


@settings(max_examples=25)
@given(networks, st.integers(0, 1000))
def test_permuting_the_nodes_permutes_the_output(model: GraphModel, seed: int) -> None:
    graph = example(9, 25, seed)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    place = torch.argsort(order)
    shuffled = torch.randperm(25, generator=torch.Generator().manual_seed(seed))
    # Of several self-loops at a node PyG keeps the last one's weight, so they have to have the same.
    loops = graph.edge_index[0] == graph.edge_index[1]
    weight = graph.edge_weight.masked_fill(loops, 1.0)
    got = model(graph.x[order], place[graph.edge_index][:, shuffled], weight[shuffled])
    close(got, model(graph.x, graph.edge_index, weight)[order])


@settings(max_examples=25)
@given(networks, examples, examples)
def test_disjoint_graphs_do_not_touch(model: GraphModel, a: Example, b: Example) -> None:
    both, batch = joined(a, b)
    got = model(both.x, both.edge_index, both.edge_weight, None, batch)
    close(got, torch.cat([model(g.x, g.edge_index, g.edge_weight) for g in (a, b)]))


def test_appnp_is_a_point_of_the_layered_space() -> None:
    space = layered(4)
    choices = {"aggregate": "gcn", "depth": "layer4", "transforms": "mlp1", "transform": False, "previous": 0.0}
    model = GraphModel(space.bind(space.genotype({**choices, "initial": 0.1})), 5, 16, 3).double().eval()
    graph = example(9, 25)
    out = model(graph.x, graph.edge_index)
    # It propagates class scores, which is the same because what comes after the perceptron is linear. Here the bias
    # is added after the propagation.
    scores = torch.relu(model.encoder(graph.x)) @ model.decoder.weight.t()
    close(out, APPNP(K=4, alpha=0.1)(scores, graph.edge_index) + model.decoder.bias)


def test_layers_have_the_names_of_the_nodes() -> None:
    nodes = (
        Node("first", "gcn", ("x",), attrs={"transform": True}),
        Node("second", "pna", ("first",)),
        Node("third", "lerp", ("first", "second"), attrs={"weight": 0.5}),
    )
    model = GraphModel(Space("s", nodes, "third"), 5, 8, 3)
    children = {name for name, _ in model.named_children()}
    assert children == {"encoder", "first", "second_in", "second", "second_out", "decoder"}
    assert set(model.layers(nodes[1])) == {"_in", "", "_out"}
    assert "third = lerp(first, second, weight=0.5)" in repr(model) and "GraphModel(5, 8, 3)" in repr(model)


def test_a_scale_multiplies_the_nodes_value() -> None:
    graph = example()
    outputs = []
    for attrs in ({}, {"scale": 0.5}):
        torch.manual_seed(0)
        node = Node("conv", "gcn", ("x",), attrs={"transform": True, **attrs})
        model = GraphModel(Space("s", (node,), "conv"), 5, 8, 3).double().eval()
        outputs.append(model(graph.x, graph.edge_index) - model.decoder.bias)
    close(outputs[1], 0.5 * outputs[0])


def test_a_network_may_read_nothing_but_its_input() -> None:
    graph = example()
    model = GraphModel(Space("s", (), "x"), 5, 8, 3).double().eval()
    close(model(graph.x, graph.edge_index), model.decoder(model.encoder(graph.x)))


def test_what_it_cannot_be_made_of_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'layered' with \d+ open choices; expected a bound one, try space.bind"):
        GraphModel(layered(2), 5, 8, 3)
    with pytest.raises(ValueError, match=r"'conv' names the operation 'gcnn', .* try one of \['gcn'"):
        GraphModel(Space("s", (Node("conv", "gcnn", ("x",)),), "conv"), 5, 8, 3)
    with pytest.raises(ValueError, match=r"has the inputs \('h',\); expected \('x',\)"):
        GraphModel(Space("s", (), "h", inputs=("h",)), 5, 8, 3)
    for taken in ("encoder", "train", "dropout", "activate"):
        with pytest.raises(ValueError, match=f"a node '{taken}', .* expected another, try '{taken}1'"):
            GraphModel(Space("s", (Node(taken, "gcn", ("x",)),), taken), 5, 8, 3)
    nodes = (Node("a", "pna", ("x",)), Node("a_in", "gcn", ("a",)))
    with pytest.raises(ValueError, match=r"the layer 'a_in' of node 'a_in' has the name of another node's"):
        GraphModel(Space("s", nodes, "a_in"), 5, 8, 3)


@pytest.mark.parametrize(
    ("edge_index", "says"),
    [
        (torch.tensor([[0, 1], [1, 9]]), "names the nodes 0 to 9; expected 0 to 8, because x has 9 rows"),
        (torch.tensor([[0, -1], [1, 2]]), "names the nodes -1 to 2; expected 0 to 8"),
        (torch.tensor([[0, 1], [1, 2], [2, 3]]), r"shape \[3, 2\] .* expected \[2, edges\] .* try edge_index.t"),
        (torch.tensor([[0, 1], [1, 2]], dtype=torch.int32), r"shape \[2, 2\] and dtype torch.int32; expected .* try"),
    ],
)
def test_edges_that_no_graph_has_are_refused(edge_index: torch.Tensor, says: str) -> None:
    model = sampled(layered(2), 0)
    with pytest.raises(ValueError, match=f"edge_index {says}|edge_index has {says}"):
        model(example().x, edge_index)
    with pytest.raises(ValueError, match=r"edge_weight has shape \[3\]; expected \[edges\] = \[20\]"):
        model(example().x, example().edge_index, torch.ones(3))


def test_inference_mode_and_training_go_together() -> None:
    model, graph = sampled(layered(3), 0), example()
    with torch.inference_mode():
        here = model(graph.x.clone(), graph.edge_index.clone())
        close(model(graph.x, graph.edge_index), here)
    out = model.train()(graph.x, graph.edge_index)
    out.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_gradients_reach_the_features() -> None:
    graph = example()
    x = graph.x.clone().requires_grad_()
    sampled(layered(2), 1)(x, graph.edge_index).square().sum().backward()
    assert x.grad is not None and bool((x.grad != 0).any())


def test_a_choice_with_one_option_must_be_bound_too() -> None:
    space = Space("s", (Node("conv", Choice("op", ("gcn",)), ("x",)),), "conv")
    with pytest.raises(ValueError, match="1 open choices"):
        GraphModel(space, 5, 8, 3)
    assert GraphModel(space.bind(space.genotype({"op": "gcn"})), 5, 8, 3) is not None


@pytest.mark.parametrize("space", [layered(max_depth=4), gap(), sane()], ids=lambda space: space.name)
def test_a_value_is_kept_until_its_last_reader(space: Space) -> None:
    for seed in range(20):
        bound = space.bind(space.sample(random.Random(seed)))
        last, nodes = last_readers(bound), list(bound.nodes)
        released = [name for names in last.values() for name in names]
        assert len(released) == len(set(released)) and bound.output not in released
        assert {*released, bound.output} >= {node.name for node in nodes}
        for position, node in enumerate(nodes):
            later = {str(name) for other in nodes[position + 1 :] for name in other.inputs}
            assert not later.intersection(last.get(node.name, ()))


def of_model(space: object, sizes: tuple[Any, ...], **given: Any) -> GraphModel:
    return GraphModel(space, *sizes, **given)  # type: ignore[arg-type]


def of_supernet(space: object, sizes: tuple[Any, ...], **given: Any) -> GraphSupernet:
    return GraphSupernet(space, *sizes, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [of_model, of_supernet])
def test_sizes_of_a_network_are_whole_numbers(make: Callable[..., nn.Module]) -> None:
    space = layered(2, ("gcn", "sage_mean"))
    bound = space.bind(space.sample(random.Random(0)))
    for place, name in enumerate(("in_channels", "hidden_channels", "out_channels")):
        for wrong in (0, -3, 8.0, "8", None, True):
            sizes: list[Any] = [5, 8, 3]
            sizes[place] = wrong
            with pytest.raises(ValueError, match=rf"got {name}={wrong!r}; expected a whole number of at least 1"):
                make(bound, tuple(sizes))
    for dropout in (2, 1, -0.1, math.nan, "0.5"):
        with pytest.raises(ValueError, match=r"got dropout=.*; expected a non-negative number below 1"):
            make(bound, (5, 8, 3), dropout=dropout)
    with pytest.raises(ValueError, match="got edge_channels=-1; expected a whole number of at least 0"):
        make(bound, (5, 8, 3), edge_channels=-1)
    for no_space in ("layered", None, [bound]):
        with pytest.raises(TypeError, match=r"got a space of type .*; expected a Space, try gnas\.layered\(\)"):
            make(no_space, (5, 8, 3))
    make(bound, (np.int64(5), np.int32(8), np.uint8(3)), dropout=np.float32(0.5))


def test_a_supernets_own_settings_are_looked_at() -> None:
    space = layered(2, ("gcn", "sage_mean"))
    with pytest.raises(ValueError, match=r"GraphSupernet got partial=0; expected a whole number of at least 1"):
        GraphSupernet(space, 5, 8, 3, partial=0)
    with pytest.raises(TypeError, match=r"GraphSupernet got relaxation='softmax'; expected a relaxation such as Soft"):
        GraphSupernet(space, 5, 8, 3, relaxation="softmax")  # type: ignore[arg-type]
