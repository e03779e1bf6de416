"""A PyG :class:`~torch_geometric.data.Data` as it comes: each part checked once, converted, and noted where it changed.

Every error says what was got, what was expected and what to try; nothing is silently repaired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, HeteroData

from gnas.data import quiet_sparse
from gnas.data.saved import OLD, lacks_store
from gnas.graphs import GraphSet

FEATURES = ("auto", "l2", "l1", "none")
BAG_OF_WORDS_DENSITY = 0.2
# Below this share of non-zeros the first projection with dropout is faster as a sparse product: on PubMed (10 %)
# a third of the dense one's time, forward and backward, one thread.
SPARSE_DENSITY = 0.15
SPARSE_COLUMNS = 64
LARGEST_CODE = 100_000
"""Whole numbers above this and above the number of rows are not taken for codes of categories."""


def check_kind(data: object) -> Data:
    """The graph itself, if it is one."""
    if isinstance(data, HeteroData):
        raise TypeError(
            "got a HeteroData with several kinds of nodes or edges, which gnas does not search yet; "
            "expected a Data, try data.to_homogeneous()"
        )
    if not isinstance(data, Data):
        raise TypeError(
            f"got a {type(data).__name__}; expected a torch_geometric.data.Data, or several as a list, a data set of "
            "PyG or a gnas.GraphSet"
        )
    if lacks_store(data):
        raise ValueError(f"got {OLD}; expected a Data of this version of PyG")
    return data


def graphs_of(data: object) -> GraphSet | Data:
    """What was handed over as one graph or as a set of them; a PyG data set of one graph is that graph."""
    if isinstance(data, GraphSet):
        return data
    if isinstance(data, (list, tuple, Dataset)):
        graphs = tuple(data[i] for i in range(len(data)))
        if len(graphs) == 1 and isinstance(data, Dataset):
            # A transform such as RandomLinkSplit may have made several of it.
            return graphs_of(graphs[0])
        return GraphSet(graphs, None)
    return check_kind(data)


def stated(data: Data, key: str) -> int | None:
    """A count that the graph itself states, not one that PyG would infer."""
    if key not in data:
        return None
    given = data[key]
    count = given.item() if isinstance(given, Tensor) and given.numel() == 1 else given
    if isinstance(count, bool) or not isinstance(count, (int, float)) or count != int(count):
        raise ValueError(f"the graph has {key}={given!r}; expected a whole number")
    return int(count)


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
        dense = f"torch_geometric.utils.to_edge_index(data.{key})[0]" if key.endswith("_index") else "to_dense()"
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
            "or OneHotDegree(max_degree), but not degrees where edges are to be predicted: they tell of those asked for"
        )
    if x.dim() != 2:
        raise ValueError(f"x has shape {list(x.shape)}; expected [nodes, features], try x.view(nodes, -1)")
    nodes, columns = x.shape
    if nodes == 0:
        raise ValueError("the graph is empty: x has 0 nodes; expected at least 3, one for each role of the split")
    if columns == 0:
        raise ValueError(f"x has shape {[nodes, 0]}; expected at least one feature, try torch.ones({nodes}, 1)")
    count = stated(data, "num_nodes")
    if count is not None and count != nodes:
        raise ValueError(f"x has {nodes} rows but num_nodes is {count}; expected a row of features for each node")
    if not x.is_floating_point():
        notes.append(f"features came as {dtype_name(x)} and were converted to float32")
    return _number(x, "x")


def codes_of(value: Tensor, key: str, counts: Sequence[int] | None, notes: list[str]) -> tuple[int, ...] | None:
    """Number of values of each column ``[rows, columns]``, if these are codes of categories; None if they are numbers.

    Codes are whole numbers by type of which one is larger than 1, or whatever the data say that they are.
    """
    if counts is None and (value.is_floating_point() or value.dtype == torch.bool or not value.numel()):
        return None
    if value.is_floating_point() or value.layout != torch.strided or value.dim() != 2:
        raise TypeError(
            f"{key} has dtype {dtype_name(value)} and shape {list(value.shape)}, but its columns are said to be codes; "
            "expected int64 of shape [rows, columns]"
        )
    low = int(value.min()) if value.numel() else 0
    highest = value.amax(dim=0).tolist() if value.numel() else [0] * value.size(1)
    if counts is None:
        if low < 0 or max(highest) <= 1:
            return None
        counts = [high + 1 for high in highest]
        if max(counts) > max(LARGEST_CODE, value.size(0)):
            raise ValueError(
                f"{key} holds whole numbers up to {max(highest)} in {value.size(0)} rows, which would be that many "
                f"categories; expected codes from 0, try {key}.float() if they are numbers, or categories= (and "
                "edge_categories=) of gnas.GraphSet if they are codes"
            )
        notes.append(
            f"{key} holds whole numbers, which are taken as codes of categories with {few(list(counts))} values by "
            "column; float32 would be taken as numbers"
        )
    if len(counts) != value.size(1) or low < 0 or any(h >= n for h, n in zip(highest, counts, strict=True)):
        raise ValueError(
            f"{key} holds codes from {low} to {highest} by column; expected 0 or more and less than {list(counts)}"
        )
    return tuple(int(count) for count in counts)


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
            "try torch_geometric.utils.to_edge_index(data.adj_t)[0].flip(0)"
            if "adj_t" in data
            else "for a graph without edges try torch.empty(2, 0, dtype=torch.long)"
        )
        raise ValueError(f"the graph has no edge_index; expected int64 of shape [2, edges], {hint}")
    return ends_of(edge_index, "edge_index", nodes)


def ends_of(ends: Tensor, key: str, nodes: int) -> Tensor:
    """Pairs of nodes ``[2, pairs]``, checked to be ones of the graph; ``key`` is their name in errors."""
    if ends.dim() != 2 or ends.size(0) != 2:
        hint = f", try {key}.t()" if ends.dim() == 2 and ends.size(1) == 2 else ""
        what = "edges" if key == "edge_index" else "pairs"
        raise ValueError(f"{key} has shape {list(ends.shape)}; expected [2, {what}]{hint}")
    if ends.dtype != torch.long:
        raise TypeError(f"{key} has dtype {dtype_name(ends)}; expected int64, try {key}.long()")
    wrong = (ends < 0) | (ends >= nodes)
    if bool(wrong.any()):
        example = int(ends[wrong][0])
        raise ValueError(
            f"{key} names node {example} in a graph of {nodes} nodes ({int(wrong.sum())} such entries); expected "
            f"0 to {nodes - 1}, try adding rows to x or leaving those columns out"
        )
    return ends.clone()


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
