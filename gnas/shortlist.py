"""Which of many genotypes are worth a training: judged by the supernet's weights, trained on for each of them.

Weights that were trained in a mixture fit none of its parts well. So a copy of the supernet is trained on for a
while with one genotype a step, drawn uniformly from the list (single path one-shot, Guo and others, arXiv
1904.00420); then every genotype of the list is measured with these weights on the architecture split. This is done
twice: the first time for the whole list, the second time for its best eighth, which the weights then fit better.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence

import torch

from gnas.batch import Batch
from gnas.evaluate import seeded
from gnas.recipe import Recipe
from gnas.space import Genotype
from gnas.supernet import GraphSupernet
from gnas.task import Task

SHARE = 8
"""The first round keeps one of so many."""


def shortlist(
    supernet: GraphSupernet,
    task: Task,
    genotypes: Sequence[Genotype],
    keep: int,
    recipe: Recipe,
    steps: int,
    seed: int,
    stopped: Callable[[], bool] = lambda: False,
) -> list[tuple[Genotype, float]]:
    """The best of some genotypes by inherited weights, with their metric on the architecture split.

    Args:
        supernet: Is left as it is.
        task: What the networks are for.
        genotypes: The list, of which the first wins among equals.
        keep: How many to return.
        recipe: Dropout, step size and weight decay of the training; its width is not read.
        steps: Training steps of each of the two rounds.
        seed: Of dropout and of the order in which genotypes are drawn.
        stopped: Asked after each step; once true, the answer is empty.
    """
    net = copy.deepcopy(supernet)
    net.dropout, net.drop_inputs = recipe.dropout, recipe.drop_inputs
    optimizer = torch.optim.Adam(net.weight_parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    left, metrics = list(genotypes), dict.fromkeys(genotypes, math.nan)
    with seeded(seed):
        batches = _endless(task)
        for size in (max(keep, math.ceil(len(left) / SHARE)), keep):
            net.train()
            for pick in torch.randint(len(left), (steps,)).tolist():
                if stopped():
                    return []
                net.set_arch(left[pick])
                optimizer.zero_grad()
                batch = next(batches)
                task.loss(task.forward(net, batch), batch, "weights").backward()
                optimizer.step()
            merits = {}
            for genotype in left:
                if stopped():
                    return []
                merits[genotype], metrics[genotype] = _judged(net, task, genotype)
            left = sorted(left, key=lambda genotype: merits[genotype], reverse=True)[:size]
    return [(genotype, metrics[genotype]) for genotype in left]


def _endless(task: Task) -> Iterator[Batch]:
    """The weights' batches, epoch after epoch."""
    while True:
        for batches in task.steps(torch.default_generator, ("weights",)):
            yield batches["weights"]


def _judged(net: GraphSupernet, task: Task, genotype: Genotype) -> tuple[tuple[float, float], float]:
    """How good a genotype is, metric before loss and neither of them NaN, and its metric."""
    net.set_arch(genotype)
    loss, metric = task.measure(net, ("architecture",))["architecture"]
    return task.metric.judged(metric, loss), metric
