"""Metrics by name, each with its direction: what a network is judged by.

=================  ======  ===========================================================================================
accuracy           higher  share of items whose highest score is their class's
balanced_accuracy  higher  the mean of that over the classes that the items have
micro_f1           higher  F1 over all decisions together: of classes (where it is the accuracy), or of labels
roc_auc            higher  area under the ROC curve; of several labels the mean, labels without both values left out
ap                 higher  average precision, likewise
hits@K             higher  share of true pairs that score above the K-th best of the false ones
mrr                higher  mean of one over the rank of a true pair among all false ones
mae                lower   mean absolute error
rmse               lower   root of the mean squared error
=================  ======  ===========================================================================================

Accuracy, F1, ROC-AUC and average precision are torchmetrics'. Its hit rate and reciprocal rank are for retrieval,
where each query has candidates of its own; those of link prediction rank against all false pairs and are written
here. ``ogb:<data set>`` is OGB's own evaluator of that data set.

A missing label is NaN, and every metric leaves it out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnas.data.ogb import quiet_import
from gnas.scale import Scale

Function = Callable[[Tensor, Tensor], float]
"""From scores ``[items, out_channels]`` and labels ``[items]`` or ``[items, labels]`` to a number."""

CLASSIFICATION, MULTILABEL, REGRESSION, LINK = "classification", "multilabel", "regression", "link"
KINDS = (CLASSIFICATION, MULTILABEL, REGRESSION, LINK)
"""What labels are: one class of several; yes or no for each of several labels; numbers; whether a pair is an edge."""


@dataclass(frozen=True)
class Metric(Scale):
    """A metric: call it with scores and labels.

    Args:
        name, higher_is_better, percent: See :class:`~gnas.scale.Scale`.
        function: Scores ``[items, out_channels]`` and labels to a number.
        kinds: The kinds of labels that it is defined for.
        key: The name by which :func:`find` gives it again; None for a function of the user's own.
        rank: The rank among the false pairs that it reads, K of ``hits@K``; 0 for a metric that reads none.
    """

    function: Function = lambda output, y: math.nan
    kinds: tuple[str, ...] = KINDS
    key: str | None = None
    rank: int = 0

    def __call__(self, output: Tensor, y: Tensor) -> float:
        """The metric's value; NaN where a score is NaN, since what diverged has no metric.

        Raises:
            TypeError: The function gave something else than one number.
            ValueError: It gave NaN for scores that are finite, or there are too few false pairs.
        """
        self.check_rank(y)
        # Sorted or compared, NaN would pass for the best or the worst of scores, and for a value of the metric.
        if bool(output.isnan().any()):
            return math.nan
        value = self.function(output, y)
        if isinstance(value, (Tensor, np.ndarray, np.generic)) and math.prod(value.shape) == 1:
            value = value.item()
        if not isinstance(value, Real):
            raise TypeError(
                f"the metric {self.name!r} gave {_shown(value)}; expected one number, such as a float or a tensor of "
                "one, try its mean"
            )
        # Infinite scores may have no metric. With others NaN would pass for one that no network can beat.
        if self.key is None and math.isnan(value) and bool(output.isfinite().all()):
            missing = bool(y.isnan().any())
            raise ValueError(
                f"the metric {self.name!r} gave NaN for finite scores of {len(y)} items; expected a number, try "
                f"{'leaving out labels that are missing, which are NaN' if missing else 'its worst value'}"
            )
        return float(value)

    def check_rank(self, y: Tensor, where: str = "") -> None:
        """Raise :class:`ValueError` if there are too few false pairs among the labels for the rank to mean anything."""
        if self.rank and (false := int((y == 0).sum())) < self.rank:
            raise ValueError(
                f"got {false} false pairs{where} for the metric {self.name!r}; expected at least {self.rank}, try "
                f"'hits@K' with a K of at most {false}"
            )


def _shown(value: object) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of shape {list(value.shape)}"
    return f"{value!r} of type {type(value).__name__}"


def accuracy(output: Tensor, y: Tensor) -> float:
    """Share of rows whose highest score is at their class."""
    from torchmetrics.functional.classification import multiclass_accuracy

    return float(multiclass_accuracy(output, y, output.size(1), average="micro", validate_args=False))


def balanced_accuracy(output: Tensor, y: Tensor) -> float:
    """Mean over the classes in ``y`` of the share of their rows whose highest score is theirs."""
    from torchmetrics.functional.classification import multiclass_recall

    shares = multiclass_recall(output.argmax(dim=1), y, output.size(1), average="none", validate_args=False)
    # Its own mean would count a class without any row as 0 as soon as one is predicted to be of it.
    return float(shares[y.unique()].mean())


def micro_f1(output: Tensor, y: Tensor) -> float:
    """F1 over all decisions; a label is given where its score (a logit) is positive."""
    if not y.is_floating_point():
        return accuracy(output, y)
    from torchmetrics.functional.classification import binary_f1_score

    known = ~y.isnan()
    return float(binary_f1_score((output[known] > 0).long(), y[known].long(), validate_args=False))


def roc_auc(output: Tensor, y: Tensor) -> float:
    """Area under the ROC curve, the mean over labels."""
    from torchmetrics.functional.classification import binary_auroc

    return _mean(binary_auroc, output, y)


def average_precision(output: Tensor, y: Tensor) -> float:
    """Average precision, the mean over labels."""
    from torchmetrics.functional.classification import binary_average_precision

    return _mean(binary_average_precision, output, y)


def mae(output: Tensor, y: Tensor) -> float:
    """Mean absolute error."""
    known = ~y.isnan()
    return float((output[known] - y[known]).abs().mean())


def rmse(output: Tensor, y: Tensor) -> float:
    """Root of the mean squared error."""
    known = ~y.isnan()
    return float((output[known] - y[known]).square().mean().sqrt())


def hits(k: int) -> Function:
    """Share of true pairs that score higher than the k-th best false one, of which there have to be k."""

    def function(output: Tensor, y: Tensor) -> float:
        true, false = _sides(output, y)
        return float((true > false.topk(k).values[-1]).double().mean())

    return function


def mrr(output: Tensor, y: Tensor) -> float:
    """Mean reciprocal rank of the true pairs among all false ones; between equals the mean of best and worst rank."""
    true, false = _sides(output, y)
    false = false.sort().values
    above = false.numel() - torch.searchsorted(false, true, right=True)
    equal = torch.searchsorted(false, true, right=True) - torch.searchsorted(false, true)
    return float((1 / (1 + above + equal / 2)).mean())


def scores(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """One score for each label, and the labels, both ``[items, labels]``: of two classes, the second one's lead."""
    if not y.is_floating_point():
        return (output[:, 1] - output[:, 0]).unsqueeze(1), y.unsqueeze(1).to(output.dtype)
    return output.view(y.size(0), -1), y.view(y.size(0), -1)


