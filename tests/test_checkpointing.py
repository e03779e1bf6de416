"""Checkpointed sites: the same values, gradients, random numbers and running statistics, from less that is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from graph_examples import close, example
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gnas.checkpointing import recomputed
from gnas.relaxation import Gumbel, Relaxation, Softmax
from gnas.space import Choice, Node, Space, gap, layered
from gnas.strategy.hypergradient import second_order
from gnas.supernet import GraphSupernet

AGGREGATORS = ("gcn", "sage_mean", "sage_max", "gat", "gin", "identity", "gat_cos", "geniepath")
SPACES = {
    "shared": layered(3, AGGREGATORS),
    "own": layered(2, ("gcn", "sage_max", "gat", "identity"), share="none", tie=()),
    "jumps": layered(2, ("gcn", "gin"), jumps=("last", "max", "concat", "lstm"), skips=True),
    "gap": gap(2, extended=True),
}
Run = Callable[[GraphSupernet], Tensor]


def both(space: Space, relaxation: Relaxation | None = None, dropout: float = 0.4) -> tuple[GraphSupernet, ...]:
    """The same supernet twice, the second one checkpointed; both have run a few times."""
    nets = []
    for checkpoint in (False, True):
        torch.manual_seed(0)
        net = GraphSupernet(space, 5, 16, 3, dropout=dropout, relaxation=relaxation, checkpoint=checkpoint).double()
        for seed in (1, 2):
            graph = example(9, 25, seed)
            with torch.no_grad():
                net(graph.x, graph.edge_index)
        nets.append(net)
    return tuple(nets)


def gradients(net: GraphSupernet) -> list[Tensor | None]:
    return [parameter.grad for parameter in net.parameters()]


def agree(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> None:
    assert len(first) == len(second) and any(value is not None and bool((value != 0).any()) for value in first)
    for a, b in zip(first, second, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            close(b, a)


@pytest.mark.parametrize("relaxation", [Softmax(), Gumbel()], ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_a_training_step_is_the_same(name: str, relaxation: Relaxation) -> None:
    graph, results = example(9, 25), []
    for net in both(SPACES[name], relaxation):
        torch.manual_seed(3)
        out = net(graph.x, graph.edge_index, graph.edge_weight)
        between = {key: buffer.clone() for key, buffer in net.named_buffers()}
        out.square().sum().backward()
        after = dict(net.named_buffers())
        # The backward pass moves no running statistic, and draws nothing that anybody after it would miss.
        assert all(torch.equal(value, after[key]) for key, value in between.items())
        results.append([out.detach(), *gradients(net), *after.values(), torch.rand(3)])
    agree(*results)


def test_dropout_differs_from_step_to_step() -> None:
    _, net = both(SPACES["shared"])
    graph = example(9, 25)
    with net.frozen_statistics():
        assert not torch.equal(net(graph.x, graph.edge_index), net(graph.x, graph.edge_index))


@pytest.mark.parametrize("name", SPACES)
def test_the_backward_pass_may_come_later(name: str) -> None:
    # Statistics that stood still may move again, the network may be judged, other graphs may pass through it.
    first, second = example(9, 25), example(6, 8, seed=4)
    results = []
    for net in both(SPACES[name]):
        torch.manual_seed(3)
        with net.frozen_statistics(), net.without_dropout():
            judged = net(first.x, first.edge_index)
        loss = judged.square().sum() + net(first.x, first.edge_index).sum() + net(second.x, second.edge_index).sum()
        net.eval()
        loss.backward(retain_graph=True)
        once = [None if grad is None else grad.clone() for grad in gradients(net)]
        net.zero_grad()
        loss.backward()
        agree(once, gradients(net))
        assert not net.training and not any(module.training for module in net.modules())
        results.append([loss.detach(), *once, *dict(net.named_buffers()).values()])
    agree(*results)


@pytest.mark.parametrize("hvp", ["finite", "exact"])
@pytest.mark.parametrize("name", ["shared", "gap"])
def test_the_second_order_is_the_same(name: str, hvp: str) -> None:
    graph, results = example(9, 25), []
    for net in both(SPACES[name]):
        torch.manual_seed(3)

        def loss(net: GraphSupernet = net) -> Tensor:
            return net(graph.x, graph.edge_index).square().mean()

        with net.frozen_statistics():
            results.append(second_order(net.arch_parameters(), net.weight_parameters(), loss, loss, lr=0.1, hvp=hvp))
    # A difference quotient magnifies what rounding the two orders of summation leave.
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-9)


def test_coefficients_of_edges_get_their_gradient() -> None:
    graph, results = example(9, 25), []
    for net in both(SPACES["shared"]):
        torch.manual_seed(3)
        weight, x = graph.edge_weight.clone().requires_grad_(), graph.x.clone().requires_grad_()
        net(x, graph.edge_index, weight).square().sum().backward()
        results.append([weight.grad, x.grad])
    agree(*results)


def kept(run: Run, net: GraphSupernet) -> int:
    """Bytes that autograd keeps for the backward pass besides the parameters, each storage counted once."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    found: dict[int, int] = {}
    alive = []

    def pack(value: Tensor) -> Tensor:
        alive.append(value)
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return value

    with saved_tensors_hooks(pack, lambda value: value):
        out = run(net)
    out.sum().backward()
    return sum(found.values())


