"""A PyG :class:`~torch_geometric.data.Data` as it comes: each part checked once, converted, and noted where it changed.

Every error says what was got, what was expected and what to try; nothing is silently repaired.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from gnas.data import quiet_sparse

FEATURES = ("auto", "l2", "l1", "none")
BAG_OF_WORDS_DENSITY = 0.2
# Below this share of non-zeros the first projection with dropout is faster as a sparse product: on PubMed (10 %)
# a third of the dense one's time, forward and backward, one thread.
SPARSE_DENSITY = 0.15
SPARSE_COLUMNS = 64


def check_kind(data: object) -> None:
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


def tensor_of(data: Data, key: str) -> Tensor | None:
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
        raise TypeError(f"{key} has dtype {dtype_name(value)}; expected real numbers, such as float32")
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


def features_of(data: Data, notes: list[str]) -> Tensor:
    """Features ``[nodes, columns]`` in float32, dense or CSR as they came."""
    x = tensor_of(data, "x")
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
        notes.append(f"features came as {dtype_name(x)} and were converted to float32")
    return _number(x, "x")


def layout(x: Tensor) -> Tensor:
    """Sparse CSR where that is faster, otherwise dense."""
    nonzero = int(torch.count_nonzero(_values(x)))
    sparse = nonzero < SPARSE_DENSITY * x.numel() and x.size(1) > SPARSE_COLUMNS
    if sparse == (x.layout == torch.sparse_csr):
        return x
    with quiet_sparse():
        return x.to_sparse_csr() if sparse else x.to_dense()


def normalise(x: Tensor, features: str, notes: list[str]) -> tuple[Tensor, str]:
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


def edge_index_of(data: Data, nodes: int) -> Tensor:
    edge_index = tensor_of(data, "edge_index")
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
        raise TypeError(f"edge_index has dtype {dtype_name(edge_index)}; expected int64, try edge_index.long()")
    wrong = (edge_index < 0) | (edge_index >= nodes)
    if bool(wrong.any()):
        example = int(edge_index[wrong][0])
        raise ValueError(
            f"edge_index names node {example} in a graph of {nodes} nodes ({int(wrong.sum())} such entries); expected "
            f"0 to {nodes - 1}, try adding rows to x or leaving those edges out"
        )
    return edge_index.clone()


def edge_weight_of(data: Data, edges: int) -> Tensor | None:
    weight = tensor_of(data, "edge_weight")
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


def edge_attr_of(data: Data, edges: int) -> Tensor | None:
    attr = tensor_of(data, "edge_attr")
    if attr is None:
        return None
    attr = attr.unsqueeze(1) if attr.dim() == 1 else attr
    if attr.dim() != 2 or attr.size(0) != edges:
        raise ValueError(f"edge_attr has shape {list(attr.shape)}; expected [{edges}, features], a row for each edge")
    return _number(attr, "edge_attr")


def labels_of(data: Data, nodes: int, notes: list[str]) -> tuple[Tensor, int]:
    """Labels ``[nodes]`` in int64, and the number of classes."""
    y = tensor_of(data, "y")
    if y is None:
        raise ValueError("the graph has no y; expected the class of each node, int64 of shape [nodes]")
    if y.is_floating_point() or y.is_complex():
        raise TypeError(
            f"y has dtype {dtype_name(y)}; expected class numbers (int64), because gnas classifies nodes; if these are "
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


def fingerprint(tensors: dict[str, Tensor | None], settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    for key, tensor in tensors.items():
        if tensor is None:
            continue
        sparse = tensor.layout == torch.sparse_csr
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values()) if sparse else (tensor,)
        digest.update(f"\n{key} {list(tensor.shape)}".encode())
        for part in parts:
            digest.update(f" {dtype_name(part)} ".encode())
            digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def dtype_name(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def few(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return shown if len(numbers) <= 5 else f"{shown} and {len(numbers) - 5} more"
