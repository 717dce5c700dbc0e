"""The counts of an .h5ad file, read with anndata a block of rows at a time, so that no slide has to fit into memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stclip.errors import DataError
from stclip.extras import extra

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}")
_SYMBOL_COLUMNS = (
    "gene_symbols",
    "gene_symbol",
    "gene_name",
    "gene_names",
    "feature_name",
    "symbol",
    "SYMBOL",
)


@dataclass(frozen=True)
class CountsFile:
    """An open .h5ad."""

    path: Path
    spots: Sequence[str]
    genes: Sequence[str]
    xy: np.ndarray  # float64 [spots, 2], pixels of the slide's image
    _matrix: Any  # [spots, genes]: h5py's dataset, anndata's sparse dataset, or what lies in memory

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[CountsFile]:
        """Raises DataError: not an .h5ad, damaged, or without pixel coordinates."""
        anndata = extra("anndata", "hest", ".h5ad files")
        where = f"slide '{path.stem}': {path}"
        try:
            data = anndata.read_h5ad(path, backed="r")
        except Exception as error:  # anndata wraps what h5py raises in classes of its own
            raise _damaged(where, error) from None
        try:
            matrix = data.X
            if matrix is None:
                raise DataError(f"{where}: has no X; store raw counts there")
            if getattr(matrix, "format", "csr") == "csc":  # whose rows cannot be read one by one
                matrix = matrix.to_memory().tocsr()
            yield cls(path, list(data.obs_names), _gene_names(data), _coordinates(data, where), matrix)
        finally:
            data.file.close()

    def rows(self, rows: np.ndarray) -> csr_matrix:
        """Counts float32 [n, genes] of these rows, in the order given; zeros are not stored. Raises DataError: damaged."""
        from scipy.sparse import csr_matrix

        order = np.argsort(rows)  # a file is read in ascending order
        try:
            block = self._matrix[rows[order]]
        except (OSError, RuntimeError) as error:
            raise _damaged(f"slide '{self.path.stem}': {self.path}", error) from None
        found = csr_matrix(block, dtype=np.float32)[np.argsort(order)]
        found.sum_duplicates()
        found.eliminate_zeros()
        return found


def _gene_names(data: Any) -> list[str]:
    """The columns' names; symbols of another column of `var` where the names themselves are Ensembl ids."""
    names = [str(name) for name in data.var_names]
    if sum(bool(_ENSEMBL.match(name)) for name in names) * 2 > len(names):
        for column in _SYMBOL_COLUMNS:
            if column in data.var:
                symbols = [str(symbol).strip() for symbol in data.var[column]]
                pairs = zip(symbols, names, strict=True)
                return [symbol if symbol not in ("", "nan", "None") else name for symbol, name in pairs]
    return names


def _coordinates(data: Any, where: str) -> np.ndarray:
    columns = ("pxl_col_in_fullres", "pxl_row_in_fullres")  # x, y
    try:
        if all(column in data.obs for column in columns):
            xy = np.stack([np.asarray(data.obs[column], dtype=np.float64) for column in columns], axis=1)
        elif "spatial" in data.obsm:
            xy = np.array(data.obsm["spatial"], dtype=np.float64)
        else:
            raise DataError(
                f"{where}: has no pixel coordinates: neither obs {' and '.join(columns)} nor obsm['spatial']; add one of them"
            )
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: coordinates must be numbers ({error}); put them right") from None
    if xy.shape != (data.n_obs, 2) or not np.isfinite(xy).all():
        wrong = (
            f"{int((~np.isfinite(xy)).any(1).sum())} spots have none"
            if xy.ndim == 2
            else f"got {list(xy.shape)}"
        )
        raise DataError(f"{where}: coordinates must be finite numbers [spots, 2]: {wrong}; put them right")
    return xy


def _damaged(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: truncated, damaged or not an .h5ad ({' '.join(str(error).split())[:160]}); copy it again"
    )
