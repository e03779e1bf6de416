"""The task: data with labels, the three roles of its split, the loss and the metric.

A :class:`Task` is made by :meth:`Task.from_data`, which checks everything once, so that whoever holds a task need
check nothing. Its *items* are what has labels: nodes, edges, pairs of nodes or graphs. Their roles are

* ``weights`` (``train_mask``): the network's weights are trained on them,
* ``architecture`` (``val_mask``): the architecture is chosen on them, and training is stopped on them,
* ``test`` (``test_mask``): read once, by the last evaluation, through :meth:`Task.test` and nothing else.

One graph, many graphs and parts of a graph look alike: as :class:`~gnas.batch.Batch`, one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, Dataset

from gnas import checks
from gnas.batch import Batch, Store
from gnas.data import quiet_sparse
from gnas.graphs import GraphSet
from gnas.links import Links
from gnas.loaders import (
    CLUSTERS,
    FOLDS,
    GRAPHS,
    PART,
    SEEDS,
    SMALL,
    Neighbourhoods,
    Pairs,
    Parts,
    Sets,
    Source,
    Step,
    Whole,
    cluster_parts,
    random_parts,
)
from gnas.loading import Loading
from gnas.making import Wish, fields_of, measurable
from gnas.metrics import CLASSIFICATION, METRICS, REGRESSION, Metric
from gnas.settling import averaged, normalises, settled
from gnas.split import ROLES
from gnas.targets import EDGE, GRAPH, NODE, PAIR, Targets, loss_of
from gnas.units import Scales, scales_of

OPEN = ("weights", "architecture")
"""The roles that a search may read."""
REDRAWS = 20
"""How many draws of two roles are looked at for one in which the metric is defined."""
SETTLING = 10
"""Batches that statistics of batch normalisations are the mean of."""
FEW = 1000
"""With fewer labelled nodes than this, networks are regularised hard."""
SEVERAL = 2
"""Entries that the features of a node have on average where they are words and not a code."""


@dataclass(eq=False, repr=False)
class Task:
    """Data with labels and a split; make it with :meth:`from_data`.

    Args:
        name: What the data is called in reports.
        x: Features ``[nodes, in_channels]``, float32: dense, or ``torch.sparse_csr`` with int64 indices. Codes of
            categories are int64. Several graphs stand below one another.
        edge_index: Sources and targets ``[2, edges]``, int64.
        edge_weight: ``[edges]``, float32, or None.
        edge_attr: ``[edges, edge_channels]``, float32 (int64 for codes), or None.
        y: Class of each item ``[items]``, int64, or labels ``[items, labels]``, float32 with NaN for a missing one.
        out_channels: Columns of a network's output.
        roles: Item numbers of each of :data:`~gnas.split.ROLES`, int64, sorted.
        normalisation: How the feature rows were scaled: ``"l2"``, ``"l1"`` or ``"none"``.
        fingerprint: SHA-256 over the data as it came, before the scaling.
        notes: What was decided on the way, each in a sentence for the reader of a report.
        level: What an item is: ``"node"``, ``"edge"``, ``"link"`` or ``"graph"``.
        kind: What a label is: one of :data:`gnas.metrics.KINDS`.
        metric: What a network is judged by.
        pointers: First node and edge of each graph, ``[2, graphs + 1]``; None for a single graph.
        pairs: The items ``[2, items]`` where they are pairs of nodes.
        edge_of_pair: At edge level, where edges have features, the edge that each pair is ``[items]``; None elsewhere,
            and where a pair is no edge.
        owner: At link level the true pair that each edge is, or -1.
        drawn: At link level, whether false pairs are drawn anew at each step.
        undirected: At link level, whether a pair and its reverse are the same.
        categories: Number of values of each column of ``x`` where these are codes, or None.
        edge_categories: The same of ``edge_attr``.
        loading: How batches are made.
        scaling: The scaling of features that was asked for.
        seed: Seed of the split.
    """

    name: str
    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    edge_attr: Tensor | None
    y: Tensor
    out_channels: int
    roles: dict[str, Tensor]
    normalisation: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    level: str = NODE
    kind: str = CLASSIFICATION
    metric: Metric = METRICS["accuracy"]
    pointers: Tensor | None = None
    pairs: Tensor | None = None
    edge_of_pair: Tensor | None = None
    owner: Tensor | None = None
    drawn: bool = False
    undirected: bool = False
    categories: tuple[int, ...] | None = None
    edge_categories: tuple[int, ...] | None = None
    loading: Loading = field(default_factory=Loading)
    scaling: str = "auto"
    seed: int = 0
    test_reads: int = field(default=0, init=False)

    @classmethod
    def from_data(
        cls,
        data: Data | GraphSet | Sequence[Data] | Dataset,
        *,
        name: str | None = None,
        seed: int = 0,
        features: str = "auto",
        level: str | None = None,
        kind: str | None = None,
        metric: Wish = None,
        higher_is_better: bool | None = None,
        loader: str = "full",
        batch_size: int | None = None,
        parts: int | None = None,
        measure: str = "full",
    ) -> Task:
        """Check data and make a task of them. The data themselves are neither changed nor shared.

        .. code-block:: python

            Task.from_data(data)                                      # one graph with classes of its nodes
            Task.from_data(data, metric="mae")                        # ... with a number for each node
            Task.from_data(data, level="link")                        # which of its edges are missing
            Task.from_data(dataset, metric="roc_auc")                 # many graphs with labels
            Task.from_data(data, loader="random", parts=100)          # a graph too big to be trained on at once

        Args:
            data: One graph with ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]``, ``y`` and, if it has them,
                ``train_mask``, ``val_mask``, ``test_mask`` (bool ``[items]``), ``edge_weight`` ``[edges]``,
                ``edge_attr`` ``[edges, any]``, ``num_classes`` and ``metric``. Or several, each such a graph: a
                :class:`~gnas.graphs.GraphSet`, a list, or a data set of PyG. ``y`` holds classes (int64 ``[items]``),
                yes or no to several labels (bool or float ``[items, labels]``, NaN where missing) or numbers (float).
            name: What the data is called in reports.
            seed: Seed of the split, where there is none.
            features: ``"l2"`` or ``"l1"`` scales each feature row to unit norm, ``"none"`` leaves it; ``"auto"`` is
                ``"l2"`` for sparse non-negative features (bags of words) and ``"none"`` for others.
            level: What has labels: ``"node"``, ``"edge"``, ``"link"`` or ``"graph"``; inferred where ``y`` tells.
            kind: What labels are: ``"classification"``, ``"multilabel"`` or ``"regression"``; inferred likewise.
            metric: One of :data:`gnas.metrics.KNOWN`, or a function of scores and labels that gives a number.
            higher_is_better: Of such a function.
            loader, batch_size, parts, measure: See :class:`Loading`.

        Raises:
            TypeError, ValueError: Something in the data does not fit; the sentence says what.
        """
        seed = checks.seed("Task.from_data", seed)
        fields = fields_of(
            data,
            name=name,
            seed=seed,
            features=features,
            level=level,
            kind=kind,
            metric=metric,
            higher_is_better=higher_is_better,
        )
        loading = Loading(loader, batch_size, parts, measure)
        task = cls(**fields, loading=loading, scaling=features, seed=seed)
        loading.check(task.level, task.pointers is None, task.num_nodes)
        if loading.loader in ("cluster", "neighbor"):
            _ = task._source  # asks for what these loaders need
        return task

    # what it is

    @property
    def in_channels(self) -> int:
        """Number of feature columns."""
        return self.x.size(1)

    @property
    def inputs(self) -> dict[str, Any]:
        """What :class:`~gnas.supernet.GraphSupernet` and :class:`~gnas.model.GraphModel` need to know of the input
        besides ``in_channels``, as keyword arguments; what a graph does not have is left out."""
        edge_channels = 0 if self.edge_attr is None else self.edge_attr.size(1)
        known = {
            "edge_channels": edge_channels,
            "categories": self.categories,
            "edge_categories": self.edge_categories,
            "scales": self.scales,
        }
        return {key: value for key, value in known.items() if value}

    @cached_property
    def scales(self) -> Scales | None:
        """Of numbers to predict: mean and standard deviation of each column of the weights split's labels.

        Networks answer in the labels' units by them (:mod:`gnas.units`), and the loss counts in deviations.
        """
        return scales_of(self.y[self.roles["weights"]]) if self.kind == REGRESSION else None

    @cached_property
    def _deviation(self) -> Tensor:
        assert self.scales is not None
        return self.y.new_tensor(self.scales[1])

    @property
    def num_nodes(self) -> int:
        """Number of nodes, of all graphs together."""
        return self.x.size(0)

    @property
    def num_graphs(self) -> int:
        """Number of graphs."""
        return 1 if self.pointers is None else self.pointers.size(1) - 1

    @property
    def few_labels(self) -> bool:
        """Whether labels are so few that hard regularisation pays: of nodes, fewer than :data:`FEW` to train on."""
        return self.level == NODE and self.roles["weights"].numel() < FEW

    @property
    def words(self) -> bool:
        """Whether features are bags of words: sparse, with :data:`SEVERAL` in a row or more, not one that says all."""
        return self.x.layout == torch.sparse_csr and self.x.values().numel() >= SEVERAL * self.num_nodes

    @property
    def higher_is_better(self) -> bool:
        """Whether the larger of two values of the metric is the better one."""
        return self.metric.higher_is_better

    @property
    def device(self) -> torch.device:
        """Where the data lie."""
        return self.x.device

    def index(self, role: str) -> Tensor:
        """Item numbers of a role, int64 and sorted."""
        if role not in ROLES:
            raise ValueError(f"got the role {role!r}; expected one of {list(ROLES)}")
        return self.roles[role]

    @property
    def redrawable(self) -> bool:
        """Whether items of the two open roles can change places, each for itself: graphs, or nodes of one graph.

        Nodes of several graphs have the role of their graph, and pairs that of their reverse.
        """
        return self.level == GRAPH or (self.level == NODE and self.pointers is None)

    def redrawn(self, seed: int) -> Task:
        """The same task with other items in the roles weights and architecture, as many of each class in each.

        Trainings on several of these are a cross-validation by random splits. The test role stays what it is. Where a
        draw leaves a role without what its metric needs, such as both values of a label, the next one is taken; where
        none of some has it, the roles stay as they are.

        Raises:
            ValueError: The items belong together, see :attr:`redrawable`.
        """
        if not self.redrawable:
            of = "several graphs" if self.level == NODE else f"the level {self.level!r}"
            raise ValueError(
                f"the roles of a task of {of} can't be drawn anew, because its items belong together; expected graphs "
                "with labels, or one graph with labels of its nodes"
            )
        both = torch.cat([self.roles[role] for role in OPEN])
        size = self.roles["weights"].numel()
        classes = self.y[both] if self.kind == CLASSIFICATION else torch.zeros_like(both)
        targets = Targets(self.y, self.kind, self.out_channels, self.metric)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(REDRAWS):
            order = torch.randperm(both.numel(), generator=generator).to(both.device)
            drawn: list[list[Tensor]] = [[], []]
            for label in classes.unique():
                count = int((classes[:size] == label).sum())
                for role, part in enumerate(both[order[classes[order] == label]].tensor_split([count])):
                    drawn[role].append(part)
            roles = {role: torch.cat(parts).sort().values for role, parts in zip(OPEN, drawn, strict=True)}
            if measurable(targets, roles):
                return replace(self, roles=self.roles | roles)
        return self

    # batches

    def steps(self, generator: torch.Generator, roles: Sequence[str] = OPEN) -> Iterator[Step]:
        """One epoch: for each step a batch for each of these roles. A full graph is one step, one batch for both.

        Args:
            generator: What is drawn comes from it; for a full graph nothing is.
            roles: ``"weights"``, and ``"architecture"`` where it is trained, too.
        """
        for role in roles:
            self._open(role)
        return self._source.steps(roles, generator)

    def batches(self, role: str) -> Iterator[Batch]:
        """The batches to measure a role by, always the same and in the same order."""
        self._open(role)
        return self._source.measuring((role,))

    def forward(self, model: Any, batch: Batch) -> Tensor:
        """The network's output on a batch: a row of scores ``[items, out_channels]`` for each of its items.

        Raises:
            ValueError: It has another shape, or a network that normalises batches is trained on a single node.
        """
        if batch.x.size(0) == 1 and isinstance(model, nn.Module) and model.training and normalises(model):
            raise ValueError(
                "a batch of one node has no statistics for a batch normalisation; expected two nodes or more, try a "
                "larger batch_size, fewer parts, or a space without batch_norm: layered(norms=('layer_norm',))"
            )
        output = batch.run(model)
        expected = (batch.y.size(0), self.out_channels)
        if tuple(output.shape) != expected:
            raise ValueError(
                f"the output has shape {list(output.shape)}; expected [{self.level}s, scores] = {list(expected)}"
            )
        return output

    # loss and metric

    def loss(self, output: Tensor, batch: Batch, role: str) -> Tensor:
        """Mean loss over the items of a role in a batch, a scalar; of numbers in deviations, see :attr:`scales`."""
        index = batch.index[self._open(role)]
        return self._loss(output[index], batch.y[index])

    def measure(self, model: nn.Module, roles: Sequence[str] = OPEN) -> dict[str, tuple[float, float]]:
        """Loss and metric of each role, over all its items at once, without gradients; the network then evaluates.

        A network runs once on a batch that serves several roles. On one whole graph its batch normalisations take the
        graph's statistics; over batches those of a supernet are settled first, see :meth:`settle`.
        """
        for role in roles:
            self._open(role)
        model.eval()
        if hasattr(model, "arch_parameters"):
            self.settle(model)
        with settled(model) if isinstance(self._source, Whole) else nullcontext():
            found = self._collected(model, roles)
        return {role: (float(self._loss(*found[role])), self.metric(*found[role])) for role in roles}

    @torch.no_grad()
    def settle(self, model: nn.Module) -> None:
        """Replace the running averages of batch normalisations by statistics of the network as it is now.

        They are means over :data:`SETTLING` batches of the weights role, always the same; see :mod:`gnas.settling`. On
        one whole graph there is nothing to do, since :meth:`measure` takes the graph's own.
        """
        if isinstance(self._source, Whole) or not normalises(model):
            return
        model.eval()
        with averaged(model):
            for step in islice(self.steps(torch.Generator().manual_seed(0), ("weights",)), SETTLING):
                self.forward(model, step["weights"])

    def test(self, model: nn.Module) -> float:
        """Metric on the test role. The only way to it; :attr:`test_reads` counts how often it was gone."""
        self.test_reads += 1
        model.eval()
        return self.metric(*self._collected(model, ("test",))["test"])

    @torch.no_grad()
    def _collected(self, model: nn.Module, roles: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
        """Scores and labels of all items of each role."""
        plain = self.loading.measure == "layers" and not hasattr(model, "arch_parameters")
        source = self._by_layers if plain else self._source
        found: dict[str, tuple[list[Tensor], list[Tensor]]] = {role: ([], []) for role in roles}
        for batch in source.measuring(roles):
            output = self.forward(model, batch)
            for role in roles:
                index = batch.index.get(role)
                if index is not None and index.numel():
                    found[role][0].append(output[index])
                    found[role][1].append(batch.y[index])
        return {role: (_cat(scores), _cat(labels)) for role, (scores, labels) in found.items()}

    def _loss(self, output: Tensor, y: Tensor) -> Tensor:
        if self.scales is not None:
            output, y = output / self._deviation, y / self._deviation
        return loss_of(self.kind, self.metric)(output, y)

    def _open(self, role: str) -> str:
        if role == "test":
            raise ValueError(
                "the role 'test' is closed to batches(), steps(), loss() and measure(), because the last evaluation "
                "alone may read it; use 'architecture', or test(model) in that evaluation"
            )
        self.index(role)
        return role

    # where batches come from

    @cached_property
    def _source(self) -> Source:
        store = Store(self.x, self.edge_index, self.edge_weight, self.edge_attr, self.pointers)
        loading, size = self.loading, self.loading.batch_size
        if self.pointers is not None:
            graphs = size or (SMALL if self.num_graphs <= SMALL else GRAPHS)
            return Sets(store, self.y, self.roles, self.level == GRAPH, graphs)
        if self.level == PAIR:
            assert self.pairs is not None and self.owner is not None
            links = Links(self.pairs, self.y, self.roles, self.owner, self.drawn, self.undirected)
            true = int(self.y[self.roles["weights"]].sum())
            return Pairs(store, links, min(loading.parts or FOLDS, max(true, 1)))
        whole = Whole(store, self.y, self.roles, self.pairs if self.level == EDGE else None, self.edge_of_pair)
        if loading.loader == "full":
            return whole
        if loading.loader == "neighbor":
            return Neighbourhoods(store, self.y, self.roles, size or SEEDS, whole)
        if loading.loader == "random":
            loader = random_parts(store, loading.parts or -(-self.num_nodes // (size or PART)))
        else:
            loader = cluster_parts(store, loading.parts or max(self.num_nodes // 1000, CLUSTERS), size or CLUSTERS)
        return Parts(store, self.y, self.roles, loader, whole if loading.measure == "full" else None)

    @cached_property
    def _by_layers(self) -> Source:
        """The whole graph for a network that runs through its layers by blocks; one that can't, runs at once."""
        size = self.loading.batch_size if self.loading.loader == "random" else None
        store = Store(self.x, self.edge_index, self.edge_weight, self.edge_attr)
        return Whole(store, self.y, self.roles, block=size or PART)

    # what is said of it

    def digest(self) -> str:
        """SHA-256 over the data, labels and split: with the same digest two runs saw the same data."""
        return self.fingerprint

    def describe(self) -> dict[str, Any]:
        """The task in plain values that JSON can hold."""
        sizes = {"graphs": self.num_graphs} if self.pointers is not None else {}
        loading = {key: value for key, value in vars(self.loading).items() if value not in (None, "full")}
        return {
            "name": self.name,
            "level": self.level,
            "kind": self.kind,
            **sizes,
            "nodes": self.num_nodes,
            "edges": self.edge_index.size(1),
            "features": self.in_channels,
            ("classes" if self.kind == CLASSIFICATION else "outputs"): self.out_channels,
            "split": {role: self.roles[role].numel() for role in ROLES},
            "split_seed": self.seed,
            "scaling": self.scaling,
            "normalisation": self.normalisation,
            "sparse": self.x.layout == torch.sparse_csr,
            "metric": self.metric.name,
            "metric_key": self.metric.key,
            "higher_is_better": self.metric.higher_is_better,
            "percent": self.metric.percent,
            "loading": loading,
            "notes": list(self.notes),
        }

    def to(self, device: torch.device | str) -> Task:
        """Move to a device in place and return itself, as PyG's ``Data.to`` does."""
        with quiet_sparse():
            self.x = self.x.to(device)
        for key in ("edge_index", "edge_weight", "edge_attr", "y", "pointers", "pairs", "edge_of_pair", "owner"):
            value = getattr(self, key)
            setattr(self, key, None if value is None else value.to(device))
        self.roles = {role: index.to(device) for role, index in self.roles.items()}
        for key in ("_source", "_by_layers", "_deviation"):
            self.__dict__.pop(key, None)
        return self

    def __repr__(self) -> str:
        split = "/".join(str(self.roles[role].numel()) for role in ROLES)
        graphs = f"{self.num_graphs} graphs, " if self.pointers is not None else ""
        outputs = "classes" if self.kind == CLASSIFICATION else "outputs"
        level = "" if (self.level, self.kind) == (NODE, CLASSIFICATION) else f"{self.level} {self.kind}, "
        return (
            f"Task({self.name!r}, {level}{graphs}{self.num_nodes} nodes, {self.edge_index.size(1)} edges, "
            f"{self.in_channels} features, {self.out_channels} {outputs}, {split})"
        )


def _cat(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
