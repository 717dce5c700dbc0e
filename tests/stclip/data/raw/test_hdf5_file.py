"""A file is read with no more memory than its size allows; what goes wrong meanwhile is one line."""

import sys

import numpy as np
import pytest

from stclip.data.raw.hdf5_file import LEAST_MEMORY, MEMORY_PER_BYTE, little_memory, opened_hdf5, reading
from stclip.errors import DataError


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory so")
def test_memory_is_limited_by_the_files_size_and_only_within(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    (tmp_path / "small").write_bytes(b"small")
    with little_memory(tmp_path / "small"):
        np.zeros(LEAST_MEMORY // 4, np.uint8)
        with pytest.raises(MemoryError):
            np.zeros(2 * LEAST_MEMORY, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    (tmp_path / "large").write_bytes(bytes(4 * LEAST_MEMORY // MEMORY_PER_BYTE))
    with pytest.raises(ValueError, match="as it was"), little_memory(tmp_path / "large"):
        np.zeros(2 * LEAST_MEMORY, np.uint8)
        raise ValueError("as it was")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_whatever_is_raised_while_reading_is_one_line():
    rule = r"^here: truncated, damaged or not a file \(a b\); copy it again$"
    with pytest.raises(DataError, match=rule), reading("here", "a file"):
        raise RecursionError("a\nb")
    with pytest.raises(DataError, match="^as it is$"), reading("here", "a file"):
        raise DataError("as it is")


def test_what_is_raised_after_reading_is_left_alone(tmp_path):
    import h5py

    def opened(name):
        return opened_hdf5(tmp_path / name, "here", "a file", "hest", "files")

    h5py.File(tmp_path / "a.h5", "w").close()
    with pytest.raises(OSError, match="No space left"), opened("a.h5"):
        raise OSError(28, "No space left on device")
    (tmp_path / "b.h5").write_bytes(b"no")
    with pytest.raises(DataError, match="^here: truncated, damaged or not a file "), opened("b.h5"):
        pass
