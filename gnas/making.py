"""The parts of a task, made of data as they come: one graph or a set, with labels of nodes, edges, pairs or graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from gnas import metrics
from gnas.graphs import GraphSet
from gnas.intake import (
    FEATURES,
    codes_of,
    edge_attr_of,
    edge_index_of,
    edge_weight_of,
    ends_of,
    features_of,
    few,
    fingerprint,
    graphs_of,
    layout,
    normalise,
    stated,
    tensor_of,
)
from gnas.joining import classes_of_set, joined, labels_of_set
from gnas.links import codes, edge_of_pair, links_of
from gnas.metrics import CLASSIFICATION, LINK, REGRESSION, Metric
from gnas.split import masked, roles_of, roles_of_graphs, same_ends
from gnas.targets import EDGE, GRAPH, LEVELS, NODE, PAIR, Targets, check_metric, targets_of

Wish = str | Metric | Callable[[Tensor, Tensor], float] | None
"""A metric by name, as a function, or none for the data's own."""


def fields_of(
    given: object,
    *,
    name: str | None,
    seed: int,
    features: str,
    level: str | None,
    kind: str | None,
    metric: Wish,
    higher_is_better: bool | None,
) -> dict[str, Any]:
    """Everything that a :class:`gnas.task.Task` holds but its loading, by the name of the field."""
    if features not in FEATURES:
        raise ValueError(f"features got {features!r}; expected one of {list(FEATURES)}")
    if level is not None and level not in LEVELS:
        raise ValueError(f"got level={level!r}; expected one of {list(LEVELS)}, or None to infer it")
    notes: list[str] = []
    data, wish = graphs_of(given), _wish(metric, higher_is_better)
    asked = wish is not None
    if wish is None and (own := _own_metric(data)) is not None:
        wish = metrics.find(own)
    if isinstance(data, GraphSet):
        fields, targets = _of_set(data, seed, features, level, kind, wish, asked, notes)
    else:
        fields, targets = _of_graph(data, seed, features, level, kind, wish, asked, notes)
    roles, chosen, what = fields["roles"], str(fields["level"]), str(fields["level"])
    if targets.kind == CLASSIFICATION:
        absent = sorted(set(range(targets.out_channels)) - set(targets.y[roles["weights"]].tolist()))
        if absent:
            notes.append(f"no {what} of the weights split has class {few(absent)}, so no network can learn it")
    if targets.kind == REGRESSION:
        notes.append(
            "networks learn labels standardised by mean and deviation of the weights split; they answer, and are "
            "measured, in the labels' own units"
        )
    if fields["edge_index"].size(1) == 0:
        notes.append("the graph has no edges" if fields["pointers"] is None else "the graphs have no edges")
    _check_known(targets, roles)
    _check_ranking(targets, roles)
    settings = f"{targets.out_channels} classes, {fields['normalisation']} features"
    if fields["pointers"] is not None or (chosen, targets.kind, targets.metric.key) != (
        NODE,
        CLASSIFICATION,
        "accuracy",
    ):
        settings += f", {chosen} {targets.kind} {targets.metric.name} {targets.metric.key}"
    settings += ", standardised" if targets.kind == REGRESSION else ""
    raw = {key: fields.pop(f"raw_{key}", fields[key]) for key in ("x", "edge_index", "edge_weight", "edge_attr")}
    more = {key: fields[key] for key in ("pointers", "pairs", "owner")}
    return {
        **fields,
        "name": name or (data.name if isinstance(data, GraphSet) else "data"),
        "y": targets.y,
        "kind": targets.kind,
        "metric": targets.metric,
        "out_channels": targets.out_channels,
        "fingerprint": fingerprint({**raw, "y": targets.y, **roles, **more}, settings),
        "notes": tuple(notes),
    }


def _wish(metric: Wish, higher_is_better: bool | None) -> Metric | None:
    if higher_is_better is not None and (metric is None or isinstance(metric, (str, Metric))):
        named = "no metric" if metric is None else f"the metric {metric if isinstance(metric, str) else metric.name!r}"
        raise ValueError(
            f"got higher_is_better={higher_is_better!r} and {named}; expected it only with a function as the metric, "
            "since a named one has its direction"
        )
    if metric is None or isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        return metrics.find(metric)
    if not callable(metric):
        raise TypeError(f"got metric={metric!r}; expected one of {list(metrics.KNOWN)} or a function")
    return metrics.own(metric, higher_is_better)


