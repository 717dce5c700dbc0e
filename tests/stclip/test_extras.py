"""An optional dependency that is not installed is asked for by name."""

import sys

import pytest

from stclip.data.__main__ import main
from stclip.errors import InputError
from stclip.extras import extra
from tests.stclip.data.hest_folders import slide_of, write_hest


def test_a_missing_module_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        InputError, match=r"HEST-1k slides need h5py \(.*\); run: pip install 'stclip\[hest\]'"
    ):
        extra("h5py", "hest", "HEST-1k slides")


def test_a_module_that_is_there_is_returned():
    assert extra("json", "hest", "x").dumps({}) == "{}"


def test_bringing_in_slides_without_the_extra_is_one_line(tmp_path, monkeypatch, capsys):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert main(["hest", "--raw", str(raw), "--out", str(tmp_path / "out"), "--jobs", "1", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: HEST-1k slides need h5py") and len(err.splitlines()) == 1
