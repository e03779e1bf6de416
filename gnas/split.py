"""The three roles of a graph's nodes: from its masks, or from a seeded split where masks are missing."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.intake import dtype_name, tensor_of

ROLES = ("weights", "architecture", "test")
MASKS = {"weights": "train_mask", "architecture": "val_mask", "test": "test_mask"}
WEIGHTS_SHARE = 0.6
"""Share of the nodes that becomes the weights split where there are no masks; the others get half of the rest each."""
CARVED_SHARE = 0.25
"""Share of ``train_mask`` that becomes the architecture split where there is a test mask but no ``val_mask``."""

TOO_SMALL = "a class has too few nodes for a split by class, so nodes were drawn regardless of class"


def roles_of(data: Data, y: Tensor, seed: int, notes: list[str]) -> dict[str, Tensor]:
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
    mask = tensor_of(data, key)
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
        raise TypeError(f"{key} has dtype {dtype_name(mask)}; expected bool of shape [{nodes}], try {hint}")
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