def _own_metric(data: Data | GraphSet) -> str | None:
    """The metric that the data name themselves."""
    if isinstance(data, GraphSet):
        return data.metric
    own = data.to_dict().get("metric")
    if callable(own):
        raise ValueError(
            "the graph has a function as its metric; expected the name of one there, try Task.from_data(data, "
            "metric=function, higher_is_better=True)"
        )
    return own if isinstance(own, str) else None


def _fitting(
    targets: Callable[[Metric | None], Targets], wish: Metric | None, asked: bool, notes: list[str]
) -> Targets:
    """The targets; a metric that only the data name gives way to the kind's own where it is not defined."""
    if wish is None or asked:
        return targets(wish)
    known = len(notes)
    try:
        return targets(wish)
    except ValueError:
        del notes[known:]
        found = targets(None)
        notes.append(
            f"the data name the metric {wish.name}, which is not defined for their {found.kind}, so "
            f"{found.metric.name} is measured"
        )
        return found


def _inputs(
    data: Data,
    features: str,
    counts: tuple[Any, Any],
    coded: bool,
    notes: list[str],
) -> dict[str, Any]:
    """Features of nodes and edges: numbers that are scaled, or codes of categories that are left as they are.

    Args:
        data: The graph, of a set all graphs as one.
        features: How rows are scaled.
        counts: Numbers of values that the data state for the columns of ``x`` and of ``edge_attr``.
        coded: Whether whole numbers are taken for codes even if nothing is stated.
        notes: Gets a sentence for each decision.
    """
    categories: list[tuple[int, ...] | None] = []
    for key, count in zip(("x", "edge_attr"), counts, strict=True):
        value = tensor_of(data, key)
        value = value.unsqueeze(1) if value is not None and value.dim() == 1 and key == "edge_attr" else value
        wanted = value is not None and (count is not None or (coded and features == "auto"))
        categories.append(codes_of(value, key, count, notes) if wanted and value is not None else None)
    found: dict[str, Any] = {"categories": categories[0], "edge_categories": categories[1]}
    quiet: list[str] = []
    x = features_of(data, quiet if categories[0] else notes)
    edge_index = edge_index_of(data, x.size(0))
    edge_attr = edge_attr_of(data, edge_index.size(1))
    if categories[1] is not None and edge_attr is not None:
        edge_attr = edge_attr.long()
    found |= {
        "edge_index": edge_index,
        "edge_weight": edge_weight_of(data, edge_index.size(1)),
        "edge_attr": edge_attr,
    }
    if categories[0] is not None:
        return {**found, "x": x.long(), "normalisation": "none"}
    x = layout(x)
    # Before the scaling, whose last digits may differ from machine to machine.
    found["raw_x"] = x
    x, normalisation = normalise(x, features, notes)
    return {**found, "x": x, "normalisation": normalisation}


def _of_set(
    given: GraphSet,
    seed: int,
    features: str,
    level: str | None,
    kind: str | None,
    wish: Metric | None,
    asked: bool,
    notes: list[str],
) -> tuple[dict[str, Any], Targets]:
    data, pointers = joined(given)
    y, level = labels_of_set(given, level, pointers)
    notes.append(f"{len(given.graphs)} graphs with labels of {'their nodes' if level == NODE else 'each graph'}")
    fields = _inputs(data, features, (given.categories, given.edge_categories), True, notes)
    items = fields["x"].size(0) if level == NODE else len(given.graphs)
    count = classes_of_set(given)
    targets = _fitting(
        lambda metric: targets_of(y, items, str(level), count, kind, metric, notes, several=True), wish, asked, notes
    )
    classes = targets.y if targets.kind == CLASSIFICATION else None
    if masked(data) and (level == GRAPH or given.split is not None):
        of = "labels of whole graphs" if level == GRAPH else "a split of whole graphs"
        raise ValueError(
            f"the graphs have masks of their nodes and {of}; expected one of them, try "
            "gnas.GraphSet(graphs, split={'weights': ..., 'architecture': ..., 'test': ...}) with positions of graphs "
            "(in CSV files the column split of graphs.csv), or the masks alone"
        )
    if level == GRAPH:
        roles = roles_of_graphs(given.split, items, classes, seed, notes, _known(targets.y))
    elif given.split is None and masked(data):
        roles = roles_of(data, items, classes, seed, notes, known=_known(targets.y))
    else:
        by_graph = roles_of_graphs(given.split, len(given.graphs), None, seed, notes)
        graph = torch.repeat_interleave(torch.arange(len(given.graphs)), pointers[0].diff())
        roles = {role: torch.isin(graph, index).nonzero().view(-1) for role, index in by_graph.items()}
    return {**fields, "level": level, "roles": roles, "pointers": pointers, "pairs": None, "owner": None}, targets


