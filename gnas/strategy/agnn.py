"""AGNN's conservative controller: keep the best network, change one class of its choices at a time.

"Auto-GNN: Neural Architecture Search of Graph Neural Networks" (Zhou, Song, Huang and Hu, arXiv 1909.03184).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnas.checks import check_flag
from gnas.evaluate import Result, TrainFromScratch, builder, seeded
from gnas.space import Genotype, Space
from gnas.strategy.base import Event, Task
from gnas.strategy.black_box import BlackBoxState
from gnas.strategy.controller import Learner
from gnas.strategy.reinforce import REPEATS, Controlled, genotype_of, options_of

NORMS = ("batch_norm", "layer_norm", "graph_norm", "pair_norm")


@dataclass(frozen=True, kw_only=True)
class Agnn(Controlled):
    r"""Small steps from the best network so far, each within one class of choices.

    A class is what the names of choices begin with: ``aggregate`` of ``aggregate.1`` and ``aggregate.2``. Each has a
    controller of its own, which reads the best network :math:`g^*` without that class and decides the class anew.
    The class is drawn with a probability that grows with how undecided its controller is, and the controller learns
    from what the step gained:

    .. math::
        P(c) \propto \frac{1}{|c|} \sum_{t \in c} H_t, \qquad
        \theta_c \leftarrow \theta_c + \eta \sum_{t \in c} \nabla \log p(a_t \mid g^* \setminus c; \theta_c)
        \, \big(f(g) - f(g^*) - b_c\big)

    If the new network is better it becomes :math:`g^*`.

    Where it departs from the paper, and why:

    * The paper's classes are its own (attention, aggregation, activation and so on in each layer); those here follow
      from the names, so that any space has some.
    * A controller's rewards are compared with their own moving average, as in :mod:`gnas.strategy.reinforce`.
    * A network that was trained before is not trained again: the controller learns from what is known of it, twenty
      times at most. Then one choice of the best network is redrawn, and at last a network is drawn uniformly; from
      these no controller learns.
    * Sharing weights is off by default, because networks that inherit are trained for longer than the others, which
      makes an unfair comparison of the late ones with the early ones. ``inherit=True`` is the paper's constrained
      sharing: a network starts from the weights of the best one, but only in nodes that have the same operation with
      the same settings (which holds attention functions and activations fixed) and tensors of the same shape, and
      never in normalisations, whose statistics belong to the network they were made in.

    Args:
        inherit: Whether a network starts with weights of the best one; needs :class:`gnas.TrainFromScratch`.
        hidden_channels, lr, decay, entropy, temperature, bound, evaluations, evaluator, conditions, objectives: See
            :class:`gnas.strategy.reinforce.Controlled`.
    """

    name: ClassVar[str] = "agnn"

    inherit: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "inherit")
        if self.inherit and not isinstance(self.evaluator, TrainFromScratch):
            raise TypeError(
                f"agnn got inherit=True and evaluator={self.evaluator!r}, which has no weights to hand on; expected "
                "TrainFromScratch(), or inherit=False"
            )

    def propose(self, state: BlackBoxState) -> Genotype | None:
        space, memory = state.space, state.memory
        classes = classes_of(space)
        if not state.trials or not classes:
            return state.draw()
        tried, best = state.tried(), self.best(state)
        known = {trial.network: trial for trial in reversed(state.trials)}
        memory.setdefault("learners", {})
        with seeded(state.random.randrange(2**31)):
            learners = {name: self.learner(space) for name in classes}
            for name, saved in memory["learners"].items():
                learners[name].load_state_dict(saved)
            self._learn_from_last(state, learners, classes)
            start, found = options_of(space, best.genotype), None
            step: dict[str, Any] | None = None
            for _ in range(REPEATS):
                name = self._class(learners, classes, start)
                decided: list[int | None] = [None if i in classes[name] else k for i, k in enumerate(start)]
                options, _, _ = learners[name].controller(decided, classes[name])
                genotype = genotype_of(space, options)
                if genotype not in tried:
                    found, step = genotype, {"class": name, "options": options, "from": self.reward(state, best)}
                    break
                if (before := known.get(space.bind(genotype).digest())) is not None:
                    gain = self.reward(state, before) - self.reward(state, best)
                    learners[name].learn(options, gain, classes[name])
        memory["learners"] = {name: learner.state_dict() for name, learner in learners.items()}
        memory["step"] = step
        if found is None:
            near = (state.mutate(best.genotype) for _ in range(REPEATS))
            found = next((genotype for genotype in near if genotype not in tried), None)
        return state.draw(tried) if found is None else found

    def _learn_from_last(
        self, state: BlackBoxState, learners: Mapping[str, Learner], classes: Mapping[str, list[int]]
    ) -> None:
        step, last = state.memory.get("step"), state.trials[-1]
        if step is not None and options_of(state.space, last.genotype) == step["options"]:
            gain = self.reward(state, last) - step["from"]
            learners[step["class"]].learn(step["options"], gain, classes[step["class"]])

    def _class(self, learners: Mapping[str, Learner], classes: Mapping[str, list[int]], start: list[int]) -> str:
        """The class to change, drawn from PyTorch's generator."""
        with torch.no_grad():
            entropies = [learners[name].controller(start, decide)[2].mean() for name, decide in classes.items()]
        return list(classes)[int(torch.multinomial(torch.stack(entropies), 1))]

    def step(self, task: Task, state: BlackBoxState) -> Event:
        if not self.inherit:
            return super().step(task, state)
        assert isinstance(self.evaluator, TrainFromScratch)
        genotype, seed = self.ask(state), state.seed + len(state.trials)
        bound = state.space.bind(genotype)
        kept = state.memory.get("weights")
        with seeded(seed):
            model = builder(bound)(task, self.evaluator.recipe_for(task))  # type: ignore[arg-type]
            model.to(task.device)
            if kept is not None:
                parent = state.space.bind(state.space.genotype(kept["genotype"]))
                inherit(model, bound, kept["state"], parent)
            result: Result = self.evaluator.train(model, task)  # type: ignore[arg-type]
        event = self.tell(task, state, genotype, result)
        if self.best(state) is state.trials[-1]:
            weights = {key: value.detach().cpu().clone() for key, value in result.state.items()}
            state.memory["weights"] = {"genotype": dict(genotype.choices), "state": weights}
        return event


