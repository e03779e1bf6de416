"""Metrics: each against its definition, whatever is missing, and in the direction that it says."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score
from torch import Tensor

from gnas import metrics
from gnas.metrics import METRICS, Metric, find, own
from gnas.scale import Scale


def labelled(seed: int = 0, items: int = 60, labels: int = 3) -> tuple[Tensor, Tensor]:
    """Scores, and labels that follow them loosely, a fifth of them missing."""
    generator = torch.Generator().manual_seed(seed)
    output = torch.randn(items, labels, generator=generator)
    y = ((output + 2 * torch.randn(items, labels, generator=generator)) > 0).float()
    y[torch.rand(items, labels, generator=generator) < 0.2] = math.nan
    return output, y


@pytest.mark.parametrize(("name", "expected"), [("roc_auc", roc_auc_score), ("ap", average_precision_score)])
def test_rankings_of_several_labels_are_means_over_what_is_known(name: str, expected) -> None:  # type: ignore[no-untyped-def]
    output, y = labelled()
    y[:, 2] = torch.where(y[:, 2].isnan(), y[:, 2], 1.0)  # a label with one value says nothing
    parts = []
    for i in range(2):
        known = ~y[:, i].isnan()
        parts.append(expected(y[known, i].numpy(), output[known, i].numpy()))
    assert find(name)(output, y) == pytest.approx(sum(parts) / 2)
    assert math.isnan(find(name)(output[:, 2:], y[:, 2:]))


@given(seed=st.integers(0, 1000))
def test_equal_scores_count_as_in_scikit_learn_and_ogb(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    output = torch.randint(4, (80, 1), generator=generator).float()
    y = torch.cat([torch.ones(20), torch.zeros(60)])[torch.randperm(80, generator=generator)]
    assert find("roc_auc")(output, y) == pytest.approx(roc_auc_score(y.numpy(), output.numpy()))
    assert find("ap")(output, y) == pytest.approx(average_precision_score(y.numpy(), output.numpy()))
    assert find("mrr")(output, y) == pytest.approx(find("ogb:ogbl-citation2")(output, y))
    assert find("hits@20")(output, y) == pytest.approx(find("ogb:ogbl-ddi")(output, y))


def test_ranking_sees_differences_that_a_sigmoid_hides() -> None:
    y = torch.tensor([0, 1, 0, 1])
    output = torch.stack([torch.zeros(4), torch.tensor([100.0, 101.0, 102.0, 103.0])], dim=1)
    assert find("roc_auc")(output, y) == pytest.approx(0.75)


def test_of_two_classes_the_second_is_ranked() -> None:
    output, y = torch.randn(50, 2, generator=torch.Generator().manual_seed(1)), torch.arange(50) % 2
    lead = (output[:, 1] - output[:, 0]).numpy()
    assert find("roc_auc")(output, y) == pytest.approx(roc_auc_score(y.numpy(), lead))
    assert find("ap")(output, y) == pytest.approx(average_precision_score(y.numpy(), lead))


def test_micro_f1_counts_all_decisions_together() -> None:
    output, y = labelled()
    known = ~y.isnan()
    expected = f1_score(y[known].numpy(), (output[known] > 0).float().numpy())
    assert find("micro_f1")(output, y) == pytest.approx(expected)
    classes = torch.arange(60) % 3
    assert find("micro_f1")(output, classes) == find("accuracy")(output, classes)
    hits = (output.argmax(dim=1) == classes).double()
    by_class = [float(hits[classes == c].mean()) for c in classes.unique()]
    assert find("balanced_accuracy")(output, classes) == pytest.approx(sum(by_class) / len(by_class))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@given(seed=st.integers(0, 1000), present=st.integers(1, 4))
def test_balanced_accuracy_is_over_the_classes_that_are_there(seed: int, present: int) -> None:
    balanced = find("balanced_accuracy")
    assert balanced(torch.eye(3)[[0, 0, 1, 2]], torch.tensor([0, 0, 1, 1])) == pytest.approx(0.75)
    generator = torch.Generator().manual_seed(seed)
    y, output = torch.randint(present, (12,), generator=generator), torch.rand(12, 5, generator=generator)
    expected = balanced_accuracy_score(y.numpy(), output.argmax(dim=1).numpy())
    assert balanced(output, y) == pytest.approx(expected)


def test_errors_leave_missing_labels_out() -> None:
    output, y = torch.tensor([[1.0], [2.0], [9.0]]), torch.tensor([[2.0], [5.0], [math.nan]])
    assert find("mae")(output, y) == pytest.approx(2.0)
    assert find("rmse")(output, y) == pytest.approx(math.sqrt(5.0))


def test_hits_and_mrr_rank_true_pairs_among_false_ones() -> None:
    output = torch.tensor([[0.9], [0.5], [0.1], [0.8], [0.3], [0.2]])
    y = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    assert find("hits@1")(output, y) == pytest.approx(1 / 3)
    assert find("hits@2")(output, y) == pytest.approx(2 / 3)
    assert find("hits@3")(output, y) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="got 3 false pairs for the metric 'hits@4'; expected at least 4, .*most 3"):
        find("hits@4")(output, y)
    assert find("mrr")(output, y) == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    # All alike: each stands in the middle, as a random order would put it.
    assert find("mrr")(torch.zeros(6, 1), y) == pytest.approx(1 / 2.5)


@given(seed=st.integers(0, 1000), name=st.sampled_from(["roc_auc", "ap", "micro_f1", "mae", "rmse"]))
def test_missing_labels_and_the_order_of_items_change_nothing(seed: int, name: str) -> None:
    output, y = labelled(seed, labels=1)
    known = ~y[:, 0].isnan()
    value = find(name)(output, y)
    assert value == pytest.approx(find(name)(output[known], y[known]))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    assert value == pytest.approx(find(name)(output[order], y[order]))


@pytest.mark.parametrize("name", [*METRICS, "hits@5"])
def test_a_perfect_output_is_the_best(name: str) -> None:
    metric = find(name)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 1, generator=generator)
    if name in ("accuracy", "balanced_accuracy"):
        y = torch.arange(40) % 2
        perfect = torch.nn.functional.one_hot(y).float()
        noise = noise.expand(-1, 2) * torch.tensor([1.0, -1.0])
    else:
        y = (torch.arange(40) % 2).float().unsqueeze(1)
        perfect = 2 * y - 1 if name not in ("mae", "rmse") else y
        y = y.squeeze(1) if name.startswith(("hits", "mrr")) else y
    assert metric.merit(metric(perfect, y)) > metric.merit(metric(noise, y))
    assert metric.higher_is_better == (name not in ("mae", "rmse")) == metric.percent
    assert metric.key == name


def test_a_function_of_ones_own_states_its_direction() -> None:
    def worst(output: Tensor, y: Tensor) -> float:
        return float((output - y).abs().max())

    metric = own(worst, False)
    assert (metric.name, metric.higher_is_better, metric.key) == ("worst", False, None)
    assert metric(torch.zeros(2, 1), torch.tensor([[1.0], [-3.0]])) == 3.0
    with pytest.raises(ValueError, match="higher_is_better=None; expected True or False"):
        own(worst, None)


@pytest.mark.parametrize("name", ["f1", "hits@", "hits@0", "ogb:cora"])
def test_unknown_metrics_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"got the metric .*expected"):
        find(name)


@pytest.mark.parametrize(
    ("name", "shown", "labels"),
    [("ogbg-moltox21", "roc_auc", 12), ("ogbg-molpcba", "ap", 128), ("ogbg-molesol", "rmse", 1)],
)
def test_ogbs_evaluators_agree_with_ours(name: str, shown: str, labels: int) -> None:
    metric = find(f"ogb:{name}")
    output, y = labelled(labels=labels)
    y = torch.where(y.isnan(), y, y + output / 9) if shown == "rmse" else y
    assert (metric.name, metric.key) == (shown, f"ogb:{name}")
    assert metric(output, y) == pytest.approx(find(shown)(output, y), rel=1e-5)
    assert math.isnan(metric(output * math.nan, y))


def test_ogbs_evaluators_of_nodes_and_links() -> None:
    output, y = torch.randn(90, 40, generator=torch.Generator().manual_seed(0)), torch.arange(90) % 40
    assert find("ogb:ogbn-arxiv")(output, y) == pytest.approx(find("accuracy")(output, y))
    pairs = (torch.arange(90) % 3 == 0).float()
    hits = find("ogb:ogbl-collab")
    assert hits.name == "hits@50" and hits(output[:, :1], pairs) == find("hits@50")(output[:, :1], pairs) < 1
    with pytest.raises(ValueError, match="got 20 false pairs for the metric 'hits@50'; expected at least 50"):
        hits(output[:30, :1], pairs[:30])
    assert find("ogb:ogbl-citation2")(output[:, :1], pairs) == pytest.approx(find("mrr")(output[:, :1], pairs))


def test_ogb_is_imported_only_when_asked_for_and_asks_nobody() -> None:
    code = """
