"""Raw files of named data sets: found in a folder that is only read, or downloaded, and opened in gnas's own cache.

PyG's and OGB's classes write beside the raw files that they read. So the files of ``--root`` or ``GNAS_DATA`` are
linked one by one into a folder of the cache, which is built aside and renamed: nobody ever reads half of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Raw(Generic[T]):
    """The raw files of one data set, and who opens them.

    Args:
        name: What the cache and the errors call it.
        folders: Where its files may lie below a data folder, likeliest first: ``("Planetoid/Cora", "Cora")``.
        files: Those that are needed, relative to it: ``("raw/ind.cora.x", ...)``.
        target: Where its class expects that folder below its own root: ``"Cora"``.
        built: A file below that root that is there when the class has done its work.
        open: Calls the class on a root. It downloads there what is missing.
        more: Patterns of further files that it reads where they are.
        also: A second folder below ``folders`` in which a needed file may lie.
    """

    name: str
    folders: tuple[str, ...]
    files: tuple[str, ...]
    target: str
    built: str
    open: Callable[[Path], T]
    more: tuple[str, ...] = ()
    also: str | None = None


def cache_folder() -> Path:
    """Where gnas may write: ``$GNAS_CACHE``, else ``$XDG_CACHE_HOME/gnas``, else ``~/.cache/gnas``."""
    if own := os.environ.get("GNAS_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "gnas"
    return Path.home() / ".cache" / "gnas"


def fetch(raw: Raw[T], root: str | Path | None) -> T:
    """What ``raw.open`` makes of the files in ``root``, else in ``GNAS_DATA``, else of those that it downloads.

    Raises:
        ValueError: The files are nowhere, or cannot be read; the sentence says what to put where.
    """
    files = _find(raw, root)
    key = f"{raw.name}-downloaded" if files is None else _key(raw, files)
    folder = cache_folder() / raw.folders[0].split("/")[0].lower() / key
    if not (folder / raw.built).exists():
        return _build(raw, files, root, folder)
    try:
        return _quietly(raw, folder)
    except Exception as error:  # a damaged file can fail in any way inside the unpickler
        raise ValueError(
            f"the cached copy of {raw.name!r} in {str(folder)!r} could not be read ({brief(error)}); "
            "delete that folder and try again"
        ) from error


def sources(root: str | Path | None) -> list[tuple[str, str | Path | None]]:
    """Who may name a data folder, and which one it names."""
    return [("--root", root), ("GNAS_DATA", os.environ.get("GNAS_DATA"))]


def brief(error: BaseException) -> str:
    """First sentence of an error, which torch likes to follow with a page of advice."""
    lines = str(error).strip().splitlines()
    first = lines[0].split(". ")[0].strip() if lines else ""
    if first.startswith("Weights only load failed"):
        return "no checkpoint of torch.save"
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__


def _find(raw: Raw[T], root: str | Path | None) -> dict[str, Path] | None:
    """The raw files by their place in the data set's folder, or None where they have to be downloaded."""
    for source, given in sources(root):
        if not given:
            continue
        top = Path(given).expanduser().resolve()
        if not top.is_dir():
            raise ValueError(
                f"{source} names {str(given)!r}, which is no folder; expected one that holds {_wanted(raw)}"
            )
        for place in raw.folders:
            for folder in _below(top, place):
                files = _files(raw, folder)
                missing = [file for file in raw.files if file not in files]
                if len(missing) == len(raw.files):
                    continue
                if missing:
                    raise ValueError(
                        f"{source} names {str(given)!r}, where {str(folder)!r} lacks {missing}; expected {_wanted(raw)}"
                    )
                return files
    return None


def _below(top: Path, place: str) -> list[Path]:
    """Folders at a place, its names taken in any case, as PyG does: Planetoid(root, "Citeseer") works, too."""
    folders = [top]
    for part in filter(None, place.split("/")):
        children = [child for folder in folders for child in sorted(folder.iterdir()) if child.is_dir()]
        folders = [child for child in children if child.name.lower() == part.lower()]
    return folders


def _files(raw: Raw[T], folder: Path) -> dict[str, Path]:
    found = {}
    for file in raw.files:
        places = [folder / file] if raw.also is None else [folder / file, folder / raw.also / Path(file).name]
        if present := [place for place in places if place.is_file()]:
            found[file] = present[0]
    for pattern in raw.more:
        found |= {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob(pattern)) if path.is_file()}
    return found


def _key(raw: Raw[T], files: dict[str, Path]) -> str:
    """Names the cache of one source: another folder, or files that have changed, get another one."""
    stats = [(str(path), path.stat()) for path in files.values()]
    text = repr([(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats])
    return f"{raw.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _build(raw: Raw[T], files: dict[str, Path] | None, root: str | Path | None, folder: Path) -> T:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as error:
        raise ValueError(
            f"the cache folder {str(folder.parent)!r} cannot be written ({brief(error)}); "
            "set GNAS_CACHE to a folder that can"
        ) from error
    try:
        try:
            for file, path in (files or {}).items():
                _link(path, aside / raw.target / file)
            made = _quietly(raw, aside)
        except Exception as error:  # aiohttp, fsspec and the unpickler have no base class in common
            raise ValueError(_not_had(raw, files, root, error)) from error
        try:
            aside.rename(folder)
        except OSError as error:
            # Another process was first, and what it built is as good; otherwise something else is in the way.
            if not (folder / raw.built).exists():
                raise ValueError(
                    f"the cache folder {str(folder)!r} is in the way ({brief(error)}); delete it and try again"
                ) from error
        return made
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """Link a single file: where the folder itself is linked, PyG might write through it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source)
    except OSError:  # Windows without the right to make links
        shutil.copyfile(source, target)


def _quietly(raw: Raw[T], folder: Path) -> T:
    with _silence():
        return raw.open(folder)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """PyG tells of downloading and processing on stderr, OGB on stdout; PyG's readers change the warning filters."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
        yield


def _wanted(raw: Raw[T]) -> str:
    return f"{raw.folders[0]} with {', '.join(raw.files)}"


def _not_had(raw: Raw[T], files: dict[str, Path] | None, root: str | Path | None, error: Exception) -> str:
    if files is not None:
        folder = os.path.commonpath([path.parent for path in files.values()])
        return (
            f"the raw files of {raw.name!r} in {folder!r} could not be read ({brief(error)}); "
            "expected the files as they were published"
        )
    given = [f"{what} ({repr(str(value)) if value else 'not set'})" for what, value in sources(root)]
    return (
        f"{raw.name!r} could not be downloaded ({brief(error)}) and is in neither of {' and '.join(given)}; set one of "
        f"them to a folder that holds {_wanted(raw)}"
    )
