"""Relational: states of nodes and of edges that evolve side by side, after EGNAS and ARGNP.

"Edge-featured Graph Neural Architecture Search" (arXiv 2109.01356) and "Automatic Relation-aware Graph Network
Proliferation" (CVPR 2022). A layer is two graphs of steps, one for the nodes and one for the edges. Each step is a
sum of operations, of the layer's input and of the earlier steps; those of the nodes read the edges' states, which
scale and shift the messages, those of the edges read the states of both ends. What the steps found is merged and
added to the layer's input. Deriving keeps the strongest operation of each sum. Edge states begin as the encoded edge
features, or as zeros where there are none.
"""

from __future__ import annotations

from gnas.checks import whole
from gnas.space.node import Choice, Node
from gnas.space.program import Space, prune

NODE_OPS = ("zero", "identity", "relate_sum", "relate_mean", "relate_max")
EXTENDED = (*NODE_OPS, "relate_std")
EDGE_OPS = (
    "zero",
    "identity",
    "edge_difference",
    "edge_gauss",
    "edge_hadamard",
    "edge_mean",
    "edge_sum",
    "edge_max",
)


def relational(max_depth: int = 4, steps: int = 2, extended: bool = False, depth: bool = True) -> Space:
    """Layers of node and edge states.

    With n_0 and e_0 the states that a layer reads, step s computes ``n_s = sum_j node_op_js(n_j, e_j)`` and
    ``e_s = sum_j edge_op_js(e_j, n_j)`` over j < s. The layer gives ``n_0 + merge(n_1, ..., n_S)`` and
    ``e_0 + concat(e_1, ..., e_S)``. Edge states that nothing reads, such as those of the last layer, are left out.

    Args:
        max_depth: Number of layers.
        steps: Steps S of a layer.
        extended: Also offer the standard deviation among the nodes' operations.
        depth: Whether the layer whose output is read is a choice.
    """
    max_depth, steps = whole("relational", "max_depth", max_depth, 1), whole("relational", "steps", steps, 1)
    node_ops = EXTENDED if extended else NODE_OPS
    program: list[Node] = []
    nodes, edges = "x", "edge_attr"
    for layer in range(1, max_depth + 1):
        name = f"layer{layer}"
        node_states, edge_states = [nodes], [edges]
        for s in range(1, steps + 1):
            program += _sum(f"{name}_e{s}", "edge", EDGE_OPS, list(zip(edge_states, node_states, strict=True)))
            program += _sum(f"{name}_n{s}", "node", node_ops, list(zip(node_states, edge_states, strict=True)))
            node_states.append(f"{name}_n{s}")
            edge_states.append(f"{name}_e{s}")
        program += [
            Node(f"{name}_merge", "merge", tuple(node_states[1:])),
            Node(f"{name}_concat", "concat", tuple(edge_states[1:]), kind="edge"),
            Node(name, "sum", (f"{name}_merge", nodes)),
            Node(f"{name}_edges", "sum", (f"{name}_concat", edges), kind="edge"),
        ]
        nodes, edges = name, f"{name}_edges"
    layers = tuple(f"layer{layer}" for layer in range(1, max_depth + 1))
    read = Choice("depth", layers) if depth and max_depth > 1 else layers[-1]
    program.append(Node("out", "identity", (read,)))
    return prune(Space("relational", tuple(program), "out", ("x", "edge_attr"), share="none"))


def _sum(target: str, kind: str, ops: tuple[str, ...], pairs: list[tuple[str, str]]) -> list[Node]:
    """A sum of operations, each a choice, of pairs of a state of this kind and one of the other."""
    layer, _, step = target.partition("_")
    terms = [
        Node(f"{target}_{j}", Choice(f"{kind}.{layer[5:]}.{step[1:]}.{j}", ops), pair, kind=kind)
        for j, pair in enumerate(pairs)
    ]
    return [*terms, Node(target, "sum", tuple(term.name for term in terms), kind=kind)]