def classes_of(space: Space) -> dict[str, list[int]]:
    """Positions of the choices with two options or more, by what their names begin with."""
    classes: dict[str, list[int]] = {}
    for i, (name, choice) in enumerate(space.choices.items()):
        if len(choice.options) > 1:
            classes.setdefault(name.split(".")[0], []).append(i)
    return classes


@torch.no_grad()
def inherit(model: nn.Module, bound: Space, weights: Mapping[str, Tensor], parent: Space) -> list[str]:
    """Copy the weights that two networks may share into one of them; names of what was copied.

    Args:
        model: The network of ``bound``, which is changed.
        bound: Its program.
        weights: Parameters and buffers of the network of ``parent``.
        parent: The program that they belong to.
    """
    older = {node.name: (node.op, node.attrs) for node in parent.nodes}
    shared = {
        node.name for node in bound.nodes if node.op not in NORMS and older.get(node.name) == (node.op, node.attrs)
    }
    coders = {"encoder", "edge_encoder", "decoder"}
    copied = []
    for key, value in model.state_dict().items():
        # The layers of a node begin with its name; of "conv1" and "conv10" the longer one is meant. Units are nobody's.
        names = [name for name in (*coders, *(node.name for node in bound.nodes)) if key.startswith(name)]
        owner = max(names, key=len, default="")
        if owner in coders | shared and key in weights and weights[key].shape == value.shape:
            value.copy_(weights[key])
            copied.append(key)
    return copied
