"""Reading HDF5 files (.h5ad, .h5): whatever is wrong with one is one line, and takes neither the process nor its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stclip.data.raw.damage import damaged
from stclip.errors import DataError
from stclip.extras import extra

# Bytes of memory that may be taken to read names, coordinates and row pointers: so much, and so many times the file's size. A
# length with a flipped bit asks for gigabytes; names in memory take twenty times what they take in a file.
LEAST_MEMORY = 2**29
MEMORY_PER_BYTE = 64


@contextmanager
def opened_hdf5(path: Path, where: str, kind: str, brings: str, what: str) -> Iterator[Any]:
    """The open file. `brings`: the extra that h5py comes with, `what` needs it.

    Raises DataError, of `where`: it is not `kind`, or damaged. What is raised within is left as it is: see `reading`.
    """
    h5py = extra("h5py", brings, what)
    with reading(where, kind):
        file = h5py.File(path, "r")
    with file:
        yield file


@contextmanager
def reading(where: str, kind: str) -> Iterator[None]:
    """What h5py, anndata and their parts raise within, of as many kinds as they have parts, is a DataError that says `where`."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise damaged(where, error, kind) from None


@contextmanager
def little_memory(path: Path) -> Iterator[None]:
    """While active, this process gets no more memory than what a file of this size can need; on Linux, elsewhere as before."""
    limits = _limits(LEAST_MEMORY + MEMORY_PER_BYTE * path.stat().st_size)
    if limits is None:
        yield
        return
    import resource

    before, lower = limits
    resource.setrlimit(resource.RLIMIT_AS, lower)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _limits(most: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The limits of this process's memory as they are, and as they are to be."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + most
        smallest = min(value for value in (wanted, *before) if value != resource.RLIM_INFINITY)
        return before, (smallest, before[1])
    return None
