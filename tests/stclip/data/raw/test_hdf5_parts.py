"""Parts of HDF5 files in forms that h5py does not stand, or that are no data, are refused in a few words, unread."""

import h5py
import numpy as np
import pytest

from stclip.data.raw.hdf5_parts import PartError, attribute, check_column, dataset, group, number, texts


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "parts.h5", "w") as file:
        yield file


def lists(element, name):
    """An attribute of lists of numbers, each as long as it likes."""
    values = np.empty(1, dtype=object)
    values[0] = np.arange(3, dtype=np.int32)
    element.attrs.create(name, values, dtype=h5py.vlen_dtype(np.int32))


@pytest.mark.parametrize(
    "value",
    ["text", 7, 1.5, True, np.array([1, 2]), ["a", "b"], np.bytes_(b"text"), np.zeros(2, [("a", "f4", 3)])],
    ids=repr,
)
def test_attributes_of_numbers_and_texts_are_read(file, value):
    file.attrs["about"] = value
    assert np.array_equal(attribute(file, "about"), value)
    assert attribute(file, "missing", "default") == "default"


def test_an_attribute_of_lists_is_refused(file):
    lists(file, "encoding-type")
    with pytest.raises(PartError, match="^the attribute encoding-type of / holds neither numbers nor texts$"):
        attribute(file, "encoding-type")


@pytest.mark.parametrize(
    ("value", "found"),
    [(7, 7.0), (0.5, 0.5), ([3], 3.0), ([1, 2], None), ("7", None), (h5py.Empty("f4"), None)],
)
def test_only_a_single_number_is_a_number(file, value, found):
    file.attrs["size"] = value
    assert number(file, "size") == found
    assert number(file, "missing") is None


def test_a_number_that_is_a_list(file):
    lists(file, "size")
    assert number(file, "size") is None


def test_what_is_no_dataset(file):
    file["type"] = np.dtype("f8")
    file["empty"] = h5py.Empty("f4")
    file.create_group("group")
    for name in ("type", "empty", "group"):
        with pytest.raises(PartError, match=f"^/{name} holds no values$"):
            dataset(file, name)
    file.create_dataset("lists", (2,), h5py.vlen_dtype(np.int32))
    file.create_dataset("records", (2,), [("a", h5py.vlen_dtype(np.int32))])
    for name in ("lists", "records"):
        with pytest.raises(PartError, match=f"^/{name} holds neither numbers nor texts$"):
            dataset(file, name)


def test_what_is_no_group(file):
    file.create_dataset("values", (2**60,), "f4", chunks=(1024,))
    with pytest.raises(PartError, match="^/values is no group$"):
        group(file, "values")


def test_a_column_has_values_or_a_group_of_them(file):
    file["column/codes"] = [0, 1]
    file["column/categories"] = ["a", "b"]
    check_column(file["column"])
    lists(file["column/codes"], "encoding-version")
    with pytest.raises(PartError, match="the attribute encoding-version of /column/codes holds neither"):
        check_column(file["column"])


def test_a_group_in_a_group_is_no_column(file):
    file["column/codes"] = [0, 1]
    file["column/again"] = file["column"]
    with pytest.raises(PartError, match="^/column/again holds no values$"):
        check_column(file["column"])


def test_texts_of_either_length(file):
    file["fixed"] = np.array([[b"a"], [b"bc"]])
    file["any"] = ["a", "bc"]
    assert texts(file["fixed"]) == texts(file["any"]) == ["a", "bc"]
    file["odd"] = np.array([b"\xff"])
    with pytest.raises(UnicodeDecodeError):
        texts(file["odd"])
