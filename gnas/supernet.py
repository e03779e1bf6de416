"""GraphSupernet: a space with open choices as one network, relaxed as in DARTS (arXiv 1806.09055)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from gnas import kernels
from gnas.checkpointing import recomputed
from gnas.checks import whole
from gnas.model import GraphModel, Network
from gnas.ops import Context
from gnas.relaxation import Relaxation, Softmax
from gnas.sites import Inputs, Mix, Mixes, SharedSite, Site, site_of
from gnas.sites.shared import drawn
from gnas.space import Choice, Genotype, Node, Space
from gnas.space.discretise import discretise
from gnas.space.transform import restrict
from gnas.units import Scales

RESERVED = frozenset(dir(nn.ParameterDict()))


class GraphSupernet(Network):
    """Runs a space with open choices: every choice is replaced by a mixture of its options.

    For a choice with architecture parameter alpha, ``w = relaxation(alpha)``. A chosen operation becomes
    sum_k w_k op_k(inputs), a chosen input sum_k w_k value_k, and a chosen attribute mixes the operations with each
    of its settings. With a one-hot w this is exactly the single operation, and what has the weight zero is not
    computed.

    Args:
        space: The space; its ``share`` says whether the candidates of a site share projections.
        in_channels: Channels of ``x``.
        hidden_channels: Channels of every state (a multiple of 8 where attention is an option).
        out_channels: Channels of the result.
        edge_channels: Channels of ``edge_attr``; with 0 it is not read.
        categories: For integer codes in ``x`` the number of codes of each column.
        edge_categories: The same for ``edge_attr``.
        scales: Of labels that are numbers, mean and standard deviation of each column: see :mod:`gnas.units`.
        dropout: Probability of dropping an entry before each projection.
        drop_inputs: Whether before the first one, too: entries of ``x``, unless these are codes.
        relaxation: From alpha to weights, see :mod:`gnas.relaxation`.
        partial: Of how many channels one goes through a chosen operation in training (PC-DARTS, arXiv 1907.05737);
            the others pass it by. The channels are drawn anew for each site and each step.
        checkpoint: Keep only the inputs of each site for the backward pass, which computes the site again: the same
            values and gradients from less memory and more time.

    Raises:
        TypeError: If the space is no space, or the relaxation no relaxation.
        ValueError: If an operation is unknown or reads a value of the wrong kind, or the channels don't fit.

    Example:
        >>> net = GraphSupernet(layered(max_depth=3), 16, 64, 7)
        >>> out = net(x, edge_index)
    """

    def __init__(
        self,
        space: Space,
        in_channels: int,
        hidden_channels: int = 64,
        out_channels: int = 1,
        *,
        edge_channels: int = 0,
        categories: Sequence[int] | None = None,
        edge_categories: Sequence[int] | None = None,
        scales: Scales | None = None,
        dropout: float = 0.5,
        drop_inputs: bool = True,
        relaxation: Relaxation | None = None,
        partial: int = 1,
        checkpoint: bool = False,
    ) -> None:
        sizes = in_channels, hidden_channels, out_channels
        super().__init__(space, sizes, dropout, drop_inputs, edge_channels, categories, edge_categories, scales)
        self.checkpoint = checkpoint
        self.partial = whole("GraphSupernet", "partial", partial, 1)
        self.auxiliary = 0.0
        """What is added of its first input to the value of every chosen operation, as DARTS- does (2009.01027)."""
        self.relaxation = Softmax() if relaxation is None else relaxation
        if not callable(self.relaxation):
            raise TypeError(f"GraphSupernet got relaxation={relaxation!r}; expected a relaxation such as Softmax()")
        edges = self.edge_encoder is not None
        hidden = self.hidden_channels
        self.sites = nn.ModuleDict({n.name: site_of(n, hidden, space.share, edges) for n in space.nodes})
        self.decoder = nn.Linear(hidden, self.out_channels)
        _check_names(space)
        self.alphas = nn.ParameterDict(
            {
                name.replace(".", "__"): nn.Parameter(1e-3 * torch.randn(len(choice.options)))
                for name, choice in space.choices.items()
            }
        )
        for name, choice in space.choices.items():
            self.register_buffer(_open(name), torch.ones(len(choice.options), dtype=torch.bool))
        self._read_open()
        self._nodes = {node.name: node for node in space.nodes}
        inputs = [read for node in space.nodes for read in node.inputs if isinstance(read, Choice)]
        self._kinds = {choice.name: space.kind(str(choice.options[0])) for choice in inputs}
        kinds = {node.name: self._kind_of(node.inputs[0]) for node in space.nodes if node.inputs}
        self._passed = {n.name for n in space.nodes if isinstance(n.op, Choice) and kinds.get(n.name) == n.kind}
        self._fixed: dict[str, int] | None = None
        self._given: Mapping[str, Tensor] | None = None
        self._tracking = True
        self._decoding = True

    def arch_parameters(self) -> list[nn.Parameter]:
        """The architecture parameters: an alpha [options] for every choice, in the order of ``space.choices``."""
        return [self.alpha(name) for name in self.space.choices]

    def weight_parameters(self) -> list[nn.Parameter]:
        """The network's weights: every parameter that is not an alpha."""
        return [p for name, p in self.named_parameters() if not name.startswith("alphas.")]

    def alpha(self, choice: str) -> nn.Parameter:
        """The architecture parameter of a choice."""
        return cast(nn.Parameter, self.alphas[choice.replace(".", "__")])

    def arch_weights(self, gradient: bool = False) -> dict[str, Tensor]:
        """Weights of the options by name of choice, without sampling noise, detached unless a gradient is asked for."""
        with torch.set_grad_enabled(gradient):
            own: Callable[[Tensor], Tensor] | None = getattr(self.relaxation, "probabilities", None)
            found = {}
            for name in self.space.choices:
                part = self._open_alpha(name)
                part = own(part) if own else self.relaxation(part, None)
                found[name] = _placed(part, self._kept[name], self.alpha(name))
            return found

    def open_alphas(self) -> dict[str, Tensor]:
        """The architecture parameters of the open options, [open options] for every choice."""
        return {name: self._open_alpha(name) for name in self.space.choices}

    def narrow(self, space: Space) -> None:
        """Close the options that a narrower space of the same program leaves out, and open those that it has.

        A closed option has the weight zero, as if it had never been one; its alpha and its weights stay, and are
        there again when it opens. Which are open belongs to the ``state_dict``.

        Raises:
            ValueError: If the space has a choice or an option that the supernet's own lacks.
        """
        if set(space.choices) != set(self.space.choices):
            raise ValueError(
                f"got a space with the choices {list(space.choices)}; expected those of space {self.space.name!r}, "
                f"{list(self.space.choices)}, each with some of its options (try gnas.space.transform.restrict)"
            )
        for name, choice in self.space.choices.items():
            kept = [choice.index(option) for option in space.choices[name].options]
            mask = cast(Tensor, getattr(self, _open(name)))
            mask.fill_(False)
            mask[kept] = True
        self._read_open()

    def narrowed(self) -> Space:
        """The space with its open options alone."""
        choices = self.space.choices
        return restrict(self.space, {n: [choices[n].options[i] for i in kept] for n, kept in self._kept.items()})

    def load_state_dict(self, *args: Any, **named: Any) -> Any:
        """As of any module; what is open follows."""
        result = super().load_state_dict(*args, **named)
        self._read_open()
        return result

    def _read_open(self) -> None:
        # Kept as numbers besides, since a forward pass should not wait for a device to know what is open.
        masks = {name: cast(Tensor, getattr(self, _open(name))) for name in self.space.choices}
        self._kept: dict[str, list[int]] = {n: mask.nonzero().flatten().tolist() for n, mask in masks.items()}

    def set_arch(self, genotype: Genotype | None) -> None:
        """Fix every choice to a genotype's option, one-hot; ``None`` gives the choices back to the alphas.

        Of genotypes that a space counts as one network it is the one that stands for them, whose weights
        :meth:`model` hands on.
        """
        if genotype is None:
            self._fixed = None
            return
        self.space.check(genotype)
        genotype = self.space.canonical(genotype)
        self._fixed = {name: choice.index(genotype[name]) for name, choice in self.space.choices.items()}

    @contextmanager
    def frozen_statistics(self) -> Iterator[None]:
        """Within, running scales and batch statistics don't move: a loss is a function of the parameters alone."""
        shared = [site for site in self.sites.values() if isinstance(site, SharedSite)]
        norms = [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]

        def track(on: bool) -> None:
            self._tracking = on
            for site in shared:
                site.tracking = on
            for norm in norms:
                norm.track_running_stats = on

        before = self._tracking
        track(False)
        try:
            yield
        finally:
            track(before)

    @contextmanager
    def without_dropout(self) -> Iterator[None]:
        """Within, nothing is dropped, while relaxations still sample: how an architecture is judged."""
        before, self.dropout = self.dropout, 0.0
        try:
            yield
        finally:
            self.dropout = before

    @contextmanager
    def weighted(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Within, open options have these weights, [open options] for every choice, and not those of their alphas."""
        self._given = weights
        try:
            yield
        finally:
            self._given = None

    def _mixes(self) -> dict[str, Mix]:
        generator = torch.default_generator if self.training else None
        mixes = {}
        for name in self.space.choices:
            alpha = self.alpha(name)
            if self._fixed is not None:
                weights, fixed = torch.zeros_like(alpha), self._fixed[name]
                weights[fixed] = 1
                mixes[name] = Mix(weights, (fixed,))
                continue
            kept = self._kept[name]
            if self._given is not None:
                weights = self._given[name]
                # Where a gradient is asked for, one that is zero has one, too.
                active: Iterable[int] | None = range(len(kept)) if weights.requires_grad else None
            else:
                weights, active = self._relaxed(self._open_alpha(name), generator)
            weights = _placed(weights, kept, alpha)
            mixes[name] = Mix.of(weights) if active is None else Mix(weights, tuple(sorted(kept[i] for i in active)))
        return mixes

    def _relaxed(self, alpha: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Iterable[int] | None]:
        """Weights of open options and which of them have one, if that is known without looking: on a GPU to look is to
        wait."""
        paths = getattr(self.relaxation, "paths", None)
        if paths:
            return cast(tuple[Tensor, tuple[int, ...]], paths(alpha, generator))
        weights = self.relaxation(alpha, generator)
        return weights, (range(len(alpha)) if getattr(self.relaxation, "dense", False) else None)

    def _open_alpha(self, choice: str) -> Tensor:
        alpha, kept = self.alpha(choice), self._kept[choice]
        return alpha if len(kept) == len(alpha) else alpha.index_select(0, kernels.positions(kept, alpha.device))

    @contextmanager
    def undecoded(self) -> Iterator[None]:
        """Within, a forward pass gives the state that the decoder would read, [items, hidden_channels]."""
        self._decoding = False
        try:
            yield
        finally:
            self._decoding = True

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        edge_label_index: Tensor | None = None,
        edge_label_attr: Tensor | None = None,
    ) -> Tensor:
        """A row of scores for each item, [items, out_channels]: see :meth:`gnas.GraphModel.forward`."""
        given = x, edge_index, edge_weight, edge_attr, batch, edge_label_index
        values, contexts = self.begin(*given, self._tracking, edge_label_attr)
        graph = contexts["node"].graph
        if self.checkpoint and graph.edge_weight is not None and graph.edge_weight.requires_grad:
            # What derives from learned edge weights is kept by the graph: made inside a site, it would be missing when
            # the site is computed again.
            graph.propagation(values["x"].dtype, True)
        mixes = self._mixes()

        def computed(name: str) -> Iterator[str]:
            """Compute a node's value; each name that comes is one whose value must be there before it goes on."""
            node, site = self._nodes[name], cast(Site, self.sites[name])
            inputs: dict[int, Tensor] = {}
            for i in site.reads(mixes):
                place = node.inputs[i]
                if isinstance(place, str):
                    yield place
                    inputs[i] = values[place]
                    continue
                mix = mixes[place.name]
                parts = []
                for option in (str(place.options[j]) for j in mix.active):
                    yield option
                    parts.append(values[option])
                inputs[i] = _chosen(mix, parts, contexts[self._kinds[place.name]])
            values[name] = self._around(node, site, inputs, mixes, contexts[node.kind])

        # A stack of its own and not Python's, which ends at a depth of some hundred layers.
        stack = [computed(self.space.output)] if self.space.output not in values else []
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
            elif name not in values:
                stack.append(computed(name))
        out = values[self.space.output]
        return self.end(out) if self._decoding else out

    def _kind_of(self, place: str | Choice) -> str:
        return self._kinds[place.name] if isinstance(place, Choice) else self.space.kind(place)

    def _around(self, node: Node, site: Site, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The value of a node, with what passes a chosen operation by."""
        skip = inputs.get(0)
        if node.name not in self._passed or self._fixed is not None or skip is None:
            return self._run(site, inputs, mixes, context)
        part = site.draw(self.partial) if self.partial > 1 and self.training and isinstance(site, SharedSite) else None
        if part is not None:
            value = skip.index_copy(1, part, self._run(site, inputs, mixes, context, part))
        elif self.partial > 1 and self.training:
            channels = skip.size(1)
            through = drawn(channels, self.partial)
            mask = torch.zeros(channels, dtype=skip.dtype).index_fill(0, through, 1).to(skip.device)
            inputs = {place: read * mask for place, read in inputs.items()}
            value = torch.lerp(skip, self._run(site, inputs, mixes, context), mask)
        else:
            value = self._run(site, inputs, mixes, context)
        return torch.add(value, skip, alpha=self.auxiliary) if self.auxiliary else value

    def _run(self, site: Site, inputs: Inputs, mixes: Mixes, context: Context, *part: Tensor) -> Tensor:
        if not (self.checkpoint and site.inner and torch.is_grad_enabled()):
            return cast(Tensor, site(inputs, mixes, context, *part))
        places = list(inputs)

        def run(*tensors: Tensor) -> Tensor:
            return cast(Tensor, site(dict(zip(places, tensors, strict=True)), mixes, context, *part))

        return recomputed(site, run, list(inputs.values()))

    def derive(self, inputs: int | None = 1) -> Genotype:
        """The genotype that the alphas speak for: :func:`gnas.space.discretise.discretise`."""
        return discretise(self.space, {name: w.tolist() for name, w in self.arch_weights().items()}, inputs)

    def model(self, genotype: Genotype) -> GraphModel:
        """The plain network of a genotype with this supernet's weights: it computes what the supernet computes."""
        bound = self.space.bind(genotype)
        nodes, states = [], {}
        for node in bound.nodes:
            site = cast(Site, self.sites[node.name])
            state, scale = site.inherit(str(node.op), node.settings)
            states[node.name] = state
            nodes.append(node if scale is None else replace(node, attrs={**node.settings, "scale": scale}))
        bound = replace(bound, nodes=tuple(nodes))
        model = GraphModel(
            bound,
            self.in_channels,
            self.hidden_channels,
            self.out_channels,
            self.dropout,
            drop_inputs=self.drop_inputs,
            edge_channels=self.edge_channels,
            categories=self.categories,
            edge_categories=self.edge_categories,
            scales=None if self.units is None else self.units.scales(),
        )
        model.to(self.decoder.weight)
        model.encoder.load_state_dict(self.encoder.state_dict())
        model.decoder.load_state_dict(self.decoder.state_dict())
        if model.edge_encoder is not None and self.edge_encoder is not None:
            model.edge_encoder.load_state_dict(self.edge_encoder.state_dict())
        for name, state in states.items():
            for ending, tensors in state.items():
                layer = model.get_submodule(name + ending)
                layer.load_state_dict(tensors)
        return model.train(self.training)


def _placed(part: Tensor, kept: Sequence[int], like: Tensor) -> Tensor:
    """Weights of the open options among zeros for the others."""
    if len(kept) == len(like):
        return part
    return torch.zeros_like(like).scatter(0, kernels.positions(kept, like.device), part)


def _check_names(space: Space) -> None:
    """Refuse names of choices that a parameter can't bear, or that two of them would share."""
    taken: dict[str, str] = {}
    for name in space.choices:
        key = name.replace(".", "__")
        if key in RESERVED:
            raise ValueError(
                f"the space {space.name!r} has a choice {name!r}, which is an attribute of torch's ParameterDict; "
                f"expected another name, try {name + '.1'!r}"
            )
        if key in taken:
            raise ValueError(
                f"the space {space.name!r} has the choices {taken[key]!r} and {name!r}, whose alphas would have one "
                "name; expected names that differ in more than '.' and '__'"
            )
        taken[key] = name


def _open(choice: str) -> str:
    return "open_" + choice.replace(".", "__")


@torch.compiler.disable
def _chosen(mix: Mix, parts: Sequence[Tensor], context: Context) -> Tensor:
    """A chosen input: the mixture of the options that have a weight."""
    if not parts:
        return context.zeros
    every = len(parts) == len(mix.weights)
    weights = mix.weights if every else mix.weights.index_select(0, kernels.positions(mix.active, mix.weights.device))
    return kernels.combine(weights, parts)
