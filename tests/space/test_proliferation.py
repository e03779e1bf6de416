"""States divide as in ARGNP: the first half keeps what was chosen, the second is open, and costs grow linearly."""

from __future__ import annotations

import pytest

from gnas.space import Space, gap, layered, relational
from gnas.space.discretise import discretise, most_probable
from gnas.space.proliferation import Proliferate, cells


def opened(space: Space, prefix: str) -> dict[tuple[int, int], tuple[object, ...]]:
    """The edges that are not silent, as (step, source) with step 0 for the layer's input, and their options."""
    found = {}
    for name, choice in space.choices.items():
        kind, *place = name.split(".")
        if f"{kind}.{place[0]}" == prefix and choice.options != ("zero",):
            found[int(place[1]), int(place[2])] = choice.options
    return found


def weights_of(space: Space, full: Space, chosen: dict[str, str]) -> dict[str, list[float]]:
    """Weights of the full space: those that are closed have none, the chosen ones most."""
    found = {}
    for name, choice in full.choices.items():
        left = space.choices[name].options
        found[name] = [(2.0 if chosen.get(name) == o else 1.0) if o in left else 0.0 for o in choice.options]
    return found


def test_cells_are_the_states_of_a_layer_by_kind() -> None:
    space = relational(2, steps=3)
    found = [[state.name for state in cell] for cell in cells(space)]
    assert ["layer1_n1", "layer1_n2", "layer1_n3"] in found and ["layer2_n1", "layer2_n2", "layer2_n3"] in found
    assert ["layer1_e1", "layer1_e2", "layer1_e3"] in found and ["layer2_e1", "layer2_e2"] in found, "what is read"
    (nodes,) = (cell for cell in cells(space) if cell[0].name == "layer1_n1")
    assert [[source for source, _ in state.reads] for state in nodes] == [[-1], [-1, 0], [-1, 0, 1]]
    assert ["layer1_in1", "layer1_in2"] in [[state.name for state in cell] for cell in cells(gap(1))]
    with pytest.raises(ValueError, match=r"no cell of two states .* try gnas.relational"):
        cells(layered(2))


def test_a_search_begins_with_one_state_and_ends_with_four() -> None:
    full = relational(1, steps=4, depth=False)
    ops = full.choices["node.1.1.0"].options
    first = Proliferate(4)(full, weights_of(full, full, {}), full)
    assert opened(first, "node.1") == {(1, 0): ops}

    chosen = {"node.1.1.0": "relate_max"}
    second = Proliferate(2)(first, weights_of(first, full, chosen), full)
    # The second half is the third of four places, and reads the input and the first half.
    assert opened(second, "node.1") == {(1, 0): ("relate_max",), (3, 0): ops, (3, 1): ops}

    chosen = {"node.1.3.1": "relate_sum"}
    third = Proliferate(1)(second, weights_of(second, full, chosen), full)
    assert opened(third, "node.1") == {
        (1, 0): ("relate_max",),
        (2, 0): ops,
        (2, 1): ops,
        # It read the first state, whose second half is the second state.
        (3, 2): ("relate_sum",),
        (4, 2): ops,
        (4, 3): ops,
    }
    again = Proliferate(1)(third, weights_of(third, full, {}), full)
    assert again == third, "there is no room to divide once more"


def test_open_edges_grow_with_the_states_and_not_with_their_square() -> None:
    for steps in (4, 8, 16):
        full = relational(1, steps=steps, depth=False)
        space, stride = full, steps
        while stride:
            space = Proliferate(stride)(space, weights_of(space, full, {}), full)
            stride //= 2
        left = opened(space, "node.1")
        assert len(left) == steps // 2 * 3 and len(opened(full, "node.1")) == steps * (steps + 1) // 2
        assert {step for step, _ in left} == set(range(1, steps + 1)), "every state lives at last"


def test_what_is_derived_on_the_way_is_the_small_network() -> None:
    full = relational(1, steps=4, depth=False)
    first = Proliferate(4)(full, weights_of(full, full, {}), full)
    weights = weights_of(first, full, {"node.1.1.0": "relate_mean"})
    genotype = discretise(full, weights)
    live = {name for name, option in genotype.choices if name.startswith("node") and option != "zero"}
    assert live == {"node.1.1.0"} and genotype["node.1.1.0"] == "relate_mean"
    networks = {genotype["node.1.1.0"] for genotype in most_probable(full, weights)}
    assert networks == set(full.choices["node.1.1.0"].options) - {"zero"}


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"stride": 0}, {"inputs": 0}):
        with pytest.raises(ValueError, match="expected a whole number of at least 1"):
            Proliferate(**wrong)
