"""The task: one graph with labels, the three roles of its split, the loss and the metric.

A :class:`Task` is made from a PyG :class:`~torch_geometric.data.Data` by :meth:`Task.from_data`, which checks
everything once, so that whoever holds a task need check nothing. The roles of the nodes are

* ``weights`` (``train_mask``): the network's weights are trained on them,
* ``architecture`` (``val_mask``): the architecture is chosen on them, and training is stopped on them,
* ``test`` (``test_mask``): read once, by the last evaluation, through :meth:`Task.test_metric` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data import quiet_sparse
from gnas.intake import (
    FEATURES,
    check_kind,
    edge_attr_of,
    edge_index_of,
    edge_weight_of,
    features_of,
    few,
    fingerprint,
    labels_of,
    layout,
    normalise,
)
from gnas.split import ROLES, roles_of


@dataclass(eq=False, repr=False)
class Task:
    """Node classification on one graph; make it with :meth:`from_data`.

    Args:
        name: What the data is called in reports.
        x: Features ``[nodes, in_channels]``, float32: dense, or ``torch.sparse_csr`` with int64 indices.
        edge_index: Sources and targets ``[2, edges]``, int64.
        edge_weight: ``[edges]``, float32, or None.
        edge_attr: ``[edges, features]``, float32, or None.
        y: Class of each node ``[nodes]``, int64.
        out_channels: Number of classes.
        roles: Node numbers of each of :data:`ROLES`, int64, sorted.
        normalisation: How the feature rows were scaled: ``"l2"``, ``"l1"`` or ``"none"``.
        fingerprint: SHA-256 over the data as it came, before the scaling.
        notes: What was decided on the way, each in a sentence for the reader of a report.
    """

    metric_name: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

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
    test_reads: int = field(default=0, init=False)

    @classmethod
    def from_data(cls, data: Data, *, name: str = "data", seed: int = 0, features: str = "auto") -> Task:
        """Check a graph and make a task of it. The graph itself is neither changed nor shared.

        Args:
            data: A graph with ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]``, integer ``y`` ``[nodes]``
                and, if it has them, ``train_mask``, ``val_mask``, ``test_mask`` (bool ``[nodes]``), ``edge_weight``
                ``[edges]``, ``edge_attr`` ``[edges, any]`` and ``num_classes``.
            name: What the data is called in reports.
            seed: Seed of the split, where masks are missing.
            features: ``"l2"`` or ``"l1"`` scales each feature row to unit norm, ``"none"`` leaves it; ``"auto"`` is
                ``"l2"`` for sparse non-negative features (bags of words) and ``"none"`` for others.

        Raises:
            TypeError, ValueError: Something in the graph does not fit; the sentence says what.
        """
        if features not in FEATURES:
            raise ValueError(f"features got {features!r}; expected one of {list(FEATURES)}")
        check_kind(data)
        notes: list[str] = []
        x = features_of(data, notes)
        nodes = x.size(0)
        edge_index = edge_index_of(data, nodes)
        edge_weight = edge_weight_of(data, edge_index.size(1))
        edge_attr = edge_attr_of(data, edge_index.size(1))
        y, classes = labels_of(data, nodes, notes)
        roles = roles_of(data, y, seed, notes)
        absent = sorted(set(range(classes)) - set(y[roles["weights"]].tolist()))
        if absent:
            notes.append(f"no node of the weights split has class {few(absent)}, so no network can learn it")
        if edge_index.size(1) == 0:
            notes.append("the graph has no edges")
        x = layout(x)
        # Before the scaling, whose last digits may differ from machine to machine.
        raw = {"x": x, "edge_index": edge_index, "edge_weight": edge_weight, "edge_attr": edge_attr, "y": y} | roles
        x, normalisation = normalise(x, features, notes)
        return cls(
            name=name,
            x=x,
            edge_index=edge_index,
            edge_weight=edge_weight,
            edge_attr=edge_attr,
            y=y,
            out_channels=classes,
            roles=roles,
            normalisation=normalisation,
            fingerprint=fingerprint(raw, f"{classes} classes, {normalisation} features"),
            notes=tuple(notes),
        )

    @property
    def in_channels(self) -> int:
        """Number of feature columns."""
        return self.x.size(1)

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return self.x.size(0)

    def index(self, role: str) -> Tensor:
        """Node numbers of a role, int64 and sorted."""
        if role not in ROLES:
            raise ValueError(f"got the role {role!r}; expected one of {list(ROLES)}")
        return self.roles[role]

    def forward(self, model: Callable[..., Tensor]) -> Tensor:
        """``model(x, edge_index, edge_weight, edge_attr)``: class scores of shape ``[nodes, out_channels]``."""
        return model(self.x, self.edge_index, self.edge_weight, self.edge_attr)

    def loss(self, output: Tensor, role: str) -> Tensor:
        """Mean cross entropy over the nodes of a role, a scalar."""
        index = self._open(role)
        return torch.nn.functional.cross_entropy(self._scores(output)[index], self.y[index])

    def metric(self, output: Tensor, role: str) -> float:
        """Accuracy over the nodes of a role, between 0 and 1."""
        return self._accuracy(output, self._open(role))

    def test_metric(self, output: Tensor) -> float:
        """Accuracy over the test nodes. The only way to it; :attr:`test_reads` counts how often it was gone."""
        self.test_reads += 1
        return self._accuracy(output, self.roles["test"])

    def digest(self) -> str:
        """SHA-256 over the graph, its labels and its split: with the same digest two runs saw the same data."""
        return self.fingerprint

    def describe(self) -> dict[str, Any]:
        """The task in plain values that JSON can hold."""
        return {
            "name": self.name,
            "nodes": self.num_nodes,
            "edges": self.edge_index.size(1),
            "features": self.in_channels,
            "classes": self.out_channels,
            "split": {role: self.roles[role].numel() for role in ROLES},
            "normalisation": self.normalisation,
            "sparse": self.x.layout == torch.sparse_csr,
            "metric": self.metric_name,
            "notes": list(self.notes),
        }

    def to(self, device: torch.device | str) -> Task:
        """Move to a device in place and return itself, as PyG's ``Data.to`` does."""
        with quiet_sparse():
            self.x = self.x.to(device)
        self.edge_index = self.edge_index.to(device)
        self.edge_weight = None if self.edge_weight is None else self.edge_weight.to(device)
        self.edge_attr = None if self.edge_attr is None else self.edge_attr.to(device)
        self.y = self.y.to(device)
        self.roles = {role: index.to(device) for role, index in self.roles.items()}
        return self

    def __repr__(self) -> str:
        split = "/".join(str(self.roles[role].numel()) for role in ROLES)
        return (
            f"Task({self.name!r}, {self.num_nodes} nodes, {self.edge_index.size(1)} edges, "
            f"{self.in_channels} features, {self.out_channels} classes, {split})"
        )

    def _open(self, role: str) -> Tensor:
        if role == "test":
            raise ValueError(
                "the role 'test' is closed to loss() and metric(), because the last evaluation alone may read it; "
                "use 'architecture', or test_metric(output) in that evaluation"
            )
        return self.index(role)

    def _scores(self, output: Tensor) -> Tensor:
        expected = (self.num_nodes, self.out_channels)
        if tuple(output.shape) != expected:
            raise ValueError(f"the output has shape {list(output.shape)}; expected [nodes, classes] = {list(expected)}")
        return output

    def _accuracy(self, output: Tensor, index: Tensor) -> float:
        from torchmetrics.functional.classification import multiclass_accuracy

        scores, y = self._scores(output.detach())[index], self.y[index]
        accuracy = multiclass_accuracy(scores, y, self.out_channels, average="micro", validate_args=False)
        return float(accuracy)
