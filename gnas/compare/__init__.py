"""The last evaluation: the found network, random search and hand-made networks in one table, under one protocol.

Every network is treated alike. Its recipe is chosen among those of :func:`gnas.recipe.recipes_of` by the mean metric
on the architecture split over the tuning seeds; then it is trained from scratch on the reporting seeds, which are
others, and the test nodes are read once at the end of each of those trainings. Random search draws from the same space
for as many seconds as the search and its derivation took, and its best network goes the same way.

Differences are tested by the paired t-test over the reporting seeds, and the p-values of the hand-made networks are
corrected for their number by Holm's method. The t-test and not Wilcoxon's signed ranks, because accuracies on a fixed
set of nodes come in steps: with ten seeds several differences are equal or zero, which the ranks must drop or guess,
and three seeds could never give the ranks a p below 0.25. What follows ± is a standard deviation over seeds.

The test over the seeds of one run asks whether *this* network is better, not whether the search would find a better
one again; :func:`combine` asks that of several runs with different search seeds.
"""

from __future__ import annotations

from gnas.compare.rows import evaluate
from gnas.compare.runs import combine, read
from gnas.compare.statistics import Difference, compare, holm, independent, paired, verdict
from gnas.compare.tables import markdown, table

__all__ = [
    "Difference",
    "combine",
    "compare",
    "evaluate",
    "holm",
    "independent",
    "markdown",
    "paired",
    "read",
    "table",
    "verdict",
]
