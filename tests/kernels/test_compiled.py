"""The compiled backend as a library: its operators, its threads, and how it is built or done without."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_kernels import calls, graph_with, mixtures, normal
from torch import Tensor

from gnas import kernels
from gnas.kernels import Structure, build, compiled, portable, sorting, threads
from gnas.kernels.sorting import by_rows_and_columns

needs_compiler = pytest.mark.skipif(bool(kernels.reason()), reason=kernels.reason())


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operators_keep_the_rules_of_torch_library(dtype: torch.dtype) -> None:
    structure = graph_with(6, 14, 1).plain
    pattern, (rows, columns) = structure.pattern, structure.shape
    x, values = normal(6, 3, dtype=dtype), normal(14, dtype=dtype)
    logits, z = normal(6, 2, dtype=dtype), normal(6, 2, 3, dtype=dtype)
    att = normal(2, 3, dtype=dtype)
    sizes = (pattern, rows, columns)
    plain = [t.detach() for t in (x, logits, logits, z)]
    keep = torch.rand(14, 2, dtype=dtype)
    along = normal(14, 2, dtype=dtype)
    attended = torch.ops.gnas.attention(*sizes, *plain[1:], 0.2, keep, None)
    attended_v2 = torch.ops.gnas.attention_v2(*sizes, att.detach(), plain[3], None, 0.2, keep)
    graph = graph_with(6, 14, 1)

    def mixing(kinds: int, states: Tensor) -> list[object]:
        weights = normal(9, dtype=dtype) if states.requires_grad else torch.rand(9, dtype=dtype)
        return [pattern, kinds, states, weights, *graph.propagation(dtype, bool(kinds & 4))]

    def attending(kinds: int) -> Tensor | None:
        return normal(3, 1, 3, dtype=dtype) if kinds >> 7 else None

    def mixed_back(kinds: int, biased: bool) -> list[object]:
        given, vectors = mixing(kinds, plain[0]), attending(kinds)
        vectors = None if vectors is None else vectors.detach()
        kept = torch.ops.gnas.mix(*given, None, vectors, 0.2, False)[2]
        return [*given, biased, vectors, 0.2, kept, plain[0]]

    stats = list(torch.ops.gnas.statistics(*sizes, plain[0], True, True, True))
    arguments = {
        "weighted_sum": [(*sizes, values, x, False), (*sizes, values, x, True), (*sizes, None, x, False)],
        "inner_product": [(*sizes, x, normal(6, 3, dtype=dtype))],
        "statistics": [(*sizes, x, True, True, True), (*sizes, x, False, True, False)],
        "statistics_back": [(*sizes, plain[0], stats, [plain[0], None, None, plain[0]])],
        "rectified_sum": [(*sizes, graph.order, x, normal(14, 3, dtype=dtype))],
        "rectified_sum_back": [(*sizes, graph.order, plain[0], normal(14, 3, dtype=dtype).detach(), plain[0])],
        "edge_softmax": [(*sizes, normal(14, 2, dtype=dtype))],
        "edge_softmax_back": [(*sizes, torch.rand(14, 2, dtype=dtype), torch.rand(14, 2, dtype=dtype))],
        "attention": [
            (*sizes, logits, normal(6, 2, dtype=dtype), z, 0.2, *given) for given in ((None, None), (keep, along))
        ],
        "attention_back": [
            (*sizes, [*plain[1:], *attended], plain[3], 0.2, keep, given) for given in (None, along.detach())
        ],
        "attention_v2": [(*sizes, att, z, own, 0.2, keep) for own in (None, normal(6, 2, 3, dtype=dtype, seed=1))],
        "mix": [
            (*mixing(kinds, x), bias, attending(kinds), 0.2, squares)
            for kinds, bias, squares in (
                (127, None, True),
                (6, None, False),
                (11, normal(3, dtype=dtype), True),
                (16, None, False),
                (511, normal(3, dtype=dtype), True),
                (130, None, False),
            )
        ],
        "mix_back": [tuple(mixed_back(kinds, biased)) for kinds, biased in ((127, True), (15, False), (511, True))],
        "attention_v2_back": [
            (*sizes, [att.detach(), plain[3], *attended_v2], own, plain[3], 0.2, keep) for own in (None, plain[3] + 1)
        ],
    }
    assert set(arguments) <= {name for name in dir(torch.ops.gnas) if not name.startswith("_")}
    for name, cases in arguments.items():
        for case in cases:
            torch.library.opcheck(getattr(torch.ops.gnas, name).default, case)


@needs_compiler
def test_the_front_compiles_without_a_graph_break() -> None:
    graph = graph_with(6, 14, 1)
    cases = calls(graph.plain, 3, (2, 3), torch.float64) | mixtures(graph, 3, torch.float64)
    parts = [torch.rand(2, dtype=torch.float64), *torch.randn(2, 6, 3, dtype=torch.float64)]
    cases["combine"] = lambda w, *v: kernels.combine(w, v), [part.requires_grad_() for part in parts]
    for name, (function, inputs) in cases.items():
        expected = function(*inputs)
        direction = torch.randn_like(expected)
        got = torch.compile(function, backend="aot_eager", fullgraph=True)(*inputs)
        torch.testing.assert_close(got, expected)
        for a, b in zip(
            torch.autograd.grad(got, inputs, direction), torch.autograd.grad(expected, inputs, direction), strict=True
        ):
            torch.testing.assert_close(a, b, msg=name)


@needs_compiler
def test_a_pattern_made_for_inference_serves_training() -> None:
    structure = graph_with(6, 14, 1).plain
    values, x = normal(14, dtype=torch.float32), torch.randn(6, 3)
    with torch.inference_mode():
        expected = kernels.weighted_sum(structure, values, x)
    out = kernels.weighted_sum(structure, values, x)
    assert torch.equal(out, expected)
    out.sum().backward()
    assert values.grad is not None


@needs_compiler
@pytest.mark.parametrize("entries", [0, 1, 40, 3000])
@pytest.mark.parametrize("shape", [(1, 1), (5, 90), (70, 4)])
def test_counting_sorts_as_pytorch_does(entries: int, shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(entries)
    row, column = (torch.randint(size, (entries,), generator=generator) for size in shape)
    found = by_rows_and_columns(row, column, shape)
    for name, got, expected in zip(found._fields, found, sorting._sorted(row, column, shape), strict=True):
        assert torch.equal(got, expected), name


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "LARGE", 0)
    yield
    torch.set_num_threads(before)


@needs_compiler
@pytest.mark.parametrize("kind", ["random", "hub"])
def test_no_bit_depends_on_the_number_of_threads(kind: str, many_threads: None) -> None:
    graph = graph_with(50, 900, 3, kind)
    cases = calls(graph.plain, 70, (3, 7), torch.float32) | mixtures(graph, 70, torch.float32)
    # Eight heads are taken together by one thread, and not by two.
    cases |= {f"{name}, 64 channels": call for name, call in mixtures(graph, 64, torch.float32).items()}
    found: dict[int, list[Tensor]] = {}
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        for function, inputs in cases.values():
            out = function(*inputs)
            found.setdefault(count, []).extend([out, *torch.autograd.grad(out.square().sum(), inputs)])
    for count in (2, 3, 7):
        assert all(torch.equal(a, b) for a, b in zip(found[1], found[count], strict=True))


@needs_compiler
@pytest.mark.parametrize("runs", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_threads_do_not_race(runs: int, many_threads: None) -> None:
    graph = graph_with(40, 400, 3)
    torch.set_num_threads(4)
    cases = calls(graph.plain, 36, (2, 3), torch.float32) | mixtures(graph, 36, torch.float32)
    for name, (function, inputs) in cases.items():
        first = None
        for _ in range(1 + runs):
            out = function(*inputs)
            found = [out, *torch.autograd.grad(out.square().sum(), inputs)]
            first = first or found
            assert all(torch.equal(a, b) for a, b in zip(found, first, strict=True)), name


def _in_a_child(queue: multiprocessing.Queue) -> None:
    structure = graph_with(40, 400, 3).plain
    queue.put(float(kernels.weighted_sum(structure, None, torch.ones(40, 20)).sum()))


@needs_compiler
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(many_threads: None) -> None:
    torch.set_num_threads(2)
    structure = graph_with(40, 400, 3).plain
    kernels.weighted_sum(structure, None, torch.ones(40, 20))
    assert threads._POOLS
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == 400 * 20
    child.join(timeout=60)
    assert child.exitcode == 0


@needs_compiler
def test_a_long_sum_does_not_allocate_edges_times_channels() -> None:
    # Edges by channels would be a hundred million numbers.
    structure = Structure.from_entries(torch.arange(200_000) % 50, torch.arange(200_000) % 70, (50, 70))[0]
    x = torch.ones(70, 500)
    values = torch.ones(200_000)
    with torch.profiler.profile(profile_memory=True) as profile:
        kernels.statistics(structure, kernels.weighted_sum(structure.transposed(), values, torch.ones(50, 500)) + x)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest <= 32 * 200_000


# Building --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process that has built nothing yet, with an empty cache folder."""
    monkeypatch.setattr(build, "_BUILT", {})
    monkeypatch.setattr(build, "_FUNCTIONS", {})
    monkeypatch.delenv("GNAS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gnas"


def test_without_a_compiler_the_portable_backend_serves(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    structure, x = graph_with(6, 14, 1).plain, torch.randn(6, 3)
    assert kernels.backend() == "portable"
    assert "no C compiler was found; looked for" in kernels.reason()
    assert kernels._backend(structure, x) is portable
    torch.testing.assert_close(kernels.weighted_sum(structure, None, x), portable.weighted_sum(structure, None, x))
    with pytest.raises(ValueError, match=r"isn't available: no C compiler .* try use\('portable'\)"):
        kernels.use("compiled")
    with pytest.raises(build.Unavailable, match="no C compiler"):
        compiled.weighted_sum(structure, None, x)


def test_a_compiler_that_fails_is_told(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    assert kernels.backend() == "portable"
    assert "false failed" in kernels.reason()


@needs_compiler
def test_it_is_built_once_and_found_again(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in build.FLAGS))
    build.build(torch.float32)
    [library] = fresh.glob("*.so")
    assert not list(fresh.glob("tmp*"))
    monkeypatch.setattr(build, "_compile", None)
    build.build(torch.float32)
    # Another processor, and other flags, would be served by other files.
    command = (build.compiler(), *build.FLAGS)
    assert library.stem.endswith(build.digest(command))
    assert build.digest((*command, "-g")) != build.digest(command)
    monkeypatch.setattr(build, "processor", lambda: "another")
    assert not library.stem.endswith(build.digest(command))


@needs_compiler
def test_a_folder_that_cannot_be_written_is_done_without(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in build.FLAGS))
    fresh.write_text("a file where the folder should be")
    assert build.build(torch.float32).weighted_sum
    assert fresh.is_file()


def test_nowhere_to_write_is_told(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fresh.write_text("a file where the folder should be")
    monkeypatch.setattr(build, "compiler", lambda: sys.executable)
    monkeypatch.setattr(build.tempfile, "tempdir", str(tmp_path / "missing"))
    assert kernels.backend() == "portable"
    assert "can't be written or loaded" in kernels.reason()


@needs_compiler
def test_two_processes_build_at_once(tmp_path: Path) -> None:
    code = (
        "import torch; from gnas.kernels import build; "
        "build.FLAGS = tuple('-O0' if f == '-O3' else f for f in build.FLAGS); build.build(torch.float32).weighted_sum"
    )
    path = os.pathsep.join(filter(None, [str(Path(kernels.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "GNAS_CACHE": str(tmp_path), "PYTHONPATH": path}
    running = [subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE) for _ in range(2)]
    for process in running:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()
    assert len(list(tmp_path.iterdir())) == 1
