"""Link prediction: which pairs are asked for, with which edges a network may answer, and false pairs to set beside.

No pair is asked for along an edge that passes messages in the same batch, whatever its label and however often it is
given. The edges that are pairs of the test and architecture roles pass none before these are read; the weights' own are
split into parts, and while one part is asked for, the others pass messages. For the test role the architecture's pairs
pass messages too, as in PyG's :class:`~torch_geometric.transforms.RandomLinkSplit`, which draws the split.

In a graph of which every edge has one back, a pair and its reverse are the same; in any other they are two pairs, and
one may pass messages while the other is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit

from gnas.data.splits import MASKS
from gnas.intake import tensor_of
from gnas.split import ROLES, roles_of, same_ends

ARCHITECTURE_SHARE, TEST_SHARE = 0.05, 0.1
"""Shares of the edges that are asked for by the two roles where the data bring no pairs; the weights' get the rest."""
ROUNDS = 100
"""So often false pairs are drawn again in the place of those that turned out to be edges."""


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs and their roles.

    Args:
        pairs: ``[2, pairs]``, the true ones and the false ones of all roles.
        y: 1 for a true pair, 0 for a false one, float32 ``[pairs]``.
        roles: Positions of pairs by role.
        owner: For each edge of the graph the position of the pair that it is, in either direction if the graph is
            undirected, or -1.
        drawn: Whether false pairs of the weights role are drawn anew at each step; those in ``pairs`` serve to measure.
        undirected: Whether a pair and its reverse are the same.
    """

    pairs: Tensor
    y: Tensor
    roles: dict[str, Tensor]
    owner: Tensor
    drawn: bool
    undirected: bool


def links_of(data: Data, edge_index: Tensor, nodes: int, seed: int, notes: list[str]) -> Links:
    """The pairs that the data bring as ``edge_label_index`` and ``edge_label``, or the graph's own edges, split."""
    undirected = _undirected(edge_index, nodes, notes)
    given = tensor_of(data, "edge_label_index")
    if given is None:
        pairs, y, roles, drawn = _own(edge_index, nodes, undirected, seed, notes)
    else:
        pairs, y = _given(data, given, nodes)
        masks = _masks(data, y.numel(), nodes, notes)
        roles = roles_of(masks, y.numel(), y.long(), seed, notes, "pair", group=same_ends(pairs, nodes))
        _check_repeats(pairs, y, roles, edge_index, nodes, undirected)
        drawn = not bool((y[roles["weights"]] == 0).any())
        if drawn:
            pairs, y, roles = _with_false(pairs, y, roles, edge_index, nodes, undirected, seed)
    for role in ROLES:
        if y[roles[role]].unique().numel() < 2:
            raise ValueError(f"the {role} split holds pairs of one label only; expected true and false ones")
    # A pair in no role is never asked for, so an equal one that has a role is what the edge gives away.
    counted = torch.cat(list(roles.values())).sort().values
    owner = _owner(edge_index, pairs[:, counted], nodes, undirected)
    owner = torch.where(owner < 0, -1, counted[owner])
    if drawn:
        notes.append("false pairs of the weights role are drawn anew at each step")
    return Links(pairs, y, roles, owner, drawn, undirected)


def codes(pairs: Tensor, nodes: int, undirected: bool) -> Tensor:
    """One number for each pair; the same for a pair and its reverse if the graph is undirected."""
    if undirected:
        pairs = torch.stack([pairs.min(dim=0).values, pairs.max(dim=0).values])
    return pairs[0] * nodes + pairs[1]


def false_pairs(count: int, nodes: int, taken: Tensor, undirected: bool, generator: torch.Generator) -> Tensor:
    """Pairs ``[2, count]`` of different nodes that are no edges, drawn uniformly; one may come twice.

    Args:
        taken: Codes of the edges, sorted.
        generator: What they are drawn from, on the CPU.
    """
    found = torch.empty(2, 0, dtype=torch.long)
    for _ in range(ROUNDS):
        drawn = torch.randint(nodes, (2, count - found.size(1)), generator=generator)
        good = drawn[0] != drawn[1]
        if taken.numel():
            code = codes(drawn, nodes, undirected)
            place = torch.searchsorted(taken, code).clamp(max=taken.numel() - 1)
            good &= taken[place] != code
        found = torch.cat([found, drawn[:, good]], dim=1)
        if found.size(1) == count:
            return found
    raise ValueError(
        f"{found.size(1)} of {count} pairs without an edge were found among {nodes} nodes: the graph joins nearly all "
        "pairs; expected a sparser one, or pairs given as edge_label_index with edge_label"
    )


