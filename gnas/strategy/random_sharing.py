"""Random search with weight sharing: the yardstick of one-shot strategies.

"Random Search and Reproducibility for Neural Architecture Search" (Li and Talwalkar, arXiv 1902.07638).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from gnas.checks import check_count
from gnas.conditions import Condition, check_conditions, gate, said
from gnas.space import Genotype
from gnas.strategy.base import Batches, Event, Task
from gnas.strategy.hypergradient import Noise
from gnas.strategy.one_shot import ROLES, OneShot, OneShotState

ATTEMPTS = 100
"""Draws after which a place in a generation stays empty."""
FRESH = 1000
"""Draws after which no network is said to fulfil the conditions."""


class Draws:
    """PyTorch's default generator with the method that :meth:`gnas.space.Space.sample` asks of one."""

    def randrange(self, stop: int, /) -> int:
        return int(torch.randint(stop, ()))

    def random(self) -> float:
        return float(torch.rand((), dtype=torch.float64))


@dataclass(frozen=True, kw_only=True)
class RandomSharing(OneShot):
    r"""Train the weights on uniformly drawn networks, then measure random networks by these weights.

    .. math::
        W^* = \arg\min_W \; E_{a \sim U(A)} L_{train}(W(a)), \qquad
        a^* = \arg\max_{a \in S} M_{val}(W^*(a)), \quad S \text{ drawn from } U(A)

    There is no alpha in it: every step of the weights runs one network, drawn uniformly. Each of the epochs after the
    weights' (``warmup`` of them) measures ``population`` networks by inherited weights, none twice; one that finds none
    is the last. What a strategy that shares weights gains over this row, it gains by searching.

    No weights of options are left at the end, so :func:`gnas.search` takes the genotype from :meth:`derive`, as it does
    from any strategy whose events have none: the best network that was measured by inherited weights, ties by the loss.
    No short trainings follow.

    Where it departs from the paper, and why:

    * The paper measures 1000 or 2000 networks on one batch, then the best 10 on the whole split; here all of them,
      1000 by default, are measured on the whole split, which is small.
    * The paper repeats the whole with four seeds and takes the best network of them by training; that is left to the
      caller, who can count it as a cost.
    * The paper trains for hundreds of steps an epoch; a full graph makes one step an epoch, so 300 of the 320
      epochs train the weights by default, about as many as one training from scratch has.

    Args:
        warmup: Epochs that train the weights; ``None`` means all but a sixteenth of ``epochs``.
        population: Networks that are measured in each epoch after these.
        conditions: What a network must fulfil to be measured and handed over.
        epochs, hidden_channels, dropout, drop_inputs, checkpoint, optimizer, lr, weight_decay, momentum, power,
            grad_clip: See :class:`~gnas.strategy.one_shot.OneShot`.
    """

    name: ClassVar[str] = "random_sharing"

    epochs: int = 320
    population: int = 50
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_conditions(self.conditions, self.name)
        check_count(self, "population", 1)

    @property
    def warming(self) -> int:
        return self.epochs - max(1, self.epochs // 16) if self.warmup is None else self.warmup

    def propose(self, task: Task, state: OneShotState) -> dict[str, Genotype]:
        """The networks to measure next by their digest, none of which was measured before."""
        # What an option that has been closed since is part of is no parent.
        left = state.supernet.narrowed().choices
        open_ = [t for t in self.ranked(state) if all(t["genotype"][name] in left[name].options for name in left)]
        best = [state.supernet.space.genotype(trial["genotype"]) for trial in open_]
        draws, found = Draws(), dict[str, Genotype]()
        seen = {trial["network"] for trial in state.memory.get("trials", ())}
        admits = gate(self.conditions, state.supernet.space, task)
        for place in range(self.population):
            for _ in range(ATTEMPTS):
                genotype = self.child(state, best, draws, place)
                network = state.supernet.space.bind(genotype).digest()
                new = network not in seen
                seen.add(network)
                if new and admits(genotype):
                    found[network] = genotype
                    break
        return found

    def child(self, state: OneShotState, best: list[Genotype], draws: Draws, place: int) -> Genotype:
        """The network at a place of the next generation, given the best so far; here it is drawn uniformly."""
        return drawn(state, draws)

    def run(self, task: Task, state: OneShotState, phase: str) -> None:
        if phase == "warmup":
            super().run(task, state, phase)
        else:
            found, net = self.propose(task, state), state.supernet
            # What is closed may yet be opened.
            state.memory["stopped"] = not found and net.narrowed().size == net.space.size
            with torch.no_grad():
                for network, genotype in found.items():
                    self.judge(task, state, network, genotype)
        state.supernet.set_arch(None)

    def close(self, task: Task, state: OneShotState, phase: str) -> Event:
        return {"stopped": "no other network was found"} if state.memory.get("stopped") else {}

    def judge(self, task: Task, state: OneShotState, network: str, genotype: Genotype) -> None:
        """Measure a network by inherited weights, and remember what came out."""
        state.supernet.set_arch(genotype)
        loss, metric = task.measure(state.supernet, ("architecture",))["architecture"]
        trial = {
            "genotype": dict(genotype.choices),
            "network": network,
            "merit": metric if task.higher_is_better else -metric,
            "loss": loss,
        }
        state.memory.setdefault("trials", []).append(trial)

    @staticmethod
    def ranked(state: OneShotState) -> list[Mapping[str, Any]]:
        """What was measured, the best first; ties go to the lower loss, then to the earlier one."""

        def rank(trial: Mapping[str, Any]) -> tuple[float, float]:
            merit, loss = -float(trial["merit"]), float(trial["loss"])
            return (math.inf if math.isnan(merit) else merit, math.inf if math.isnan(loss) else loss)

        return sorted(state.memory.get("trials", ()), key=rank)

    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        """Nothing: which architectures are good is asked after the weights are trained."""

    def update_weights(self, task: Task, state: OneShotState, batches: Batches) -> None:
        state.supernet.set_arch(drawn(state, Draws()))
        super().update_weights(task, state, batches)

    @torch.no_grad()
    def measure(self, task: Task, state: OneShotState) -> Event:
        """Loss and metric of the best network so far, or of one that is drawn while the weights are trained."""
        supernet = state.supernet
        best = self.ranked(state)[:1]
        with Noise(supernet.parameters()).replay():
            genotype = supernet.space.genotype(best[0]["genotype"]) if best else drawn(state, Draws())
            supernet.set_arch(genotype)
            measured = task.measure(supernet, ROLES)
        supernet.set_arch(None)
        self.check_finite(state, {f"loss_{role}": measured[role][0] for role in ROLES})
        return {
            **{f"loss_{role}": measured[role][0] for role in ROLES},
            **{f"metric_{role}": measured[role][1] for role in ROLES},
            **({"best": measured["architecture"][1], "measured": len(state.memory["trials"])} if best else {}),
            "genotype": dict(genotype.choices),
        }

    def derive(self, task: Task, state: OneShotState) -> Genotype:
        best = self.ranked(state)[:1]
        genotype = state.supernet.space.genotype(best[0]["genotype"]) if best else self.unmeasured(task, state)
        # What is measured of the supernet from now on is this network.
        state.supernet.set_arch(genotype)
        return genotype

    def unmeasured(self, task: Task, state: OneShotState) -> Genotype:
        """A network that fulfils the conditions, drawn since none was measured."""
        admits = gate(self.conditions, state.supernet.space, task)
        for _ in range(FRESH):
            if admits(genotype := drawn(state, Draws())):
                return genotype
        raise ValueError(
            f"none of {FRESH} networks that {self.name} drew fulfils {said(self.conditions)}; expected one, try a "
            "wider limit or a smaller space"
        )


def drawn(state: OneShotState, draws: Draws) -> Genotype:
    """A network, drawn uniformly from the options that are open."""
    return state.supernet.space.genotype(dict(state.supernet.narrowed().sample(draws).choices))
