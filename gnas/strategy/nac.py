"""NAC, neural architecture coding: no weight is trained, the architecture is a sparse code.

"Do Not Train It: A Linear Neural Architecture Search of Graph Neural Networks" (Xu and others, arXiv 2305.14065).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from gnas.checks import check_number
from gnas.relaxation import Plain, Relaxation
from gnas.settling import averaged
from gnas.space import Space
from gnas.strategy.base import Batches, Task
from gnas.strategy.one_shot import ROLES, OneShot, OneShotState, open_places


@dataclass(frozen=True, kw_only=True)
class Nac(OneShot):
    r"""Leave the weights as they were drawn, and code the labels sparsely in what each option contributes.

    .. math::
        \min_{\alpha \ge 0} \; \tfrac{1}{2} \| y - z(\alpha) \|^2 + \rho \|\alpha\|_1, \qquad
        z(\alpha) = \Gamma \, h(\alpha)

    where :math:`h` is the supernet at random weights with the options mixed by alpha itself, and :math:`\Gamma` its
    linear decoder. Graph networks with random weights are expressive, so what is learned is the code alone: no
    weight but the decoder's is ever fitted, and nothing is differentiated. An epoch is two regressions:

    1. the decoder by ridge regression on the split ``"weights"``, for the present alpha;
    2. alpha by the LASSO on the split ``"architecture"``. The dictionary's columns are the changes of z with each
       alpha, by differences; each is scaled to unit norm, so that an option is judged by what it explains, not
       by how large its values are.

    One epoch is the paper's single pass, whose cost is linear in the size of the graph; a few more move the point
    around which z, a product of alphas of stacked layers, is taken as linear. The weights of a run's events are the
    contributions, alpha times the norm of the column, as shares of each choice.

    Where it departs from the paper, and why:

    * The paper descends in alpha by gradient steps with a soft threshold; here the LASSO of the linearised network is
      solved by coordinate descent, which needs neither a step size nor a backward pass.
    * Alpha reads the architecture split and the decoder the weights split, as everywhere in gnas; the paper codes the
      training labels.
    * Of numbers to predict y and z are standardised. For other labels the negative gradient of the task's loss in z
      stands in place of y - z, so that any task can be coded. The decoder's :math:`y` is either of them at z = 0.
    * Alpha is not negative, since a weight below zero names no operation.
    * The options of an attribute or an input are coded as those of an operation.

    Args:
        epochs: Passes.
        sparsity: :math:`\rho`, as a share of the smallest one that leaves the code empty.
        ridge: Penalty of the decoder's regression, as a share of the mean square of the states.
        bump: By how much an alpha is raised for its column.
        hidden_channels: Width of the supernet.
        checkpoint: See :class:`~gnas.strategy.one_shot.OneShot`.
        dropout, drop_inputs, optimizer, lr, weight_decay, momentum, power, grad_clip: Not read, since no weights are
            trained; ``warmup`` epochs would be passes like the others.
    """

    name: ClassVar[str] = "nac"

    epochs: int = 1
    warmup: int | None = 0
    sparsity: float = 0.05
    ridge: float = 0.1
    bump: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "sparsity")
        check_number(self, "ridge", positive=True)
        check_number(self, "bump", positive=True)
        if self.sparsity >= 1:
            raise ValueError(f"nac got sparsity={self.sparsity!r}; expected less than 1, which leaves nothing")

    def relaxation_at(self, epoch: int) -> Relaxation:
        return Plain()

    def init(self, space: Space, task: Task, generator: torch.Generator) -> OneShotState:
        state = super().init(space, task, generator)
        with torch.no_grad():
            for alpha in state.supernet.arch_parameters():
                alpha.fill_(1 / len(alpha))
        return state

    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        """Nothing: all batches of an epoch are one regression."""

    @torch.no_grad()
    def run(self, task: Task, state: OneShotState, phase: str) -> None:
        net = state.supernet
        for name, kept in open_places(net).items():
            # What is open may be what the code had left out, and a choice without a weight would say nothing.
            if not net.alpha(name)[kept].any():
                net.alpha(name)[kept] = 1 / len(kept)
        batches = list(task.steps(torch.default_generator, ROLES))
        # Nothing is trained on the way, so what normalises is measured here: the scales of shared sites, whose running
        # means start with this pass, and the statistics of batch normalisations, which are those of this pass alone.
        with net.without_dropout(), averaged(cast(nn.Module, net)):
            for batch in batches:
                task.forward(net, batch["weights"])
        net.eval()
        fit_decoder(task, net, [batch["weights"] for batch in batches], self.ridge)
        gram, right = dictionary(task, net, [batch["architecture"] for batch in batches], self.bump)
        alphas = net.arch_parameters()
        code = unit_lasso(gram, right + gram @ torch.cat([alpha.double() for alpha in alphas]), self.sparsity)
        state.memory["contributions"] = code * gram.diagonal().sqrt()
        for alpha, part in zip(alphas, code.split([len(alpha) for alpha in alphas]), strict=True):
            # A choice whose options explain nothing stays as it is, or the network would fall silent. Stacked sites
            # multiply, so the sum over a choice means nothing.
            if part.sum() > 0:
                alpha.copy_(part / part.sum())

    def weights(self, state: OneShotState) -> Mapping[str, Tensor]:
        """The contribution of each option, as shares of its choice; equal where none contributes.

        What the code leaves out has next to nothing, since a weight of exactly nothing says that an option is closed.
        """
        choices, places = state.supernet.space.choices, open_places(state.supernet)
        sizes = [len(choice.options) for choice in choices.values()]
        code = state.memory.get("contributions")
        parts = torch.ones(sum(sizes)).split(sizes) if code is None else code.split(sizes)
        found = {}
        for name, part in zip(choices, parts, strict=True):
            kept = part[places[name]]
            shares = (kept / kept.sum()).clamp(min=1e-12) if kept.sum() > 0 else torch.full_like(kept, 1 / len(kept))
            found[name] = torch.zeros_like(part)
            found[name][places[name]] = shares
        return found


class _Reader:
    """A network, as a task calls it, that keeps the state which its decoder reads."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self.state = torch.empty(0)

    def __call__(self, *args: Any, **named: Any) -> Tensor:
        with self.net.undecoded():
            self.state = self.net(*args, **named)
        decoded: Tensor = self.net.decoder(self.state)
        return decoded


