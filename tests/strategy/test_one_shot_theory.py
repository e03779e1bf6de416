"""What the papers of the one-shot strategies say of them, on problems whose answers are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from strategy_fakes import TinyTask, batches_of, tiny, tiny_space
from torch import Tensor
from torch_geometric.data import Data

from gnas.budget import Budget
from gnas.kernels import Graph
from gnas.ops import Context
from gnas.relaxation import BinaryGates, Dirichlet, Gumbel, MaxW, Sigmoid
from gnas.sites import Mix, SharedSite
from gnas.space import Choice, Node, Space, layered, relational
from gnas.space.transform import Decide, Keep, Reach, restrict, sureness
from gnas.strategy import (
    Darts,
    DrNas,
    EigenvalueStop,
    FewShot,
    Gdas,
    GoldNas,
    Manas,
    Nac,
    PcDarts,
    Progressive,
    Proxyless,
    RandomSharing,
    Selection,
    SinglePath,
)
from gnas.strategy.few_shot import cosines, cut
from gnas.strategy.manas import importance, least_squares
from gnas.strategy.nac import dictionary, lasso, unit_lasso
from gnas.strategy.one_shot import apply
from gnas.strategy.progressive import argnp
from gnas.strategy.stabilisers import (
    Perturbation,
    _as_weights,
    beta_penalty,
    largest_eigenvalue,
    worst_without,
    zero_one_penalty,
)
from gnas.supernet import GraphSupernet
from gnas.task import Task
from gnas.testing import example_task


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def begin(strategy: Any, space: Space | None = None, seed: int = 0) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    task = TinyTask()
    return task, strategy.init(space or tiny_space(), task, torch.default_generator)


def numbers() -> Data:
    """Sixty nodes with numbers to predict, which their features tell."""
    x = torch.randn(60, 5, generator=source())
    edge_index = torch.randint(60, (2, 200), generator=source(1))
    return Data(x=x, edge_index=edge_index, y=x[:, 0] + 0.5 * x[:, 1].abs())


def choosing(*ops: str) -> Space:
    """A choice of one operation."""
    nodes = (Node("h", Choice("op", ops), ("x",)), Node("out", "identity", ("h",)))
    return Space("one", nodes, "out", share="none")


# GDAS and SNAS


def test_the_temperature_falls_from_the_first_epoch_to_the_last() -> None:
    linear, exponential = Gdas(epochs=11), Gdas(epochs=11, schedule="exponential")
    assert linear.temperature_at(0) == exponential.temperature_at(0) == 10
    assert linear.temperature_at(10) == pytest.approx(0.1) and exponential.temperature_at(10) == pytest.approx(0.1)
    assert linear.temperature_at(5) == pytest.approx(5.05) and exponential.temperature_at(5) == pytest.approx(1.0)
    assert linear.relaxation_at(5) == Gumbel(linear.temperature_at(5))


def test_a_soft_sample_comes_close_to_a_hard_one_as_the_temperature_falls() -> None:
    alpha = torch.tensor([0.3, -0.2, 0.1])
    for temperature, least in ((10.0, 0.0), (0.01, 0.99)):
        soft = Gumbel(temperature, hard=False)(alpha, source(3))
        hard = Gumbel(temperature)(alpha, source(3))
        assert int(soft.argmax()) == int(hard.argmax()) and float(soft.sum()) == pytest.approx(1)
        assert float(soft.max()) > least and (temperature < 1 or float(soft.max()) < 0.5)


# ProxylessNAS


def test_a_gate_is_one_hot_and_the_other_of_its_pair_is_computed() -> None:
    alpha = torch.tensor([0.5, 0.0, -1.0, 0.2], requires_grad=True)
    generator = source()
    for _ in range(20):
        weights, active = BinaryGates().paths(alpha, generator)
        assert sorted(weights.tolist()) == [0, 0, 0, 1] and len(set(active)) == 2
        assert int(weights.argmax()) in active


def test_the_gradient_of_the_gates_is_what_it_is_expected_to_be() -> None:
    # For a loss that is linear in the gates: over pairs drawn without replacement, q(1 - q) (c_i - c_j).
    alpha = torch.tensor([0.4, -0.3, 0.1], requires_grad=True)
    cost, p = torch.tensor([1.0, 3.0, -2.0]), alpha.detach().softmax(0)
    expected = torch.zeros(3)
    for i in range(3):
        for j in range(3):
            if i != j:
                pair = p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j])
                q = p[i] / (p[i] + p[j])
                expected[i] += pair * q * (1 - q) * (cost[i] - cost[j])
    generator, total = source(), torch.zeros(3)
    for _ in range(4000):
        weights, _ = BinaryGates().paths(alpha, generator)
        total += torch.autograd.grad(weights @ cost, alpha)[0]
    torch.testing.assert_close(total / 4000, expected, atol=0.03, rtol=0)


def test_proxyless_leaves_the_probability_of_what_was_not_drawn() -> None:
    strategy = tiny(Proxyless)(epochs=3, warmup=0, dropout=0.0)
    task, state = begin(strategy)
    strategy.prepare(state)
    state.supernet.train()
    for _ in range(5):
        before = [alpha.detach().softmax(0) for alpha in state.supernet.arch_parameters()]
        strategy.update_architecture(task, state, batches_of(task))
        for old, alpha in zip(before, state.supernet.arch_parameters(), strict=True):
            same = (old - alpha.detach().softmax(0)).abs() < 1e-6
            assert int(same.sum()) >= len(old) - 2


# DrNAS


def test_the_dirichlet_gradient_is_pathwise() -> None:
    # E[w_0^2] = b(b + 1) / (s(s + 1)): the mean of sampled gradients against the derivative of that.
    alpha = torch.tensor([0.5, -0.4, 0.2], dtype=torch.float64, requires_grad=True)
    concentration = Dirichlet().concentration(alpha)
    total = concentration.sum()
    expected = torch.autograd.grad(concentration[0] * (concentration[0] + 1) / (total * (total + 1)), alpha)[0]
    generator, count = source(), 6000
    drawn = torch.stack([Dirichlet()(alpha, generator) for _ in range(count)])
    torch.testing.assert_close(drawn.mean(0), Dirichlet()(alpha), atol=0.02, rtol=0)
    found = torch.autograd.grad((drawn[:, 0] ** 2).mean(), alpha)[0]
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


# NAC


def test_sparse_coding_recovers_a_planted_combination() -> None:
    atoms = torch.randn(200, 12, generator=source(), dtype=torch.float64)
    atoms[:, 3] *= 50
    planted = torch.zeros(12, dtype=torch.float64)
    planted[[1, 3, 8]] = torch.tensor([2.0, 0.05, 1.0], dtype=torch.float64)
    noise = 0.1 * torch.randn(200, generator=source(1), dtype=torch.float64)
    found = unit_lasso(atoms.T @ atoms, atoms.T @ (atoms @ planted + noise), 0.05)
    assert found.nonzero().flatten().tolist() == [1, 3, 8]
    torch.testing.assert_close(found, planted, atol=0.2, rtol=0.2)


def test_the_lasso_is_at_its_optimum() -> None:
    # Karush, Kuhn and Tucker: the slope is the penalty where the code is positive, and at most that where it is zero.
    atoms = torch.randn(40, 10, generator=source(2), dtype=torch.float64)
    y = torch.randn(40, generator=source(3), dtype=torch.float64)
    gram, right = atoms.T @ atoms, atoms.T @ y
    code = lasso(gram, right, 2.0)
    slope = right - gram @ code
    assert (code >= 0).all() and 0 < int((code > 0).sum()) < 10
    torch.testing.assert_close(slope[code > 0], torch.full_like(slope[code > 0], 2.0))
    assert (slope[code == 0] <= 2.0 + 1e-9).all()
    assert not lasso(gram, right, float(right.max())).any()


def test_the_dictionary_is_the_jacobian_of_the_output() -> None:
    strategy = tiny(Nac)(epochs=2)
    task, state = begin(strategy)
    net = state.supernet.double().eval()
    task.x = task.x.double()
    batch = batches_of(task)["architecture"]
    with torch.no_grad():
        gram, right = dictionary(task, net, [batch], 1e-6)
    alphas, rows = net.arch_parameters(), task.nodes["architecture"]
    output = net(task.x)[rows]
    slopes = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(o, alphas, retain_graph=True)]) for o in output.flatten()]
    )
    residual = torch.nn.functional.one_hot(task.y[rows], 2) - output.softmax(1)
    torch.testing.assert_close(gram, slopes.T @ slopes, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(right, slopes.T @ residual.flatten(), rtol=1e-3, atol=1e-4)


def test_nac_trains_no_weight_but_the_decoder() -> None:
    strategy = tiny(Nac)(epochs=2)
    task, state = begin(strategy)
    before = {k: v.clone() for k, v in state.supernet.state_dict().items()}
    first = strategy.step(task, state)
    after = state.supernet.state_dict()
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert {k.split(".")[0] for k in moved} <= {"alphas", "decoder", "scale"} and "decoder.weight" in moved
    assert all(math.isclose(sum(values), 1, abs_tol=1e-6) for values in first["weights"].values())


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_nac_reads_numbers_to_predict_in_any_unit(metric: str) -> None:
    graph = numbers()
    found = []
    for shift, unit in ((0.0, 1.0), (1000.0, 30.0)):
        data = graph.clone()
        data.y = unit * graph.y + shift
        task = Task.from_data(data, metric=metric, seed=0)
        torch.manual_seed(0)
        strategy = Nac(epochs=2, hidden_channels=16)
        state = strategy.init(layered(max_depth=2), task, torch.default_generator)
        strategy.step(task, state)
        found.append(strategy.step(task, state))
    assert found[0]["loss_weights"] < 1.0, "no better than the mean"
    assert found[1]["loss_weights"] == pytest.approx(found[0]["loss_weights"], rel=1e-3)
    for name, values in found[0]["weights"].items():
        assert found[1]["weights"][name] == pytest.approx(values, abs=1e-3)
    assert any(max(values) - min(values) > 0.05 for values in found[0]["weights"].values())


# MANAS


def losses_of(actions: list[int], costs: list[Tensor]) -> float:
    return float(sum(cost[k] for cost, k in zip(costs, actions, strict=True)))


def test_importance_weighting_has_no_bias() -> None:
    policies, losses = [torch.tensor([0.2, 0.8]), torch.tensor([0.5, 0.3, 0.2])], torch.rand(2, 3, generator=source())
    mean = [torch.zeros(2), torch.zeros(3)]
    for i in range(2):
        for j in range(3):
            share = policies[0][i] * policies[1][j]
            for total, part in zip(mean, importance(policies, [[i, j]], [float(losses[i, j])]), strict=True):
                total += share * part
    torch.testing.assert_close(mean[0], losses @ policies[1])
    torch.testing.assert_close(mean[1], policies[0] @ losses)


def test_least_squares_explains_losses_that_are_sums() -> None:
    costs = [torch.tensor([0.1, 0.4]), torch.tensor([0.0, 0.3, 0.2])]
    actions = [[i, j] for i in range(2) for j in range(3)]
    found = least_squares([c.softmax(0) for c in costs], actions, [losses_of(a, costs) for a in actions])
    for part, cost in zip(found, costs, strict=True):
        torch.testing.assert_close((part - part.mean()).float(), cost - cost.mean())


@pytest.mark.parametrize(("estimate", "samples", "eta"), [("exp3", 1, 0.1), ("least_squares", 6, 0.5)])
def test_agents_have_little_regret_on_a_bandit(estimate: str, samples: int, eta: float) -> None:
    # Additive losses: the regret a round is that of EXP3's bound, and the policies settle on the best options.
    class Bandit(Manas):
        def loss(self, task: Any, state: Any, batches: Any, role: str) -> Tensor:
            picked = dict(state.supernet.fixed.choices)
            spent.append(sum(costs[n][c.index(picked[n])] for n, c in tiny_space().choices.items()))
            return torch.tensor(spent[-1])

    spent: list[float] = []
    costs = {"function.1": (0.0, 0.5, 1.0), "function.2": (1.0, 0.2, 0.6), "depth": (0.3, 0.7)}
    strategy = tiny(Bandit)(epochs=2, warmup=0, samples=samples, eta=eta, estimate=estimate)
    task, state = begin(strategy)
    for _ in range(600 // samples):
        strategy.update_architecture(task, state, batches_of(task))
    best = sum(min(cost) for cost in costs.values())
    scale = sum(max(cost) for cost in costs.values()) - best
    regret = [(s - best) / scale for s in spent]
    assert sum(regret[-200:]) / 200 < 0.25 * sum(regret[:50]) / 50
    assert sum(regret) < 3 * math.sqrt(2 * 600 * 3 * math.log(3))
    found = strategy.derive(task, state)
    assert dict(found.choices) == {"function.1": "tanh", "function.2": "sin", "depth": "h1"}


# single path, random with shared weights


def test_paths_are_drawn_uniformly_and_none_is_measured_twice() -> None:
    strategy = tiny(RandomSharing)(epochs=42, warmup=32, population=3)
    task, state = begin(strategy)
    while not strategy.done(state):
        event = strategy.step(task, state)
    trials = state.memory["trials"]
    networks = [trial["network"] for trial in trials]
    # An identity is passed over, so there are three networks of one function or none and four of two.
    assert len(set(networks)) == len(networks) == 7
    # The generation that finds none is the last.
    assert 35 < state.epoch < 42 and event["stopped"] == "no other network was found"
    merits = [trial["merit"] for trial in trials]
    assert event["best"] == max(merits) and "weights" not in event
    best = strategy.derive(task, state)
    assert (
        dict(best.choices) == min((t for t in trials if t["merit"] == max(merits)), key=lambda t: t["loss"])["genotype"]
    )
    assert state.supernet.fixed == best


def test_evolution_finds_the_best_of_a_known_ranking() -> None:
    wide = tuple(f"o{i}" for i in range(6))
    nodes = [Node(f"n{i}", Choice(f"c{i}", wide), ("x",)) for i in range(5)]
    space = Space("wide", (*nodes, Node("out", "sum", tuple(node.name for node in nodes))), "out")

    class Known(SinglePath):
        def judge(self, task: Any, state: Any, network: str, genotype: Any) -> None:
            merit = sum(wide.index(str(option)) for option in dict(genotype.choices).values())
            trial = {"genotype": dict(genotype.choices), "network": network, "merit": merit, "loss": 0.0}
            state.memory.setdefault("trials", []).append(trial)

    class Net:
        def __init__(self) -> None:
            self.space = space

        def narrowed(self) -> Space:
            return space

        def set_arch(self, genotype: Any) -> None: ...

    class State:
        supernet, memory = Net(), dict[str, Any]()

    torch.manual_seed(0)
    strategy, state = Known(population=20, parents=5), State()
    for _ in range(6):
        strategy.run(TinyTask(), state, "search")  # type: ignore[arg-type]
    ranked = strategy.ranked(state)  # type: ignore[arg-type]
    assert ranked[0]["merit"] >= 22
    later = [t["merit"] for t in state.memory["trials"][-20:]]
    assert sum(later) / 20 > sum(t["merit"] for t in state.memory["trials"][:20]) / 20 + 4


def test_networks_with_what_has_been_closed_are_no_parents() -> None:
    strategy = tiny(SinglePath)(epochs=6, warmup=1, population=3)
    task, state = begin(strategy)
    for _ in range(2):
        strategy.step(task, state)
    before = len(state.memory["trials"])
    state.supernet.narrow(restrict(state.supernet.space, {"function.1": ["sin"]}))
    while not strategy.done(state):
        strategy.step(task, state)
    later = state.memory["trials"][before:]
    assert later and {trial["genotype"]["function.1"] for trial in later} == {"sin"}


# PC-DARTS


def test_the_channels_that_are_not_drawn_pass_by() -> None:
    space = choosing("relu", "identity")
    torch.manual_seed(0)
    net = GraphSupernet(space, 8, 8, 8, dropout=0.0)
    x, edge_index = torch.randn(6, 8), torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    with torch.no_grad(), net.undecoded():
        whole, first = net.eval()(x, edge_index), net.encoder(x)
        net.partial = 4
        part = net.train()(x, edge_index)
        through = [k for k in range(8) if not torch.equal(part[:, k], first[:, k])]
        assert len(through) == 2
        # Both operations work channel by channel, so what goes through is what would have.
        torch.testing.assert_close(part[:, through], whole[:, through])
        assert torch.equal(net.eval()(x, edge_index), whole)


SHARING = ("identity", "gcn", "sage_mean", "sage_max", "gat", "gatv2", "gin", "conv_std")


def test_a_site_runs_on_the_channels_that_were_drawn_as_if_the_others_were_zero() -> None:
    torch.manual_seed(0)
    choice = Choice("op", SHARING)
    site = SharedSite(Node("conv", choice, ("x",), attrs={"transform": True}), 16).double()
    for name, parameter in site.named_parameters():
        if "att" in name or "eps" in name:
            torch.nn.init.normal_(parameter)
    edge_index = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 1], [1, 2, 3, 4, 5, 0, 3, 4]])
    context = Context(Graph(edge_index, 6), torch.zeros(6, 16, dtype=torch.float64), 0.0, False)
    site.tracking = False
    mixes = {"op": Mix.of(torch.rand(len(SHARING), dtype=torch.float64))}
    part = site.draw(4)
    assert part is not None and part.numel() == 4 and not torch.equal(part, site.draw(4))
    x = torch.randn(6, 16, dtype=torch.float64, requires_grad=True)
    mask = torch.zeros(16, dtype=torch.float64).index_fill(0, part, 1)
    with torch.no_grad():  # what GIN's second layer reads of the channels that were not drawn
        site.own["gin"].second.weight.mul_(mask)
    alone = site({0: x}, mixes, context, part)
    among = site({0: x * mask}, mixes, context)[:, part]
    torch.testing.assert_close(alone, among)
    # What isn't drawn is zero in the second layer, not in its gradient.
    weights = [parameter for name, parameter in site.named_parameters() if name != "own.gin.second.weight"]
    for got, expected in zip(
        torch.autograd.grad(alone.square().sum(), [x, *weights]),
        torch.autograd.grad(among.square().sum(), [x, *weights]),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


def test_the_channels_that_are_not_drawn_pass_a_shared_projection_by() -> None:
    conv = Node("conv", Choice("op", ("gcn", "conv_max")), ("x",), attrs={"transform": True})
    torch.manual_seed(0)
    net = GraphSupernet(Space("one", (conv,), "conv"), 8, 8, 8, dropout=0.0).train()
    net.partial = 4
    x, edge_index = torch.randn(6, 8), torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    with torch.no_grad(), net.undecoded():
        part, first = net(x, edge_index), net.encoder(x)
    assert sum(not torch.equal(part[:, k], first[:, k]) for k in range(8)) == 2


def test_a_site_with_layers_of_its_own_has_no_part() -> None:
    ops = Choice("op", ("gcn", "gat_cos"))
    site = SharedSite(Node("conv", ops, ("x",), attrs={"transform": True}), 16)
    assert site.draw(4) is None


@pytest.mark.parametrize("kind", [PcDarts, DrNas])
def test_a_part_has_a_channel_at_least(kind: Any) -> None:
    assert kind(partial=8, hidden_channels=8).partial == 8
    with pytest.raises(ValueError, match=f"{kind.name} got partial=9 for hidden_channels=8; expected no more"):
        kind(partial=9, hidden_channels=8)


# GOLD-NAS


def test_gates_close_and_stay_closed_but_for_the_last_of_a_choice() -> None:
    strategy = tiny(GoldNas)(epochs=40, warmup=2, strength=50.0, arch_lr=0.5, dropout=0.0)
    task, state = begin(strategy)
    sizes = []
    while not strategy.done(state):
        sizes.append(strategy.step(task, state)["open"])
    assert sizes[0] == 8 and sizes == sorted(sizes, reverse=True) and sizes[-1] == 3
    assert all(len(choice.options) == 1 for choice in state.supernet.narrowed().choices.values())


def test_the_price_presses_small_gates_harder() -> None:
    strategy = tiny(GoldNas)(epochs=3, warmup=0, strength=1.0)
    _, state = begin(strategy)
    state.epoch = 2
    alpha = state.supernet.alpha("function.1")
    with torch.no_grad():
        alpha.copy_(torch.tensor([2.0, 0.0, -2.0]))
    (grad,) = torch.autograd.grad(strategy.penalty(state), alpha)
    relative = grad / (alpha.sigmoid() * (1 - alpha.sigmoid()))
    assert relative[2] > relative[1] > relative[0] > 0
    state.epoch = 0
    assert float(strategy.penalty(state).detach()) == 0


# progressive and few-shot


def test_spaces_shrink_and_grow_as_said() -> None:
    space = tiny_space()
    weights = {"function.1": [0.2, 0.5, 0.3], "function.2": [0.1, 0.1, 0.8], "depth": [0.4, 0.6]}
    kept = Keep(0.5)(space, weights, space)
    assert kept.choices["function.1"].options == ("sin", "identity")
    assert kept.choices["function.2"].options == ("tanh", "identity")
    assert kept.choices["depth"].options == ("h1", "h2")
    assert Keep(0.5, most=0)(space, weights, space).choices["function.2"].options == ("tanh",)
    # Of choices that keep one option, all but the surest lose a skip to what comes next; a settled one counts.
    three = Space("three", tuple(Node(f"h{i}", Choice(f"op.{i}", ("identity", "sin")), ("x",)) for i in range(3)), "h2")
    skips = {f"op.{i}": [0.9 - 0.1 * i, 0.1 + 0.1 * i] for i in range(3)}
    kept = {n: c.options for n, c in Keep(0.5, most=1)(three, skips, three).choices.items()}
    assert kept == {"op.0": ("identity",), "op.1": ("sin",), "op.2": ("sin",)}
    settled = restrict(three, {"op.2": ["identity"]})
    kept = {n: c.options for n, c in Keep(0.5, most=1)(settled, skips, three).choices.items()}
    assert kept == {"op.0": ("sin",), "op.1": ("sin",), "op.2": ("identity",)}
    kept = Keep(0.5)(space, weights, space)
    shallow = Reach(0.5)(space, weights, space)
    assert shallow.choices["depth"].options == ("h1",)
    assert Reach(1.0)(Keep(0.5)(shallow, weights, space), weights, space).choices == kept.choices
    decided = Decide(0.5)(space, weights, space)
    assert [len(c.options) for c in decided.choices.values()] == [3, 1, 2]
    assert decided.choices["function.2"].options == ("identity",)
    with pytest.raises(ValueError, match="no choice 'width'"):
        restrict(space, {"width": [1]})
    with pytest.raises(ValueError, match="got no options to keep"):
        restrict(space, {"depth": []})


def test_sureness_is_importance_times_certainty() -> None:
    nodes = tuple(Node(f"e{i}", Choice(f"e{i}", ("zero", "a", "b")), ("x",)) for i in range(3))
    space = Space("edges", (*nodes, Node("out", "sum", ("e0", "e1", "e2"))), "out")
    weights = {"e0": [0.1, 0.85, 0.05], "e1": [0.1, 0.45, 0.45], "e2": [0.9, 0.05, 0.05]}
    sure = sureness(space, weights, space, ["e0", "e1", "e2"])
    assert sure == {"e0": pytest.approx(1), "e1": pytest.approx(0), "e2": pytest.approx(0)}
    assert Decide(0.3)(space, weights, space).choices["e0"].options == ("a",)


def test_a_progressive_search_narrows_when_it_is_due() -> None:
    strategy = Progressive(
        inner=tiny(Darts)(epochs=8, warmup=2), transforms=((Keep(0.7), Reach(1.0)), Keep(0.3)), start=(Reach(0.5),)
    )
    task, state = begin(strategy)
    sizes = []
    while not strategy.done(state):
        sizes.append(strategy.step(task, state)["open"])
    assert sizes == [7, 7, 7, 8, 8, 4, 4, 4]


@pytest.mark.parametrize("inner", [Darts, Manas])
def test_what_opens_has_the_mean_of_what_was_open(inner: Any) -> None:
    strategy = Progressive(inner=tiny(inner)(epochs=12, warmup=2), transforms=(Reach(1.0),), start=(Reach(0.5),))
    task, state = begin(strategy)
    while not strategy.due(state.epoch):
        with torch.no_grad():
            state.supernet.alpha("depth")[0] = -7.0
        strategy.step(task, state)
    alpha = state.supernet.alpha("depth")
    assert float(alpha[1]) == float(alpha[0]) and float(alpha[0]) < -5


@pytest.mark.parametrize("settings", [{"stop": EigenvalueStop()}, {"selection": Selection()}], ids=str)
def test_what_would_end_before_the_transforms_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"an inner strategy with {next(iter(settings))}=.*yet to open; expected one"):
        Progressive(inner=Darts(**settings))


@pytest.mark.parametrize("inner", [SinglePath(), RandomSharing()], ids=["single_path", "random_sharing"])
def test_what_learns_no_weights_is_not_narrowed_by_them(inner: Any) -> None:
    for transforms in ((Keep(0.5),), ((Reach(1.0), Decide(0.5)),)):
        with pytest.raises(ValueError, match=f"around {inner.name}, which learns no architecture weights"):
            Progressive(inner=inner, transforms=transforms, start=())
    # What opens after the weights were trained would be measured untrained.
    with pytest.raises(ValueError, match=f"around {inner.name}, whose weights are trained before"):
        Progressive(inner=inner, transforms=(Reach(1.0),), start=(Reach(0.5),))
    strategy = Progressive(
        inner=tiny(type(inner))(epochs=12, warmup=2, population=8), transforms=(), start=(Reach(0.5),)
    )
    task, state = begin(strategy)
    while not strategy.done(state):
        strategy.step(task, state)
    assert {trial["genotype"]["depth"] for trial in state.memory["trials"]} == {"h1"}


def test_rounding_makes_no_decision_surer() -> None:
    nodes = tuple(Node(f"e{i}", Choice(f"e{i}", ("a", "b", "c")), ("x",)) for i in range(3))
    space, generator = Space("edges", (*nodes, Node("out", "sum", ("e0", "e1", "e2"))), "out"), source()
    for _ in range(300):
        # Without a zero every importance is one, up to rounding: the surest choice is that of the least entropy.
        weights = {f"e{i}": torch.randn(3, generator=generator).softmax(0).double() for i in range(3)}
        sure = sureness(space, {name: row.tolist() for name, row in weights.items()}, space, list(weights))
        spread = {name: float(torch.special.entr(row / row.sum()).sum()) for name, row in weights.items()}
        order = sorted(spread, key=spread.__getitem__)
        assert sorted(sure, key=lambda name: -sure[name]) == order


def test_agents_draw_open_options_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = tiny(Manas)(epochs=4, warmup=0, samples=6)
    task, state = begin(strategy)
    net = state.supernet
    name, choice = max(net.space.choices.items(), key=lambda item: len(item[1].options))
    closed = choice.options[0]
    net.narrow(restrict(net.space, {name: choice.options[1:]}))
    drawn: list[Any] = []
    set_arch = net.set_arch
    monkeypatch.setattr(net, "set_arch", lambda genotype: (drawn.append(genotype), set_arch(genotype))[1])
    before = net.alpha(name).detach().clone()
    for _ in range(3):
        strategy.step(task, state)
    networks = [genotype for genotype in drawn if genotype is not None]
    assert networks and closed not in {genotype[name] for genotype in networks}
    spread = net.alpha(name).detach() - before
    assert len({round(float(value), 9) for value in spread[1:]}) > 1, "the open options are learned"


def test_a_member_that_has_stopped_rests_while_others_search() -> None:
    strategy = FewShot(inner=tiny(Darts)(epochs=8, warmup=2), splits=1)
    task, state = begin(strategy)
    while len(state.members) == 1:
        strategy.step(task, state)
    strategy.step(task, state)
    stopped, other = state.members
    stopped.memory["stopped"], stopped.memory["told"] = True, {"event": "epoch", "metric_architecture": 0.0}
    alphas = [[alpha.detach().clone() for alpha in member.supernet.arch_parameters()] for member in state.members]
    while not strategy.done(state):
        strategy.step(task, state)
    moved = [
        any(not torch.equal(a, b) for a, b in zip(before, member.supernet.arch_parameters(), strict=True))
        for before, member in zip(alphas, state.members, strict=True)
    ]
    assert moved == [False, True] and other.epoch == 8 > stopped.epoch


def test_states_divide_while_a_strategy_searches() -> None:
    space = relational(1, steps=4, depth=False)
    strategy = argnp(Darts(epochs=7, warmup=1, hidden_channels=4), divisions=2)
    task = example_task()
    torch.manual_seed(0)
    state = strategy.init(space, task, torch.default_generator)
    alive, kept = [], []
    while not strategy.done(state):
        genotype = strategy.derive(task, state)
        strategy.step(task, state)
        sums = {name for name, choice in state.supernet.narrowed().choices.items() if choice.options != ("zero",)}
        alive.append(len({name.rsplit(".", 1)[0] for name in sums if name.startswith("node")}))
        kept.append([genotype[f"node.1.1.{j}"] for j in range(1)])
    # The states live before a division's epoch, and twice as many from it on.
    assert alive == [1, 1, 2, 2, 4, 4, 4]
    assert kept[-1] == kept[-2] == kept[-3] == kept[-4], "what divided keeps what was chosen"
    found = strategy.derive(task, state)
    assert sum(option != "zero" for name, option in found.choices if name.startswith("node")) == 4


def test_a_budget_reaches_the_inner_strategy() -> None:
    for strategy in (Progressive(inner=Darts(epochs=60)), FewShot(inner=Darts(epochs=60))):
        fitted = Budget(20, "epochs").fit(strategy, "epochs")
        assert fitted.inner.epochs == 20 and fitted.inner.warming == 4 and strategy.inner.epochs == 60


def test_a_cut_parts_those_that_disagree() -> None:
    rows = torch.tensor([[1.0, 0.1], [-1.0, 0.1], [0.9, -0.1], [-1.1, 0.0]])
    score, half = cut(cosines([[row] for row in rows]))
    assert half == (0, 2) and score < -0.9
    assert cut(cosines([[row] for row in torch.eye(3)]))[0] == 0
    # Of many options: two clusters that are mixed in their order are told apart by exchanges.
    camp = torch.arange(40) % 2 * 2.0 - 1
    score, half = cut(camp[:, None] * camp)
    assert score == -1 and half == tuple(range(0, 40, 2))


def test_options_agree_about_the_weights_that_both_use() -> None:
    shared, other, private = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0]), torch.tensor([[100.0]])
    found = cosines([[shared, private, None], [other, None, private], [None, None, None], [None, private, private]])
    assert found[0, 1] == found[1, 0] == pytest.approx(24 / 25) and found[2].tolist() == [0, 0, 0, 0]
    assert found[0, 3] == pytest.approx(1)

    # Two operations with weights of their own, whose sizes say nothing about the encoder and the decoder.
    space = choosing("gcn", "sage_mean", "identity")
    strategy, task = FewShot(inner=Darts(epochs=4, hidden_channels=8, dropout=0.0)), example_task()
    torch.manual_seed(0)
    state = strategy.init(space, task, torch.default_generator)
    (member,) = state.members
    found = strategy.agreement(task, member, space, "op")
    net: Any = member.supernet
    coders = [*net.encoder.parameters(), *net.decoder.parameters()]
    (batches,) = task.steps(torch.default_generator)
    rows = []
    for option in space.choices["op"].options:
        net.narrow(restrict(space, {"op": [option]}))
        with net.frozen_statistics():
            grads = torch.autograd.grad(strategy.inner.loss(task, member, batches, "weights"), coders)
        rows.append(torch.cat([grad.flatten() for grad in grads]))
    expected = torch.stack([torch.stack([torch.cosine_similarity(a, b, dim=0) for b in rows]) for a in rows])
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-5)


def test_members_of_a_few_shot_search_hold_the_space_between_them() -> None:
    strategy = FewShot(inner=tiny(Darts)(epochs=6, warmup=2), splits=2)
    task, state = begin(strategy)
    members = []
    while not strategy.done(state):
        members.append(strategy.step(task, state)["members"])
    assert members == [1, 2, 4, 4, 4, 4] or members == [1, 1, 2, 4, 4, 4]
    for optimizer in ("weight_optimizer", "arch_optimizer"):
        kept = [value for m in state.members for of in getattr(m, optimizer).state.values() for value in of.values()]
        assert len({value.data_ptr() for value in kept}) == len(kept), "members move each other's weights"
    spaces = [member.supernet.narrowed() for member in state.members]
    assert sum(space.size for space in spaces) == tiny_space().size


# stabilisers


def test_the_eigenvalue_is_that_of_the_whole_hessian() -> None:
    strategy = tiny(Darts)(epochs=3, dropout=0.0)
    task, state = begin(strategy)
    alphas = state.supernet.double().arch_parameters()
    task.x = task.x.double()
    batches = batches_of(task)

    def at(*values: Tensor) -> Tensor:
        named = {f"alphas.{name}": v for name, v in zip(state.supernet.alphas, values, strict=True)}
        output = torch.func.functional_call(state.supernet.eval(), named, (task.x,))
        return task.loss(output, batches["architecture"], "architecture")

    blocks = torch.autograd.functional.hessian(at, tuple(alphas))
    whole = torch.cat([torch.cat(list(row), dim=1) for row in blocks])
    state.supernet.eval()
    found = largest_eigenvalue(lambda: strategy.loss(task, state, batches, "architecture"), alphas)
    assert found == pytest.approx(float(torch.linalg.eigvalsh(whole)[-1]), rel=1e-6)
    assert found > 0


def test_a_loss_that_diverged_has_no_eigenvalue() -> None:
    alpha = torch.ones(3, requires_grad=True)
    assert math.isnan(largest_eigenvalue(lambda: (alpha * math.inf).pow(2).sum(), [alpha]))
    strategy = tiny(Darts)(epochs=3, warmup=0, lr=1e30, grad_clip=None, eigenvalue=1)
    task, state = begin(strategy)
    with pytest.raises(FloatingPointError, match="expected a finite .*: the search diverged, try a lower learning"):
        for _ in range(3):
            strategy.step(task, state)


def test_an_alpha_that_diverged_is_told_by_whoever_draws_from_it() -> None:
    strategy = tiny(Proxyless)(epochs=3, warmup=0)
    task, state = begin(strategy)
    with torch.no_grad():
        state.supernet.alpha("depth").fill_(math.nan)
    with pytest.raises(
        FloatingPointError, match="proxyless has an alpha that is no number in epoch 1; .*lower learning"
    ):
        strategy.step(task, state)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stop": EigenvalueStop(), "selection": Selection()}, "stop and selection; expected one of them"),
        ({"stop": EigenvalueStop(every=4), "eigenvalue": 1}, "eigenvalue=1 beside stop, which measures it every 4"),
        ({"relaxation": Dirichlet(), "eigenvalue": 2}, "relaxation=Dirichlet.*can be differentiated twice"),
    ],
)
def test_stabilisers_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"darts got {said}"):
        Darts(**settings)


def test_the_search_stops_when_the_eigenvalue_has_grown() -> None:
    stop = EigenvalueStop(every=1, window=2, growth=1.3, back=2, least=1)
    assert not stop.broken([1, 1, 1, 1, 1.2], 9)
    assert stop.broken([1, 1, 1, 2, 2], 4) and not stop.broken([1, 1, 1, 2, 2], 3)
    # As its authors have it: two full windows, the middle of the earlier at epoch ten or later.
    paper = EigenvalueStop()
    assert not paper.broken([1, 1.4, 1.4, 1.4, 1.4], 50) and not paper.broken([1, 1, 1, 1, 2, 2, 2, 2], 50)
    assert paper.broken([1] * 5 + [2] * 4, 22) and not paper.broken([1] * 5 + [2] * 4, 20)
    strategy = tiny(Darts)(epochs=9, warmup=0, stop=stop)
    values = iter([1.0, 1.0, 1.0, 2.0, 4.0])
    task, state = begin(strategy)
    object.__setattr__(strategy, "curvature", lambda task, state: next(values))
    alphas = []
    while not strategy.done(state):
        event = strategy.step(task, state)
        alphas.append([torch.tensor(w) for w in event["weights"].values()])
    assert "stopped" in event and state.epoch == 4
    # The later of the earlier window's two, three times ago: after the first epoch.
    assert all(torch.equal(a, b) for a, b in zip(alphas[-1], alphas[0], strict=True))


def test_selection_settles_every_choice_by_what_is_missed_most() -> None:
    assert worst_without({0: (0.9, 1.0), 1: (0.5, 1.0), 2: (0.5, 2.0)}) == 2
    assert worst_without({0: (0.9, 1.0), 1: (math.nan, math.nan)}) == 1
    half = Selection(0.5)
    assert [half.settled(7, epoch, 10) for epoch in range(4, 11)] == [0, 0, 2, 3, 5, 6, 7]
    strategy = tiny(Darts)(epochs=10, warmup=2, selection=half)
    task, state = begin(strategy)
    settled: list[str] = []
    while not strategy.done(state):
        event = strategy.step(task, state)
        settled += event.get("settled", [])
    assert sorted(settled) == sorted(tiny_space().choices) and event["phase"] == "selection"
    assert state.supernet.narrowed().size == 1 and event["entropy"] == 0


def test_beta_pushes_back_what_is_ahead_and_zero_one_drives_apart() -> None:
    alphas = [torch.tensor([1.0, 0.0, -1.0], requires_grad=True), torch.tensor([0.0, 0.5], requires_grad=True)]
    for grad, alpha in zip(torch.autograd.grad(beta_penalty(alphas), alphas), alphas, strict=True):
        torch.testing.assert_close(grad, alpha.detach().softmax(0) / 2)
    grads = torch.autograd.grad(zero_one_penalty(alphas), alphas)
    # Descent moves each gate away from one half.
    assert grads[0][0] < 0 < grads[0][2] and grads[0][1] == 0 and grads[1][1] < 0
    strategy = tiny(Darts)(epochs=5, warmup=0, beta=4.0)
    _, state = begin(strategy)
    state.epoch = 2
    expected = 4.0 * 0.5 * beta_penalty(state.supernet.arch_parameters())
    torch.testing.assert_close(strategy.penalty(state), expected)


@pytest.mark.parametrize(
    "strategy",
    [
        tiny(Darts)(warmup=0, beta=4.0),
        tiny(Darts)(warmup=0, zero_one=1.0, relaxation=Sigmoid()),
        tiny(DrNas)(warmup=0, anchor=1.0),
    ],
    ids=["beta", "zero_one", "drnas"],
)
def test_penalties_see_open_options_alone(strategy: Any) -> None:
    _, state = begin(strategy)
    net, state.epoch = state.supernet, 10
    net.narrow(restrict(net.space, {"function.1": ["tanh", "identity"], "depth": ["h2"]}))
    alphas = [net.alpha(name) for name in net.space.choices]
    before = strategy.penalty(state)
    grads = torch.autograd.grad(before, alphas, allow_unused=True, materialize_grads=True)
    assert grads[0][1] == 0 and grads[2][0] == 0 and bool(grads[0][[0, 2]].all()) and bool(grads[1].all())
    with torch.no_grad():
        alphas[0][1], alphas[2][0] = 50.0, -50.0
    assert torch.equal(strategy.penalty(state), before)


def test_max_w_weighs_as_said() -> None:
    alpha = torch.tensor([0.3, 1.2, -0.5], requires_grad=True)
    p = alpha.softmax(0)
    weights = MaxW()(alpha)
    torch.testing.assert_close(weights, 1 - p.max() + p)
    # The leader has all of its weight already, and pulls nothing by it.
    (grad,) = torch.autograd.grad(weights[1], alpha)
    assert weights[1] == 1 and not grad.any()
    torch.testing.assert_close(MaxW().probabilities(alpha), p)


@pytest.mark.parametrize("steps", [0, 7])
def test_perturbed_weights_are_weights_near_by_and_an_adversary_raises_the_loss(steps: int) -> None:
    torch.manual_seed(0)
    slopes = torch.tensor([0.0, 1.0, -2.0, 0.5])
    weights = {"op": torch.tensor([0.4, 0.3, 0.2, 0.1]), "gates": torch.tensor([0.9, 0.8]), "one": torch.ones(1)}
    before = {name: p.clone() for name, p in weights.items()}
    for progress, radius in ((0.0, 0.02), (1.0, 0.2)):
        found = Perturbation(0.2, steps).perturbed(weights, progress, lambda w: (w["op"] * slopes).sum())
        assert all(torch.equal(p, before[name]) and not found[name].requires_grad for name, p in weights.items())
        assert all(float(p.sum()) == pytest.approx(float(weights[name].sum())) for name, p in found.items())
        assert all(float(p.min()) >= 0 and float(p.max()) <= 1.2 for p in found.values())
        moved = (found["op"] - weights["op"]).abs()
        # Scaling to the sum moves the largest a little further.
        assert 0 < float(moved.max()) <= 2 * radius and float(found["one"]) == 1
        if steps:
            assert (found["op"] * slopes).sum() > (weights["op"] * slopes).sum() + 0.5 * radius
    # Nothing above zero is left: the largest has it all.
    assert _as_weights(torch.tensor([-0.2, -0.1]), torch.tensor([0.5, 0.5])).tolist() == [0, 1]


def test_an_adversary_that_fails_is_left_out() -> None:
    weights = {"op": torch.tensor([0.5, 0.5])}
    found = Perturbation(0.2, 3).perturbed(weights, 1.0, lambda w: -(w["op"] - 0.5).square().sum())
    assert torch.equal(found["op"], weights["op"])


@pytest.mark.parametrize("steps", [0, 2])
def test_the_weights_learn_under_perturbed_options_and_the_architecture_does_not(steps: int) -> None:
    strategy = Darts(epochs=3, warmup=1, hidden_channels=8, perturbation=Perturbation(radius=0.3, steps=steps))
    task, space = example_task(), choosing("mean_pool", "sum_pool", "max_pool")
    torch.manual_seed(0)
    state = strategy.init(space, task, torch.default_generator)
    net: Any = state.supernet
    net.narrow(restrict(space, {"op": ["mean_pool", "max_pool"]}))
    (batches,) = task.steps(torch.default_generator)
    mixes, used = net._mixes, list[list[float]]()

    def noting() -> Any:
        mixed = mixes()
        used.append(mixed["op"].weights.tolist())
        return mixed

    net._mixes = noting
    for epoch in range(3):
        state.epoch, radius = epoch, (0.03, 0.165, 0.3)[epoch]
        alpha, before = net.alpha("op").detach().clone(), net.arch_weights()["op"].tolist()
        net.train()
        strategy.update_weights(task, state, batches)
        assert torch.equal(net.alpha("op"), alpha)
        # It perturbs from the first epoch, which warms up.
        assert used[-1] != before and used[-1][1] == 0 and sum(used[-1]) == pytest.approx(1)
        assert abs(used[-1][0] - before[0]) <= 2 * radius
        used.clear()
        strategy.update_architecture(task, state, batches)
        assert used == [pytest.approx(before)]


def test_the_auxiliary_skip_fades_and_is_in_no_genotype() -> None:
    strategy = tiny(Darts)(epochs=5, warmup=1, auxiliary=1.0)
    task, state = begin(strategy)
    seen = []
    while not strategy.done(state):
        strategy.step(task, state)
        seen.append(state.supernet.auxiliary)
    assert seen == [1.0, 0.75, 0.5, 0.25, 0.0]
    space = choosing("mean_pool", "sum_pool")
    torch.manual_seed(0)
    net = GraphSupernet(space, 8, 8, 8, dropout=0.0).eval()
    x, edge_index = torch.randn(4, 8), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    with torch.no_grad(), net.undecoded():
        plain, first = net(x, edge_index), net.encoder(x)
        net.auxiliary = 0.5
        torch.testing.assert_close(net(x, edge_index), plain + 0.5 * first)
        net.set_arch(space.genotype({"op": "mean_pool"}))
        fixed = net(x, edge_index)
        net.auxiliary = 0.0
        assert torch.equal(net(x, edge_index), fixed)


def test_cosine_power_annealing_lies_below_the_cosine_and_meets_it_at_both_ends() -> None:
    plain, power = Darts(optimizer="sgd", lr=0.1), Darts(optimizer="sgd", lr=0.1, power=10.0)
    assert power.weight_lr(0) == pytest.approx(0.1) and power.weight_lr(60) == pytest.approx(0)
    assert all(power.weight_lr(e) < plain.weight_lr(e) for e in range(1, 60))
    near = Darts(optimizer="sgd", lr=0.1, power=1.0001)
    assert near.weight_lr(20) == pytest.approx(plain.weight_lr(20), rel=1e-3)
    # Half way, (10^1.5 - 10) / (100 - 10) of it is left.
    assert power.weight_lr(30) == pytest.approx(0.1 * (10**1.5 - 10) / 90)


def test_a_closed_option_counts_for_nothing_and_comes_back() -> None:
    space = choosing("mean_pool", "sum_pool", "max_pool")
    torch.manual_seed(0)
    net = GraphSupernet(space, 4, 8, 3, dropout=0.0).eval()
    x, edge_index = torch.randn(5, 4), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    with torch.no_grad():
        whole = net(x, edge_index)
        narrow = restrict(space, {"op": ["mean_pool", "max_pool"]})
        net.narrow(narrow)
        assert net.narrowed() == narrow
        weights = net.arch_weights()["op"]
        assert weights[1] == 0 and float(weights.sum()) == pytest.approx(1)
        other = GraphSupernet(space, 4, 8, 3, dropout=0.0).eval()
        other.load_state_dict(net.state_dict())
        assert other.narrowed() == narrow and torch.equal(other(x, edge_index), net(x, edge_index))
        assert not torch.equal(net(x, edge_index), whole)
        net.narrow(restrict(space, {"op": ["max_pool"]}))
        closed = net(x, edge_index)
        net.narrow(space)
        assert torch.equal(net(x, edge_index), whole)
        net.set_arch(space.genotype({"op": "max_pool"}))
        torch.testing.assert_close(net(x, edge_index), closed)
    with pytest.raises(ValueError, match="expected those of space 'one'"):
        net.narrow(tiny_space())


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_a_step_is_that_of_the_gradient_however_it_lies_in_memory(optimizer: Any) -> None:
    # What autograd gives of a matrix product is often the transposed, which a fused optimizer would read row by row.
    start, grad = torch.randn(7, 5, generator=source()), torch.randn(5, 7, generator=source(1)).t()
    stepped, plain = (torch.nn.Parameter(start.clone()) for _ in range(2))
    fused = optimizer([stepped], lr=0.1, fused=True)
    apply(fused, [stepped], [grad])
    one = optimizer([plain], lr=0.1)
    plain.grad = grad.clone(memory_format=torch.contiguous_format)
    one.step()
    torch.testing.assert_close(stepped, plain)


def test_a_supernet_on_words_learns_its_weights_as_with_the_plain_optimizer() -> None:
    x = (torch.rand(60, 200, generator=source()) < 0.05).float()
    edge_index = torch.randint(60, (2, 200), generator=source(1))
    task = Task.from_data(Data(x=x, edge_index=edge_index, y=torch.arange(60) % 3))
    assert task.words
    found = []
    for fused in (True, False):
        torch.manual_seed(0)
        strategy = Darts(epochs=7, warmup=6, hidden_channels=8, dropout=0.0)
        state = strategy.init(layered(max_depth=2), task, torch.default_generator)
        if not fused:
            weights = state.supernet.weight_parameters()
            decay = strategy.regularisation(task).weight_decay
            state.weight_optimizer = torch.optim.Adam(weights, lr=strategy.lr, weight_decay=decay)
        found.append([strategy.step(task, state)["loss_weights"] for _ in range(6)])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
