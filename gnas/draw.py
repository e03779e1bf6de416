"""A drawing of a network: the program of a genotype as a layered DAG, as inline SVG.

Inputs are at the top and the output at the bottom. Operations that follow each other without a branch, within one
layer of the network, are stacked in one box. What the space has but the network doesn't read (the layers above the
chosen depth, say) is drawn pale, one box a layer.

The layout is Sugiyama's, small: ranks by the longest path, order in a rank by the mean of the neighbours' places,
edges that pass over ranks with a bend in each of them. Then boxes that feed each other, and the bends of one edge,
are joined to columns, which keeps the main way and the long edges straight; columns are moved to the mean of
their neighbours as far as there is room.

Colours are classes that the page's style sheet defines: ``searched`` for an operation or a connection the search
has chosen, ``unread`` for what the network leaves out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup

from gnas.charts import clean, svg, write
from gnas.space.genotype import Genotype
from gnas.space.node import Choice, Node
from gnas.space.program import Space, simplify
from gnas.space.reading import picked

ROW = 25.0
GAP = 30.0
BETWEEN = 24.0
FEW = 3
"""Up to this many unread operations of a layer are named; more are counted."""


@dataclass
class Box:
    """Operations that are drawn as one stack, and its place; without nodes, an input or a bend of a long edge.

    Args:
        name: Of its first node, of the input, or a made-up one.
        label: What is written on it, for an input or the output.
        nodes: What is stacked, from top to bottom.
        style: "read", "unread", "input" or "bend".
        sites: The choices behind the nodes, as far as there are any.
        chosen: Boxes above whose connection to this one the search has chosen.
        main: The box above that the first input comes from.
    """

    name: str
    nodes: tuple[Node, ...] = ()
    style: str = "read"
    sites: tuple[str, ...] = ()
    chosen: frozenset[str] = frozenset()
    main: str = ""
    label: str = ""
    wide: float = 0.0
    tall: float = ROW
    rank: int = 0
    x: float = 0.0
    y: float = 0.0
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)

    @property
    def bend(self) -> bool:
        return self.style == "bend"

    @property
    def pill(self) -> bool:
        """Whether it is drawn round: the inputs and the output."""
        return bool(self.label)

    @property
    def summary(self) -> str:
        """What stands for the operations if they are only counted."""
        if self.style != "unread" or len(self.nodes) <= FEW:
            return ""
        return f"{'layer ' + _layer(self.name) if _layer(self.name) else 'more'}: {len(self.nodes)} operations"

    @property
    def rows(self) -> int:
        return 1 if self.summary else max(len(self.nodes), 1)


def unread_nodes(space: Space, genotype: Genotype) -> tuple[Node, ...]:
    """Nodes that the network of a genotype leaves out, without those that compute nothing (identity, zero)."""
    live = {node.name for node in space.bind(genotype).nodes}
    nodes = tuple(picked(node, genotype) for node in space.nodes)
    sink = "unread"
    while any(sink == name for name in (*space.inputs, *(node.name for node in nodes))):
        sink += "_"
    # A sink that reads everything keeps all nodes, so that only the contraction of simplify() is left.
    names = tuple(node.name for node in nodes)
    whole = simplify(replace(space, nodes=(*nodes, Node(sink, "read", names)), output=sink, starts=()))
    return tuple(node for node in whole.nodes if node.name not in live and node.op != "zero" and node.name != sink)


def network(space: Space, genotype: Genotype, title: str = "The found network") -> Markup:
    """Draw the network that a genotype binds.

    Args:
        space: The space that was searched.
        genotype: One of its points.
        title: What a screen reader says the drawing is.
    """
    boxes = _boxes(space, genotype)
    order = _ranks(boxes)
    wide, high = _places(boxes, order)
    parts = [_ARROW]
    parts += [_edge(boxes, source, box) for box in boxes.values() if not box.bend for source in box.above]
    parts += [_box(box) for box in boxes.values() if not box.bend]
    return svg(wide, high, title, parts, "network", least=0.7 * wide)


def _layer(name: str) -> str:
    """The layer a node belongs to: the first number in its name."""
    found = re.search(r"\d+", name)
    return found.group() if found else ""


def _label(node: Node) -> str:
    text = str(node.op)
    return text if len(text) <= 28 else text[:27] + "…"


def _settings(node: Node) -> str:
    """Settings in short: ``weight=0.1``, and for yes and no ``transform`` and ``no transform``."""
    texts = [
        (key if value else f"no {key}") if isinstance(value, bool) else f"{key}={value}"
        for key, value in node.settings.items()
    ]
    text = ", ".join(texts)
    return text if len(text) <= 40 else text[:39] + "…"


def _site(node: Node) -> str:
    """The choice that a node of the open space stands for: of its operation, else of its wiring or settings."""
    names = [choice.name for choice in node.choices if len(choice.options) > 1]
    return names[0] if names else ""


def _measure(box: Box) -> None:
    """Room for the texts of a box, generous since fonts differ."""
    if box.summary:
        box.wide = 30 + 6.8 * len(box.summary)
    elif box.pill:
        box.wide = 30 + 8.6 * len(box.label) + sum(6.4 * len(site) + 12 for site in box.sites if site)
    else:
        rows = [
            30 + 8.6 * len(_label(node)) + 6.4 * len(_settings(node)) + (6.2 * len(site) + 12 if site else 0)
            for node, site in zip(box.nodes, box.sites)
        ]
        box.wide = max(90.0, 16.0 * len(box.above) + 20, *rows)
    box.tall = ROW * box.rows


def _boxes(space: Space, genotype: Genotype) -> dict[str, Box]:
    """Stack the nodes that form a chain, collect the unread ones by layer, and join the boxes by their edges."""
    bound = space.bind(genotype)
    opened = {node.name: node for node in space.nodes}
    nodes = {node.name: node for node in bound.nodes}
    reads = {name: list(dict.fromkeys(node.reads())) for name, node in nodes.items()}
    readers = {name: [n for n in reads if name in reads[n]] for name in (*bound.inputs, *nodes)}
    unread = unread_nodes(space, genotype)
    needed = {read for node in unread for read in node.reads()}
    inputs = [name for name in bound.inputs if readers[name] or name in needed or name == bound.output]
    boxes = {name: Box(name, style="input", label=name) for name in inputs}
    head = {name: name for name in boxes}
    for name, node in nodes.items():
        one = reads[name][0] if len(reads[name]) == 1 else ""
        joins = one in nodes and readers[one] == [name] and _layer(one) == _layer(name)
        if joins and space.output not in (name, one) and one not in needed:
            head[name] = head[one]
            boxes[head[one]].nodes += (node,)
        else:
            head[name] = name
            boxes[name] = Box(name, (node,), above=[head[read] for read in reads[name]])
            boxes[name].main = boxes[name].above[0] if boxes[name].above else ""
            boxes[name].chosen = frozenset(head[read] for read in _chosen_reads(opened[name], node))
    _add_unread(boxes, head, unread)
    for box in boxes.values():
        box.sites = tuple(_site(opened[node.name]) for node in box.nodes)
    _add_output(boxes, head[bound.output], opened.get(space.output))
    for box in boxes.values():
        for source in box.above:
            boxes[source].below.append(box.name)
    for box in boxes.values():
        _measure(box)
    return boxes


def _add_output(boxes: dict[str, Box], last: str, opened: Node | None) -> None:
    """Mark the output: a box that only passes a value on is its mark, others get one below them."""
    if boxes[last].style == "read" and [node.op for node in boxes[last].nodes] == ["identity"]:
        boxes[last].label = "output"
        return
    # An output that passed on what a choice named is gone from the bound program, the choice still shows.
    site = _site(opened) if opened is not None and opened.op == "identity" else ""
    chosen = frozenset({last}) if site else frozenset[str]()
    mark = Box("output mark", label="output", sites=(site,), above=[last], main=last, chosen=chosen)
    boxes[mark.name] = mark


def _chosen_reads(opened: Node, bound: Node) -> list[str]:
    """What a node reads by choice; of an interpolation whose weight is chosen, what is mixed in."""
    if len(opened.inputs) != len(bound.inputs):
        return []
    places = [isinstance(place, Choice) for place in opened.inputs]
    if bound.op == "lerp" and isinstance(opened.settings.get("weight"), Choice):
        places[-1] = True
    return [str(read) for chosen, read in zip(places, bound.inputs) if chosen]


def _add_unread(boxes: dict[str, Box], head: dict[str, str], unread: Sequence[Node]) -> None:
    """One pale box for all unread nodes of a layer; its edges come from the nearest layers only."""
    groups: dict[str, list[Node]] = {}
    for node in unread:
        groups.setdefault(_layer(node.name), []).append(node)
    for layer, members in groups.items():
        box = Box(f"unread {layer}".strip(), tuple(members), "unread")
        boxes[box.name] = box
        for node in members:
            head[node.name] = box.name
    for layer, members in groups.items():
        box = boxes[f"unread {layer}".strip()]
        sources = dict.fromkeys(head[read] for node in members for read in node.reads() if read in head)
        near = [source for source in sources if source != box.name and boxes[source].style != "input"]
        # Unread layers may only point at later ones, so that no circle comes of drawing many nodes as one.
        earlier = list(boxes)[: list(boxes).index(box.name)]
        near = [source for source in near if boxes[source].style != "unread" or source in earlier]
        box.above = (near or [source for source in sources if boxes[source].style == "input"])[-1:]
        box.main = box.above[0] if box.above else ""


def _sorted(reads: Mapping[str, Iterable[str]]) -> list[str]:
    """Names in an order in which each comes after what it reads; those on a circle are left out."""
    waiting = {name: len(set(sources)) for name, sources in reads.items()}
    readers: dict[str, list[str]] = {name: [] for name in reads}
    for name, sources in reads.items():
        for source in set(sources):
            readers[source].append(name)
    order = [name for name, count in waiting.items() if not count]
    for name in order:
        for reader in readers[name]:
            waiting[reader] -= 1
            if not waiting[reader]:
                order.append(reader)
    return order


def _ranks(boxes: dict[str, Box]) -> list[list[str]]:
    """Ranks by the longest path from the inputs, with a bend in every rank that an edge passes over."""
    sequence = _sorted({name: box.above for name, box in boxes.items()})
    for name in sequence:
        boxes[name].rank = max((boxes[source].rank + 1 for source in boxes[name].above), default=0)
    for name in reversed(sequence):
        box = boxes[name]
        if not box.above and box.below and box.style != "input":
            box.rank = min(boxes[below].rank for below in box.below) - 1
    for box in list(boxes.values()):
        for i, source in enumerate(box.above):
            last = source
            for rank in range(boxes[source].rank + 1, box.rank):
                bend = Box(f"{source}>{box.name}@{rank}", style="bend", wide=8.0, rank=rank, above=[last], main=last)
                boxes[bend.name] = bend
                below = boxes[last].below
                if last == source:
                    below[below.index(box.name)] = bend.name
                else:
                    below.append(bend.name)
                last = bend.name
            if last != source:
                boxes[last].below.append(box.name)
                box.above[i] = last
                if source in box.chosen:
                    box.chosen |= {last}
    order: list[list[str]] = [[] for _ in range(max(box.rank for box in boxes.values()) + 1)]
    for box in sorted(boxes.values(), key=lambda box: box.style == "unread"):
        order[box.rank].append(box.name)
    return _untangle(boxes, order)


def _crossings(boxes: Mapping[str, Box], order: Sequence[Sequence[str]]) -> int:
    total = 0
    for upper, lower in itertools.pairwise(order):
        place = {name: i for i, name in enumerate(lower)}
        ends = [at for name in upper for at in sorted(place[below] for below in boxes[name].below)]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _untangle(boxes: Mapping[str, Box], order: list[list[str]]) -> list[list[str]]:
    """Order each rank by the mean place of its neighbours, up and down, and keep the best order seen."""
    best = [list(rank) for rank in order]
    least = _crossings(boxes, order)
    for sweep in range(16):
        down = sweep % 2 == 0
        for r in range(1, len(order)) if down else range(len(order) - 2, -1, -1):
            beside = order[r - 1] if down else order[r + 1]
            place = {name: (i + 0.5) / len(beside) for i, name in enumerate(beside)}
            wanted = {}
            for i, name in enumerate(order[r]):
                near = [place[n] for n in (boxes[name].above if down else boxes[name].below)]
                mean = sum(near) / len(near) if near else (i + 0.5) / len(order[r])
                wanted[name] = (boxes[name].style == "unread", mean)
            order[r].sort(key=wanted.__getitem__)
        found = _crossings(boxes, order)
        if found < least:
            best, least = [list(rank) for rank in order], found
    return best


def _places(boxes: Mapping[str, Box], order: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Give every box its place; returns the size of the drawing."""
    y = 4.0
    for rank in order:
        for name in rank:
            boxes[name].y = y
        y += max(boxes[name].tall for name in rank) + GAP
    columns = _columns(boxes, order)
    members: dict[str, list[str]] = {}
    for name, column in columns.items():
        members.setdefault(column, []).append(name)
    left_of, right_of = _spacing(boxes, order, columns)
    sequence = _sorted({column: left_of[column] for column in members})
    place = dict.fromkeys(sequence, 0.0)
    for column in sequence:
        place[column] = max((place[other] + room for other, room in left_of[column].items()), default=0.0)

    def wanted(column: str) -> float:
        total = weight = 0.0
        for name in members[column]:
            for other in (*boxes[name].above, *boxes[name].below):
                if columns[other] != column:
                    one = 0.2 if boxes[other].style == "unread" else 1.0
                    total, weight = total + one * place[columns[other]], weight + one
        return total / weight if weight else place[column]

    for _ in range(24):
        for column in reversed(sequence):
            limit = min((place[other] - room for other, room in right_of[column].items()), default=float("inf"))
            place[column] = max(place[column], min(wanted(column), limit))
        for column in sequence:
            limit = max((place[other] + room for other, room in left_of[column].items()), default=-float("inf"))
            place[column] = min(place[column], max(wanted(column), limit))
    left = min(place[columns[name]] - box.wide / 2 for name, box in boxes.items()) - 4
    for name, box in boxes.items():
        box.x = place[columns[name]] - left
    return max(box.x + box.wide / 2 for box in boxes.values()) + 4, y - GAP + 4


