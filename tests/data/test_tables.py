"""A folder of CSV files: what each column becomes, and what is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from gnas.data import load
from gnas.graphs import GraphSet
from gnas.task import Task

NODES = "id,age,tall,label,split\nann,31,1,red,train\nbob,40,0,blue,train\ncem,25,1,red,val\ndee,52,0,green,test\n"
EDGES = "source,target,weight,kind\nann,bob,1,0.5\nbob,cem,2,1.5\ndee,ann,3,2.5\n"


def folder(path: Path, nodes: str = NODES, edges: str = EDGES, graphs: str | None = None) -> Path:
    path.mkdir(exist_ok=True)
    (path / "nodes.csv").write_text(nodes)
    (path / "edges.csv").write_text(edges)
    if graphs is not None:
        (path / "graphs.csv").write_text(graphs)
    return path


def test_one_graph(tmp_path: Path) -> None:
    data = load(folder(tmp_path / "club"))
    assert isinstance(data, Data)
    assert data.x.tolist() == [[31, 1], [40, 0], [25, 1], [52, 0]] and data.x.dtype == torch.float
    assert data.y.tolist() == [2, 0, 2, 1] and data.y.dtype == torch.long
    assert data.edge_index.tolist() == [[0, 1, 3], [1, 2, 0]]
    assert data.edge_weight.tolist() == [1, 2, 3] and data.edge_attr.tolist() == [[0.5], [1.5], [2.5]]
    assert data.train_mask.tolist() == [True, True, False, False]
    assert data.val_mask.nonzero().item() == 2 and data.test_mask.nonzero().item() == 3


def test_edges_without_a_direction_go_both_ways_each_by_itself(tmp_path: Path) -> None:
    rows = "ann,bob,1,4\nbob,ann,3,6\ncem,dee,5,7\ndee,dee,8,9\n"
    data = load(folder(tmp_path, edges="u,v,weight,kind\n" + rows))
    assert data.edge_index.tolist() == [[0, 0, 1, 1, 2, 3, 3], [1, 1, 0, 0, 3, 2, 3]], "a loop is one edge"
    assert data.edge_weight.tolist() == [1, 3, 3, 1, 5, 5, 8]
    assert data.edge_attr.view(-1).tolist() == [4, 6, 6, 4, 7, 7, 9]
    data = load(folder(tmp_path, edges="source,target,weight\nann,bob,1\nann,bob,3\n"))
    assert data.edge_index.tolist() == [[0, 0], [1, 1]] and data.edge_weight.tolist() == [1, 3]
    data = load(folder(tmp_path, edges="u,v\nann,bob\ncem,dee\n"))
    assert data.edge_index.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]] and "edge_attr" not in data


def test_only_ids_and_ends_are_needed(tmp_path: Path) -> None:
    data = load(folder(tmp_path, "ID\na\nb\nc\n", "Source, Target\na, b\na, c\n"))
    assert data.x.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0]], "degrees, one-hot"
    assert set(data.keys()) == {"num_nodes", "x", "edge_index", "of_degrees"}
    data = load(folder(tmp_path, "id,x\na,1\nb,2\n", "source,target\n"))
    assert data.edge_index.shape == (2, 0) and data.edge_index.dtype == torch.long


@pytest.mark.parametrize(
    ("labels", "y"),
    [
        (["0", "2", "2"], torch.tensor([0, 2, 2])),
        (["1.0", "2", "2"], torch.tensor([1.0, 2.0, 2.0])),
        (["b", "c1", "a"], torch.tensor([1, 2, 0])),
        (["1_0", "1_1", "1_0"], torch.tensor([0, 1, 0])),
        (["-1.5", "1e3", "0"], torch.tensor([-1.5, 1000.0, 0.0])),
    ],
)
def test_labels(labels: list[str], y: torch.Tensor, tmp_path: Path) -> None:
    rows = "".join(f"{i},1,{label}\n" for i, label in enumerate(labels))
    found = load(folder(tmp_path, "id,x,label\n" + rows, "source,target\n0,1\n")).y
    assert found.dtype == y.dtype and torch.equal(found, y)


def test_words_are_classes_and_no_numbers_to_predict(tmp_path: Path) -> None:
    nodes = "id,x,label\n" + "".join(f"{i},{i},{'red' if i % 2 else 'blue'}\n" for i in range(20))
    data = load(folder(tmp_path, nodes, "source,target\n1,2\n"))
    assert data.num_classes == 2 and Task.from_data(data).kind == "classification"
    with pytest.raises(ValueError, match="kind='regression', but .* 2 classes .* a column of words"):
        Task.from_data(data, kind="regression")
    for words, stated in (("yes", 2), ("1", None)):
        rows = "".join(
            f"{i},{i},{words if i % 2 else words.replace('1', '0').replace('yes', 'no')}\n" for i in range(9)
        )
        assert load(folder(tmp_path, "id,x,label_a\n" + rows, "source,target\n")).get("num_classes") == stated


def test_several_tasks_may_have_gaps_and_one_only_outside_of_the_split(tmp_path: Path) -> None:
    y = load(folder(tmp_path, "id,x,label_a,label_b\n0,1,1,\n1,1,0,1\n", "source,target\n0,1\n")).y
    assert y.shape == (2, 2) and y.isnan().tolist() == [[False, True], [False, False]] and y[1].tolist() == [0, 1]
    y = load(folder(tmp_path, "id,x,label_a,label_b\n0,1,yes,1\n1,1,no,0\n2,1,,1\n", "source,target\n0,1\n")).y
    assert y[:2].tolist() == [[1, 1], [0, 0]] and y[2].isnan().tolist() == [True, False]
    y = load(folder(tmp_path, "id,x,label_a,label_b\n0,1,1.5,2.0\n1,1,0,3.0\n", "source,target\n0,1\n")).y
    assert y.tolist() == [[1.5, 2], [0, 3]]
    rows = "0,1,7,train\n1,1,8,val\n2,1,7,test\n3,1,,{}\n"
    nodes = "id,x,label,split\n" + rows
    data = load(folder(tmp_path, nodes.format(""), "source,target\n0,1\n"))
    assert data.y.tolist() == [7, 8, 7, 0] and data.y.dtype == torch.long
    with pytest.raises(ValueError, match=r"line 5 of .*nodes.csv has the label ''; expected a label, because"):
        load(folder(tmp_path, nodes.format("test"), "source,target\n0,1\n"))
    with pytest.raises(
        ValueError, match=r"line 3 of .*nodes.csv has the label ''; expected a label, or a column split"
    ):
        load(folder(tmp_path, "id,x,label\n0,1,1\n1,1,\n", "source,target\n0,1\n"))


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity", "1e999"])
def test_a_label_that_is_no_finite_number_is_not_known(text: str, tmp_path: Path) -> None:
    nodes, edges = "id,x,label,split\n0,1,{},train\n1,1,8.5,val\n2,1,7.5,test\n3,1,{},{}\n", "source,target\n0,1\n"
    y = load(folder(tmp_path, nodes.format("7.5", text, ""), edges)).y
    assert y[:3].tolist() == [7.5, 8.5, 7.5] and bool(y[3].isnan())
    with pytest.raises(ValueError, match=rf"line 5 of .* has the label '{text}'; expected a label, because the row"):
        load(folder(tmp_path, nodes.format("7.5", text, "train"), edges))
    with pytest.raises(ValueError, match=rf"line 3 of .* has the label '{text}'; expected a label, or a column split"):
        load(folder(tmp_path, f"id,x,label\n0,1,1\n1,1,{text}\n", edges))
    y = load(folder(tmp_path, f"id,x,label,split\n0,1,1,train\n1,1,0,val\n2,1,1,test\n3,1,{text},\n", edges)).y
    assert y.tolist() == [1, 0, 1, 0] and y.dtype == torch.long, "the others are classes"
    y = load(folder(tmp_path, f"id,x,label_a,label_b\n0,1,1,{text}\n1,1,0,1\n", edges)).y
    assert y.isnan().tolist() == [[False, True], [False, False]]
    with pytest.raises(ValueError, match="'label_a' of .* holds no label"):
        load(folder(tmp_path, f"id,x,label_a\n0,1,{text}\n1,1,\n", edges))


def test_rows_without_a_class_fill_no_part(tmp_path: Path) -> None:
    rows = "".join(f"{i},1,{'ab'[i % 2]},{('train', 'val', 'test')[i % 3]}\n" for i in range(9))
    nodes = "id,x,label,split\n" + rows + "9,1,,\n"
    found = load(folder(tmp_path / "whole", nodes, "source,target\n0,1\n"))
    assert found.labelled.tolist() == 9 * [True] + [False]
    with pytest.raises(ValueError, match=r"line 11 .* expected a label, or train, val and test .* \['train', 'val'\]"):
        load(folder(tmp_path / "part", nodes.replace(",test", ","), "source,target\n0,1\n"))
    split = tmp_path / "split.csv"
    split.write_text("index,split\n0,train\n1,val\n9,test\n")
    with pytest.raises(ValueError, match="the test part of .* names position 9, which has no label"):
        load(tmp_path / "whole", split=split)
    graphs = "graph,label,split\n" + "".join(f"{i},{'ab'[i % 2]},{('train', 'val', 'test')[i % 3]}\n" for i in range(6))
    several = "graph,id,x\n" + "".join(f"{i},{i},1\n" for i in range(7))
    load(folder(tmp_path / "set", several, "source,target\n0,0\n", graphs + "6,,\n"))
    split.write_text("index,split\n0,train\n1,val\n6,test\n")
    with pytest.raises(ValueError, match="the test part of .* names position 6, which has no label"):
        load(tmp_path / "set", split=split)


@pytest.mark.parametrize("header", ["label", "label_a", "label_a,label_b"])
def test_numbers_with_a_point_are_predicted(header: str, tmp_path: Path) -> None:
    columns = len(header.split(","))
    rows = "".join(f"{i},1{f',{i % 2}.0' * columns}\n" for i in range(9))
    edges = "source,target\n0,1\n"
    task = Task.from_data(load(folder(tmp_path / "one", f"id,x,{header}\n{rows}", edges)))
    assert (task.kind, task.metric.name, task.out_channels) == ("regression", "mae", columns)
    graphs = f"graph,{header}\n" + "".join(f"{i}{f',{i % 2}.0' * columns}\n" for i in range(9))
    several = "graph,id,x\n" + "".join(f"{i},{i}{end},1\n" for i in range(9) for end in "ab")
    task = Task.from_data(load(folder(tmp_path / "set", several, "source,target\n0a,0b\n", graphs)))
    assert (task.level, task.kind, task.metric.name) == ("graph", "regression", "mae")


def test_degrees_are_no_features_where_edges_are_asked_for(tmp_path: Path) -> None:
    ring = "".join(f"{i},{(i + step) % 30}\n" for i in range(30) for step in (1, 2, 5))
    data = load(folder(tmp_path, "id\n" + "".join(f"{i}\n" for i in range(30)), "u,v\n" + ring))
    task = Task.from_data(data, level="link")
    assert task.x.tolist() == [[1.0]] * 30 and any("degrees would tell" in note for note in task.notes)
    assert data.x.size(1) > 1


SEVERAL = "graph,id,f\np,a,1\nq,a,2\np,b,3\nq,b,4\nq,c,5\n"
WITHIN = "graph,source,target,weight\nq,b,c,1\np,a,b,2\nq,a,b,3\n"


def test_several_graphs_in_the_order_of_their_table(tmp_path: Path) -> None:
    found = load(folder(tmp_path / "pair", SEVERAL, WITHIN, "graph,label\nq,yes\np,no\n"))
    assert isinstance(found, GraphSet) and found.name == "pair" and found.split is None
    q, p = found.graphs
    assert q.x.tolist() == [[2], [4], [5]] and p.x.tolist() == [[1], [3]]
    assert q.edge_index.tolist() == [[1, 0], [2, 1]] and p.edge_index.tolist() == [[0], [1]]
    assert q.edge_weight.tolist() == [1, 3] and p.edge_weight.tolist() == [2]
    assert q.y.tolist() == [1] and p.y.tolist() == [0] and (q.num_nodes, p.num_nodes) == (3, 2)


def test_several_graphs_without_a_table_come_in_the_order_of_their_nodes(tmp_path: Path) -> None:
    nodes = "graph,id,label,split\ng,0,1,train\nh,1,0,\ng,2,1,test\n"
    found = load(folder(tmp_path, nodes, "source,target\n2,0\n"))
    g, h = found.graphs
    assert g.y.tolist() == [1, 1] and h.y.tolist() == [0] and h.edge_index.shape == (2, 0)
    assert g.train_mask.tolist() == [True, False] and h.test_mask.tolist() == [False]
    assert g.x.tolist() == [[1, 0], [0, 1]] and h.x.tolist() == [[1, 0]], "as many columns in each"


def test_the_split_of_graphs(tmp_path: Path) -> None:
    nodes = "graph,id,f\n" + "".join(f"{g},{i},1\n" for g in "abcd" for i in "01")
    edges = "graph,source,target\n" + "".join(f"{g},0,1\n" for g in "abcd")
    table = "graph,label_x,label_y,split\na,1,,train\nb,0,1,val\nc,1,1,test\nd,0,0,train\n"
    found = load(folder(tmp_path, nodes, edges, table))
    assert {role: part.tolist() for role, part in found.split.items()} == {
        "weights": [0, 3],
        "architecture": [1],
        "test": [2],
    }
    assert found.graphs[0].y.shape == (1, 2) and found.graphs[0].y.isnan().tolist() == [[False, True]]
    with pytest.raises(
        ValueError, match=r"the split in .*graphs.csv names only \['weights'\]; expected train, val and"
    ):
        load(folder(tmp_path, nodes, edges, "graph,label,split\na,1,train\nb,0,\nc,1,\nd,0,\n"))


@pytest.mark.parametrize(
    ("nodes", "edges", "graphs", "said"),
    [
        ("x\n1\n", EDGES, None, r"nodes.csv has no column 'id', only \['x'\]; expected nodes.csv \(id, features"),
        ("", EDGES, None, r"nodes.csv begins with \[\]; expected a header"),
        ("id,id\n1,2\n", EDGES, None, r"nodes.csv begins with \['id', 'id'\]"),
        ("id,x\n", EDGES, None, r"nodes.csv has no rows"),
        ("id,x\n1,2\n1\n", EDGES, None, r"line 3 of .*nodes.csv has 1 fields; expected 2: \['id', 'x'\]"),
        ("id,x\n1,2\n\n1,3\n", EDGES, None, r"line 4 of .*nodes.csv has the id '1'; expected an id that no other row"),
        ("id,x\n1,red\n", "source,target\n", None, r"line 2 of .*nodes.csv has the x 'red'; expected a finite number"),
        ("id,x\n1,2\n2,\n", "source,target\n", None, r"line 3 of .*nodes.csv has the x ''; expected a finite number"),
        ("id,x\n1,nan\n", "source,target\n", None, r"has the x 'nan'"),
        ("id,label\n1,\n", "source,target\n", None, r"has the label ''"),
        ("id,label_a\n1,\n", "source,target\n", None, r"the column 'label_a' of .* holds no label"),
        ("id,label,label_a\n1,1,1\n", "source,target\n", None, r"columns label and \['label_a'\]; expected the one"),
        (
            "id,label\n1,7\n2,?\n3,8\n",
            "source,target\n",
            None,
            r"line 3 of .* has the label '\?'; expected a number as in line 2 \(nothing where it is not known\)",
        ),
        (
            "id,label\n1,0\n2,1" + "0" * 20 + "\n",
            "source,target\n",
            None,
            r"line 3 .*; expected a class number, at most",
        ),
        ("id,label\n1,red\n2,2\n", "source,target\n", None, r"line 2 .* label 'red'; expected a number as in line 3"),
        ('id,label\n1,"1,5"\n', "source,target\n", None, r"line 2 of .* label '1,5'; expected a point before decimals"),
        ('id,x\n1,"-1,5"\n', "source,target\n", None, r"line 2 of .* has the x '-1,5'; expected a point before decim"),
        ("id,x\n1,1_0\n", "source,target\n", None, r"line 2 of .* has the x '1_0'; expected a finite number"),
        ("id,x\n1,2\n2,1e300\n", "source,target\n", None, r"line 3 of .* has the x '1e300'; expected a finite number"),
        ("id,label_a\n1,0\n2,2\n", "source,target\n", None, r"line 3 .* label_a '2'; .* one column label"),
        ("id,label_a\n1,b\n2,a\n3,c\n", "source,target\n", None, r"line 4 .* label_a 'c'; expected 0 or 1, or one of"),
        ("id,label_a\n1,\n2,yes\n", "source,target\n", None, r"line 3 .* label_a 'yes'; expected 0 or 1, or one of"),
        (
            "id,label_a,label_b\n1,1.5,0\n",
            "source,target\n",
            None,
            r"numbers in \['label_a'\], but classes in \['label_b'\]; expected numbers in all of them \(1.0, not 1\)",
        ),
        ("id,x\n1,2\n,3\n", "source,target\n", None, r"line 3 .* has the id ''; expected a name in every row"),
        ("graph,id\n,1\n", "source,target\n", None, r"line 2 .* has the graph ''; expected a name in every"),
        ("id;x\n1;2,5\n", EDGES, None, r"nodes.csv begins with 'id;x', its fields apart by ';'; expected commas"),
        ('id,label\n1,"red\n2,blue\n', EDGES, None, r"line 3 of .*nodes.csv could not be read as CSV .* quote closed"),
        (NODES, "u,v,source,target\nann,bob,1,2\n", None, r"has the columns u and v, and \['source', 'target'\], too"),
        (NODES, "graph,source,target\n1,ann,bob\n", None, r"edges.csv has a column 'graph', but nodes.csv has none"),
        ("id,split\n1,trian\n", "source,target\n", None, r"line 2 .* split 'trian'; expected one of \['train', 'val'"),
        (NODES, "from,to\nann,bob\n", None, r"edges.csv has no column 'source', only \['from', 'to'\]"),
        (NODES, "source,target\nann,eve\n", None, r"line 2 of .*edges.csv has the target 'eve'; expected the id of a"),
        (NODES, "source,target,label\nann,bob,1\n", None, r"gnas reads no labels of edges from CSV; save a Data"),
        (NODES, EDGES, "graph,label\n1,2\n", r"has a graphs.csv, but nodes.csv has no column 'graph'"),
        (SEVERAL, "source,target\na,b\n", None, r"has the id 'a'; .* or a column graph in edges.csv"),
        (SEVERAL, WITHIN, "graph,label\nq,1\nq,2\n", r"line 3 of .*graphs.csv has the graph 'q'; .* each once"),
        (SEVERAL, WITHIN, "graph,label\nq,1\np,1\nr,2\n", r"line 4 of .*graphs.csv has the graph 'r'"),
        (SEVERAL, WITHIN, "graph,label\nq,1\n", r"no row for the graph 'p' of nodes.csv"),
        (SEVERAL, WITHIN, "graph,size\nq,1\np,1\n", r"graphs.csv has the columns \['size'\], too"),
        (
            SEVERAL.replace("f\n", "label\n"),
            WITHIN,
            "graph,label\nq,1\np,2\n",
            r"both nodes.csv and .*graphs.csv have labels",
        ),
        ("graph,id,f\np,a,1\nq,b,2\n", "source,target\na,b\n", None, r"target 'b'; expected a node of the same graph"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_line(
    nodes: str, edges: str, graphs: str | None, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        load(folder(tmp_path, nodes, edges, graphs))


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no nodes.csv; expected nodes.csv .* and edges.csv"):
        load(tmp_path)
    (tmp_path / "nodes.csv").write_bytes("id\nbob\nJosé\n".encode("cp1252"))
    (tmp_path / "edges.csv").write_text("source,target\n")
    with pytest.raises(ValueError, match="line 3 of .*nodes.csv holds the byte 0xe9, .* expected a CSV file in UTF-8"):
        load(tmp_path)


ODD = {
    "byte order mark": "\ufeff" + NODES,
    "carriage returns": NODES.replace("\n", "\r\n"),
    "blank lines": "\n \n" + NODES.replace("\n", "\n\n"),
    "spaces": NODES.replace(",", " , "),
    "quotes": NODES.replace("ann", '"ann"').replace("31", '"31"').replace("red", '"red"'),
    "quotes after spaces": NODES.replace(",", ", ").replace("red", '"red"'),
}


@pytest.mark.parametrize("odd", ODD)
def test_the_same_table_written_otherwise_is_the_same(odd: str, tmp_path: Path) -> None:
    plain = load(folder(tmp_path / "plain"))
    (folder(tmp_path / "odd") / "nodes.csv").write_bytes(ODD[odd].encode())
    found = load(tmp_path / "odd")
    assert str(found.to_dict()) == str(plain.to_dict())


def test_ids_are_names_whatever_their_order(tmp_path: Path) -> None:
    data = load(folder(tmp_path, "id,x\n3,30\n1,10\n02,2\n2,20\n", "source,target\n1,2\n02,3\n"))
    assert data.x.view(-1).tolist() == [30, 10, 2, 20] and data.edge_index.tolist() == [[1, 2], [3, 0]]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(st.integers(0, 3), min_size=1, max_size=12), seed=st.integers(0, 999), both_ways=st.booleans())
def test_graphs_cut_apart_are_the_graphs_written_one_by_one(
    groups: list[int], seed: int, both_ways: bool, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(seed)
    sides = "u,v" if both_ways else "source,target"
    pairs = torch.randint(len(groups), (20, 2), generator=generator).tolist()
    pairs = [(a, b) for a, b in pairs if groups[a] == groups[b]]
    nodes = "graph,id,f\n" + "".join(f"{g},{i},{i}\n" for i, g in enumerate(groups))
    edges = f"{sides},kind\n" + "".join(f"{a},{b},{a}\n" for a, b in pairs)
    found = load(folder(tmp_path / "all", nodes, edges))
    for graph, group in zip(found.graphs, dict.fromkeys(groups)):
        own = [i for i, g in enumerate(groups) if g == group]
        nodes = "id,f\n" + "".join(f"{i},{i}\n" for i in own)
        edges = f"{sides},kind\n" + "".join(f"{a},{b},{a}\n" for a, b in pairs if a in own)
        alone = load(folder(tmp_path / "one", nodes, edges))
        assert all(torch.equal(graph[key], alone[key]) for key in ("x", "edge_index", "edge_attr"))
