"""GraphSupernet: a space with open choices as one network, relaxed as in DARTS (arXiv 1806.09055)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from gnas import kernels
from gnas.checkpointing import recomputed
from gnas.model import GraphModel, Network
from gnas.ops import Context
from gnas.relaxation import Relaxation, Softmax
from gnas.sites import Inputs, Mix, Mixes, SharedSite, Site, site_of
from gnas.space import Choice, Genotype, Space
from gnas.space.discretise import discretise


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
        dropout: Probability of dropping an entry before each projection.
        relaxation: From alpha to weights, see :mod:`gnas.relaxation`.
        checkpoint: Keep only the inputs of each site for the backward pass, which computes the site again: the same
            values and gradients from less memory and more time.

    Raises:
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
        dropout: float = 0.5,
        relaxation: Relaxation | None = None,
        checkpoint: bool = False,
    ) -> None:
        sizes = in_channels, hidden_channels, out_channels
        super().__init__(space, sizes, dropout, edge_channels, categories, edge_categories)
        self.checkpoint = checkpoint
        self.relaxation = Softmax() if relaxation is None else relaxation
        edges = self.edge_encoder is not None
        self.sites = nn.ModuleDict({n.name: site_of(n, hidden_channels, space.share, edges) for n in space.nodes})
        self.decoder = nn.Linear(hidden_channels, out_channels)
        self.alphas = nn.ParameterDict(
            {
                name.replace(".", "__"): nn.Parameter(1e-3 * torch.randn(len(choice.options)))
                for name, choice in space.choices.items()
            }
        )
        self._nodes = {node.name: node for node in space.nodes}
        inputs = [read for node in space.nodes for read in node.inputs if isinstance(read, Choice)]
        self._kinds = {choice.name: space.kind(str(choice.options[0])) for choice in inputs}
        self._fixed: dict[str, int] | None = None
        self._tracking = True

    def arch_parameters(self) -> list[nn.Parameter]:
        """The architecture parameters: an alpha [options] for every choice, in the order of ``space.choices``."""
        return [self.alpha(name) for name in self.space.choices]

    def weight_parameters(self) -> list[nn.Parameter]:
        """The network's weights: every parameter that is not an alpha."""
        return [p for name, p in self.named_parameters() if not name.startswith("alphas.")]

    def alpha(self, choice: str) -> nn.Parameter:
        """The architecture parameter of a choice."""
        return cast(nn.Parameter, self.alphas[choice.replace(".", "__")])

    def arch_weights(self) -> dict[str, Tensor]:
        """Weights of the options by name of choice, detached and without sampling noise."""
        with torch.no_grad():
            own: Callable[[Tensor], Tensor] | None = getattr(self.relaxation, "probabilities", None)
            alphas = {name: self.alpha(name) for name in self.space.choices}
            return {n: (own(alpha) if own else self.relaxation(alpha, None)).clone() for n, alpha in alphas.items()}

    def set_arch(self, genotype: Genotype | None) -> None:
        """Fix every choice to a genotype's option, one-hot; ``None`` gives the choices back to the alphas."""
        if genotype is None:
            self._fixed = None
            return
        self.space.check(genotype)
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

    def _mixes(self) -> dict[str, Mix]:
        generator = torch.default_generator if self.training else None
        mixes = {}
        for name in self.space.choices:
            alpha = self.alpha(name)
            if self._fixed is None:
                weights = self.relaxation(alpha, generator)
            else:
                weights = torch.zeros_like(alpha)
                weights[self._fixed[name]] = 1
            mixes[name] = Mix.of(weights)
        return mixes

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        edge_label_index: Tensor | None = None,
    ) -> Tensor:
        """A row of scores for each item, [items, out_channels]: see :meth:`gnas.GraphModel.forward`."""
        values, contexts = self.begin(x, edge_index, edge_weight, edge_attr, batch, edge_label_index, self._tracking)
        graph = contexts["node"].graph
        if self.checkpoint and graph.edge_weight is not None and graph.edge_weight.requires_grad:
            # What derives from learned edge weights is kept by the graph: made inside a site, it would be missing when
            # the site is computed again.
            graph.propagation(values["x"].dtype, True)
        mixes = self._mixes()

        def value(name: str) -> Tensor:
            if name not in values:
                node, site = self._nodes[name], cast(Site, self.sites[name])
                inputs = {i: read(node.inputs[i]) for i in site.reads(mixes)}
                values[name] = self._run(site, inputs, mixes, contexts[node.kind])
            return values[name]

        def read(place: str | Choice) -> Tensor:
            if isinstance(place, str):
                return value(place)
            mix = mixes[place.name]
            parts = [value(str(place.options[i])) for i in mix.active]
            return _chosen(mix, parts, contexts[self._kinds[place.name]])

        out = self.end(value(self.space.output))
        # The closures refer to the values and to each other; emptied, they free them now and not at some collection.
        values.clear()
        return out

    def _run(self, site: Site, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        if not (self.checkpoint and site.inner and torch.is_grad_enabled()):
            return cast(Tensor, site(inputs, mixes, context))
        places = list(inputs)

        def run(*tensors: Tensor) -> Tensor:
            return cast(Tensor, site(dict(zip(places, tensors, strict=True)), mixes, context))

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
            edge_channels=self.edge_channels,
            categories=self.categories,
            edge_categories=self.edge_categories,
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


@torch.compiler.disable
def _chosen(mix: Mix, parts: Sequence[Tensor], context: Context) -> Tensor:
    """A chosen input: the mixture of the options that have a weight."""
    return kernels.combine(mix.weights[list(mix.active)], parts) if parts else context.zeros
