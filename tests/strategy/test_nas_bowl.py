"""NAS-BOWL: motifs by hand, the Gaussian process against its textbook form, and gradients against differences."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from landscapes import Scored, begin, chain, diverging, finish, ranks, rugged, slope

from gnas.space import Genotype, Node, Space
from gnas.strategy import NasBowl, Random
from gnas.strategy.nas_bowl import Process, motifs_of


def program(*nodes: Node) -> Space:
    return Space("p", nodes, nodes[-1].name)


def test_motifs_by_hand() -> None:
    bound = program(
        Node("a", "gcn", ("x",)),
        Node("b", "gat", ("a",), attrs={"heads": 2}),
        Node("c", "sum", ("b", "a")),
    )
    assert motifs_of(bound, 2) == [
        Counter({"gcn": 1, "gat[heads=2]": 1, "sum": 1}),
        Counter({"gcn(x)": 1, "gat[heads=2](gcn)": 1, "sum(gat[heads=2], gcn)": 1}),
        # gcn(x) ends at the input, and was counted.
        Counter({"gat[heads=2](gcn(x))": 1, "sum(gat[heads=2](gcn), gcn(x))": 1}),
    ]


def test_names_and_the_order_of_a_sum_make_no_difference_and_wiring_does() -> None:
    def built(names: str, swapped: bool, last: str) -> Space:
        a, b, c = names
        read = (b, a) if swapped else (a, b)
        return program(Node(a, "gcn", ("x",)), Node(b, "gat", (a,)), Node(c, last, read))

    assert motifs_of(built("abc", False, "sum"), 3) == motifs_of(built("uvw", True, "sum"), 3)
    assert motifs_of(built("abc", False, "concat"), 3) != motifs_of(built("abc", True, "concat"), 3)
    assert motifs_of(built("abc", False, "sum"), 0) == motifs_of(built("abc", True, "sum"), 0)


def test_open_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="open choices; expected a bound one"):
        motifs_of(chain(), 1)


def fitted(count: int = 25) -> tuple[Process, list, np.ndarray]:
    space, strategy = chain(4, 3), Random(evaluations=count, evaluator=Scored())
    genotypes = finish(strategy, begin(strategy, space))
    networks = [motifs_of(space.bind(g), 3) for g in genotypes]
    values = np.array([slope(g) + rugged(g) for g in genotypes])
    return Process(networks, values), networks, values


def test_the_posterior_is_that_of_the_textbook() -> None:
    model, networks, values = fitted()
    counts = model.counts
    kernel = counts @ counts.T / np.outer(*[np.linalg.norm(counts, axis=1)] * 2)
    # The noise is not kept; it is what makes the inverse one of kernel + noise.
    noise = np.linalg.inv(model.inverse) - kernel
    np.testing.assert_allclose(noise, noise[0, 0] * np.eye(len(values)), atol=1e-8)
    y = (values - values.mean()) / values.std()
    mean, std = model.predict(networks)
    inverse = np.linalg.inv(kernel + noise)
    np.testing.assert_allclose(mean, values.mean() + values.std() * kernel @ inverse @ y, rtol=1e-6)
    scale = y @ inverse @ y / len(y)
    variance = scale * np.diag(kernel - kernel @ inverse @ kernel)
    np.testing.assert_allclose(std, values.std() * np.sqrt(variance.clip(1e-12)), rtol=1e-4, atol=1e-6)


def test_height_and_noise_have_the_largest_likelihood() -> None:
    from gnas.strategy.nas_bowl import NOISES, _counts, _unit

    model, networks, values = fitted()
    y, likelihoods = (values - values.mean()) / values.std(), {}
    for height in range(4):
        names = sorted({t for m in networks for c in m[: height + 1] for t in c})
        rows = _unit(_counts(networks, height, {t: j for j, t in enumerate(names)}))
        for noise in NOISES:
            covariance = rows @ rows.T + noise * np.eye(len(y))
            covariance *= y @ np.linalg.solve(covariance, y) / len(y)
            _, determinant = np.linalg.slogdet(covariance)
            likelihoods[height, noise] = -0.5 * (y @ np.linalg.solve(covariance, y) + determinant)
    height, noise = max(likelihoods, key=lambda key: likelihoods[key])
    assert model.height == height
    np.testing.assert_allclose(np.linalg.inv(model.inverse)[0, 0], 1 + noise, rtol=1e-6)


def test_unseen_motifs_make_a_network_uncertain() -> None:
    model, networks, _ = fitted()
    stranger = motifs_of(program(Node("a", "pna", ("x",)), Node("b", "pna", ("a",))), 3)
    (mean,), (std,) = model.predict([stranger])
    assert mean == pytest.approx(model.mean)
    assert std > model.predict(networks)[1].max()


def test_motif_scores_are_derivatives_of_the_posterior_mean() -> None:
    model, networks, _ = fitted()
    gradient, step = model.gradient(), 1e-5
    for i in (0, 3):
        for text, j in list(model.index.items())[::3]:
            height = next(h for h, counts in enumerate(networks[0]) if any(text in m[h] for m in networks))
            ends = []
            for sign in (1, -1):
                moved = [Counter(c) for c in networks[i]]
                moved[height][text] += sign * step  # type: ignore[assignment]
                ends.append(model.predict([moved])[0][0])
            assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(gradient[i, j], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("higher", [True, False])
def test_motifs_say_what_is_good_whichever_way_the_metric_goes(higher: bool) -> None:
    strategy = NasBowl(evaluations=30, initial=20, pool=20, evaluator=Scored())
    state = begin(strategy, chain(5, 4), higher=higher)
    finish(strategy, state)
    scores = {motif.text: motif.score for motif in strategy.motifs(state) if "(" not in motif.text}
    order = [f"op{k}" for k in range(4)]
    assert sorted(scores, key=lambda text: scores[text], reverse=higher)[0] == "op3"
    assert scores["op3"] > 0 > scores["op0"] if higher else scores["op3"] < 0 < scores["op0"]
    assert set(scores) == set(order)


def test_it_needs_fewer_networks_than_chance() -> None:
    strategy = NasBowl(evaluations=40, pool=60, evaluator=Scored())
    state = begin(strategy, chain(6, 4))
    finish(strategy, state)
    # The optimum is 18; of forty uniform draws the best has about 14.
    assert strategy.best(state).metric >= 17


def test_a_batch_has_no_twins_and_no_networks_of_old() -> None:
    strategy = NasBowl(evaluations=27, initial=5, batch=4, pool=15, evaluator=Scored())
    state = begin(strategy, chain(3, 3))
    genotypes = finish(strategy, state)
    assert len(genotypes) == len(set(genotypes)) == 27


def test_what_diverged_counts_as_the_worst_that_did_not() -> None:
    strategy = NasBowl(evaluations=25, initial=10, pool=20, evaluator=Scored(diverging(slope)))
    state = begin(strategy, chain(5, 4))
    finish(strategy, state)
    late = [math.isnan(trial.metric) for trial in state.trials[15:]]
    assert sum(late) < 5
    state.trials = [t for t in state.trials if math.isnan(t.metric)][:2]
    assert np.isfinite(strategy.model(state).predict([strategy.look(state, state.trials[0].genotype)])).all()


def test_motifs_need_trials_and_settings_are_checked() -> None:
    strategy = NasBowl(evaluator=Scored())
    with pytest.raises(ValueError, match="got 0 trials; expected two or more"):
        strategy.motifs(begin(strategy, chain()))
    with pytest.raises(ValueError, match="nas_bowl got pool=0"):
        NasBowl(pool=0)


def test_ranks_are_of_a_genotype() -> None:
    genotype: Genotype = chain(3, 4).genotype({"op.0": "op3", "op.1": "op0", "op.2": "op2"})
    assert ranks(genotype) == [3, 0, 2] and slope(genotype) == 5
