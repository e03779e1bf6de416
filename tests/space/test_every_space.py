"""Every space of gnas passes the suite that is offered to others."""

from __future__ import annotations

import pytest

from gnas.space import SPACES, Space, for_level
from gnas.testing import SpaceSuite


@pytest.mark.parametrize("name", list(SPACES))
class TestSpaces(SpaceSuite):
    @pytest.fixture
    def space(self, name: str) -> Space:
        return SPACES[name]()


@pytest.mark.parametrize("level", ["graph", "link"])
class TestLevels(SpaceSuite):
    @pytest.fixture
    def space(self, level: str) -> Space:
        return for_level(SPACES["layered"](max_depth=2), level)