def chain(ops: tuple[str, ...], share: str) -> Space:
    """Four layers that each choose their operation, all of which project."""
    settings = {"transforms": 0, "transform": (True,), "previous": (0.0,), "initial": (0.0,), "depth": False}
    return layered(4, ops, share=share, tie=(), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", ["site", "none"])
def test_what_is_kept_is_one_state_a_site_however_many_candidates(share: str) -> None:
    graph = example(200, 800)
    sizes = {}
    for count in (2, 4, 8):
        for net in both(chain(AGGREGATORS[:count], share)):
            sizes[count, net.checkpoint] = kept(lambda net: net(graph.x, graph.edge_index), net)
    state = 200 * 16 * 8
    for count in (2, 4, 8):
        # One for each layer's input and one for the decoder's; the input of the encoder is smaller.
        assert 4 * state <= sizes[count, True] <= 7 * state
        assert sizes[count, False] > 2 * sizes[count, True]
    # Six candidates more are six weights more for each layer.
    assert sizes[8, True] - sizes[2, True] == 4 * 6 * 8
    assert sizes[8, False] - sizes[2, False] > 4 * state


def test_sums_of_states_are_not_computed_again() -> None:
    _, net = both(SPACES["shared"])
    graph, ran = example(9, 25), []
    for name, site in net.sites.items():
        site.register_forward_hook(lambda *_, name=name: ran.append(name))
    net(graph.x, graph.edge_index).sum().backward()
    times = {name: ran.count(name) for name in net.sites}
    assert times["mix1"] == times["layer1"] == times["out"] == 1
    ran.clear()
    with torch.no_grad():
        net(graph.x, graph.edge_index)
    assert all(ran.count(name) == 1 for name in net.sites)


def test_a_checkpointed_supernet_hands_over_the_same_model() -> None:
    plain, net = both(SPACES["shared"])
    graph, genotype = example(9, 25), plain.derive()
    assert net.derive() == genotype
    models = [either.eval().model(genotype) for either in (plain, net)]
    close(models[1](graph.x, graph.edge_index), models[0](graph.x, graph.edge_index))
    space = Space("one", (Node("conv", Choice("op", ("gcn", "gat")), ("x",), attrs={"transform": True}),), "conv")
    torch.manual_seed(0)
    net = GraphSupernet(space, 5, 16, 3, dropout=0.0, checkpoint=True).double().eval()
    for op in ("gcn", "gat"):
        net.set_arch(space.genotype({"op": op}))
        close(net(graph.x, graph.edge_index), net.model(space.genotype({"op": op}))(graph.x, graph.edge_index))


def test_batch_statistics_move_once() -> None:
    torch.manual_seed(0)
    norm, x = nn.BatchNorm1d(4), torch.randn(20, 4, requires_grad=True)
    other = nn.BatchNorm1d(4)
    # Cubed, so that the backward pass needs the normalised values and must compute them again.
    recomputed(norm, lambda value: norm(value).pow(3), [x]).sum().backward()
    other(x).pow(3).sum().backward()
    assert int(norm.num_batches_tracked or 0) == 1
    for name, buffer in norm.named_buffers():
        assert torch.equal(buffer, dict(other.named_buffers())[name])
