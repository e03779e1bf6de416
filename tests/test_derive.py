"""The derivation: which short trainings it asks for, and what it makes of their results."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import pytest
import torch
from graph_examples import example
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from gnas.budget import trainings
from gnas.derive import Derivation, Job
from gnas.recipe import Recipe
from gnas.space import Choice, Genotype, Node, Space, gap, layered
from gnas.space.discretise import discretise, most_probable
from gnas.supernet import GraphSupernet
from gnas.task import Task

OPS = ("gcn", "gat", "gin", "identity")
Weights = dict[str, list[float]]
Score = Callable[[Genotype, int, bool], float]


def tower(depth: int = 4) -> Space:
    """Layers with a choice of aggregator each, and a choice of depth."""
    names = ["x", *(f"h{i}" for i in range(1, depth + 1))]
    nodes = [Node(name, Choice(f"aggregate.{name}", OPS), (below,)) for below, name in pairwise(names)]
    nodes.append(Node("out", "identity", (Choice("depth", tuple(names[1:])),)))
    return Space("tower", tuple(nodes), "out")


def weights_of(space: Space, seed: int = 0) -> Weights:
    generator = random.Random(seed)
    return {name: [generator.random() + 0.01 for _ in choice.options] for name, choice in space.choices.items()}


def event(job: Job, score: Score) -> dict[str, Any]:
    return {
        "event": job.kind,
        "depth": job.depth,
        "genotype": dict(job.genotype.choices),
        "seed": job.seed,
        "inherit": job.inherit,
        "metric_architecture": score(job.genotype, job.seed, job.inherit),
        "loss_architecture": 1.0,
        "epochs": 3,
    }


def carried_out(
    derivation: Derivation, space: Space, weights: Weights, score: Score, generator: random.Random | None = None
) -> list[dict[str, Any]]:
    """Events of a whole derivation, one job after another, in the order asked for or in a random one."""
    done: list[dict[str, Any]] = []
    while jobs := derivation.jobs(space, weights, done):
        job = generator.choice(jobs) if generator else jobs[0]
        done.append(event(job, score))
        assert len(done) < 500
    return done


def noise(genotype: Genotype, seed: int, inherit: bool) -> float:
    """A score that depends on everything and on nothing in particular."""
    return random.Random(f"{genotype.choices} {seed} {inherit}").random()


def by_depth(*scores: float) -> Score:
    return lambda genotype, seed, inherit: scores[int(str(genotype["depth"])[1:]) - 1] + 0.001 * seed


def test_without_evidence_alpha_decides() -> None:
    for space in (tower(), gap(2), layered(3)):
        weights = weights_of(space)
        assert Derivation().choose(space, weights, []) == discretise(space, weights)
        nothing = Derivation(best_of=1, evidence=())
        assert nothing.jobs(space, weights, []) == []


DEPTH = Derivation(best_of=1, evidence=("depth",), seeds=3)


def test_every_depth_is_trained_on_every_seed_with_alphas_layers() -> None:
    space = tower()
    weights = weights_of(space)
    jobs = DEPTH.jobs(space, weights, [])
    alpha = discretise(space, weights)
    scratch = [(job.depth, job.seed) for job in jobs if not job.inherit]
    assert sorted(scratch) == [(depth, seed) for depth in (1, 2, 3, 4) for seed in (0, 1, 2)]
    assert sorted(job.depth for job in jobs if job.inherit) == [1, 2, 3, 4]
    for job in jobs:
        assert job.kind == "depth" and job.genotype == alpha.replace(depth=f"h{job.depth}")
    alone = Derivation(best_of=1, evidence=("depth",), inherited=False)
    assert not any(job.inherit for job in alone.jobs(space, weights, []))


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((0.1, 0.9, 0.5, 0.3), "h2"),
        ((0.1, 0.2, 0.3, 0.4), "h4"),
        ((0.1, 0.7, 0.7, 0.7), "h3"),
        ((0.7, 0.7, 0.1, 0.1), "h1"),
        ((0.5,) * 4, "h3"),
    ],
)
def test_the_best_mean_wins_and_in_a_tie_what_stood(scores: tuple[float, ...], best: str) -> None:
    space = tower()
    weights = weights_of(space) | {"depth": [0.1, 0.1, 0.7, 0.1]}
    done = carried_out(DEPTH, space, weights, by_depth(*scores))
    chosen = DEPTH.choose(space, weights, done)
    assert chosen == discretise(space, weights).replace(depth=best)


@pytest.mark.parametrize("rung", [0, 5])
def test_among_equals_the_lower_loss_goes_on(rung: int) -> None:
    space = tower()
    weights = weights_of(space)
    derivation = Derivation(listed=1, best_of=8, rounds=2, evidence=(), rung=rung)
    best = derivation.jobs(space, weights, [])[-1].genotype
    done: list[dict[str, Any]] = []
    while jobs := derivation.jobs(space, weights, done):
        loss = 0.1 if jobs[0].genotype == best else None if jobs[0].seed else 0.2
        done.append({**event(jobs[0], lambda *_: 0.5), "loss_architecture": loss})
    assert derivation.choose(space, weights, done) == best


def test_the_mean_counts_and_not_the_best_seed() -> None:
    table = {"h1": (0.5, 0.5, 0.5), "h2": (0.9, 0.1, 0.1), "h3": (0.4, 0.6, 0.7), "h4": (0.1, 0.1, 0.1)}
    space = tower()
    weights = weights_of(space)
    done = carried_out(DEPTH, space, weights, lambda genotype, seed, _: table[str(genotype["depth"])][seed])
    assert DEPTH.choose(space, weights, done)["depth"] == "h3"


def test_inherited_weights_are_shown_and_do_not_decide() -> None:
    space = tower()
    weights = weights_of(space)

    def score(genotype: Genotype, seed: int, inherit: bool) -> float:
        return (1.0 if genotype["depth"] == "h4" else 0.0) if inherit else (0.8 if genotype["depth"] == "h1" else 0.1)

    done = carried_out(DEPTH, space, weights, score)
    assert sum(e["inherit"] for e in done) == 4
    assert DEPTH.choose(space, weights, done)["depth"] == "h1"


BEST = Derivation(best_of=6, rounds=3, evidence=())


def test_the_most_probable_networks_are_halved_round_by_round() -> None:
    space = tower(2)
    weights = weights_of(space)
    first = BEST.jobs(space, weights, [])
    assert [(job.kind, job.seed, job.inherit) for job in first] == [("best_of", 0, False)] * 6
    assert first[0].genotype == discretise(space, weights)
    assert len({space.bind(job.genotype).digest() for job in first}) == 6
    done = carried_out(BEST, space, weights, noise)

    def mean(genotype: dict[str, Any], seeds: int) -> float:
        values = [e["metric_architecture"] for e in done if e["genotype"] == genotype and e["seed"] < seeds]
        assert len(values) == seeds
        return sum(values) / seeds

    left, trained = [dict(job.genotype.choices) for job in first], 6
    for keep, seeds in ((3, 1), (2, 2)):
        left = sorted(left, key=lambda genotype: -mean(genotype, seeds))[:keep]
        # As many seeds more as there were, for those that are left.
        following = done[trained : trained + keep * seeds]
        trained += keep * seeds
        assert {repr(e["genotype"]) for e in following} == {repr(genotype) for genotype in left}
        assert {e["seed"] for e in following} == set(range(seeds, 2 * seeds))
    assert trained == len(done)
    assert dict(BEST.choose(space, weights, done).choices) == max(left, key=lambda genotype: mean(genotype, 4))


def test_a_lucky_first_seed_does_not_win() -> None:
    space = tower(2)
    weights = weights_of(space)
    ranks = [job.genotype for job in BEST.jobs(space, weights, [])]

    def score(genotype: Genotype, seed: int, _: bool) -> float:
        place = ranks.index(genotype)
        return (0.9 if place == 3 else 0.8 if place == 4 else 0.1) if seed == 0 else (0.2 if place == 3 else 0.7)

    done = carried_out(BEST, space, weights, score)
    assert BEST.choose(space, weights, done) == ranks[4]


def test_a_lucky_seed_of_a_depth_does_not_win_over_many_of_another() -> None:
    space = tower(2)
    weights = weights_of(space)
    derivation = Derivation(best_of=4, rounds=3, seeds=2, evidence=("depth",))

    def score(genotype: Genotype, seed: int, _: bool) -> float:
        return 0.9 if genotype == first else 0.5

    first = derivation.jobs(space, weights, [])[0].genotype
    done = carried_out(derivation, space, weights, score)
    assert derivation.choose(space, weights, done) == first
    # The time ran out when the other depth had been trained once, with luck.
    lucky = [e for e in done if e["event"] == "best_of"] + [
        {**e, "metric_architecture": 1.0} for e in done if e["event"] == "depth" and e["seed"] == 0
    ]
    assert derivation.choose(space, weights, [e for e in lucky if e["genotype"] != dict(first.choices)]) != first
    assert derivation.choose(space, weights, lucky) == first


def test_options_are_compared_on_the_same_seeds() -> None:
    space = tower(2)
    weights = weights_of(space)
    derivation = Derivation(best_of=4, rounds=3, seeds=2, evidence=("depth",))

    def score(genotype: Genotype, seed: int, _: bool) -> float:
        # The seeds that only the best of n has had are hard ones.
        return (0.6 if genotype == first else 0.55) - 0.2 * (seed >= 2)

    first = derivation.jobs(space, weights, [])[0].genotype
    assert derivation.choose(space, weights, carried_out(derivation, space, weights, score)) == first


def test_half_of_the_candidates_may_be_the_spaces_own_starts() -> None:
    space = layered(4)
    weights = weights_of(space)
    listed = {
        "event": "shortlist",
        "genotypes": [dict(one.choices) for one in islice(most_probable(space, weights), 40)],
    }
    for count in (4, 12, 40):
        derivation = Derivation(best_of=count, evidence=())
        genotypes = [job.genotype for job in derivation.jobs(space, weights, [listed])]
        starts = [space.genotype(start) for start in space.starts[: count // 2]]
        assert len(genotypes) == count and genotypes[: len(starts)] == starts
        assert genotypes[len(starts)] == discretise(space, weights)
    # They are tried, not believed: without any training alpha decides.
    assert Derivation().choose(space, weights, []) == discretise(space, weights)


def test_without_a_list_starts_and_draws_from_the_weights_and_from_the_space_take_turns() -> None:
    space = layered(4)

    def candidates(weights: Weights, starts: bool = True, count: int = 60) -> list[Genotype]:
        derivation = Derivation(listed=1, best_of=count, evidence=(), starts=starts)
        return [job.genotype for job in derivation.jobs(space, weights, [])]

    # Alpha wants one aggregator, and that is all it knows.
    weights = {name: [1.0] * len(one.options) for name, one in space.choices.items()}
    weights["aggregate"] = [1.0] + [1e-9] * (len(space.choices["aggregate"].options) - 1)
    first, *_ = space.choices["aggregate"].options
    found = candidates(weights)
    assert found[1] == discretise(space, weights) and len(set(found)) == len(found) == 60
    assert {space.genotype(start) for start in space.starts} < set(found)
    without = candidates(weights, starts=False)
    assert without[0] == discretise(space, weights)
    wanted = sum(genotype["aggregate"] == first for genotype in without)
    # Draws from the weights alone would all have it, those from the space one in six.
    assert 25 < wanted < 45
    assert {genotype["aggregate"] for genotype in without} == set(space.choices["aggregate"].options)
    # Whoever asks again gets the same, another search gets others.
    assert candidates(weights) == found and candidates(weights_of(space)) != found


def test_a_quarter_of_the_first_rung_goes_on_and_is_judged_by_trainings_of_its_own() -> None:
    space = layered(4)
    weights = weights_of(space)
    derivation = Derivation(listed=1, best_of=16, rung=30, rounds=1, evidence=())
    done = carried_out(derivation, space, weights, noise)
    rung, whole = ([one for one in done if one["event"] == kind] for kind in ("rung", "best_of"))
    assert [len(rung), len(whole)] == [16, 4] and len(done) == trainings(derivation, space) + 16

    def merits(events: list[dict[str, Any]]) -> dict[str, float]:
        return {str(one["genotype"]): one["metric_architecture"] for one in events}

    first = merits(rung)
    assert set(merits(whole)) == set(sorted(first, key=lambda one: -first[one])[:4])
    best = derivation.choose(space, weights, done)
    assert dict(best.choices) == max(whole, key=lambda one: one["metric_architecture"])["genotype"]
    # What time left untried of the rung is out, and the rest is as if it had not been asked for.
    fewer = dataclasses.replace(derivation, best_of=9)
    tried = derivation.jobs(space, weights, [])
    assert fewer.jobs(space, weights, []) == tried[:9]
    assert len(fewer.jobs(space, weights, [event(job, noise) for job in tried[:9]])) == 3
    # One alone has nothing to be compared with.
    four = dataclasses.replace(derivation, best_of=4)
    done = carried_out(four, space, weights, noise)
    assert {one["event"] for one in done} == {"rung"}
    assert str(dict(four.choose(space, weights, done).choices)) == max(merits(done), key=lambda one: merits(done)[one])


def test_a_rung_has_fewer_epochs_and_a_seed_of_its_own() -> None:
    task, space = small_task(), layered(2)
    derivation = Derivation(listed=1, best_of=8, rung=5, epochs=50, evidence=())
    net = GraphSupernet(space, task.in_channels, 16, task.out_channels)
    (job, *_) = derivation.jobs(space, weights_of(space), [])
    first, whole = (
        derivation.training(one, task, net, Recipe(hidden_channels=16))
        for one in (job, dataclasses.replace(job, kind="best_of"))
    )
    assert (first.evaluator.epochs, whole.evaluator.epochs) == (5, 50) and first.seed != whole.seed
    with pytest.raises(ValueError, match="rung=50 and epochs=50"):
        Derivation(rung=50, epochs=50)


def test_networks_that_are_the_same_are_trained_once() -> None:
    # Branches of a tree that are alike can be exchanged.
    space = gap(1)
    weights = {name: [1.0] * len(choice.options) for name, choice in space.choices.items()}
    jobs = Derivation(best_of=20, evidence=()).jobs(space, weights, [])
    digests = [space.bind(job.genotype).digest() for job in jobs]
    assert len(set(digests)) == len(digests) == 20
    same = list(islice(most_probable(space, weights), 20))
    assert len({space.bind(genotype).digest() for genotype in same}) < 20


@settings(max_examples=12)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_neither_order_nor_interruption_changes_the_outcome(seed: int, generator: random.Random) -> None:
    derivation = Derivation(best_of=3, rounds=2, seeds=2, evidence=("aggregate.h1", "depth"))
    space = tower(3)
    weights = weights_of(space, seed)
    done = carried_out(derivation, space, weights, noise)
    again = carried_out(derivation, space, weights, noise, generator)
    key = sorted
    assert key(map(repr, done)) == key(map(repr, again))
    assert derivation.choose(space, weights, done) == derivation.choose(space, weights, again)
    cut = generator.randrange(len(done))
    # Resumed after any event, it goes on with what is left and asks for nothing twice.
    rest = list(done[:cut])
    while jobs := derivation.jobs(space, weights, rest):
        assert not any(job.matches(e) for job in jobs for e in rest)
        rest.append(event(jobs[0], noise))
    assert rest == done


def test_every_stage_of_the_defaults_ends_in_a_genotype_of_the_space() -> None:
    for space in (layered(3), layered(2, tie=()), gap(2), tower(1)):
        weights = weights_of(space)
        done = carried_out(Derivation(best_of=3, rounds=2), space, weights, noise)
        space.check(Derivation(best_of=3, rounds=2).choose(space, weights, done))
        for cut in range(0, len(done), 5):
            space.check(Derivation().choose(space, weights, done[:cut]))


def small_task() -> Task:
    graph = example(30, 80, seed=1, channels=6)
    return Task.from_data(Data(x=graph.x.float(), edge_index=graph.edge_index, y=torch.arange(30) % 3), seed=0)


def trained(
    derivation: Derivation, job: Job, task: Task, net: GraphSupernet, recipe: Recipe, seed: int = 0
) -> dict[str, Any]:
    return derivation.event(job, derivation.training(job, task, net, recipe, seed).run(task))


def test_a_job_is_trained_as_it_says() -> None:
    space, task = layered(2, ("gcn", "sage_mean")), small_task()
    torch.manual_seed(0)
    net = GraphSupernet(space, 6, 16, 3)
    derivation, recipe = Derivation(epochs=3), Recipe(hidden_channels=8)
    genotype = net.derive()
    before = torch.get_rng_state()
    for inherit in (False, True):
        job = Job("depth", genotype, 1, inherit, 2)
        got, again = (trained(derivation, job, task, net, recipe) for _ in range(2))
        assert job.matches(got) and got == again
        assert got["depth"] == 2 and got["epochs"] <= 3 and 0 <= got["metric_architecture"] <= 1
        assert not Job("depth", genotype, 0, inherit, 2).matches(got)
        assert not Job("depth", genotype, 1, not inherit, 2).matches(got)
        assert not Job("depth", space.sample(random.Random(1)), 1, inherit, 2).matches(got)
    one, other = (trained(derivation, Job("depth", genotype, 0, False, 2), task, net, recipe, seed) for seed in (3, 4))
    assert one["loss_architecture"] != other["loss_architecture"], "searches with different seeds train differently"
    assert torch.equal(torch.get_rng_state(), before)
    assert task.test_reads == 0


def test_a_small_architecture_split_is_drawn_anew_for_each_seed_and_alike_for_all_networks() -> None:
    space, task = layered(2, ("gcn", "sage_mean")), small_task()
    net, recipe = GraphSupernet(space, 6, 16, 3), Recipe(hidden_channels=8)
    size = task.roles["architecture"].numel()
    one, other = (net.derive().replace(aggregate=op) for op in ("gcn", "sage_mean"))

    def redraw(derivation: Derivation, genotype: Genotype, number: int, inherit: bool = False) -> int | None:
        job = Job("best_of", genotype, number, inherit, 2)
        return derivation.training(job, task, net, recipe).redraw

    always = Derivation(redraw=size + 1)
    seeds = [redraw(always, one, number) for number in range(3)]
    assert None not in seeds and len(set(seeds)) == 3
    assert seeds == [redraw(always, other, number) for number in range(3)]
    # Its weights have learnt the items that another draw might judge it by.
    assert redraw(always, one, 0, inherit=True) is None
    for derivation in (Derivation(redraw=size), Derivation(redraw=0)):
        assert not derivation.redraws(task) and redraw(derivation, one, 0) is None
    for pairs in ("edge", "link"):
        of_pairs = Task.from_data(
            Data(x=torch.randn(40, 3), edge_index=torch.randint(40, (2, 80)), y=torch.arange(80) % 2), level=pairs
        )
        assert not always.redraws(of_pairs)
        with pytest.raises(ValueError, match="can't be drawn anew, because its items belong together"):
            of_pairs.redrawn(0)
    own, drawn = (
        derivation.training(Job("best_of", one, 0, False, 2), task, net, recipe).run(task)
        for derivation in (Derivation(redraw=0, epochs=3), dataclasses.replace(always, epochs=3))
    )
    assert own.loss_architecture != drawn.loss_architecture


def test_a_shortlist_is_what_the_best_of_n_is_taken_from() -> None:
    space, task = layered(2, ("gcn", "sage_mean")), small_task()
    torch.manual_seed(0)
    net = GraphSupernet(space, 6, 16, 3)
    weights = {name: w.tolist() for name, w in net.arch_weights().items()}
    derivation = Derivation(listed=20, steps=3, best_of=4, evidence=(), starts=False)
    assert derivation.lists([]) and not Derivation(listed=4, best_of=4).lists([])
    listed = derivation.shorten(task, net, Recipe(hidden_channels=16), weights)
    assert listed == derivation.shorten(task, net, Recipe(hidden_channels=16), weights)
    assert listed["listed"] == 20 and len(listed["genotypes"]) == len(listed["metrics"]) == 4
    assert not derivation.lists([listed])
    jobs = derivation.jobs(space, weights, [listed])
    assert [dict(job.genotype.choices) for job in jobs] == listed["genotypes"]
    assert {job.genotype for job in jobs} <= set(islice(most_probable(space, weights), 40))
    assert dict(derivation.choose(space, weights, [listed]).choices) == listed["genotypes"][0]
    assert derivation.shorten(task, net, Recipe(hidden_channels=16), weights, stopped=lambda: True)["genotypes"] == []


@pytest.mark.parametrize(
    "settings",
    [{"best_of": 0}, {"listed": 0}, {"steps": 0}, {"rounds": 0}, {"seeds": 0}, {"epochs": 0}, {"inputs": 0}],
)
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Derivation(**settings)  # type: ignore[arg-type]


def test_evidence_that_is_a_text_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Derivation got evidence='depth'; expected a tuple, such as \('depth',\)"):
        Derivation(evidence="depth")  # type: ignore[arg-type]


@given(seed=st.integers(0, 200))
@settings(max_examples=15)
def test_of_errors_the_smallest_wins_wherever_of_scores_the_largest_would(seed: int) -> None:
    space, derivation = tower(3), Derivation(best_of=8, rounds=3, seeds=2, evidence=("depth", "aggregate.h1"))
    weights = weights_of(space, seed)
    scored = carried_out(derivation, space, weights, noise)
    done: list[dict[str, Any]] = []
    while jobs := derivation.jobs(space, weights, done, False):
        done.append(event(jobs[0], lambda *given: 1 - noise(*given)))
    assert [e["genotype"] for e in done] == [e["genotype"] for e in scored]
    assert derivation.choose(space, weights, done, False) == derivation.choose(space, weights, scored)


def test_a_training_that_diverged_is_below_all_others() -> None:
    space, derivation = tower(2), Derivation(best_of=4, rounds=1, evidence=())
    weights = weights_of(space)
    first = derivation.jobs(space, weights, [])[0].genotype
    for higher in (True, False):
        done: list[dict[str, Any]] = []
        while jobs := derivation.jobs(space, weights, done, higher):
            job = jobs[0]
            done.append(event(job, lambda g, s, i: float("nan") if g == first else 0.5))
        assert derivation.choose(space, weights, done, higher) != first
