"""The task: one graph with labels, the three roles of its split, the loss and the metric.

A :class:`Task` is made from a PyG :class:`~torch_geometric.data.Data` by :meth:`Task.from_data`, which checks
everything once, so that whoever holds a task need check nothing. The roles of the nodes are

* ``weights`` (``train_mask``): the network's weights are trained on them,
* ``architecture`` (``val_mask``): the architecture is chosen on them, and training is stopped on them,
* ``test`` (``test_mask``): read once, by the last evaluation, through :meth:`Task.test_metric` and nothing else.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from gnas.data import quiet_sparse

ROLES = ("weights", "architecture", "test")
MASKS = {"weights": "train_mask", "architecture": "val_mask", "test": "test_mask"}
WEIGHTS_SHARE = 0.6
"""Share of the nodes that becomes the weights split where there are no masks; the others get half of the rest each."""
CARVED_SHARE = 0.25
"""Share of ``train_mask`` that becomes the architecture split where there is a test mask but no ``val_mask``."""

FEATURES = ("auto", "l2", "l1", "none")
BAG_OF_WORDS_DENSITY = 0.2
# Below this share of non-zeros the first projection with dropout is faster as a sparse product: on PubMed (10 %)
# a third of the dense one's time, forward and backward, one thread.
SPARSE_DENSITY = 0.15
SPARSE_COLUMNS = 64

TOO_SMALL = "a class has too few nodes for a split by class, so nodes were drawn regardless of class"


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
        _check_kind(data)
        notes: list[str] = []
        x = _features(data, notes)
        nodes = x.size(0)
        edge_index = _edge_index(data, nodes)
        edge_weight = _edge_weight(data, edge_index.size(1))
        edge_attr = _edge_attr(data, edge_index.size(1))
        y, classes = _labels(data, nodes, notes)
        roles = _roles(data, y, seed, notes)
        absent = sorted(set(range(classes)) - set(y[roles["weights"]].tolist()))
        if absent:
            notes.append(f"no node of the weights split has class {_few(absent)}, so no network can learn it")
        if edge_index.size(1) == 0:
            notes.append("the graph has no edges")
        x = _layout(x)
        # Before the scaling, whose last digits may differ from machine to machine.
        raw = {"x": x, "edge_index": edge_index, "edge_weight": edge_weight, "edge_attr": edge_attr, "y": y} | roles
        x, normalisation = _normalise(x, features, notes)
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
            fingerprint=_fingerprint(raw, f"{classes} classes, {normalisation} features"),
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


def _check_kind(data: object) -> None:
    if isinstance(data, HeteroData):
        raise TypeError(
            "got a HeteroData with several kinds of nodes or edges, which gnas does not search yet; "
            "expected a Data, try data.to_homogeneous()"
        )
    if not isinstance(data, Data):
        hint = ", try dataset[0]" if hasattr(data, "__getitem__") else ""
        raise TypeError(f"got a {type(data).__name__}; expected a torch_geometric.data.Data{hint}")


def _stated(data: Data, key: str) -> int | None:
    """A count that the graph itself states, not one that PyG would infer."""
    return int(data[key]) if key in data else None


def _tensor(data: Data, key: str) -> Tensor | None:
    """An entry of the graph as a plain tensor on the CPU without history, or None where it is missing."""
    if key not in data:
        return None
    value = data[key]
    if not isinstance(value, Tensor):
        raise TypeError(f"{key} is a {type(value).__name__}; expected a tensor, try torch.as_tensor(data.{key})")
    if hasattr(value, "as_tensor"):  # PyG's EdgeIndex and Index, which remember how they are sorted
        value = value.as_tensor()
    value = value.detach().cpu()
    if value.layout == torch.strided:
        return value.contiguous()
    if key != "x":
        dense = "torch_geometric.utils.to_edge_index(data.edge_index)[0]" if key == "edge_index" else "to_dense()"
        raise TypeError(f"{key} is a sparse tensor ({value.layout}); expected a dense one, try {dense}")
    return value


def _number(value: Tensor, key: str) -> Tensor:
    """Numbers as a new float32 tensor, dense or CSR, checked to be finite."""
    if value.is_complex() or value.is_quantized:
        raise TypeError(f"{key} has dtype {_dtype(value)}; expected real numbers, such as float32")
    result = value.to(torch.float32, copy=True)
    if result.layout != torch.strided:
        # By way of COO, which adds up duplicates. Explicit zeros go, so that the digest does not see them.
        result = result.to_sparse().coalesce()
        kept = result.values() != 0
        indices, values = result.indices()[:, kept], result.values()[kept]
        result = torch.sparse_coo_tensor(indices, values, result.shape, is_coalesced=True, check_invariants=True)
        with quiet_sparse():
            result = result.to_sparse_csr()
    numbers = _values(result)
    bad = numbers.numel() - int(torch.isfinite(numbers).sum())
    if bad:
        raise ValueError(
            f"{key} holds {bad} numbers of {value.numel()} that are NaN or infinite as float32; expected finite "
            f"numbers, try data.{key} = torch.nan_to_num(data.{key})"
        )
    return result


def _values(x: Tensor) -> Tensor:
    return x.values() if x.layout == torch.sparse_csr else x


def _features(data: Data, notes: list[str]) -> Tensor:
    """Features ``[nodes, columns]`` in float32, dense or CSR as they came."""
    x = _tensor(data, "x")
    if x is None:
        raise ValueError(
            "the graph has no x; expected node features [nodes, features], try torch_geometric.transforms.Constant() "
            "or OneHotDegree(max_degree)"
        )
    if x.dim() != 2:
        raise ValueError(f"x has shape {list(x.shape)}; expected [nodes, features], try x.view(nodes, -1)")
    nodes, columns = x.shape
    if nodes == 0:
        raise ValueError("the graph is empty: x has 0 nodes; expected at least 3, one for each role of the split")
    if columns == 0:
        raise ValueError(f"x has shape {[nodes, 0]}; expected at least one feature, try torch.ones({nodes}, 1)")
    stated = _stated(data, "num_nodes")
    if stated is not None and stated != nodes:
        raise ValueError(f"x has {nodes} rows but num_nodes is {stated}; expected a row of features for each node")
    if not x.is_floating_point():
        notes.append(f"features came as {_dtype(x)} and were converted to float32")
    return _number(x, "x")


def _layout(x: Tensor) -> Tensor:
    """Sparse CSR where that is faster, otherwise dense."""
    nonzero = int(torch.count_nonzero(_values(x)))
    sparse = nonzero < SPARSE_DENSITY * x.numel() and x.size(1) > SPARSE_COLUMNS
    if sparse == (x.layout == torch.sparse_csr):
        return x
    with quiet_sparse():
        return x.to_sparse_csr() if sparse else x.to_dense()


def _normalise(x: Tensor, features: str, notes: list[str]) -> tuple[Tensor, str]:
    """Scale each row to unit norm; a row of zeros stays one."""
    values = _values(x)
    chosen, why = features, ""
    if features == "auto":
        density = float(torch.count_nonzero(values)) / x.numel()
        words = density < BAG_OF_WORDS_DENSITY and bool((values >= 0).all())
        chosen = "l2" if words else "none"
        why = f", because they are {'sparse and non-negative' if words else 'not a sparse, non-negative bag of words'}"
    if chosen == "none":
        notes.append(f"features are used as they came{why}")
        return x, chosen
    notes.append(f"feature rows are scaled to unit {chosen.upper()} norm{why}")
    order = {"l1": 1, "l2": 2}[chosen]
    if x.layout != torch.sparse_csr:
        # In float64, so that the square of a large float32 does not overflow.
        norm = torch.linalg.vector_norm(x, order, dim=1, keepdim=True, dtype=torch.float64)
        return (x / torch.where(norm == 0, 1.0, norm)).to(torch.float32), chosen
    rows = torch.repeat_interleave(torch.arange(x.size(0)), x.crow_indices().diff())
    powers = torch.zeros(x.size(0), dtype=torch.float64).index_add_(0, rows, values.double().abs() ** order)
    scaled = (values / (powers ** (1 / order))[rows]).to(torch.float32)
    with quiet_sparse():
        x = torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), scaled, x.shape, check_invariants=True)
    return x, chosen


def _edge_index(data: Data, nodes: int) -> Tensor:
    edge_index = _tensor(data, "edge_index")
    if edge_index is None:
        hint = (
            "try torch.stack(data.adj_t.t().coo()[:2])"
            if "adj_t" in data
            else "for a graph without edges try torch.empty(2, 0, dtype=torch.long)"
        )
        raise ValueError(f"the graph has no edge_index; expected int64 of shape [2, edges], {hint}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        hint = ", try edge_index.t()" if edge_index.dim() == 2 and edge_index.size(1) == 2 else ""
        raise ValueError(f"edge_index has shape {list(edge_index.shape)}; expected [2, edges]{hint}")
    if edge_index.dtype != torch.long:
        raise TypeError(f"edge_index has dtype {_dtype(edge_index)}; expected int64, try edge_index.long()")
    wrong = (edge_index < 0) | (edge_index >= nodes)
    if bool(wrong.any()):
        example = int(edge_index[wrong][0])
        raise ValueError(
            f"edge_index names node {example} in a graph of {nodes} nodes ({int(wrong.sum())} such entries); expected "
            f"0 to {nodes - 1}, try adding rows to x or leaving those edges out"
        )
    return edge_index.clone()


def _edge_weight(data: Data, edges: int) -> Tensor | None:
    weight = _tensor(data, "edge_weight")
    if weight is None:
        return None
    if weight.dim() == 2 and weight.size(1) == 1:
        weight = weight.squeeze(1)
    if tuple(weight.shape) != (edges,):
        raise ValueError(f"edge_weight has shape {list(weight.shape)}; expected one number for each edge, [{edges}]")
    weight = _number(weight, "edge_weight")
    if bool((weight < 0).any()):
        raise ValueError(
            f"edge_weight holds the negative number {float(weight.min()):g}; expected none, because GCN takes the root "
            "of their sums, try edge_weight.abs() or edge_attr"
        )
    return weight


def _edge_attr(data: Data, edges: int) -> Tensor | None:
    attr = _tensor(data, "edge_attr")
    if attr is None:
        return None
    attr = attr.unsqueeze(1) if attr.dim() == 1 else attr
    if attr.dim() != 2 or attr.size(0) != edges:
        raise ValueError(f"edge_attr has shape {list(attr.shape)}; expected [{edges}, features], a row for each edge")
    return _number(attr, "edge_attr")


def _labels(data: Data, nodes: int, notes: list[str]) -> tuple[Tensor, int]:
    """Labels ``[nodes]`` in int64, and the number of classes."""
    y = _tensor(data, "y")
    if y is None:
        raise ValueError("the graph has no y; expected the class of each node, int64 of shape [nodes]")
    if y.is_floating_point() or y.is_complex():
        raise TypeError(
            f"y has dtype {_dtype(y)}; expected class numbers (int64), because gnas classifies nodes; if these are "
            "class numbers, try data.y = data.y.long()"
        )
    if y.dim() == 2 and y.size(1) == 1 and nodes == y.size(0):
        y = y.squeeze(1)
        notes.append(f"labels came with shape [{nodes}, 1] and were squeezed")
    if tuple(y.shape) != (nodes,):
        hint = ", for one-hot labels try y.argmax(dim=1)" if y.dim() == 2 and y.size(0) == nodes else ""
        raise ValueError(f"y has shape {list(y.shape)}; expected one class for each node, [{nodes}]{hint}")
    y = y.to(torch.long, copy=True)
    return y, _classes(y, _stated(data, "num_classes"))


def _classes(y: Tensor, stated: int | None) -> int:
    """Number of classes: the one that the graph states, otherwise the highest label and one more."""
    low, high, distinct = int(y.min()), int(y.max()), int(torch.count_nonzero(y.sort().values.diff())) + 1
    if low < 0:
        raise ValueError(
            f"y holds the label {low}; expected 0 or more (a node without a label may have 0 and be in no mask)"
        )
    if stated is not None and high >= stated:
        raise ValueError(f"y holds the label {high} but num_classes is {stated}; expected 0 to {stated - 1}")
    classes = high + 1 if stated is None else stated
    # A label that is a slip would cost a network thousands of outputs; a few classes may well be missing in a part.
    if stated is None and classes > 2 * distinct:
        raise ValueError(
            f"y holds the label {high} but only {distinct} different labels; expected 0 to {distinct - 1}, try "
            f"data.y = data.y.unique(return_inverse=True)[1], or data.num_classes = {classes} if that is meant"
        )
    if classes < 2:
        raise ValueError(f"y holds the label {high} alone; expected at least two classes")
    return classes


def _roles(data: Data, y: Tensor, seed: int, notes: list[str]) -> dict[str, Tensor]:
    """Node numbers of each role, from the masks where there are any."""
    nodes = y.numel()
    masks = {role: mask for role, key in MASKS.items() if (mask := _mask(data, key, nodes)) is not None}
    for first, second in itertools.combinations(masks, 2):
        both = int((masks[first] & masks[second]).sum())
        if both:
            a, b = MASKS[first], MASKS[second]
            raise ValueError(
                f"{a} and {b} share {both} nodes; expected masks without a node in common, try data.{b} &= ~data.{a}"
            )
    index = {role: mask.nonzero().view(-1) for role, mask in masks.items()}
    if not masks:
        if nodes < len(ROLES):
            raise ValueError(f"the graph has {nodes} nodes and no masks; expected at least 3, one for each role")
        index["weights"], rest = _split(torch.arange(nodes), y, 1 - WEIGHTS_SHARE, seed, notes, least=2)
        index["architecture"], index["test"] = _split(rest, y, 0.5, seed, notes)
        sizes = "/".join(str(index[role].numel()) for role in ROLES)
        notes.append(f"the graph had no masks: its nodes were split {sizes} ({'/'.join(ROLES)}) with seed {seed}")
    elif "weights" not in index:
        raise ValueError(
            f"the graph has {' and '.join(MASKS[role] for role in masks)} but no train_mask; expected train_mask too, "
            "or no masks at all for a seeded split"
        )
    elif "test" in index and "architecture" not in index:
        if index["weights"].numel() < 2:
            raise ValueError("the graph has no val_mask and train_mask has 1 node; expected 2 to share, or a val_mask")
        index["weights"], index["architecture"] = _split(index["weights"], y, CARVED_SHARE, seed, notes)
        notes.append(
            f"the graph had no val_mask: {index['architecture'].numel()} nodes of train_mask became the architecture "
            f"split with seed {seed}"
        )
    elif "test" not in index:
        free = (~torch.stack(list(masks.values())).any(0)).nonzero().view(-1)
        _fill(index, free, y, seed, notes)
    return {role: index[role] for role in ROLES}


def _fill(index: dict[str, Tensor], free: Tensor, y: Tensor, seed: int, notes: list[str]) -> None:
    """Where the test mask is missing, and perhaps ``val_mask`` with it, the nodes in no mask take their place."""
    needed = [role for role in ROLES if role not in index]
    missing = " and no ".join(MASKS[role] for role in needed)
    if free.numel() < len(needed):
        raise ValueError(
            f"the graph has no {missing}, and {free.numel()} nodes are in no mask; expected at least {len(needed)}, "
            "try leaving nodes out of train_mask"
        )
    if len(needed) == 1:
        index["test"] = free
    else:
        index["architecture"], index["test"] = _split(free, y, 0.5, seed, notes)
    sizes = " and ".join(f"{index[role].numel()} became the {role} split" for role in needed)
    notes.append(f"the graph had no {missing}: of the nodes in no mask {sizes}")


def _mask(data: Data, key: str, nodes: int) -> Tensor | None:
    mask = _tensor(data, key)
    if mask is None:
        return None
    if mask.dim() == 2 and mask.size(0) == nodes:
        raise ValueError(
            f"{key} has shape {list(mask.shape)}, one column for each of {mask.size(1)} splits; expected one split "
            f"[{nodes}], try data.{key} = data.{key}[:, 0]"
        )
    if mask.dtype != torch.bool:
        whole = tuple(mask.shape) == (nodes,)
        hint = f"data.{key}.bool()" if whole else f"torch_geometric.utils.index_to_mask(data.{key}, {nodes})"
        raise TypeError(f"{key} has dtype {_dtype(mask)}; expected bool of shape [{nodes}], try {hint}")
    if tuple(mask.shape) != (nodes,):
        raise ValueError(f"{key} has shape {list(mask.shape)}; expected one bool for each node, [{nodes}]")
    if not bool(mask.any()):
        raise ValueError(f"{key} selects 0 of {nodes} nodes; expected at least 1, or no {key} at all")
    return mask


def _split(
    index: Tensor, y: Tensor, share: float, seed: int, notes: list[str], least: int = 1
) -> tuple[Tensor, Tensor]:
    """Part nodes into the rest and a share of ``least`` or more: by class, or at random where a class is too small.

    Both parts come sorted.
    """
    from sklearn.model_selection import train_test_split

    count = min(max(round(share * index.numel()), least), index.numel() - 1)
    sizes = y[index].bincount()
    sizes = sizes[sizes > 0]
    by_class = int(sizes.min()) >= 2 and min(count, index.numel() - count) >= sizes.numel()
    if not by_class and TOO_SMALL not in notes:
        notes.append(TOO_SMALL)
    rest, part = train_test_split(
        index.numpy(), test_size=count, random_state=seed % 2**32, stratify=y[index].numpy() if by_class else None
    )
    return torch.from_numpy(rest).sort().values, torch.from_numpy(part).sort().values


def _fingerprint(tensors: dict[str, Tensor | None], settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    for key, tensor in tensors.items():
        if tensor is None:
            continue
        sparse = tensor.layout == torch.sparse_csr
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values()) if sparse else (tensor,)
        digest.update(f"\n{key} {list(tensor.shape)}".encode())
        for part in parts:
            digest.update(f" {_dtype(part)} ".encode())
            digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _few(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return shown if len(numbers) <= 5 else f"{shown} and {len(numbers) - 5} more"
