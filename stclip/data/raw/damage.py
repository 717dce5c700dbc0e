"""The error for an HDF5 file (.h5, .h5ad) that cannot be read, with the way out."""

from __future__ import annotations

from stclip.errors import DataError

MISSING = ("plugin", "required filter", "not registered")  # words of HDF5 when it has no such filter


def damaged(where: str, error: Exception, kind: str) -> DataError:
    """One line for what h5py, or a part of it, raised while it read the file `where`, which should be `kind`.

    A filter that is not there (Blosc, Zstd, LZ4) is no damage.
    """
    what = " ".join(str(error).split())[:160] or type(error).__name__
    if any(word in what for word in MISSING):
        return DataError(
            f"{where}: is compressed by an HDF5 filter that is not there ({what}); install hdf5plugin and set HDF5_PLUGIN_PATH "
            "to hdf5plugin.PLUGIN_PATH, or write it again with gzip"
        )
    return DataError(f"{where}: truncated, damaged or not {kind} ({what}); copy it again")