def _mean(function: Callable[..., Tensor], output: Tensor, y: Tensor) -> float:
    found = []
    for score, label in zip(*(part.t() for part in scores(output, y)), strict=True):
        known = ~label.isnan()
        score, label = score[known], label[known].long()
        if 0 < int(label.sum()) < label.numel():
            # torchmetrics puts scores outside of [0, 1] through a sigmoid, which in float32 makes high ones equal.
            found.append(float(function(_ranks(score), label, validate_args=False)))
    return sum(found) / len(found) if found else math.nan


def _ranks(score: Tensor) -> Tensor:
    """Scores by their order alone, in ``[0, 1]`` and float64, equal ones equal."""
    values, ranks = score.unique(return_inverse=True)
    return ranks.double() / max(values.numel() - 1, 1)


def _sides(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    score, label = output.view(-1).double(), y.view(-1)
    return score[label > 0], score[label == 0]


RANKINGS = ("roc_auc", "ap")
"""Names of metrics that rank the items by one score, label by label; a class of several has no such score."""
_SHARES = (CLASSIFICATION, MULTILABEL)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", True, True, accuracy, (CLASSIFICATION,), "accuracy"),
        Metric("balanced_accuracy", True, True, balanced_accuracy, (CLASSIFICATION,), "balanced_accuracy"),
        Metric("micro_f1", True, True, micro_f1, _SHARES, "micro_f1"),
        Metric("roc_auc", True, True, roc_auc, (*_SHARES, LINK), "roc_auc"),
        Metric("ap", True, True, average_precision, (*_SHARES, LINK), "ap"),
        Metric("mrr", True, True, mrr, (LINK,), "mrr"),
        Metric("mae", False, False, mae, (REGRESSION,), "mae"),
        Metric("rmse", False, False, rmse, (REGRESSION,), "rmse"),
    )
}
"""The metrics by name, but for ``hits@K`` and OGB's."""
KNOWN = (*METRICS, "hits@K", "ogb:<data set>")