def _spacing(
    boxes: Mapping[str, Box], order: Sequence[Sequence[str]], columns: Mapping[str, str]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """The neighbours of every column to the left and to the right, and how far apart their middles must be."""
    left: dict[str, dict[str, float]] = {column: {} for column in columns.values()}
    right: dict[str, dict[str, float]] = {column: {} for column in columns.values()}
    for rank in order:
        for a, b in itertools.pairwise(rank):
            room = (boxes[a].wide + boxes[b].wide) / 2 + (10.0 if boxes[a].bend and boxes[b].bend else BETWEEN)
            one, other = columns[a], columns[b]
            left[other][one] = right[one][other] = max(left[other].get(one, 0.0), room)
    return left, right


def _columns(boxes: Mapping[str, Box], order: Sequence[Sequence[str]]) -> dict[str, str]:
    """Join the bends of an edge, and a box with its main reader, as long as all can stand straight at once."""
    columns = {name: name for name in boxes}
    chains: dict[str, list[str]] = {}
    for name, box in boxes.items():
        if box.bend:
            chains.setdefault(name.rpartition("@")[0], []).append(name)
    groups = [chain for chain in chains.values() if len(chain) > 1]
    for style in ("read", "unread"):
        fed = [box for box in boxes.values() if box.style == style and box.main in box.above]
        groups += [[box.main, box.name] for box in fed if boxes[box.main].style in (style, "input")]
    taken: set[str] = set()
    for group in groups:
        if group[0] in taken:
            continue
        merged = {columns[name] for name in group}
        joined = {name: columns[group[0]] if column in merged else column for name, column in columns.items()}
        left: dict[str, set[str]] = {column: set() for column in joined.values()}
        for rank in order:
            for a, b in itertools.pairwise(rank):
                left[joined[b]].add(joined[a])
        if len(_sorted(left)) == len(left):
            columns = joined
            taken.update(group[:-1])
    return columns


_ARROW = Markup(
    '<defs><marker id="gnas-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="arrow" d="M0,0.8L7.4,4L0,7.2Z"/></marker></defs>'
)


def _port(box: Box, others: Sequence[Box], other: Box) -> float:
    """Where on a box an edge starts or ends: in the order of the other ends, the straight one in the middle."""
    ordered = sorted(others, key=lambda o: o.x)
    straight = [i for i, o in enumerate(ordered) if abs(o.x - box.x) < 1]
    middle = float(straight[0]) if straight else (len(ordered) - 1) / 2
    most = max(middle, len(ordered) - 1 - middle)
    step = min(22.0, (box.wide / 2 - 10) / most) if most else 0.0
    return box.x + (ordered.index(other) - middle) * step


def _edge(boxes: Mapping[str, Box], source: str, box: Box) -> Markup:
    """One edge, back along its bends to the box it comes from."""
    way = [boxes[source]]
    while way[-1].bend:
        way.append(boxes[way[-1].above[0]])
    start, bends = way[-1], way[-2::-1] if len(way) > 1 else []
    first = bends[0] if bends else box
    x0 = _port(start, [boxes[n] for n in start.below], first)
    x1 = _port(box, [boxes[n] for n in box.above], way[0])
    y0, y1 = start.y + start.tall, box.y - 1
    path, x, y = f"M{x0:.1f},{y0:.1f}", x0, y0
    for bend in bends:
        tall = max(other.tall for other in boxes.values() if other.rank == bend.rank)
        middle = (y + bend.y) / 2
        path += f"C{x:.1f},{middle:.1f} {bend.x:.1f},{middle:.1f} {bend.x:.1f},{bend.y:.1f}V{bend.y + tall:.1f}"
        x, y = bend.x, bend.y + tall
    middle = (y + y1) / 2
    path += f"C{x:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}"
    style = "edge unread" if box.style == "unread" else "edge searched" if source in box.chosen else "edge"
    tip = (
        f"{box.nodes[0].name if box.nodes else box.label} reads {start.nodes[-1].name if start.nodes else start.label}"
    )
    if source in box.chosen and box.sites[0]:
        tip += f" (chosen: {box.sites[0]})"
    shape = Markup('<path class="{}" d="{}" marker-end="url(#gnas-arrow)"><title>{}</title></path>')
    return shape.format(style, path, clean(tip))


def _box(box: Box) -> Markup:
    left = box.x - box.wide / 2
    shell = Markup('<rect class="shell {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{}"/>').format(
        "pill" if box.pill else box.style, left, box.y, box.wide, box.tall, ROW / 2 if box.pill else 7
    )
    if not box.nodes:
        site = box.sites[0] if box.sites else ""
        name = write(left + 14, box.y + 17, box.label, "op")
        return shell + name + (write(left + box.wide - 13, box.y + 16.5, site, "site", "end") if site else Markup(""))
    if box.summary:
        tip = Markup("<title>{}</title>").format(clean("\n".join(repr(node) for node in box.nodes)))
        text = write(box.x, box.y + 17, box.summary, "set", "middle")
        return Markup('<g class="row unread">') + tip + shell + text + Markup("</g>")
    parts = [_row(box, i, left) for i in range(len(box.nodes))]
    return shell + Markup("").join(parts) if box.pill else Markup("").join(parts) + shell


def _row(box: Box, i: int, left: float) -> Markup:
    node, site, y = box.nodes[i], box.sites[i], box.y + ROW * i
    chosen = box.style == "read" and site and not box.chosen
    row = Markup('<g class="row {}" data-node="{}" data-op="{}"><title>{}</title>').format(
        "unread" if box.style == "unread" else "searched" if chosen else "fixed",
        clean(node.name),
        clean(node.op),
        clean(repr(node)),
    )
    fill = Markup("")
    if not box.pill:
        outline = _outline(left, y, box.wide, i == 0, i == len(box.nodes) - 1)
        fill = Markup('<path class="fill" d="{}"/>').format(outline)
    text = Markup('<text x="{:.1f}" y="{:.1f}" class="op">{}<tspan class="set" dx="8">{}</tspan></text>')
    name = box.label or _label(node)
    parts = [row, fill, text.format(left + 12, y + 17, clean(name), "" if box.pill else clean(_settings(node)))]
    if site:
        parts.append(write(left + box.wide - 11, y + 16.5, site, "site", "end"))
    return Markup("").join([*parts, Markup("</g>")])


def _outline(x: float, y: float, wide: float, top: bool, bottom: bool) -> str:
    """A row of a stack, round only at the stack's own corners."""
    a, b = (7 if top else 0), (7 if bottom else 0)
    return (
        f"M{x + a:.1f},{y:.1f}h{wide - 2 * a:.1f}a{a},{a} 0 0 1 {a},{a}v{ROW - a - b:.1f}a{b},{b} 0 0 1 {-b},{b}"
        f"h{2 * b - wide:.1f}a{b},{b} 0 0 1 {-b},{-b}v{a + b - ROW:.1f}a{a},{a} 0 0 1 {a},{-a}Z"
    )
