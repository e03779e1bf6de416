"""The compiled kernels as a library: built with the machine's own C compiler when they are first called.

The library lies in the user's cache folder under a name that is a digest of the source, the compiler, its flags and
the processor, so that a folder shared by several machines serves each with its own. It is written to a new file that
is then renamed: two processes that build at once both succeed.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("compiled.c")
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fno-unswitch-loops",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
)
TUNING = (("-march=native",), ("-mcpu=native",), ())
"""Flags that name the processor; each is tried where the compiler refuses the one before."""
TYPES = {torch.float32: (), torch.float64: ("-DDOUBLE",)}
TIMEOUT = 300


class Unavailable(Exception):
    """The compiled kernels can't be had; the message says why."""


def compiler() -> str:
    """Path of the C compiler: that of the environment's ``CC``, or else ``cc``, ``gcc`` or ``clang``."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    for name in names:
        path = shutil.which(name)
        if path:
            return os.path.realpath(path)
    raise Unavailable(f"no C compiler was found; looked for {names}, try to install gcc or to set CC")


def processor() -> str:
    """What tells this processor's instruction set from another's."""
    words = [platform.system(), platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return " ".join(words)
    told = [line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))]
    return " ".join([*words, *sorted(set(told))])


def folder() -> Path:
    """The cache folder of gnas: ``$GNAS_CACHE``, else ``$XDG_CACHE_HOME/gnas``, else ``~/.cache/gnas``."""
    if own := os.environ.get("GNAS_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gnas"


def digest(command: tuple[str, ...]) -> str:
    """Name of the library that a command would build on this machine."""
    known = hashlib.sha256()
    for path in sorted(SOURCE.parent.glob("*.[ch]")):
        known.update(path.name.encode() + b"\0" + path.read_bytes())
    stat = os.stat(command[0])
    for word in (*command, str(stat.st_size), str(stat.st_mtime_ns), processor()):
        known.update(word.encode() + b"\0")
    return known.hexdigest()[:24]


def build(dtype: torch.dtype) -> ctypes.CDLL:
    """The library for one floating point type, from the cache folder or freshly built.

    Raises:
        Unavailable: There is no compiler, or it fails.
    """
    command = (compiler(), *FLAGS, *TYPES[dtype])
    try:
        target = folder() / f"kernels-{digest(command)}.so"
        if target.is_file():
            return ctypes.CDLL(str(target))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as room:
            os.replace(_compile(command, Path(room)), target)
        return ctypes.CDLL(str(target))
    except (OSError, RuntimeError):
        # There is no such folder, it can't be written, or what lies there can't be loaded: built for this process.
        try:
            with tempfile.TemporaryDirectory() as room:
                return ctypes.CDLL(str(_compile(command, Path(room))))
        except OSError as error:
            raise Unavailable(f"the compiled kernels can't be written or loaded: {error}") from error


def _compile(command: tuple[str, ...], room: Path) -> Path:
    made, said = room / "kernels.so", ""
    for tuning in TUNING:
        words = [*command, *tuning, str(SOURCE), "-o", str(made), "-lm"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"the C compiler {command[0]} can't be run: {error}") from error
        if done.returncode == 0:
            return made
        said = said or done.stderr.strip()[-400:]
    raise Unavailable(f"the C compiler {command[0]} failed: {said}")


_LOCK = threading.Lock()
_BUILT: dict[torch.dtype, ctypes.CDLL | str] = {}
_FUNCTIONS: dict[tuple[str, torch.dtype], Callable[..., None]] = {}


def _reset_lock() -> None:
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock)


def missing(dtype: torch.dtype) -> str:
    """Why there are no compiled kernels for a type, or nothing where there are. Builds them at the first call."""
    if dtype not in TYPES:
        return f"the compiled kernels know float32 and float64, not {dtype}"
    if dtype not in _BUILT:
        with _LOCK:
            if dtype not in _BUILT:
                try:
                    _BUILT[dtype] = build(dtype)
                except Unavailable as error:
                    _BUILT[dtype] = str(error)
    found = _BUILT[dtype]
    return found if isinstance(found, str) else ""


def function(name: str, dtype: torch.dtype, signature: str) -> Callable[..., None]:
    """A function of the library.

    Args:
        name: Its name.
        dtype: Type of its numbers.
        signature: One letter an argument: ``p`` a pointer (0 for none), ``n`` an integer, ``f`` a real number.

    Raises:
        Unavailable: There is no library.
    """
    key = (name, dtype)
    if key not in _FUNCTIONS:
        reason = missing(dtype)
        library = _BUILT.get(dtype)
        if reason or library is None or isinstance(library, str):
            raise Unavailable(f"the compiled kernels aren't there: {reason}")
        found = getattr(library, name)
        kinds = {"p": ctypes.c_void_p, "n": ctypes.c_int64, "f": ctypes.c_double}
        found.argtypes, found.restype = [kinds[letter] for letter in signature], None
        _FUNCTIONS[key] = found
    return _FUNCTIONS[key]
