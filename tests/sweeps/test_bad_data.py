"""Bad data through the real command lines: one line, exit status 2, Ray not started, nothing written."""

import json
import os
import tarfile
import tempfile
from io import BytesIO

import pytest

import sweeps.driver.sweep
import sweeps.run
from sweeps.planning.sweep_yaml import describe_data
from sweeps.reporting.markdown import markdown_text
from sweeps.reporting.sections import report_of
from sweeps.results.folder import ResultsFolder
from tests.sweeps.command_lines import files_below

# -- data sets


def shard(dataset, slide):
    return dataset / slide / f"{slide}_000000.tar"


def rewrite(dataset, slide, change):
    """The first shard of a slide, its members [(name, bytes)] changed."""
    path = shard(dataset, slide)
    with tarfile.open(path) as tar:
        members = [(info.name, tar.extractfile(info).read()) for info in tar if info.isreg()]
    with tarfile.open(path, "w") as tar:
        for name, data in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))


def replace_first(part, data):
    """A change of the first spot's member; None takes it out."""

    def change(members):
        at = next(i for i, (name, _) in enumerate(members) if name.endswith(part))
        return members[:at] + ([(members[at][0], data)] if data is not None else []) + members[at + 1 :]

    return change


def only_first_shard(dataset, slide, change):
    for path in (dataset / slide).glob("*.tar"):
        if path != shard(dataset, slide):
            path.unlink()
    rewrite(dataset, slide, change)


def split(dataset, name, text):
    (dataset / f"{name}_samples.txt").write_text(text)


def folder_instead(path):
    path.unlink()
    path.mkdir()


BROKEN = {
    "a missing split": (lambda d: (d / "val_samples.txt").unlink(), "val_samples.txt: no such file; write one slide"),
    "no split": (lambda d: [p.unlink() for p in d.glob("*.txt")], "tiny: not a data set: .*data/README.md shows"),
    "an empty split": (lambda d: split(d, "val", ""), "val_samples.txt: names no slide; write one slide id a line"),
    "a split of comments": (lambda d: split(d, "test", "# later\n\n"), "test_samples.txt: names no slide"),
    "a binary split": (lambda d: (d / "val_samples.txt").write_bytes(b"\xff\xfe\x81"), "val_samples.txt: cannot be read"),
    "a split folder": (lambda d: folder_instead(d / "val_samples.txt"), "val_samples.txt: cannot be read"),
    "a slide not on disk": (lambda d: split(d, "val", "V9\n"), "val_samples.txt: .*V9: no such folder; .*take it out"),
    "a slide without a tar": (lambda d: (d / "V9").mkdir() or split(d, "val", "V9\n"), "V9: no .tar file in this fold"),
    "two splits": (lambda d: split(d, "val", "V1\nT1\n"), "slide 'T1' stands in train and in val; leave it in one"),
    "twice in a split": (lambda d: split(d, "val", "V1\nV1\n"), "slide 'V1' stands twice in val"),
    "a path for a slide": (lambda d: split(d, "val", "../tiny/V1\n"), "slide id must be a plain name .*got '../tiny/V1'"),
    "a long slide": (lambda d: split(d, "val", "V" * 5000), "slide id must be a plain name .*at most 200 bytes"),
    "control characters": (lambda d: split(d, "val", "V\x1b[2J\n"), "slide id must be a plain name .*printable"),
    "a broken png": (lambda d: rewrite(d, "T1", replace_first("png", b"nope")),
                     r"T1_000000.tar: member 'T1_0x0.png': broken PNG \(not an image.*data.on_bad_spot: skip"),
    "a missing txt": (lambda d: rewrite(d, "V1", replace_first("txt", None)), "member 'V1_0x0.txt': missing; put it"),
    "an empty txt": (lambda d: rewrite(d, "V1", replace_first("txt", b" ")), "txt': the gene sentence is empty"),
    "a binary txt": (lambda d: rewrite(d, "V1", replace_first("txt", b"\xff\xfe")), "sentence is not UTF-8 text"),
    "a wrong json": (lambda d: rewrite(d, "E1", replace_first("json", b'{"x": 1')), "E1_0x0.json': not valid JSON"),
    "a json list": (lambda d: rewrite(d, "E1", replace_first("json", b"[1]")), "must be an object with x and y, got list"),
    "a NaN place": (lambda d: rewrite(d, "E1", replace_first("json", b'{"x": NaN, "y": 1}')), "x must be a finite number"),
    "no place": (lambda d: rewrite(d, "E1", replace_first("json", b'{"x": 1}')), "y must be a finite .*got nothing"),
    "a deep json": (lambda d: rewrite(d, "E1", replace_first("json", b"[" * 100_000)), "not valid JSON"),
    "another slide's json": (lambda d: rewrite(d, "E1", replace_first("json", b'{"sample_id": "Z", "x": 1, "y": 1}')),
                             "sample_id must be the slide 'E1' .*got 'Z'"),
    "an empty slide": (lambda d: only_first_shard(d, "V1", lambda m: []), "V1: the slide is empty: its shards hold no spot"),
    "one key twice": (lambda d: rewrite(d, "T2", lambda m: m + m[:3]), "the key 'T2_0x0' is given twice; write the shard"),
    "one key in two shards": (lambda d: (d / "T2" / "T2_000009.tar").write_bytes(shard(d, "T2").read_bytes()),
                              "T2_000009.tar: the key 'T2_0x0' is given twice"),
    "a truncated tar": (lambda d: os.truncate(shard(d, "T2"), 5000), "tar is truncated or damaged .*write it again"),
    "an empty tar": (lambda d: os.truncate(shard(d, "T2"), 0), "the tar is truncated or damaged"),
    "no tar": (lambda d: shard(d, "T2").write_bytes(b"hello" * 999), "the tar is truncated or damaged"),
    "a tar folder": (lambda d: folder_instead(shard(d, "T2")), "a folder, not a regular file"),
    "a broken manifest": (lambda d: (d / "manifest.json").write_text("{"), "manifest.json: not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_data_set(commands, case, tmp_path, monkeypatch):
    damage, message = BROKEN[case]
    # Its own: another sweep of this machine leaves folders in the common one.
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    damage(commands.dataset)
    before = files_below(commands.dataset)
    for answer in (commands.sweep(), commands.train(), commands.sweep("--debug")):
        commands.refused(answer, message)
    assert files_below(commands.dataset) == before  # no store, no lock, no part of one
    assert list(temporary.iterdir()) == []
    assert not (commands.folder / "cache").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("/etc/passwd", "data set /etc/passwd: is a file; give the folder that holds"),
        (
            "/etc",
            "/etc: not a data set: train_samples.txt, val_samples.txt and test_samples.txt are not there",
        ),
        ("../../../../../../../../../etc", "etc: not a data set"),
        ("synthetic_mediun", "data set 'synthetic_mediun' is not at .*synthetic_mediun.*; put its shards"),
        (".", r"data set '.' is not at"),
        ("~nobody_of_that_name/x", "data set '~nobody_of_that_name/x' is not at"),
        ("x" * 5000, "data set 'xxx"),
        ("a\nb", "data set 'a b' is not at"),
    ],
)
def test_data_of_another_kind(commands, data, message):
    commands.refused(commands.sweep(data=data), message)
    commands.refused(commands.train(f"data.dataset={json.dumps(data)}"), message)


