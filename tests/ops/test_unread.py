"""What operations can't read of the edges' data is said."""

from __future__ import annotations

from gnas.ops import unread
from gnas.space import gap, layered, pooling, relational


def test_what_is_left_unread_is_named() -> None:
    space = layered(2)
    assert unread(space) == []
    assert unread(space, edge_attr=True) == [
        "edge_attr in the space 'layered' is read by gat, gin; gcn, sage_mean, sage_max can't read it"
    ]
    assert unread(space, edge_weight=True) == [
        "edge_weight in the space 'layered' is read by gcn; sage_mean, sage_max, gat, gin can't read it"
    ]
    assert len(unread(space, edge_attr=True, edge_weight=True)) == 2


def test_a_space_may_read_all_of_it_or_nothing() -> None:
    assert unread(layered(2, ("gatv2", "gin", "gen_softmax", "gen_power", "pna_conv")), edge_attr=True) == []
    assert unread(relational(2), edge_attr=True) == []
    assert unread(layered(2, ("gcn", "identity")), edge_weight=True) == []
    assert unread(gap(2), edge_attr=True) == [
        "edge_attr in the space 'gap' is read by none of its operations; mean_pool, sum_pool, max_pool can't read it"
    ]
    (note,) = unread(pooling(2), edge_attr=True)
    assert "read by kept_gin;" in note
