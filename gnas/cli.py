"""The command ``gnas``: names become objects here and only here.

Each command imports what it needs when it runs, so help, ``gnas export`` and ``gnas report`` are there at once.
What is wrong with the input is said in one sentence on stderr, with exit code 2.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from gnas.space import Space
    from gnas.strategy.base import Strategy
    from gnas.task import Task

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="gnas",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search a graph neural network for your graph, on PyTorch Geometric.",
    epilog="Start with `gnas search digits`: a whole search on a built-in graph, without a download.",
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `gnas search` wrote.")]
Root = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the data sets' raw files as PyG lays them out; read only. [default: $GNAS_DATA, or download]"
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Trainings side by side, of one thread each; one a core, up to 8, if not given."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; all cores if not given.")]


def main() -> NoReturn:
    """What the command runs."""
    app()
    raise SystemExit(0)


def _said(command: Callable[P, R]) -> Callable[P, R]:
    """Say errors of the input in one sentence; an error of gnas itself keeps its traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            after = "; the search goes on with --resume" if command.__name__ == "search" else ""
            print(f"gnas: aborted{after}", file=sys.stderr)
            raise typer.Exit(130) from None
        except (FloatingPointError, ImportError, OSError, TypeError, ValueError) as error:
            if not isinstance(error, OSError) and not _ours(error):
                raise
            print("gnas: " + " ".join(str(error).split()), file=sys.stderr)
            # A search that diverges had good input, and bad luck.
            raise typer.Exit(1 if isinstance(error, FloatingPointError) else 2) from None

    return wrapped


def _ours(error: BaseException) -> bool:
    """Whether gnas raised it, on purpose; what torch or PyG raise tells of a mistake in gnas."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parent)


def _nearest(what: str, name: str, known: Iterable[str]) -> str:
    """The name as it is known, or an error with the nearest ones."""
    names = list(known)
    if name.lower() in names:
        return name.lower()
    near = difflib.get_close_matches(name.lower(), names, n=2, cutoff=0.6)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(f"got the {what} {name!r}; expected one of {names}{hint}")


def _space(name: str, max_depth: int | None, task: Task) -> Space:
    from gnas.space import SPACES
    from gnas.usual import usual_space

    known = _nearest("space", name, SPACES)
    if max_depth is None:
        return usual_space(task, known)
    if "max_depth" not in inspect.signature(SPACES[known]).parameters:
        raise ValueError(f"got --max-depth {max_depth} with the space {known!r}, whose depth is fixed; leave it out")
    return usual_space(task, known, max_depth=max_depth)


def _strategy(label: str, order: int | None, objectives: tuple[str, ...]) -> Strategy[Any]:
    from gnas.strategy import STRATEGIES, labels

    name, settings = labels.split(label)
    known = _nearest("strategy", name, STRATEGIES)
    kind = STRATEGIES[known]
    takes = inspect.signature(kind).parameters
    if order is not None and "order" not in takes:
        raise ValueError(f"got --order {order} with the strategy {known!r}, which has none; try 'darts'")
    if objectives and "objectives" not in takes:
        raise ValueError(
            f"got --objective {objectives[0]} with the strategy {known!r}, which searches for the metric "
            "alone; try 'nsga2', or --constraint"
        )
    given = {"order": order, "objectives": objectives or None}
    return labels.make(kind, settings, {key: value for key, value in given.items() if value is not None})


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _version(asked: bool) -> None:
    if asked:
        from gnas import __version__

        print(f"gnas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Search a graph neural network for your graph, on PyTorch Geometric."""


