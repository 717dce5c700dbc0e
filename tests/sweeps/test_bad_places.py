"""Places that cannot be written, through the real command lines: one line, exit status 2, nothing changed."""

import os

import pytest

from stclip.data.store import store as store_module
from sweeps.results.folder import ResultsFolder
from tests.sweeps.command_lines import files_below

# -- places that cannot be written


def test_a_folder_that_holds_another_sweep(commands):
    place = commands.folder / "place"
    ResultsFolder(place / "mine").create({"name": "mine"})
    before = files_below(commands.folder)
    commands.refused(
        commands.sweep("--name", "mine", results=place),
        "mine: already holds an unfinished sweep; go on with it by: python sweeps/run.py --resume",
    )
    commands.refused(
        commands.train(out=place / "mine"), "mine: holds a sweep; give another folder with out=DIR"
    )
    (place / "other").mkdir()
    (place / "other" / "notes").write_text("")
    commands.refused(
        commands.sweep("--name", "other", results=place), "other: is not empty and holds no sweep"
    )
    (place / "other" / "notes").unlink()
    (place / "other").rmdir()
    assert files_below(commands.folder) == before


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none", "x" * 300])
def test_results_that_cannot_be_written(commands, place):
    (commands.folder / "file").write_text("")
    before = files_below(commands.folder)
    place = commands.folder / place
    commands.refused(
        commands.sweep(results=place), r"results folder .*: cannot be written \(.*with --results"
    )
    out = place if place.name != "file" else place / "below"
    commands.refused(commands.train(out=out), r"out folder .*: cannot be written \(.*with out=DIR")
    assert files_below(commands.folder) == before


def test_results_without_permission(commands, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # the tests may run as root
    commands.refused(commands.sweep(), r"cannot be written \(no permission to write in .*with --results")


def test_data_without_permission_put_their_store_into_the_cache(commands, monkeypatch):
    (commands.dataset / ".store").write_text("a file where the folder should be")
    before = files_below(commands.dataset)
    assert commands.sweep()[:2] == (0, "")
    assert files_below(commands.dataset) == before
    assert list((commands.folder / "cache").glob("*/meta.json"))


def test_no_place_for_a_store_at_all(commands, monkeypatch):
    (commands.dataset / ".store").write_text("")
    monkeypatch.setenv("STCLIP_CACHE", "/proc/none")
    commands.refused(
        commands.sweep(), "no permission to write the spot store: .*set STCLIP_CACHE to a folder of yours"
    )


def test_a_full_disk(commands, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = files_below(commands.dataset)
    monkeypatch.setattr(store_module.np, "save", full)
    commands.refused(
        commands.sweep(), r"spot store cannot be written \(No space left on device\); make room there"
    )
    assert files_below(commands.dataset) == before


@pytest.mark.parametrize("meta", ["{", "{}", "[]", "3"])
def test_a_damaged_store(commands, meta):
    assert commands.sweep()[0] == 0
    commands.reached = 0
    (next((commands.dataset / ".store").glob("*/meta.json"))).write_text(meta)
    commands.refused(commands.sweep(), "the spot store is damaged .*delete this folder, it is built again")


def test_damaged_features(commands):
    assert commands.sweep()[0] == 0
    commands.reached = 0
    os.truncate(next((commands.dataset / ".store").glob("*/features_*.npy")), 100)
    commands.refused(
        commands.sweep(),
        "the spot store is damaged .the content of features_stain_1.npy has changed.; delete this folder",
    )