def _of_graph(
    data: Data,
    seed: int,
    features: str,
    level: str | None,
    kind: str | None,
    wish: Metric | None,
    asked: bool,
    notes: list[str],
) -> tuple[dict[str, Any], Targets]:
    if level == PAIR and data.to_dict().get("of_degrees") is True:
        data = data.clone()
        data.x = torch.ones(int(data.num_nodes or 0), 1)
        notes.append("nodes have no features, so each has a 1: degrees would tell of the edges that are asked for")
    counts = _stated_counts(data, "categories", "x"), _stated_counts(data, "edge_categories", "edge_attr")
    fields = _inputs(data, features, counts, False, notes)
    nodes, edge_index = fields["x"].size(0), fields["edge_index"]
    level = _level(data, nodes, edge_index, level, notes)
    fields |= {"level": level, "pointers": None, "pairs": None, "owner": None, "drawn": False, "undirected": False}
    if level == PAIR:
        if kind is not None:
            raise ValueError(
                f"got kind={kind!r} and level='link'; expected no kind, since a pair is an edge or none, or "
                "level='edge' for other labels of pairs"
            )
        links = links_of(data, edge_index, nodes, seed, notes)
        metric = wish if wish is not None and (asked or LINK in wish.kinds) else metrics.find("roc_auc")
        check_metric(metric, LINK)
        fields |= {"roles": links.roles, "pairs": links.pairs, "owner": links.owner}
        fields |= {"drawn": links.drawn, "undirected": links.undirected}
        return fields, Targets(links.y, LINK, 1, metric)
    items, key = nodes, "y"
    if level == EDGE:
        asked_for = tensor_of(data, "edge_label_index")
        fields["pairs"] = edge_index if asked_for is None else ends_of(asked_for, "edge_label_index", nodes)
        items = fields["pairs"].size(1)
        if fields["edge_attr"] is not None:
            fields["edge_of_pair"] = edge_of_pair(fields["pairs"], edge_index, nodes, notes)
        key = "y" if asked_for is None else "edge_label"
    y = tensor_of(data, key)
    if y is None:
        raise ValueError(
            f"the graph has no {key}; expected the class of each {level}, "
            f"int64 of shape [{level}s], or level='link' to predict its edges"
        )
    labels, count = y, stated(data, "num_classes")
    targets = _fitting(
        lambda metric: targets_of(labels, items, str(level), count, kind, metric, notes, key), wish, asked, notes
    )
    classes = targets.y if targets.kind == CLASSIFICATION else None
    group = same_ends(fields["pairs"], nodes) if level == EDGE else None
    fields["roles"] = roles_of(data, items, classes, seed, notes, level, _known(targets.y), group)
    return fields, targets


def _stated_counts(data: Data, key: str, of: str) -> tuple[int, ...] | None:
    """The numbers of values that a graph states for the columns of its features, which are codes then."""
    if key not in data:
        return None
    if of not in data:
        raise ValueError(f"the graph has {key} but no {of}; expected both, or neither")
    given = data[key]
    counts = given.tolist() if isinstance(given, Tensor) else given
    if not isinstance(counts, (tuple, list)) or not all(isinstance(count, int) for count in counts):
        raise ValueError(
            f"the graph has {key}={given!r}; expected the number of values of each column of {of}, such as (4, 2)"
        )
    return tuple(counts)