import sys
def guard(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("the network was used", event, args)
sys.addaudithook(guard)
from gnas import metrics
assert "ogb" not in sys.modules
metrics.find("ogb:ogbg-molhiv")
assert "ogb" in sys.modules and "outdated" not in sys.modules
import threading
assert threading.active_count() == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_scale_says_which_of_two_values_is_better_and_how_they_read() -> None:
    accuracy, error = Scale(), Scale("mae", False, False)
    assert (accuracy.text(0.9123), error.text(0.9123)) == ("91.2%", "0.912")
    assert (accuracy.number(0.01, True), error.number(-0.0001)) == ("+1.0", "0.000")
    assert max((0.5, math.nan, 0.25), key=accuracy.merit) == 0.5
    assert max((0.5, math.nan, 0.25), key=error.merit) == 0.25
    assert error.merit(None) == -math.inf
    assert Scale.of(None) == Scale.of({"metric": "accuracy"}) == accuracy
    assert Scale.of({"metric": "mae", "higher_is_better": False, "percent": False}) == error
    assert issubclass(Metric, Scale) and metrics.KNOWN


@pytest.mark.parametrize(
    "value", [0.25, torch.tensor(0.25), torch.tensor([0.25]), np.float32(0.25), np.array(0.25)], ids=repr
)
def test_a_function_gives_one_number(value: object) -> None:
    found = own(lambda output, y: value, True)(torch.zeros(3, 2), torch.zeros(3))  # type: ignore[arg-type,return-value]
    assert type(found) is float and found == 0.25


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "None of type NoneType"),
        ("0.5", "'0.5' of type str"),
        (torch.ones(3), r"a tensor of shape \[3\]"),
        (np.ones((2, 2)), r"an array of shape \[2, 2\]"),
        ({"f1": 0.5}, r"\{'f1': 0.5\} of type dict"),
    ],
    ids=str,
)
def test_a_function_that_gives_something_else_is_named(value: object, said: str) -> None:
    def closeness(output: Tensor, y: Tensor) -> object:
        return value

    with pytest.raises(TypeError, match=f"the metric 'closeness' gave {said}; expected one number"):
        own(closeness, True)(torch.zeros(3, 2), torch.zeros(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*METRICS, "hits@2", "ogb:ogbl-citation2", "ogb:ogbg-molhiv", "ogb:ogbn-arxiv"])
def test_scores_that_diverged_have_no_metric(name: str) -> None:
    metric = find(name)
    classes = "classification" in metric.kinds and "link" not in metric.kinds
    y = torch.tensor([1, 1, 0, 0, 0]) if classes else torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    output = torch.zeros(5, 2 if classes else 1)
    output[3] = math.nan
    assert math.isnan(metric(output, y)) and metric.judged(metric(output, y), math.nan) == (-math.inf, -math.inf)


def test_nan_is_refused_unless_the_scores_diverged() -> None:
    def error(output: Tensor, y: Tensor) -> Tensor:
        return (output - y).abs().mean()

    metric = own(error, False)  # type: ignore[arg-type]
    assert math.isnan(metric(torch.tensor([[math.nan], [0.0]]), torch.zeros(2, 1)))
    with pytest.raises(ValueError, match=r"the metric 'error' gave NaN for finite scores of 2 items; .*which are NaN"):
        metric(torch.zeros(2, 1), torch.tensor([[math.nan], [0.0]]))
    with pytest.raises(ValueError, match=r"gave NaN .*try its worst value"):
        own(lambda output, y: math.nan, True)(torch.zeros(2, 1), torch.zeros(2))