@app.command(
    epilog="Examples: `gnas search digits`, `gnas search cora --space gap --order 2 --budget 2min`, "
    "`gnas search my_graph.pt --strategy random --budget '20 evaluations' --folder runs/mine`"
)
@_said
def search(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A data set by name (digits, cora, ogbg-molhiv, tu:MUTAG, ...; docs/data.md has them all), a file "
            "written by torch.save(data, path), or a folder of CSV files.",
        ),
    ],
    space: Annotated[
        str, typer.Option(help="What to search: layered, gap, sane, pooling, relational or bench.")
    ] = "layered",
    strategy: Annotated[
        str,
        typer.Option(
            help="How to search: darts, random, evolution, surrogate, gdas, ... (docs/strategies.md); with settings as "
            "in darts:auxiliary=1:stop=EigenvalueStop."
        ),
    ] = "darts",
    order: Annotated[int | None, typer.Option(help="Of darts: 1 is faster, 2 unrolls one step. [default: 1]")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="When to stop: a time such as 2min or 1h, '50 epochs' (darts) or '20 evaluations' (random). A time is "
            "for the whole command: a supernet gets an eighth to a half of it, the derivation and the last training "
            "the rest; a strategy that trains candidates leaves time for the last training. "
            "[default: the strategy's own end]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to write; never overwritten. [default: runs/DATA-SPACE-STRATEGY-sSEED]"),
    ] = None,
    root: Root = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Number of a published split or fold (docs/data.md), or a file or folder of your own. [default: the "
            "public or first one]"
        ),
    ] = None,
    max_depth: Annotated[
        int | None, typer.Option(min=1, help="Largest number of layers. [default: the space's]")
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="What has labels: node, edge, link or graph. [default: as the data tell]")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="What labels are: classification, multilabel or regression. [default: as the data tell]"),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="accuracy, balanced_accuracy, micro_f1, roc_auc, ap, mae, rmse, mrr, hits@K. [default: the data's own]"
        ),
    ] = None,
    loader: Annotated[str, typer.Option(help="Of one big graph's nodes: full, random, cluster or neighbor.")] = "full",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Graphs in a batch; of one graph nodes or clusters. [default: it depends]")
    ] = None,
    parts: Annotated[int | None, typer.Option(min=1, help="Parts of one big graph. [default: it depends]")] = None,
    measure: Annotated[
        str, typer.Option(help="How a big graph's networks are measured: full, parts or layers (exact, by blocks).")
    ] = "full",
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            help="What a network must not exceed, as often as you like: 'parameters<=50k', 'macs<=2M', 'latency<=5ms', "
            "'memory<=100MB'."
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="What is to be small besides: parameters, macs, latency or memory; of nsga2, tpe and random."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in that folder; without one there, begin it.")
    ] = False,
    workers: Workers = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Search a network for a graph; train it; write a page to look at and source to keep.

    Ctrl-C stops after the present step and hands over what was found so far. A run that was stopped or killed goes
    on with --resume.
    """
    from gnas.costs import Limit
    from gnas.data import known, load, split_of
    from gnas.search import search as run_search
    from gnas.task import Task

    _set_threads(threads)
    chosen = _strategy(strategy, order, tuple(objective or ()))
    limits = tuple(Limit.parse(each) for each in constraint or ())
    named, own_split = known(data), split_of(split)
    graph = load(data, root, own_split)
    source = {
        "name": named,
        "path": None if named else os.path.abspath(os.path.expanduser(data)),
        "root": None if root is None else os.path.abspath(root),
        "split": os.path.abspath(own_split) if isinstance(own_split, str) else split,
    }
    task = Task.from_data(
        graph,
        name=(named or Path(data).stem) + (f"-{own_split}" if isinstance(own_split, int) else ""),
        level=level,
        kind=kind,
        metric=metric,
        loader=loader,
        batch_size=batch_size,
        parts=parts,
        measure=measure,
    )
    run = run_search(
        task,
        _space(space, max_depth, task),
        chosen,
        budget=budget,
        seed=seed,
        folder=folder,
        resume=resume,
        progress=False if quiet else None,
        workers=workers or min(os.cpu_count() or 1, 8),
        conditions=limits,
        source=source,
    )
    print(f"report: {run.report}")
    if run.status == "interrupted":
        print("gnas: interrupted; the search goes on with --resume", file=sys.stderr)
        raise typer.Exit(130)


@app.command(
    epilog="Examples: `gnas evaluate runs/cora-layered-darts-s0`, "
    "`gnas evaluate runs/digits-layered-darts-s0 --seeds 5 --workers 2`"
)
@_said
def evaluate(
    run: RunFolder,
    seeds: Annotated[int, typer.Option(min=2, help="Number of trainings of each network.")] = 10,
    workers: Workers = None,
    root: Root = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train the found network on several seeds, beside hand-made networks and random search; print the table.

    All networks get the same tuning and the same training, random search the time that the search took. The test
    nodes are read here and nowhere else, once for each training. The report gets the table, too. What was measured
    is kept, so an evaluation that was stopped goes on when it is called again.
    """
    from rich.console import Console

    from gnas import compare
    from gnas import report as page

    _set_threads(threads)
    result = compare.evaluate(
        run, seeds=seeds, workers=workers or min(os.cpu_count() or 1, 8), root=root, progress=False if quiet else None
    )
    page.write(run)
    Console().print(compare.table(result))
    print(f"report: {run / 'report.html'}")


