"""Labels: what their items are (the level), what they say (the kind), and the loss that goes with them.

Both are inferred where the data leave no doubt, and noted; where they don't, the error shows the call to make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gnas import metrics
from gnas.intake import dtype_name
from gnas.metrics import CLASSIFICATION, LINK, MULTILABEL, REGRESSION, Metric

NODE, EDGE, PAIR, GRAPH = "node", "edge", "link", "graph"
LEVELS = (NODE, EDGE, PAIR, GRAPH)
"""What a label belongs to: a node, an edge, a pair of nodes that may be an edge, a graph."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Checked labels.

    Args:
        y: int64 ``[items]`` classes, or float32 ``[items, labels]`` with NaN where one is missing.
        kind: One of :data:`gnas.metrics.KINDS`.
        out_channels: Columns of a network's output.
        metric: What is measured.
    """

    y: Tensor
    kind: str
    out_channels: int
    metric: Metric


ROUNDED = 1e-2
"""By how many of their standard deviations labels may be rounded."""


def targets_of(
    y: Tensor,
    items: int,
    what: str,
    classes: int | None,
    kind: str | None,
    metric: Metric | None,
    notes: list[str],
    key: str = "y",
    several: bool = False,
) -> Targets:
    """Check labels and say what they are.

    Args:
        y: As they came.
        items: Their number.
        what: What an item is called in errors: ``"node"``.
        classes: Number of classes that the data state, or None.
        kind: The kind that the caller states, or None to infer it.
        metric: The metric that the caller states, or None for the kind's own.
        notes: Gets a sentence for each decision.
        key: The name of the labels in errors and notes.
        several: Whether they are those of several graphs.
    """
    if kind is not None and kind not in metrics.KINDS[:3]:
        raise ValueError(
            f"got kind={kind!r}; expected one of {list(metrics.KINDS[:3])}, or None to infer it from {key}"
        )
    if not items:
        raise ValueError(f"there are 0 {what}s to label; expected at least 3, one for each role of the split")
    if y.is_complex():
        raise TypeError(f"{key} has dtype {dtype_name(y)}; expected class numbers (int64) or real numbers (float32)")
    if kind == REGRESSION and classes is not None:
        raise ValueError(
            f"got kind='regression', but the data say that {key} holds {classes} classes (num_classes, or a column of "
            "words); expected numbers to predict, or no kind, and the classes are told apart"
        )
    inferred = kind is None
    kind = kind or _kind(y, items, what, metric, key)
    if metric is not None:
        numbers = inferred and kind == CLASSIFICATION and REGRESSION in metric.kinds
        hint = f", or kind='regression' (--kind regression) or {key}.float() to predict these whole numbers"
        check_metric(metric, kind, hint if numbers else "")
    if kind == CLASSIFICATION:
        y, count = _classes_of(y, items, what, classes, notes, key, several)
    else:
        y, count = _columns_of(y, items, what, kind, notes, key)
    metric = metric or _metric(kind, what, notes, key)
    if kind == CLASSIFICATION and count > 2 and metric.name in metrics.RANKINGS:
        raise ValueError(f"got the metric {metric.name!r} with {count} classes; expected two classes, try 'accuracy'")
    if metric.key is not None and metric.key.startswith("ogb:") and kind == CLASSIFICATION and metric.name == "roc_auc":
        notes.append("of the two classes' scores the evaluator gets the difference")
    return Targets(y, kind, count, metric)


def check_metric(metric: Metric, kind: str, hint: str = "") -> None:
    """Refuse a metric that is not defined for a kind of labels; the hint says what else to try."""
    if kind not in metric.kinds:
        fitting = [name for name, other in metrics.METRICS.items() if kind in other.kinds]
        raise ValueError(
            f"got the metric {metric.name!r} for {kind}; expected one that is defined for it: {fitting}{hint}"
        )


def _kind(y: Tensor, items: int, what: str, metric: Metric | None, key: str) -> str:
    """What the labels are, if their type, their values and the metric leave no doubt."""
    wide = y.dim() == 2 and y.size(0) == items and y.size(1) > 1
    if not y.is_floating_point() and not (wide and y.dtype == torch.bool):
        return CLASSIFICATION
    # A function of the user's own is defined for all kinds and tells none.
    told = metric.kinds if metric is not None and len(metric.kinds) < len(metrics.KINDS) else ()
    if y.is_floating_point() and REGRESSION in told:
        return REGRESSION
    missing = bool(y.isnan().any())
    known = y[~y.isnan()]
    binary = bool(((known == 0) | (known == 1)).all())
    ranked = metric is not None and metric.name in metrics.RANKINGS
    if wide and binary and not missing and not ranked and bool((y.sum(dim=1) == 1).all()):
        raise ValueError(
            f"{key} has a single 1 in each row, so it may be the one-hot class of each {what}, or yes or no to "
            f"{y.size(1)} labels; expected a word on that, try {key}.argmax(dim=1) for classes, for labels "
            "metric='roc_auc' or kind='multilabel'"
        )
    if y.dtype == torch.bool or (binary and (MULTILABEL in told or (wide and not told))):
        return MULTILABEL
    if bool((known != known.round()).any()) or (wide and not binary):
        return REGRESSION
    whole = f"try data.{key} = data.{key}.long()"
    if missing:
        whole = f"try data.{key}.nan_to_num(0).long(), with all three masks and each {what} whose label is NaN in none"
    raise TypeError(
        f"{key} has dtype {dtype_name(y)}; expected class numbers (int64) to classify {what}s, or a word on what "
        f"these whole numbers are: if they are class numbers, {whole}, for a regression try "
        "metric='mae' or metric='rmse', for labels that are 0 or 1 metric='roc_auc'"
    )


def _metric(kind: str, what: str, notes: list[str], key: str) -> Metric:
    name = {CLASSIFICATION: "accuracy", REGRESSION: "mae", LINK: "roc_auc"}.get(kind)
    if name is None:
        name = "roc_auc" if what == GRAPH else "micro_f1"
    if kind == REGRESSION:
        notes.append(
            f"{key} holds numbers, so this is a regression, measured by the mean absolute error (metric='mae')"
        )
    elif kind == MULTILABEL:
        notes.append(f"{key} says yes or no to several labels, measured by {name}")
    return metrics.find(name)


def _classes_of(
    y: Tensor, items: int, what: str, stated: int | None, notes: list[str], key: str, several: bool
) -> tuple[Tensor, int]:
    """Labels ``[items]`` in int64, and the number of classes."""
    if y.is_floating_point():
        if bool(y.isnan().any()) or bool((y != y.round()).any()):
            raise ValueError(
                f"{key} has dtype {dtype_name(y)} and entries that are no whole numbers; expected class numbers"
            )
        y = y.long()
    if y.dim() == 2 and y.size(1) == 1 and items == y.size(0):
        y = y.squeeze(1)
        notes.append(f"labels came with shape [{items}, 1] and were squeezed")
    if tuple(y.shape) != (items,):
        hint = ""
        if y.dim() == 2 and y.size(0) == items:
            hint = f", for one-hot labels try {key}.argmax(dim=1), for several labels at once kind='multilabel'"
        raise ValueError(f"{key} has shape {list(y.shape)}; expected one class for each {what}, [{items}]{hint}")
    y = y.to(torch.long, copy=True)
    return y, _count(y, stated, what, key, several)


def _count(y: Tensor, stated: int | None, what: str, key: str, several: bool) -> int:
    """Number of classes: the one that the data state, otherwise the highest label and one more."""
    low, high, distinct = int(y.min()), int(y.max()), int(torch.count_nonzero(y.sort().values.diff())) + 1
    if low < 0:
        raise ValueError(
            f"{key} holds the label {low}; expected class numbers of 0 or more (a {what} without a label may have 0 "
            f"and be in none of three masks), try {key}.unique(return_inverse=True)[1] to number the classes anew, or "
            "kind='regression' to predict these whole numbers"
        )
    if stated is not None and high >= stated:
        raise ValueError(f"{key} holds the label {high} but num_classes is {stated}; expected 0 to {stated - 1}")
    classes = high + 1 if stated is None else stated
    # A label that is a slip would cost a network thousands of outputs; a few classes may well be missing in a part.
    if stated is None and classes > 2 * distinct:
        anew = f"data.{key} = data.{key}.unique(return_inverse=True)[1], or data.num_classes = {classes}"
        if several:
            anew = f"to number the labels of all graphs anew, or num_classes = {classes} in each graph"
        raise ValueError(
            f"{key} holds the label {high} but only {distinct} different labels; expected 0 to {distinct - 1}, try "
            f"{anew} if that is meant"
        )
    if classes < 2:
        raise ValueError(f"{key} holds the label {high} alone; expected at least two classes")
    return classes


def _columns_of(y: Tensor, items: int, what: str, kind: str, notes: list[str], key: str) -> tuple[Tensor, int]:
    """Labels ``[items, labels]`` in float32; NaN where one is missing."""
    y = y.unsqueeze(1) if y.dim() == 1 else y
    if y.dim() != 2 or y.size(0) != items or y.size(1) == 0:
        raise ValueError(
            f"{key} has shape {list(y.shape)}; expected a row of labels for each {what}, [{items}, labels]"
        )
    exact, y = y.double(), y.to(torch.float32, copy=True)
    known = ~y.isnan()
    if bool(y.isinf().any()):
        raise ValueError(f"{key} holds infinite numbers; expected finite ones, or NaN where a label is missing")
    if kind == MULTILABEL and bool(((y != 0) & (y != 1) & known).any()):
        raise ValueError(f"{key} holds labels other than 0, 1 and NaN; expected only these, try kind='regression'")
    if not bool(known.any(dim=0).all()):
        empty = int((~known.any(dim=0)).nonzero()[0])
        raise ValueError(f"column {empty} of {key} holds no label at all; expected one, try leaving that column out")
    _check_precision(exact, y, key)
    missing = y.numel() - int(known.sum())
    if missing:
        notes.append(f"{missing} of {y.numel()} labels are missing (NaN) and count for nothing")
    return y, y.size(1)


def _check_precision(exact: Tensor, y: Tensor, key: str) -> None:
    """Refuse labels that differ too little for their size to be told apart in float32."""
    for column in range(y.size(1)):
        there = ~exact[:, column].isnan()
        known = exact[there, column]
        spread, moved = float(known.std(correction=0)), float((known - y[there, column]).abs().max())
        if spread > 0 and moved > ROUNDED * spread:
            raise ValueError(
                f"column {column} of {key} holds numbers from {float(known.min()):.10g} to {float(known.max()):.10g}, "
                f"which float32 rounds by up to {moved:g}; expected numbers near zero, try {key} - {key}.mean()"
            )


def loss_of(kind: str, metric: Metric) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean loss over labels: cross entropy; binary cross entropy; the absolute error for MAE, else the squared."""
    if kind == CLASSIFICATION:
        return F.cross_entropy
    if kind in (MULTILABEL, LINK):
        return lambda output, y: _known(F.binary_cross_entropy_with_logits, output.view_as(y), y)
    error = F.l1_loss if metric.name == "mae" else F.mse_loss
    return lambda output, y: _known(error, output.view_as(y), y)


def _known(loss: Callable[..., Tensor], output: Tensor, y: Tensor) -> Tensor:
    """The mean over the labels that are there; zero, with a gradient of zeros, where there is none."""
    known = ~y.isnan()
    each = loss(output, y.where(known, 0.0), reduction="none")
    # Without asking how many there are, which a GPU would have to be waited for.
    return each.where(known, 0.0).sum() / known.sum().clamp(min=1)