def test_a_root_that_cannot_take_the_built_in_data(commands):
    (commands.folder / "file").write_text("")
    for root in (commands.folder / "file", commands.folder / "file" / "below", "/proc/none", "x" * 5000):
        answer = commands.train("data.dataset=synthetic_small", f"data.root={root}")
        commands.refused(answer, "cannot make the built-in data set: .*; choose another place with data.root")
    answer = commands.train("data.dataset=synthetic_small", 'data.root="a\\0b"')
    commands.refused(answer, "a path cannot hold a NUL character")


@pytest.mark.parametrize("command", ["sweep", "train"])
def test_broken_spots_can_be_skipped_and_are_counted(commands, command):
    rewrite(commands.dataset, "T1", replace_first("png", b"nope"))
    rewrite(commands.dataset, "V1", replace_first("txt", None))
    if command == "sweep":
        status, error, printed = commands.sweep("--set", "data.on_bad_spot=skip")
    else:
        status, error, printed = commands.train("data.on_bad_spot=skip")
    assert (status, error, commands.reached) == (0, "", 1)
    assert printed.count("2 broken spots skipped (T1: 1, V1: 1)") == 1


def test_skipped_spots_are_in_the_sweeps_files(commands, monkeypatch):
    rewrite(commands.dataset, "T1", replace_first("png", b"nope"))
    held = {}
    monkeypatch.setattr(
        sweeps.driver.sweep, "run_sweep", lambda plan, store, *_: held.update(describe_data(plan, store)) or 0
    )
    assert commands.sweep("--set", "data.on_bad_spot=skip")[0] == 0
    assert held["skipped_spots"] == {"T1": 1}
    summary = {"families": {}, "baselines": {}, "status": "complete", "seconds": 1, "metric": "val/R@10", "mode": "max",
               "verdict": "none"}  # fmt: skip
    text = markdown_text(report_of({"data": held}, [], summary, ResultsFolder(commands.folder / "results")))
    assert "Broken spots were left out (data.on_bad_spot: skip), 1 in all (T1: 1)." in text
    assert "skipped_spots (T1 1)" in text


def test_a_slide_of_broken_spots_only_cannot_be_skipped(commands):
    only_first_shard(commands.dataset, "V1", lambda members: [(name, b"x") for name, _ in members])
    before = files_below(commands.dataset)
    message = "V1: the slide is empty: all of its 16 spots were skipped as bad"
    commands.refused(commands.sweep("--set", "data.on_bad_spot=skip"), message)
    assert files_below(commands.dataset) == before