@app.command(epilog="Example: `gnas export runs/cora-layered-darts-s0 --output model.py`")
@_said
def export(
    run: RunFolder,
    output: Annotated[
        Path | None, typer.Option(help="File to write; printed if not given. An existing file is not overwritten.")
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(help="Write the trained network as this ONNX file instead: pip install 'gnas[onnx]'.")
    ] = None,
) -> None:
    """Print the found network as one PyG source file that runs without gnas.

    The trained weights for it lie in RUN/weights.pt: model.load_state_dict(torch.load("weights.pt")).
    """
    if onnx is not None:
        if output is not None:
            raise ValueError("got --output, a source file, and --onnx; expected one of them")
        from gnas.model import GraphModel
        from gnas.onnx import write

        _file(run, "weights.pt")
        print(write(GraphModel.from_run(run), onnx))
        return
    source = _file(run, "model.py").read_text(encoding="utf-8")
    if output is None:
        print(source, end="")
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(source)
    except FileExistsError:
        raise ValueError(f"{output} exists and is not overwritten; expected a new file name") from None
    except FileNotFoundError:
        raise ValueError(f"there is no folder {output.parent} for {output.name}; expected one, make it first") from None
    print(output)


@app.command(epilog="Example: `gnas report runs/cora-layered-darts-s0`")
@_said
def report(run: RunFolder) -> None:
    """Write RUN/report.html again, for example after `gnas evaluate`; the last line says where it is."""
    from gnas import report as page

    page.write(run)
    print(f"report: {run / 'report.html'}")


benchmarks = typer.Typer(no_args_is_help=True, help="Compare strategies where the whole truth is known.")
app.add_typer(benchmarks, name="bench")


@benchmarks.command(
    epilog="Example: `gnas bench strategies --data cora,pubmed --strategies random,surrogate --seeds 10`"
)
@_said
def strategies(
    data: Annotated[str, typer.Option(help="Tables of NAS-Bench-Graph, names separated by commas.")] = "cora",
    strategies: Annotated[
        str,
        typer.Option(
            help="Strategies that evaluate one network at a time, separated by commas; with settings as in "
            "surrogate:initial=20:final=left_out."
        ),
    ] = "random,surrogate",
    space: Annotated[str, typer.Option(help="The space that there are tables of: bench.")] = "bench",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each strategy on each table.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the first run; the others count on from it.")] = 0,
    evaluations: Annotated[int, typer.Option(min=1, help="Networks that a run looks up.")] = 300,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side, each with one thread; one a core if not given.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="File of results, a line for each run; what it has is not run again.")
    ] = Path("bench-strategies.jsonl"),
    picture: Annotated[
        Path | None, typer.Option(help="Where to draw, as .svg, .png or .pdf; needs matplotlib. [default: not at all]")
    ] = None,
    root: Root = None,
    quiet: Quiet = False,
) -> None:
    """Search in tables of trained networks, many times; print ranks and test metrics against evaluations.

    Ranks count from 0, the best network of the table by validation. A benchmark that was stopped goes on when it is
    called again.
    """
    from rich.console import Console

    from gnas import tabulating
    from gnas.strategy import STRATEGIES, labels

    _nearest("space", space, ("bench",))
    names = []
    for each in strategies.split(","):
        name, settings = labels.split(each)
        names.append(":".join([_nearest("strategy", name, STRATEGIES), *settings]))
    tables = [name.strip() for name in data.split(",")]
    places = range(seed, seed + seeds)
    runs = tabulating.runs_of(names, tables, places, evaluations, None if root is None else str(root))
    console = Console(stderr=True)

    def tell(record: dict[str, Any]) -> None:
        if not quiet:
            best = f"best rank {record['ranks'][-1]}, {record['seconds']:.1f} s"
            console.print(f"{record['strategy']} on {record['data']}, seed {record['seed']}: {best}", highlight=False)

    records = tabulating.measure(runs, output, workers or os.cpu_count() or 1, tell)
    for table in tabulating.tables(records, evaluations):
        Console().print(table)
    if picture is not None:
        tabulating.draw(records, picture)
        print(f"picture: {picture}")
    print(f"results: {output}")


def _file(run: Path, name: str) -> Path:
    from gnas.journal import Journal

    return Journal(run).result(name)
