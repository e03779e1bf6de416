"""The three roles of the items: from masks or a set's split, or from a seeded split where these are missing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data.splits import MASKS
from gnas.intake import dtype_name, tensor_of

ROLES = ("weights", "architecture", "test")
GRAPHS_SHARE = 0.8
"""Share of the graphs of a set that becomes the weights split where there is none."""
WEIGHTS_SHARE = 0.6
"""Share of the nodes that becomes the weights split where there are no masks; the others get half of the rest each."""
CARVED_SHARE = 0.25
"""Share of ``train_mask`` that becomes the architecture split where there is a test mask but no ``val_mask``."""

TOO_SMALL = "a class has too few items for a split by class, so the split was drawn regardless of class"


def roles_of(
    data: Data,
    items: int,
    classes: Tensor | None,
    seed: int,
    notes: list[str],
    what: str = "node",
    known: Tensor | None = None,
    group: Tensor | None = None,
) -> dict[str, Tensor]:
    """Item numbers of each role, from the masks where there are any.

    Args:
        data: A graph with or without :data:`MASKS`, bool ``[items]``.
        items: Number of items.
        classes: Class of each item, by which a seeded split is drawn; None for a split regardless of class.
        seed: Of what is drawn.
        notes: Gets a sentence for each decision.
        what: What an item is called.
        known: Which items have a label, bool ``[items]``; None for all. The others are not drawn.
        group: A number for each item, int64 ``[items]``; what is drawn gives items of one number one role.
    """
    masks = {role: mask for role, key in MASKS.items() if (mask := _mask(data, key, items, what)) is not None}
    for first, second in itertools.combinations(masks, 2):
        both = int((masks[first] & masks[second]).sum())
        if both:
            a, b = MASKS[first], MASKS[second]
            raise ValueError(
                f"{a} and {b} share {both} {what}s; expected masks without a {what} in common, try data.{b} &= "
                f"~data.{a}"
            )
    index = {role: mask.nonzero().view(-1) for role, mask in masks.items()}
    if not masks:
        drawn = _labelled(torch.arange(items), known, notes, what)
        count = drawn.numel() if group is None else group[drawn].unique().numel()
        if count < len(ROLES):
            of = f"{what}s with a label" if group is None else f"pairs of nodes with a label, joined by its {what}s,"
            raise ValueError(f"the graph has {count} {of} and no masks; expected at least 3, one for each role")
        index["weights"], rest = _parted(drawn, classes, 1 - WEIGHTS_SHARE, seed, notes, group, least=2)
        index["architecture"], index["test"] = _parted(rest, classes, 0.5, seed, notes, group)
        sizes = "/".join(str(index[role].numel()) for role in ROLES)
        alike = "" if group is None else ", both directions of a pair alike"
        notes.append(
            f"the graph had no masks: its {what}s were split {sizes} ({'/'.join(ROLES)}) with seed {seed}{alike}"
        )
    elif "weights" not in index:
        raise ValueError(
            f"the graph has {' and '.join(MASKS[role] for role in masks)} but no train_mask; expected train_mask too, "
            "or no masks at all for a seeded split"
        )
    elif "test" in index and "architecture" not in index:
        if index["weights"].numel() < 2:
            raise ValueError(
                f"the graph has no val_mask and train_mask has 1 {what}; expected 2 to share, or a val_mask"
            )
        index["weights"], index["architecture"] = _parted(index["weights"], classes, CARVED_SHARE, seed, notes, group)
        notes.append(
            f"the graph had no val_mask: {index['architecture'].numel()} {what}s of train_mask became the architecture "
            f"split with seed {seed}"
        )
    elif "test" not in index:
        taken = torch.stack(list(masks.values())).any(0)
        free = _labelled((~taken).nonzero().view(-1), known, notes, what)
        if group is not None:
            # The reverse of an edge in a mask would give its label away.
            free = free[~torch.isin(group[free], group[taken])]
        _fill(index, free, classes, seed, notes, what, group)
    return {role: index[role] for role in ROLES}


def roles_of_graphs(
    split: Mapping[str, Tensor] | None,
    graphs: int,
    classes: Tensor | None,
    seed: int,
    notes: list[str],
    known: Tensor | None = None,
) -> dict[str, Tensor]:
    """Graph numbers of each role, from the split where there is one; it may leave out the architecture's.

    Where there is none, graphs that have no label (``known``, bool ``[graphs]``) are not drawn.
    """
    if split is None:
        drawn = _labelled(torch.arange(graphs), known, notes, "graph")
        if drawn.numel() < len(ROLES):
            hint = ", or that graph by itself instead of a list" if graphs == 1 else ""
            raise ValueError(
                f"got {drawn.numel()} graphs with a label and no split; expected at least 3, one for each role{hint}"
            )
        weights, rest = _split(drawn, classes, 1 - GRAPHS_SHARE, seed, notes, least=2)
        architecture, test = _split(rest, classes, 0.5, seed, notes)
        sizes = "/".join(str(part.numel()) for part in (weights, architecture, test))
        notes.append(f"the set had no split: its graphs were split {sizes} ({'/'.join(ROLES)}) with seed {seed}")
        return {"weights": weights, "architecture": architecture, "test": test}
    unknown = sorted(set(split) - set(ROLES))
    if unknown or not {"weights", "test"} <= set(split):
        raise ValueError(f"the split has the roles {sorted(split)}; expected {list(ROLES)}, or no 'architecture'")
    index = {role: _positions(role, split[role], graphs) for role in split}
    for first, second in itertools.combinations(index, 2):
        both = int(torch.isin(index[first], index[second]).sum())
        if both:
            raise ValueError(f"the roles {first!r} and {second!r} of the split share {both} graphs; expected none")
    if "architecture" not in index:
        if index["weights"].numel() < 2:
            raise ValueError("the split has 1 graph for 'weights' and no 'architecture'; expected 2 to share")
        index["weights"], index["architecture"] = _split(index["weights"], classes, CARVED_SHARE, seed, notes)
        notes.append(
            f"the split had no architecture role: {index['architecture'].numel()} graphs of the weights' became it "
            f"with seed {seed}"
        )
    return {role: index[role] for role in ROLES}


def same_ends(pairs: Tensor, nodes: int) -> Tensor:
    """A number for each pair ``[pairs]``: the same for equal ones and for those that lead back."""
    low, high = pairs.min(dim=0).values, pairs.max(dim=0).values
    group: Tensor = (low * nodes + high).unique(return_inverse=True)[1]
    return group


def _labelled(index: Tensor, known: Tensor | None, notes: list[str], what: str) -> Tensor:
    """The items that have a label, out of some; the others would be drawn for nothing."""
    if known is None or bool(known[index].all()):
        return index
    left = index[known[index]]
    notes.append(f"{index.numel() - left.numel()} {what}s without any label were left out of the split")
    return left


def masked(data: Data) -> bool:
    """Whether there is any mask."""
    return any(tensor_of(data, key) is not None for key in MASKS.values())


def _positions(role: str, given: Tensor, graphs: int) -> Tensor:
    """Positions in the set as sorted int64, checked."""
    index = torch.as_tensor(given).detach().cpu()
    if index.dtype == torch.bool and tuple(index.shape) == (graphs,):
        index = index.nonzero().view(-1)
    if index.is_floating_point() or index.dtype == torch.bool or index.dim() != 1 or index.numel() == 0:
        raise ValueError(
            f"the role {role!r} of the split has dtype {dtype_name(index)} and shape {list(index.shape)}; expected "
            "int64 positions [graphs], at least one"
        )
    index = index.long().sort().values
    if int(index[0]) < 0 or int(index[-1]) >= graphs or bool((index.diff() == 0).any()):
        raise ValueError(
            f"the role {role!r} of the split holds positions from {int(index[0])} to {int(index[-1])}; expected "
            f"different ones from 0 to {graphs - 1}"
        )
    return index


def _fill(
    index: dict[str, Tensor],
    free: Tensor,
    classes: Tensor | None,
    seed: int,
    notes: list[str],
    what: str,
    group: Tensor | None,
) -> None:
    """Where the test mask is missing, and perhaps ``val_mask`` with it, the items in no mask take their place."""
    needed = [role for role in ROLES if role not in index]
    missing = " and no ".join(MASKS[role] for role in needed)
    if free.numel() < len(needed):
        raise ValueError(
            f"the graph has no {missing}, and {free.numel()} {what}s are in no mask; expected at least {len(needed)}, "
            f"try leaving {what}s out of train_mask"
        )
    if len(needed) == 1:
        index["test"] = free
    else:
        index["architecture"], index["test"] = _parted(free, classes, 0.5, seed, notes, group)
    sizes = " and ".join(f"{index[role].numel()} became the {role} split" for role in needed)
    notes.append(f"the graph had no {missing}: of the {what}s in no mask {sizes}")


def _mask(data: Data, key: str, items: int, what: str) -> Tensor | None:
    mask = tensor_of(data, key)
    if mask is None:
        return None
    if mask.dim() == 2 and mask.size(0) == items:
        raise ValueError(
            f"{key} has shape {list(mask.shape)}, one column for each of {mask.size(1)} splits; expected one split "
            f"[{items}], try gnas.load(path, split=0), --split 0, or data.{key} = data.{key}[:, 0]"
        )
    if mask.dtype != torch.bool:
        whole = tuple(mask.shape) == (items,) and bool(((mask == 0) | (mask == 1)).all())
        hint = f"data.{key}.bool()" if whole else f"torch_geometric.utils.index_to_mask(data.{key}.long(), {items})"
        raise TypeError(f"{key} has dtype {dtype_name(mask)}; expected bool of shape [{items}], try {hint}")
    if tuple(mask.shape) != (items,):
        raise ValueError(
            f"{key} has shape {list(mask.shape)}; expected one bool for each {what}, [{items}], or no {key}"
        )
    if not bool(mask.any()):
        raise ValueError(f"{key} selects 0 of {items} {what}s; expected at least 1, or no {key} at all")
    return mask


def _split(
    index: Tensor, classes: Tensor | None, share: float, seed: int, notes: list[str], least: int = 1
) -> tuple[Tensor, Tensor]:
    """Part items into the rest and a share of ``least`` or more: by class, or at random where a class is too small.

    Both parts come sorted.
    """
    from sklearn.model_selection import train_test_split

    count = min(max(round(share * index.numel()), least), index.numel() - 1)
    by_class = False
    if classes is not None:
        sizes = classes[index].bincount()
        sizes = sizes[sizes > 0]
        by_class = int(sizes.min()) >= 2 and min(count, index.numel() - count) >= sizes.numel()
        if not by_class and TOO_SMALL not in notes:
            notes.append(TOO_SMALL)
    rest, part = train_test_split(
        index.numpy(),
        test_size=count,
        random_state=seed,
        stratify=classes[index].numpy() if classes is not None and by_class else None,
    )
    return torch.from_numpy(rest).sort().values, torch.from_numpy(part).sort().values


def _parted(
    index: Tensor,
    classes: Tensor | None,
    share: float,
    seed: int,
    notes: list[str],
    group: Tensor | None,
    least: int = 1,
) -> tuple[Tensor, Tensor]:
    """The same for items of which those of one group stay together; a group's class is that of its first item."""
    if group is None:
        return _split(index, classes, share, seed, notes, least)
    own = group[index]
    groups = own.unique()
    if groups.numel() < least + 1:
        raise ValueError(
            f"{index.numel()} edges that join {groups.numel()} pairs of nodes are to be two roles; expected at least "
            f"{least + 1} pairs, since an edge and the one that leads back have one role; try masks for all three roles"
        )
    chosen = None
    if classes is not None:
        first = torch.full((int(group.max()) + 1,), group.numel()).scatter_reduce_(0, own, index, "amin")
        chosen = classes[first.clamp(max=group.numel() - 1)]
    rest, part = _split(groups, chosen, share, seed, notes, least)
    return index[torch.isin(own, rest)], index[torch.isin(own, part)]
