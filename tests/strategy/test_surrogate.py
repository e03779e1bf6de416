"""The surrogate: what it sees, what its model is, and that it finds more than chance does."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import math
import random
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.stats
import torch
from strategy_fakes import TinyTask, tiny_space

from gnas.evaluate import Result
from gnas.recipe import Recipe
from gnas.space import Choice, Genotype, Node, Space, layered
from gnas.space.trace import Trace
from gnas.strategy import STRATEGIES, BlackBoxState, Random, Surrogate
from gnas.strategy.features import WEIGHTS, encoder, everything, pieces
from gnas.strategy.gaussian import JITTER, Kernel, Posterior, expected_improvement
from gnas.strategy.score_features import places, widened
from gnas.strategy.surrogate import standing
from gnas.testing import Scores, example_task
from gnas.zero_cost import Score, score


def result(metric: float) -> Result:
    return Result(metric_architecture=metric, loss_architecture=1.0, epochs=0, seconds=0.0, parameters=0)


def chain(length: int = 5, options: int = 5) -> Space:
    """A chain of nodes, each one of some functions: 3,125 networks."""
    names = tuple(f"f{i}" for i in range(options))
    nodes = [Node(f"h{i}", Choice(f"op.{i}", names), (f"h{i - 1}" if i > 1 else "x",)) for i in range(1, length + 1)]
    return Space("chain", tuple(nodes), f"h{length}")


@dataclass(frozen=True)
class Planted:
    """A metric with a maximum that pairs of neighbours decide, and noise that depends on the network."""

    noise: float = 0.0
    seen: list[Genotype] = field(default_factory=list, compare=False)

    def value(self, space: Space, genotype: Genotype) -> float:
        ops = [int(str(option)[1:]) for _, option in genotype.choices]
        return sum((a * 3 + b * 2 + i) % 5 for i, (a, b) in enumerate(itertools.pairwise(ops))) / 20

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int, /) -> Result:
        self.seen.append(genotype)
        noise = random.Random(space.bind(genotype).digest()).gauss(0, self.noise) if self.noise else 0.0
        return result(self.value(space, genotype) + noise)


def searched(strategy: Random | Surrogate, space: Space, seed: int, task: Any = None) -> BlackBoxState:
    state = strategy.init(space, task or TinyTask(), torch.Generator().manual_seed(seed))
    while not strategy.done(state):
        strategy.step(task or TinyTask(), state)
    return state


def test_pieces_of_a_chain_with_a_skip_and_two_ends() -> None:
    # x -> a -> b, and a again through a skip; both are joined.
    trace = Trace((("x", ()), ("a", (0,)), ("b", (1,)), ("skip", (1,)), ("concat", (2, 3))), 4)
    found = pieces(trace)
    assert dict(found["count"]) == {"a": 1, "b": 1}
    assert dict(found["pair"]) == {"x>a": 1, "a>b": 1, "b>out": 1, "a>out": 1}
    assert dict(found["chain"]) == {"x>a>b": 1, "a>b>out": 1, "x>a>out": 1}
    assert set(found["tree"]) == {"a(x)", "b(a(x))", "a(x)>out", "b(a(x))>out"}
    assert dict(found["above"]) == {"a@1": 1, "b@2": 1}
    assert dict(found["below"]) == {"a^0": 1, "a^1": 1, "b^0": 1}
    assert dict(found["sibling"]) == {"end a|b": 1}
    assert dict(found["present"]) == {"a": 1, "b": 1, "a&b": 1}
    assert found["shape"]["nodes"] == 2 and found["shape"]["ends"] == 2 and found["shape"]["residuals"] == 1


def test_equal_networks_have_equal_features_and_groups_have_their_weights() -> None:
    space = layered(3)
    encode, generator = encoder(space), random.Random(1)
    drawn = [space.sample(generator) for _ in range(300)]
    features = encode([encode.trace(genotype) for genotype in drawn])
    distances, _ = features.compare(features)
    digests = [space.bind(genotype).digest() for genotype in drawn]
    alike = [(i, j) for i, j in itertools.combinations(range(300), 2) if digests[i] == digests[j]]
    assert alike and all(distances[i, j] < 1e-5 for i, j in alike)
    assert 0.8 < distances[np.triu_indices(300, 1)].mean() < 1.25
    assert set(pieces(encode.trace(drawn[0]))) == set(WEIGHTS)


def test_everything_is_every_network_once() -> None:
    genotypes, traces, features = everything(tiny_space())
    assert len(genotypes) == len(set(traces)) == len(features) == 7
    assert len({tiny_space().bind(genotype).digest() for genotype in genotypes}) == 7


def points(count: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 3))
    distances = ((x[:, None] - x[None]) ** 2).sum(-1)
    return distances, x @ x.T, np.sin(x.sum(1))


def test_the_posterior_is_that_of_the_textbook() -> None:
    distances, products, targets = points()
    kernel = Kernel(tuple(math.log(v) for v in (0.3, 0.8, 0.5, 0.1)))
    root = np.sqrt(3 * 0.5 * distances)
    covariance = 0.3 * products + 0.8 * (1 + root) * np.exp(-root)
    np.testing.assert_allclose(kernel(distances, products), covariance)
    posterior = Posterior(kernel, distances[:8, :8], products[:8, :8], targets[:8])
    inverse = np.linalg.inv(covariance[:8, :8] + (0.1 + JITTER) * np.eye(8))
    across = kernel(distances[8:, :8], products[8:, :8])
    np.testing.assert_allclose(across @ posterior.weights, covariance[8:, :8] @ inverse @ targets[:8])
    np.testing.assert_allclose(posterior.known, covariance[:8, :8] @ inverse @ targets[:8])
    for i in range(8):
        rest = [j for j in range(8) if j != i]
        without = Posterior(kernel, distances[np.ix_(rest, rest)], products[np.ix_(rest, rest)], targets[rest])
        here = kernel(distances[i, rest], products[i, rest]) @ without.weights
        assert posterior.left_out[i] == pytest.approx(here)
    own = posterior.covariance(kernel(distances[8:, 8:], products[8:, 8:]), across)
    expected = covariance[8:, 8:] - covariance[8:, :8] @ inverse @ covariance[:8, 8:]
    np.testing.assert_allclose(own, expected, atol=1e-10)


def test_fitting_learns_noise_from_signal() -> None:
    distances, products, targets = points(60)
    targets = targets - targets.mean()
    noise = np.random.default_rng(1).normal(size=60)
    clean = Kernel().fitted(distances, products, targets, steps=50)
    noisy = Kernel().fitted(distances, products, noise - noise.mean(), steps=50)
    assert clean.noise < 0.1 < 0.4 < noisy.noise


def test_expected_improvement_is_the_mean_of_what_is_gained() -> None:
    mean, deviation = np.array([0.2, 1.0, -0.5]), np.array([1.0, 0.3, 2.0])
    drawn = mean + deviation * np.random.default_rng(0).normal(size=(400_000, 3))
    np.testing.assert_allclose(
        expected_improvement(mean, deviation, 0.7), np.maximum(drawn - 0.7, 0).mean(0), atol=5e-3
    )


def test_targets_keep_the_lead_of_the_best_and_cut_off_what_does_not_train() -> None:
    accuracies = [0.80, 0.81, 0.79, 0.82, 0.78, 0.84]
    targets = standing([-accuracy for accuracy in accuracies])
    assert targets.mean() == pytest.approx(0) and targets.std() == pytest.approx(1)
    # The distances are those of the metrics, ...
    np.testing.assert_allclose(np.diff(targets) / np.diff(accuracies), (targets[5] - targets[0]) / 0.04)
    # ... with a network at chance as well, which is as bad as one that diverged.
    chance, diverged = (standing([*(-accuracy for accuracy in accuracies), last]) for last in (-0.1, math.nan))
    assert chance.argmin() == 6 and chance[5] - chance[4] > 1.5
    assert diverged.argmin() in (4, 6) and diverged[6] == diverged[4]
    assert not standing([math.nan, math.nan]).any() and not standing([0.3, 0.3]).any()


@pytest.mark.parametrize("whole", [100_000, 0])
def test_it_finds_what_chance_does_not(whole: int) -> None:
    space = chain()
    ours, chance = [], []
    for seed in range(3):
        strategy = Surrogate(evaluations=70, evaluator=Planted(), whole=whole, pool=200)
        state = searched(strategy, space, seed)
        ours.append(strategy.best(state).metric)
        chance.append(max(t.metric for t in searched(Random(evaluations=70, evaluator=Planted()), space, seed).trials))
        assert len({trial.network for trial in state.trials}) == 70, "no network is asked twice"
    assert all(found > lucky for found, lucky in zip(ours, chance, strict=True)), (ours, chance)


def test_a_small_space_is_searched_to_its_end() -> None:
    state = searched(Surrogate(evaluations=50, evaluator=Tiny(), initial=3, batch=2), tiny_space(), 0)
    assert len(state.trials) == len({trial.network for trial in state.trials}) == 7


@dataclass(frozen=True)
class Tiny:
    """Some number for each network, NaN for a few."""

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int, /) -> Result:
        number = int(space.bind(genotype).digest()[:4], 16)
        return result(math.nan if number % 5 == 0 else number / 65536)


def test_lower_is_better_mirrors() -> None:
    class Lower(TinyTask):
        higher_is_better = False

    @dataclass(frozen=True)
    class Mirrored(Planted):
        def value(self, space: Space, genotype: Genotype) -> float:
            return -super().value(space, genotype)

    higher = searched(Surrogate(evaluations=30, evaluator=Planted()), chain(3), 0)
    lower = searched(Surrogate(evaluations=30, evaluator=Mirrored()), chain(3), 0, Lower())
    assert [trial.genotype for trial in higher.trials] == [trial.genotype for trial in lower.trials]


@pytest.mark.parametrize(("at", "whole"), [(3, 100_000), (13, 100_000), (13, 0)])
def test_a_restored_state_goes_on_exactly(at: int, whole: int) -> None:
    strategy = Surrogate(evaluations=24, evaluator=Planted(0.1), initial=8, whole=whole, pool=50)
    space = chain(4)
    state = strategy.init(space, TinyTask(), torch.Generator().manual_seed(0))
    for _ in range(at):
        strategy.step(TinyTask(), state)
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    other = strategy.init(space, TinyTask(), torch.Generator().manual_seed(5))
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for one in (state, other):
        while not strategy.done(one):
            strategy.step(TinyTask(), one)
            strategy.derive(TinyTask(), other)  # looking at a result changes nothing
    assert state.trials == other.trials


def test_the_final_network_is_not_the_luckiest() -> None:
    space, truth = chain(), Planted()
    gains = []
    for seed in range(6):
        noisy = Planted(0.25)
        left_out = Surrogate(evaluations=60, evaluator=noisy, final="left_out")
        state = searched(left_out, space, seed)
        observed = dataclasses.replace(left_out, final="observed")
        found = [truth.value(space, s.derive(TinyTask(), state)) for s in (left_out, observed)]
        gains.append(found[0] - found[1])
    assert sum(gains) > 0


def test_what_diverged_is_handed_over_by_no_rule() -> None:
    space = chain()
    for seed in range(4):
        strategy = Surrogate(evaluations=18, whole=0, pool=20, final="left_out")
        state = strategy.init(space, TinyTask(), torch.Generator().manual_seed(seed))
        good = []
        while not strategy.done(state):
            genotype, number = strategy.ask(state), len(state.trials)
            metric = math.nan if (number + seed) % 5 < 2 else 0.8
            strategy.tell(TinyTask(), state, genotype, Result(metric, 0.0, 1, 0.0, 1))
            good += [genotype] if metric == 0.8 else []
        assert strategy.derive(TinyTask(), state) in good
    assert standing([-0.8] * 18).tolist() == [0.0] * 18


def test_places_are_normal_scores_among_the_trials() -> None:
    trials = np.array([[1.0, 5.0], [2.0, np.nan], [3.0, 7.0], [4.0, 6.0]])
    found = places(np.array([[2.5, -np.inf], [9.0, 5.5], [2.5, np.nan]]), trials)
    # Below 2.5 are two of four trials, below 9 all; what is no number is where the others are that are none.
    expected = scipy.stats.norm.ppf([[2.5 / 5, 1 / 5], [4.5 / 5, 2.5 / 5], [2.5 / 5, 1 / 5]])
    assert found == pytest.approx(expected)
    # Any other scale of a score gives the same.
    assert places(np.exp(np.array([[2.5, 5.2]])), np.exp(trials)) == pytest.approx(
        places(np.array([[2.5, 5.2]]), trials)
    )


def test_scores_move_random_networks_apart_by_their_weight() -> None:
    scores = np.random.default_rng(0).normal(size=(400, 3)) ** 3
    own = places(scores, scores)
    distances, products = widened((np.ones((400, 400)), np.zeros((400, 400))), own, own, 0.3)
    assert distances.mean() == pytest.approx(1.3, abs=0.01) and np.diag(distances) == pytest.approx(1.0)
    assert np.diag(products).mean() == pytest.approx(0.3, abs=0.01)
    assert np.linalg.eigvalsh(products).min() > -1e-9


@dataclass(frozen=True)
class Told:
    """A metric that only a score knows: the pieces of two networks say nothing about it."""

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int, /) -> Result:
        return result(score(Hidden(), space, genotype, task, 0, NARROW))


@dataclass(frozen=True)
class Hidden(Score):
    name: ClassVar[str] = "hidden"

    def of(self, net: Any, task: Any, batch: Any) -> float:
        return int(hashlib.sha256(net.space.digest().encode()).hexdigest()[:8], 16) / 2**32


NARROW = Recipe(hidden_channels=8)


def test_a_score_that_tells_the_truth_is_believed() -> None:
    task, space, best = example_task(), layered(max_depth=2), {}
    for scores in ((), (Hidden(),)):
        strategy = Surrogate(
            evaluations=40, initial=20, evaluator=Told(), scores=scores, scored=60, recipe=NARROW, weight=1.0
        )
        found = [max(trial.metric for trial in searched(strategy, space, seed, task).trials) for seed in (0, 1)]
        best[bool(scores)] = sum(found) / 2
    assert best[True] > best[False] and best[True] > 0.97


@pytest.mark.parametrize("at", [4, 9])
def test_a_search_by_scores_goes_on_exactly(at: int) -> None:
    task, space = example_task(), layered(max_depth=2)
    strategy = Surrogate(
        evaluations=14, initial=5, batch=3, evaluator=Scores(), scores=("gradient_norm",), scored=5, recipe=NARROW
    )
    state = strategy.init(space, task, torch.Generator().manual_seed(0))
    for _ in range(at):
        strategy.step(task, state)
    other = strategy.init(space, task, torch.Generator().manual_seed(1))
    other.load_state_dict(state.state_dict())
    assert strategy.derive(task, other) == strategy.derive(task, state)
    for one in (state, other):
        while not strategy.done(one):
            strategy.step(task, one)
    assert state.trials == other.trials


def test_scores_need_data() -> None:
    strategy = Surrogate(scores=("synflow",), evaluator=Scores())
    with pytest.raises(ValueError, match=r"holds no data; expected a gnas\.Task"):
        strategy.init(tiny_space(), TinyTask(), torch.Generator())
    with pytest.raises(TypeError, match="expected a tuple, such as"):
        Surrogate(scores="synflow")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got the score 'flow'"):
        Surrogate(scores=("flow",))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"surrogate got final='best'; expected one of \['observed', 'left_out'\]"):
        Surrogate(final="best")
    with pytest.raises(ValueError, match="initial=1; expected a whole number of at least 2"):
        Surrogate(initial=1)
    assert STRATEGIES["surrogate"] is Surrogate