def _undirected(edge_index: Tensor, nodes: int, notes: list[str]) -> bool:
    there, back = codes(edge_index, nodes, False).unique(), codes(edge_index.flip(0), nodes, False)
    alone = int((~torch.isin(back.unique(), there)).sum())
    if not alone:
        notes.append("every edge has one back, so the graph is undirected: a pair and its reverse are the same")
        return True
    notes.append(
        f"{alone} of {there.numel()} edges have none back, so the graph is directed: a pair may be asked for while its "
        "reverse passes messages (torch_geometric.utils.to_undirected makes it undirected)"
    )
    return False


def _masks(data: Data, pairs: int, nodes: int, notes: list[str]) -> Data:
    """The masks of the pairs that the data bring, as a graph with nothing else; those of nodes are left out."""
    found = {key: mask for key in MASKS.values() if (mask := tensor_of(data, key)) is not None}
    if any(tuple(mask.shape[:1]) != (pairs,) for mask in found.values()):
        if any(tuple(mask.shape[:1]) != (nodes,) for mask in found.values()):
            shapes = {key: list(mask.shape) for key, mask in found.items()}
            raise ValueError(
                f"the masks have the shapes {shapes}; expected a bool for each pair of edge_label_index, [{pairs}], or "
                "no masks, and the pairs are split by a seed"
            )
        notes.append("masks of nodes are not read")
        return Data()
    if found and pairs == nodes:
        notes.append("there are as many pairs as nodes, and the masks are taken as those of the pairs")
    return Data(**found)


def _check_repeats(
    pairs: Tensor, y: Tensor, roles: dict[str, Tensor], edge_index: Tensor, nodes: int, undirected: bool
) -> None:
    """Refuse a pair with two labels, and a true one or an edge in two roles: one answer would give the other away."""
    code = codes(pairs, nodes, undirected)
    role = torch.full_like(code, -1)
    for number, name in enumerate(ROLES):
        role[roles[name]] = number
    telling = (y == 1) | torch.isin(code, codes(edge_index, nodes, undirected))
    kinds = (("label", y.long(), role >= 0, ("0", "1")), ("role", role, (role >= 0) & telling, ROLES))
    for of, values, counted, names in kinds:
        _, group = code[counted].unique(return_inverse=True)
        low = torch.full_like(group, len(ROLES)).scatter_reduce(0, group, values[counted], "amin")
        high = torch.full_like(group, -1).scatter_reduce(0, group, values[counted], "amax")
        wrong = (low < high).nonzero().view(-1)
        if wrong.numel():
            at = int(wrong[0])
            a, b = pairs[:, counted][:, group == at][:, 0].tolist()
            alike = ", or its reverse, the same in this graph," if undirected else ""
            raise ValueError(
                f"edge_label_index holds the pair ({a}, {b}){alike} with the {of}s {names[int(low[at])]} and "
                f"{names[int(high[at])]} ({wrong.numel()} such pairs); expected one {of} for each pair, try leaving "
                "all but one of them out"
            )


