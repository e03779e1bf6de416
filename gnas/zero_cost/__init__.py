"""Zero-cost scores: how promising networks are before any of them is trained; one score, one file, one paper."""

from __future__ import annotations

from gnas.zero_cost.base import Score
from gnas.zero_cost.filtering import Promising, narrow
from gnas.zero_cost.fisher import Fisher
from gnas.zero_cost.flatness import Flatness
from gnas.zero_cost.gradient_norm import GradientNorm
from gnas.zero_cost.ntk import NtkCondition
from gnas.zero_cost.overlap import Overlap
from gnas.zero_cost.parameters import Parameters
from gnas.zero_cost.scoring import SCORES, Yardstick, ZeroCost, score
from gnas.zero_cost.synflow import Synflow

__all__ = [
    "SCORES",
    "Fisher",
    "Flatness",
    "GradientNorm",
    "NtkCondition",
    "Overlap",
    "Parameters",
    "Promising",
    "Score",
    "Synflow",
    "Yardstick",
    "ZeroCost",
    "narrow",
    "score",
]
