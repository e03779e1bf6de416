"""Local search: evaluate the neighbours of a network, go to the best of them, and begin anew where none is better.

White, Nolen and Savani, "Local Search is State of the Art for NAS Benchmarks" (arXiv 2005.02960).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas.checks import check_flag
from gnas.space import Genotype
from gnas.strategy.black_box import BlackBox, BlackBoxState, Trial


@dataclass(frozen=True, kw_only=True)
class Local(BlackBox):
    r"""Climb the hill, then climb another.

    .. math::
        g \leftarrow \arg\max_{h \in N(g)} f(h) \quad\text{as long as}\quad \max_{h \in N(g)} f(h) > f(g)

    where the neighbourhood N(g) holds the networks that differ from g in one choice. In a local optimum the climb
    begins again at a network drawn uniformly.

    Where it departs from the paper, and why:

    * A network that an earlier climb evaluated is not trained again; what is known of it counts.
    * The paper's algorithm ends in a local optimum; here it is restarted until the budget is spent.

    Args:
        whole: Whether all neighbours are evaluated before the climb goes on, as in the paper's algorithm. With False
            it goes on at the first better one, which costs less on slopes and knows less in narrow places.
        evaluations: How many networks are trained.
        evaluator: What trains a candidate and measures it on the architecture split.
        conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "local"

    evaluations: int = 200
    whole: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "whole")

    def propose(self, state: BlackBoxState) -> Genotype | None:
        """A neighbour of where the climb stands; memory holds that network, its neighbours and those still unseen."""
        known: dict[str, Trial] = {}
        for trial in state.trials:
            known.setdefault(trial.network, trial)
        memory = state.memory
        while True:
            here = known.get(memory.get("here", ""))
            if here is None:
                # The climb begins, or its first network has not been told: then it begins elsewhere.
                start = state.draw()
                if start is not None:
                    memory.update(here=state.space.bind(start).digest(), around=None, unseen=[])
                return start
            if memory["around"] is None:
                self.look_around(state, here)
            around = [known[network] for network in memory["around"] if network in known]
            best = min(around, key=state.rank, default=here)
            better = state.rank(best) < state.rank(here)
            if better and not (self.whole and memory["unseen"]):
                memory.update(here=best.network, around=None, unseen=[])
            elif memory["unseen"]:
                choices, network = memory["unseen"][0]
                memory["unseen"] = memory["unseen"][1:]
                genotype = state.space.genotype(choices)
                if network not in known and genotype not in state.tried():
                    return genotype
            else:
                memory["here"] = ""

    def look_around(self, state: BlackBoxState, here: Trial) -> None:
        """List the networks next to one, in random order."""
        around: dict[str, Genotype] = {}
        for genotype in state.space.neighbours(here.genotype):
            around.setdefault(state.space.bind(genotype).digest(), genotype)
        around.pop(here.network, None)
        networks = list(around)
        state.random.shuffle(networks)
        state.memory["around"] = networks
        state.memory["unseen"] = [[dict(around[network].choices), network] for network in networks]