def _own(
    edge_index: Tensor, nodes: int, undirected: bool, seed: int, notes: list[str]
) -> tuple[Tensor, Tensor, dict[str, Tensor], bool]:
    """The graph's own edges as true pairs, by PyG's split, and as many false ones for each role."""
    # An edge that is there twice would be asked for in one role and pass messages in another.
    kept = edge_index[:, edge_index[0] != edge_index[1]]
    kept = torch.stack([kept[0] * nodes + kept[1]]).unique()
    kept = torch.stack([kept // nodes, kept % nodes])
    total = kept.size(1) // (2 if undirected else 1)
    if int(ARCHITECTURE_SHARE * total) < 1:
        raise ValueError(
            f"the graph joins {total} pairs of nodes; expected at least {round(1 / ARCHITECTURE_SHARE)} for a split of "
            "85/5/10, or pairs given as edge_label_index with edge_label"
        )
    split = RandomLinkSplit(
        num_val=ARCHITECTURE_SHARE,
        num_test=TEST_SHARE,
        is_undirected=undirected,
        add_negative_train_samples=False,
        neg_sampling_ratio=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = split(Data(edge_index=kept, num_nodes=nodes))
    true = [part.edge_label_index for part in parts]
    notes.append(
        f"the graph's edges were split {'/'.join(str(part.size(1)) for part in true)} ({'/'.join(ROLES)}) with seed "
        f"{seed}; labels and masks of nodes are not read"
    )
    pairs = torch.cat(true, dim=1)
    bounds = torch.tensor([0, *(part.size(1) for part in true)]).cumsum(0).tolist()
    roles = {role: torch.arange(bounds[i], bounds[i + 1]) for i, role in enumerate(ROLES)}
    return *_with_false(pairs, torch.ones(pairs.size(1)), roles, edge_index, nodes, undirected, seed), True


def _with_false(
    pairs: Tensor, y: Tensor, roles: dict[str, Tensor], edge_index: Tensor, nodes: int, undirected: bool, seed: int
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """As many false pairs as there are true ones for each role that has none; they are no edges of any role."""
    generator = torch.Generator().manual_seed(seed)
    taken = torch.cat([codes(edge_index, nodes, undirected), codes(pairs, nodes, undirected)]).unique()
    all_roles = {}
    for role, index in roles.items():
        if bool((y[index] == 0).any()):
            all_roles[role] = index
            continue
        false = false_pairs(index.numel(), nodes, taken, undirected, generator)
        all_roles[role] = torch.cat([index, torch.arange(false.size(1)) + pairs.size(1)])
        pairs = torch.cat([pairs, false], dim=1)
        y = torch.cat([y, torch.zeros(false.size(1))])
    return pairs, y, all_roles


def _given(data: Data, pairs: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    if pairs.dim() != 2 or pairs.size(0) != 2 or pairs.dtype != torch.long or not pairs.numel():
        raise ValueError(f"edge_label_index has shape {list(pairs.shape)}; expected int64 of shape [2, pairs]")
    if int(pairs.min()) < 0 or int(pairs.max()) >= nodes:
        raise ValueError(f"edge_label_index names nodes from {int(pairs.min())} to {int(pairs.max())} of {nodes}")
    label = tensor_of(data, "edge_label")
    y = torch.ones(pairs.size(1)) if label is None else label.view(-1).float()
    if y.numel() != pairs.size(1) or bool(((y != 0) & (y != 1)).any()):
        raise ValueError(
            f"edge_label has shape {list(y.shape)} and values from {float(y.min()):g} to {float(y.max()):g}; expected "
            f"1 for a true pair and 0 for a false one, [{pairs.size(1)}]; for other labels try level='edge'"
        )
    return pairs.clone(), y


def _owner(edge_index: Tensor, pairs: Tensor, nodes: int, undirected: bool) -> Tensor:
    """The pair that each edge is, the first of equal ones, or -1."""
    code, order = codes(pairs, nodes, undirected).sort(stable=True)
    asked = codes(edge_index, nodes, undirected)
    place = torch.searchsorted(code, asked).clamp(max=code.numel() - 1)
    return torch.where(code[place] == asked, order[place], -1)


def repeated(pairs: Tensor, nodes: int, undirected: bool) -> Tensor:
    """A number for each pair ``[pairs]``, counted from 0 in their order; equal pairs have the same."""
    _, group = codes(pairs, nodes, undirected).unique(return_inverse=True)
    places = torch.arange(group.numel(), device=group.device)
    first = torch.full_like(places, group.numel()).scatter_reduce(0, group, places, "amin")
    number: Tensor = first[group].unique(return_inverse=True)[1]
    return number


def edge_of_pair(pairs: Tensor, edge_index: Tensor, nodes: int, notes: list[str]) -> Tensor | None:
    """The edge that each pair is, in its direction, the first of several; None if a pair is no edge."""
    if pairs is edge_index or torch.equal(pairs, edge_index):
        return torch.arange(edge_index.size(1), device=edge_index.device)
    code, order = codes(edge_index, nodes, False).sort(stable=True)
    asked = codes(pairs, nodes, False)
    place = torch.searchsorted(code, asked).clamp(max=max(code.numel() - 1, 0))
    if not code.numel() or not torch.equal(code[place], asked):
        notes.append("edge_label_index asks for pairs that are no edges, so no network reads edge features of pairs")
        return None
    return order[place]