def find(name: str) -> Metric:
    """The metric of a name.

    Raises:
        ValueError: There is none of that name.
    """
    if name in METRICS:
        return METRICS[name]
    if match := re.fullmatch(r"hits@([1-9]\d*)", name):
        k = int(match[1])
        return Metric(name, True, True, hits(k), (LINK,), name, k)
    if name.startswith("ogb:"):
        return _ogb(name.removeprefix("ogb:"))
    raise ValueError(
        f"got the metric {name!r}; expected one of {list(KNOWN)}, or a function of scores and labels with "
        "higher_is_better=True or False"
    )


def own(function: Function, higher_is_better: bool | None) -> Metric:
    """A function of the user's own as a metric."""
    if not isinstance(higher_is_better, bool):
        raise ValueError(
            f"got a function as the metric and higher_is_better={higher_is_better!r}; expected True or False with it, "
            "such as metric=function, higher_is_better=False for an error"
        )
    name = getattr(function, "__name__", type(function).__name__)
    return Metric("own metric" if name == "<lambda>" else name, higher_is_better, False, function)


# ------------------------------------------------------------------------------------------------ OGB's own evaluators

_OGB = {
    "rocauc": ("roc_auc", _SHARES),
    "ap": ("ap", _SHARES),
    "acc": ("accuracy", (CLASSIFICATION,)),
    "rmse": ("rmse", (REGRESSION,)),
    "mae": ("mae", (REGRESSION,)),
    "mrr": ("mrr", (LINK,)),
}
_FOLDERS = {"ogbn": "nodeproppred", "ogbg": "graphproppred", "ogbl": "linkproppred"}


def _ogb(name: str) -> Metric:
    """OGB's evaluator of a data set as a metric."""
    folder = _FOLDERS.get(name.split("-")[0])
    if folder is None:
        raise ValueError(f"got the metric 'ogb:{name}'; expected 'ogb:' and the name of an OGB data set, ogbg-molhiv")
    try:
        evaluator: Any = quiet_import(f"ogb.{folder}.evaluate").Evaluator(name)
    except ValueError as error:
        raise ValueError(f"OGB knows no data set {name!r}; expected one of its names, such as ogbg-molhiv") from error
    given = str(evaluator.eval_metric)
    shown, kinds = _OGB.get(given, (given, (LINK,)))
    function = _of_pairs if folder == "linkproppred" else _of_rows
    higher = shown not in ("rmse", "mae")
    # OGB's counts every true pair as a hit where there are fewer false ones than K.
    rank = evaluator.K if given.startswith("hits@") else 0
    return Metric(shown, higher, higher, lambda output, y: function(evaluator, output, y), kinds, f"ogb:{name}", rank)


def _of_rows(evaluator: Any, output: Tensor, y: Tensor) -> float:
    if evaluator.eval_metric == "acc":
        label, score = y.unsqueeze(1), output.argmax(dim=1, keepdim=True)
    elif y.is_floating_point():
        label, score = y.view(y.size(0), -1), output.view(y.size(0), -1)
    else:
        score, label = scores(output, y)
    (value,) = evaluator.eval({"y_true": label.cpu().numpy(), "y_pred": score.cpu().numpy()}).values()
    return float(value)


def _of_pairs(evaluator: Any, output: Tensor, y: Tensor) -> float:
    true, false = _sides(output, y)
    if evaluator.eval_metric == "mrr":
        ranked = evaluator.eval({"y_pred_pos": true, "y_pred_neg": false.expand(true.numel(), -1)})
        return float(torch.as_tensor(ranked["mrr_list"]).double().mean())
    (value,) = evaluator.eval({"y_pred_pos": true, "y_pred_neg": false}).values()
    return float(value)