def residual(task: Task, net: Any, output: Tensor, batch: Any, role: str) -> tuple[Tensor, Tensor]:
    """The rows of a role in an output z, [rows], and y - z or what stands in its place, [rows, outputs].

    A missing number to predict explains nothing, as if it were predicted.
    """
    if net.units is not None:
        rows = batch.index[role]
        gap = (batch.y[rows] - net.units(output[rows])) / net.units.deviation
        return rows, gap.double().nan_to_num(0.0)
    with torch.enable_grad():
        leaf = output.detach().requires_grad_()
        (grad,) = torch.autograd.grad(task.loss(leaf, batch, role), leaf)
    rows = grad.abs().sum(dim=1).nonzero().flatten()
    # The loss is a mean over the rows.
    return rows, -grad[rows].double() * len(rows)


def fit_decoder(task: Task, net: Any, batches: Sequence[Any], ridge: float) -> None:
    """Fit the decoder by ridge regression of the labels, or what stands in their place at z = 0, on its states."""
    reader, decoder = _Reader(net), net.decoder
    assert isinstance(decoder, nn.Linear)
    width = decoder.in_features + 1
    gram = torch.zeros(width, width, dtype=torch.float64, device=decoder.weight.device)
    right = gram.new_zeros(width, decoder.out_features)
    for batch in batches:
        output = task.forward(reader, batch)
        rows, target = residual(task, net, torch.zeros_like(output), batch, "weights")
        read = torch.cat([reader.state[rows].double(), gram.new_ones(len(rows), 1)], dim=1)
        gram += read.T @ read
        right += read.T @ target
    penalty = ridge * gram.diagonal()[:-1].mean().clamp(min=1e-12) * torch.ones_like(gram[0])
    penalty[-1] = 1e-9
    found = torch.linalg.solve(gram + penalty.diag(), right).to(decoder.weight.dtype)
    decoder.weight.copy_(found[:-1].T)
    decoder.bias.copy_(found[-1])


def dictionary(task: Task, net: Any, batches: Sequence[Any], bump: float) -> tuple[Tensor, Tensor]:
    """Of the matrix J of the output's slopes in all alphas and the residual r: J'J [alphas, alphas] and J'r."""
    alphas = net.arch_parameters()
    total = sum(len(alpha) for alpha in alphas)
    gram = torch.zeros(total, total, dtype=torch.float64, device=alphas[0].device)
    right = gram.new_zeros(total)
    for batch in batches:
        reader = _Reader(net)
        base = task.forward(reader, batch)
        rows, target = residual(task, net, base, batch, "architecture")
        columns = []
        for alpha in alphas:
            for k in range(len(alpha)):
                before = alpha[k].clone()
                alpha[k] += bump
                moved = task.forward(reader, batch)
                alpha[k] = before
                columns.append(((moved[rows] - base[rows]).double() / bump).flatten())
        slopes = torch.stack(columns, dim=1)
        gram += slopes.T @ slopes
        right += slopes.T @ target.flatten()
    return gram, right


def unit_lasso(gram: Tensor, right: Tensor, sparsity: float) -> Tensor:
    """:func:`lasso` with columns scaled to unit norm, and the penalty as a share of what leaves nothing.

    Columns without a length get nothing.
    """
    norms = gram.diagonal().clamp(min=0).sqrt()
    live = norms > 1e-6 * norms.max()
    norms = torch.where(live, norms, torch.ones_like(norms))
    unit, right = gram / norms.outer(norms) * live.outer(live), right / norms * live
    return lasso(unit, right, sparsity * float(right.clamp(min=0).max())) / norms


def lasso(gram: Tensor, right: Tensor, penalty: float, sweeps: int = 1000, tolerance: float = 1e-9) -> Tensor:
    r"""The minimum over :math:`a \ge 0` of :math:`\tfrac{1}{2} a' G a - b' a + \rho \sum a`, by coordinate descent.

    With :math:`G = X'X` and :math:`b = X'y` it is the code of y in the columns of X.

    Args:
        gram: G [columns, columns]; a column whose diagonal entry is zero gets nothing.
        right: b [columns].
        penalty: The weight of the sum.
        sweeps: Passes over the columns, at most.
        tolerance: Largest change of a pass, relative to the largest entry, that ends it.
    """
    rows, right_, diagonal = gram.cpu().numpy(), right.cpu().numpy(), gram.diagonal().cpu().numpy()
    code = torch.zeros(len(right), dtype=torch.float64).numpy()
    slope = right_.astype("float64").copy()
    for _ in range(sweeps):
        largest = 0.0
        for k in range(len(code)):
            if diagonal[k] <= 0:
                continue
            new = max(0.0, code[k] + (slope[k] - penalty) / diagonal[k])
            change = new - code[k]
            if change:
                slope -= change * rows[:, k]
                code[k] = new
                largest = max(largest, abs(change))
        if largest <= tolerance * max(1e-30, abs(code).max()):
            break
    return torch.from_numpy(code).to(gram)