def _level(data: Data, nodes: int, edge_index: Tensor, level: str | None, notes: list[str]) -> str:
    """What the labels of one graph belong to, if their number leaves no doubt."""
    if level == GRAPH:
        raise ValueError(
            "got one graph and level='graph'; expected several: a list of Data, such as "
            "batch.to_data_list(), or a gnas.GraphSet"
        )
    if level is not None:
        return level
    y = tensor_of(data, "y")
    if "edge_label_index" in data:
        if y is not None:
            raise ValueError(
                "the graph has y and edge_label_index; expected a word on which of them to learn, try level='node', "
                "level='edge' or level='link'"
            )
        label, asked = tensor_of(data, "edge_label"), tensor_of(data, "edge_label_index")
        single = label is not None and label.dim() > 0 and label.numel() == label.size(0)
        links = label is None or (single and bool(((label == 0) | (label == 1)).all()))
        # Asked for as links, edges that pass messages would tell of their labels; of a link 0 says that there is none.
        pairs = None if asked is None or not links else ends_of(asked, "edge_label_index", nodes)
        if label is not None and pairs is not None and label.numel() == pairs.size(1):
            false = pairs[:, label.view(-1) == 0]
            there = int(torch.isin(codes(false, nodes, False), codes(edge_index, nodes, False)).sum())
            if there > 0:
                raise ValueError(
                    f"edge_label is 0 for {there} pairs of edge_label_index that are edges of the graph; expected a "
                    "word on what 0 means, try Task.from_data(data, level='edge') to tell edges of two kinds apart, or "
                    "level='link' if these pairs count as false all the same"
                )
        notes.append(f"edge_label_index asks for pairs, so this is {'link prediction' if links else 'at edge level'}")
        return PAIR if links else EDGE
    rows = y.size(0) if y is not None and y.dim() > 0 else nodes
    if isinstance(data, Batch) and rows == data.num_graphs != nodes:
        raise ValueError(
            f"got a Batch of {rows} graphs with a label for each; expected them apart, try "
            "Task.from_data(batch.to_data_list())"
        )
    edges = edge_index.size(1)
    if rows == edges and rows != nodes:
        notes.append("y has one row for each edge, so the labels are taken as those of the edges (level='edge')")
        return EDGE
    if rows == edges == nodes:
        notes.append("y fits nodes and edges alike and is taken as the nodes' (otherwise level='edge')")
    return NODE


def _known(y: Tensor) -> Tensor | None:
    """Which items have a label at all, bool ``[items]``; None where labels are classes, of which none is missing."""
    return ~y.isnan().all(dim=1) if y.is_floating_point() else None


def measurable(targets: Targets, roles: Mapping[str, Tensor]) -> bool:
    """Whether each of some roles has a label, and what the metric is defined by."""
    try:
        _check_known(targets, roles)
        _check_ranking(targets, roles)
    except ValueError:
        return False
    return True


def _check_known(targets: Targets, roles: Mapping[str, Tensor]) -> None:
    """Every role needs a label: without one nothing is learned there, or nothing measured."""
    for role, index in roles.items():
        y = targets.y[index]
        if y.is_floating_point() and y.numel() and bool(y.isnan().all()):
            raise ValueError(
                f"all labels of the {role} split are missing (NaN); expected at least one that is known in each split, "
                "try another split"
            )


def _check_ranking(targets: Targets, roles: Mapping[str, Tensor]) -> None:
    """ROC-AUC and average precision need both values of a label in every role, hits@K false pairs."""
    for role, index in roles.items():
        targets.metric.check_rank(targets.y[index], f" in the {role} split")
    if targets.metric.name not in metrics.RANKINGS:
        return
    for role, index in roles.items():
        y = targets.y[index]
        y = y.unsqueeze(1) if y.dim() == 1 else y
        if not bool(((y == 1).any(dim=0) & (y == 0).any(dim=0)).any()):
            raise ValueError(
                f"the {role} split has no label with both values, so {targets.metric.name} is not defined there; "
                "expected 0 and 1 in each split, try another split"
            )
