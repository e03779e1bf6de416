"""The drawing of a network: every operation once, nothing on top of anything else."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ElementTree

from gnas import draw
from gnas.space import Space, gap, layered
from gnas.space.reading import read_choices


def test_drawing_over_random_genotypes() -> None:
    rng = random.Random(0)
    for space in (layered(), gap(2), layered(3, jumps=("max", "concat"), skips=True), layered(1), gap(1, nodes=1)):
        for _ in range(8):
            genotype = space.sample(rng)
            root = ElementTree.fromstring(draw.network(space, genotype))
            drawn = [g.get("data-node") for g in root.iter() if g.get("data-node")]
            assert len(drawn) == len(set(drawn))
            assert {node.name for node in space.bind(genotype).nodes} <= set(drawn)


def test_boxes_do_not_overlap_and_stay_inside() -> None:
    rng = random.Random(1)
    for space in (layered(4), gap(3), layered(3, jumps=("max", "concat"), skips=True)):
        for _ in range(6):
            root = ElementTree.fromstring(draw.network(space, space.sample(rng)))
            shells = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if "shell" in str(r.get("class"))]
            places = [[float(str(r.get(key))) for key in ("x", "y", "width", "height")] for r in shells]
            boxes = [(x, y, x + wide, y + tall) for x, y, wide, tall in places]
            for i, (left, top, right, bottom) in enumerate(boxes):
                assert left >= 0 and top >= 0
                assert right <= float(str(root.get("width"))) + 1 and bottom <= float(str(root.get("height"))) + 1
                for a, b, c, d in boxes[i + 1 :]:
                    assert right <= a + 0.2 or c <= left + 0.2 or bottom <= b + 0.2 or d <= top + 0.2


def test_drawing_greys_what_is_not_read() -> None:
    space = layered(4, ("gcn", "gat"), transforms=0, transform=(True,), previous=(0.0,), initial=(0.0,), tie=())
    choices = {name: choice.options[0] for name, choice in space.choices.items()}
    genotype = space.genotype({**choices, "depth": "layer2"})
    unread = {node.name for node in draw.unread_nodes(space, genotype)}
    assert unread == {"conv3", "conv4"}, "what passes a value on and computes nothing isn't drawn"
    drawing = draw.network(space, genotype)
    assert drawing.count('class="row unread"') == 2
    assert read_choices(space, genotype) >= {"aggregate.1", "aggregate.2", "depth"}
    assert not read_choices(space, genotype) & {"aggregate.3", "aggregate.4"}


def test_drawing_of_a_space_that_returns_its_input() -> None:
    space = Space("nothing", (), "x")
    ElementTree.fromstring(draw.network(space, space.genotype({})))
