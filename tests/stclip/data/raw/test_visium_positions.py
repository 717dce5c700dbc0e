"""Tissue positions as Space Ranger and spreadsheets write them; what else they may hold is one line in our words."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from stclip.data.raw import visium_positions
from stclip.data.raw.visium_positions import COLUMNS, SCALES, microns_per_pixel, read_positions
from stclip.errors import DataError

LINES = ["AAAC-1,1,0,0,20,10", "AAAG-1,1,0,2,20,210", "AAAT-1,0,0,4,20,410"]


def write(tmp_path, text, name="tissue_positions.csv"):
    (tmp_path / "spatial").mkdir(exist_ok=True)
    (tmp_path / "spatial" / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_delimiters_of_spreadsheets_are_read(tmp_path, delimiter, header):
    lines = [",".join(COLUMNS), *LINES] if header else LINES
    write(tmp_path, "\n".join(lines).replace(",", delimiter) + "\n")
    barcodes, xy = read_positions(tmp_path, "S")
    assert barcodes == ["AAAC-1", "AAAG-1"] and xy.tolist() == [[10, 20], [210, 20]]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "barcode,x\nA,1\n",
            r"has no column in_tissue, pxl_row_in_fullres, pxl_col_in_fullres, got barcode, x; its columns",
        ),
        ("", "has no column barcode, .*, got nothing; its columns are barcode, in_tissue"),
        (
            "\n".join([",".join(COLUMNS), *LINES, "A,1,2"]),
            "line 5 has 3 entries, the first has 6; copy it again",
        ),
        (
            ",".join(COLUMNS) + "\nA,yes,0,0,1,2\n",
            "spot 1: in_tissue must be a number, got 'yes'; put it right",
        ),
        (
            ",".join(COLUMNS).replace(",", ";") + "\nA;1;0;0;1,5;2\n",
            "spot 1: pxl_row_in_fullres must be a number, got '1,5'",
        ),
        ("\n".join(line.replace(",1,", ",0,") for line in LINES), "no spot under tissue"),
        (",".join(COLUMNS) + "\nA,1,0,0,nan,2\n", "or one without a place"),
        (",".join(COLUMNS) + "\nA,1,0,0,1e300,2\n", "or one without a place"),
    ],
)
def test_what_is_no_table_of_positions(tmp_path, text, rule):
    with pytest.raises(DataError, match=rf"slide 'S': .*tissue_positions.csv: .*{rule}") as error:
        read_positions(write(tmp_path, text), "S")
    assert "Error" not in str(error.value) and "zip()" not in str(error.value)


def test_a_damaged_parquet_file(tmp_path):
    with pytest.raises(DataError, match=r"tissue_positions.parquet: cannot be read as Parquet"):
        read_positions(write(tmp_path, "PAR1 no", "tissue_positions.parquet"), "S")


def parquet(tmp_path, **changed):
    columns = {name: [1.0, 2.0] for name in COLUMNS} | {"barcode": ["AAAC-1", "AAAG-1"]} | changed
    write(tmp_path, "", "tissue_positions.parquet")
    path = tmp_path / "spatial" / "tissue_positions.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="none", use_dictionary=False)
    return path


def test_texts_of_a_parquet_file_that_are_none(tmp_path):
    path = parquet(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"AAAC-1", b"AA\xffC-1"))
    with pytest.raises(DataError, match=r"cannot be read as Parquet \(.*invalid start byte.*; copy it again"):
        read_positions(tmp_path, "S")


def test_a_parquet_file_of_more_places_than_there_can_be(tmp_path, monkeypatch):
    parquet(tmp_path)
    assert read_positions(tmp_path, "S")[0] == ["AAAC-1", "AAAG-1"]
    monkeypatch.setattr(visium_positions, "MOST_PLACES", 1)
    with pytest.raises(DataError, match=r"\(it says that it holds 2 places, more than 1\); copy it again"):
        read_positions(tmp_path, "S")


@pytest.mark.parametrize("text", ["[]", "{", "7"])
def test_scale_factors_that_are_no_object(tmp_path, text):
    with pytest.raises(DataError, match=r"scalefactors_json.json: not valid JSON \(.*; put it right"):
        microns_per_pixel(write(tmp_path, text, SCALES), np.zeros((1, 2)), "S")


@pytest.mark.parametrize("scale", ['"half"', "1" * 400, "NaN", "Infinity", "-1", "true", "[1]"])
def test_a_scale_that_is_none_is_told_from_the_spots(tmp_path, scale):
    write(tmp_path, f'{{"microns_per_pixel": {scale}}}', SCALES)
    spots = np.array([[0.0, 0], [200, 0]])
    assert microns_per_pixel(tmp_path, spots, "S") == 0.5
    assert microns_per_pixel(tmp_path, spots, "S", pitch=8.0) == 0.04
