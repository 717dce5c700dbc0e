"""A checkpoint file is looked at before torch unpacks it: no more comes out of it than it holds, and nothing that makes more."""

import os
import pickle
import zipfile

import pytest
import torch

from stclip.config import Experiment
from stclip.errors import InputError
from stclip.evaluation.inference import load_model
from stclip.training.checkpoint_file import CHECKPOINT, is_whole, read_checkpoint
from sweeps.trial.checkpoints import newest_checkpoint
from tests.stclip.checkpoints_made import content, save

REFUSED = r"not a checkpoint that is safe to read .*{} *\); delete it, and use one that this program wrote"


def members(path):
    with zipfile.ZipFile(path) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def rewrite(path, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts:
            archive.writestr(name, data)


def refused(path, why):
    assert not is_whole(path)
    with pytest.raises(InputError, match=REFUSED.format(why)):
        read_checkpoint(path)
    with pytest.raises(InputError, match=REFUSED.format(why)):
        load_model(path.parent)


def test_what_torch_wrote_is_read(tmp_path):
    path = save(content(), tmp_path)
    assert is_whole(path)
    whole, mapped = read_checkpoint(path), read_checkpoint(path, weights=False)
    assert whole["stclip"]["config"] == mapped["stclip"]["config"]


def test_the_same_members_written_without_compression_are_as_good(tmp_path):
    path = save(content(), tmp_path)
    rewrite(path, members(path))
    assert is_whole(path) and load_model(tmp_path).temperature == pytest.approx(0.07)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = save(content(), tmp_path)
    bomb = [(name, bytes(5_000_000) if name.endswith("/data/0") else data) for name, data in members(path)]
    rewrite(path, bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    refused(path, "a member is compressed, which torch does not do")


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """A directory whose entries all point to one stored member: as many copies as one likes."""
    path = save(content(), tmp_path)
    rewrite(path, [("a/data.pkl", members(path)[0][1]), ("a/data/0", bytes(100_000))])
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    entries = data[start:end]
    at = entries.rindex(b"PK\1\2")
    copies = b"".join(entries[at:].replace(b"a/data/0", f"a/data/{i}".encode()) for i in range(1, 10))
    total = int.from_bytes(data[end + 10 : end + 12], "little") + 9
    size = end - start + len(copies)
    tail = (
        data[end : end + 8] + total.to_bytes(2, "little") * 2 + size.to_bytes(4, "little") + data[end + 16 :]
    )
    path.write_bytes(data[:start] + entries + copies + tail)
    refused(path, "its members are larger than the file")


def test_a_member_that_stands_twice_is_refused(tmp_path):
    path = save(content(), tmp_path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        rewrite(path, [*members(path), members(path)[0]])
    refused(path, "a member stands twice")


@pytest.mark.parametrize(
    "what", [b"", b"x", b"PK\5\6", bytes(300), pickle.dumps({"a": 1}), b"PK\5\6" + b"\xff" * 18]
)
def test_another_file_is_refused(tmp_path, what):
    path = tmp_path / CHECKPOINT
    path.write_bytes(what)
    refused(path, ".*")


@pytest.mark.parametrize("extra", [b"x", b"PK\5\6" + bytes(18)])
def test_an_archive_that_does_not_end_with_its_directory_is_refused(tmp_path, extra):
    path = save(content(), tmp_path)
    path.write_bytes(path.read_bytes() + extra)
    refused(path, ".*")


def test_something_before_the_archive_is_refused(tmp_path):
    path = save(content(), tmp_path)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    refused(path, "its directory .*")


def test_a_pipe_is_no_checkpoint_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / CHECKPOINT)
    assert not is_whole(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match=REFUSED.format("not a regular file")):
        read_checkpoint(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="no such checkpoint; give a run's folder"):
        load_model(tmp_path)


def test_what_is_larger_than_any_model_is_refused(tmp_path):
    path = tmp_path / CHECKPOINT
    path.touch()
    os.truncate(path, 2**40)
    refused(path, "larger than 32 GB, so not the file that is expected here")


@pytest.mark.parametrize(
    "value",
    [
        bytearray(10),
        {1, 2},
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.Size([3]),
        torch.float32,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_this_program_does_not_write_is_refused(tmp_path, value):
    path = save({**content(), "more": value}, tmp_path)
    with pytest.raises(InputError, match=REFUSED.format("asks for .*")):
        load_model(tmp_path)
    assert is_whole(path)


def test_copies_of_copies_are_refused(tmp_path):
    """`OrderedDict(large)` takes six bytes, and a large dict's memory each time."""
    path = save(content(), tmp_path)
    head = b"\x80\x02}q\x00ccollections\nOrderedDict\nq\x01"
    told = head + b"h\x00\x85R" + b"h\x01h\x00\x85R" * 3 + b"."
    rewrite(path, [(name, told if name.endswith("data.pkl") else data) for name, data in members(path)])
    with pytest.raises(InputError, match=REFUSED.format("an OrderedDict that does not begin empty")):
        read_checkpoint(path)


def test_a_damaged_one_in_a_results_folder_is_passed_over(tmp_path):
    tree = content()
    config = tree["stclip"]["config"]
    run = tmp_path / "ray" / "0001" / "clip-0000"
    good, bomb = save(tree, run / "checkpoint_000000"), save(tree, run / "checkpoint_000001")
    rewrite(bomb, members(bomb), zipfile.ZIP_DEFLATED)
    found = newest_checkpoint(str(tmp_path / "ray"), Experiment.model_validate(config), tmp_path)
    assert found == good


@pytest.mark.parametrize("facts", [3, [], {"config": [1]}, {"config": {"seed": torch.zeros(2)}}])
def test_a_malformed_one_in_a_results_folder_is_one_line(tmp_path, facts):
    save({"stclip": facts}, tmp_path / "ray" / "0001" / "clip-0000" / "checkpoint_000000")
    with pytest.raises(InputError, match="a malformed checkpoint: .*; use one that this program wrote"):
        newest_checkpoint(str(tmp_path / "ray"), Experiment(name="clip-0000"), tmp_path)
