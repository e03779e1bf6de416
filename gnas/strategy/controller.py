"""A recurrent controller that writes a network down, one choice after another, and the step that teaches it.

The controller of GraphNAS (Gao and others, IJCAI 2020, arXiv 1904.09981), which :mod:`gnas.strategy.reinforce` and
:mod:`gnas.strategy.agnn` use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

INITIAL = 0.1


class Controller(nn.Module):
    r"""An LSTM whose state after the choices so far gives the probabilities of the next one's options.

    .. math::
        h_t, c_t = \mathrm{LSTM}(e(a_{t-1}), h_{t-1}, c_{t-1}), \qquad
        p(a_t) = \mathrm{softmax}\big(C \tanh(W_t h_t / T)\big)

    The bound C and the temperature T keep it from deciding early. Weights start uniformly within ±0.1.

    Args:
        sizes: The number of options of each choice.
        hidden_channels: Channels of the LSTM.
        temperature: T above.
        bound: C above.
    """

    def __init__(
        self, sizes: Sequence[int], hidden_channels: int = 100, temperature: float = 5.0, bound: float = 2.5
    ) -> None:
        super().__init__()
        self.sizes, self.temperature, self.bound = tuple(sizes), temperature, bound
        self.starts = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        self.embedding = nn.Embedding(sum(self.sizes), hidden_channels)
        self.cell = nn.LSTMCell(hidden_channels, hidden_channels)
        self.decoders = nn.ModuleList(nn.Linear(hidden_channels, size) for size in self.sizes)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL, INITIAL)
        for decoder in self.decoders:
            nn.init.zeros_(decoder.bias)  # type: ignore[arg-type]

    def forward(
        self, options: Sequence[int | None], decide: Sequence[int] | None = None
    ) -> tuple[list[int], Tensor, Tensor]:
        """Decide some choices after reading the others.

        Args:
            options: Number of the option at each choice; ``None`` where one is to be drawn (from PyTorch's generator).
            decide: Positions that are decided, in order; all by default.

        Returns:
            The options, with those that were drawn, and for each decided choice the logarithm of the probability of
            its option and the entropy over its options, [decided] each.
        """
        decide = range(len(self.sizes)) if decide is None else decide
        picked = list(options)
        zeros = self.embedding.weight.new_zeros(1, self.cell.hidden_size)
        token, state = zeros, (zeros, zeros)
        for i in range(len(self.sizes)):
            if i not in decide:
                state = self.cell(token, state)
                token = self._token(i, picked[i])
        logs, entropies = [], []
        for i in decide:
            state = self.cell(token, state)
            logits = self.bound * torch.tanh(self.decoders[i](state[0])[0] / self.temperature)
            log = logits.log_softmax(0)
            option = picked[i]
            if option is None:
                option = int(torch.multinomial(log.detach().exp(), 1))
                picked[i] = option
            logs.append(log[option])
            entropies.append(-(log.exp() * log).sum())
            token = self._token(i, option)
        return [int(option) for option in picked if option is not None], torch.stack(logs), torch.stack(entropies)

    def _token(self, choice: int, option: int | None) -> Tensor:
        if option is None:
            raise ValueError(f"the controller got no option at choice {choice}; expected one where none is decided")
        number = torch.tensor([self.starts[choice] + option], device=self.embedding.weight.device)
        token: Tensor = self.embedding(number)
        return token


@dataclass
class Learner:
    """A controller, its optimizer, and the moving average that rewards are compared with.

    Args:
        controller: Who decides.
        lr: Learning rate of Adam.
        decay: Of the moving average.
        entropy: Weight of the entropies of the decisions.
        baseline: The moving average so far.
    """

    controller: Controller
    lr: float
    decay: float
    entropy: float
    baseline: float | None = None

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=self.lr)

    def learn(self, options: Sequence[int], reward: float, decide: Sequence[int] | None = None) -> None:
        """One step of REINFORCE on a decision that was made; a reward that is not a number teaches nothing."""
        if not math.isfinite(reward):
            return
        _, logs, entropies = self.controller(options, decide)
        old = reward if self.baseline is None else self.baseline
        self.baseline = self.decay * old + (1 - self.decay) * reward
        objective = (reward - self.baseline) * logs.sum() + self.entropy * entropies.sum()
        self.optimizer.zero_grad()
        (-objective).backward()
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values that nothing else holds."""
        controller = {key: value.detach().clone() for key, value in self.controller.state_dict().items()}
        return {"controller": controller, "optimizer": self.optimizer.state_dict(), "baseline": self.baseline}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]
