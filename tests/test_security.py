"""What comes from others is read as data: nothing in the code could run it, and nothing that tries is run."""

from __future__ import annotations

import ast
import os
import pickle
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from stclip.config import DataConfig, Experiment
from stclip.config.load import parse_override
from stclip.config.strict_yaml import parse_yaml, read_yaml
from stclip.errors import ConfigError, InputError
from stclip.evaluation.evaluate import evaluate, read_checkpoint
from stclip.evaluation.inference import load_model
from stclip.files.paths import PROJECT_ROOT
from stclip.train import fit
from stclip.training.checkpoint_file import CHECKPOINT
from sweeps.trial.checkpoints import is_checkpoint_of, newest_checkpoint

SOURCES = sorted([*PROJECT_ROOT.glob("stclip/**/*.py"), *PROJECT_ROOT.glob("sweeps/**/*.py")])
UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load", "tarfile.extractall",
                   "shutil.unpack_archive", "subprocess.getoutput", "pandas.read_pickle", "Tuner.restore",
                   "tune.Tuner.restore", "torch.jit.load", "load_from_checkpoint"}  # fmt: skip


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def faults(tree: ast.AST) -> list[str]:
    """Calls that could run what they read, or give a user's text to a shell."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += call_faults(node)
        if isinstance(node, ast.ImportFrom) and node.module in UNPICKLERS:
            found += [alias.name for alias in node.names if alias.name in ("load", "loads", "Unpickler")]
    return found


def call_faults(call: ast.Call) -> list[str]:
    name, given = dotted(call.func), {k.arg: k.value for k in call.keywords}
    last = name.rpartition(".")[2]
    found = []
    if name in FORBIDDEN_CALLS or last in ("extractall", "load_from_checkpoint", "unsafe_load"):
        found.append(name)
    if name.split(".")[0] in UNPICKLERS and last in ("load", "loads", "Unpickler", "open"):
        found.append(name)
    if name == "torch.load" and ast.unparse(given.get("weights_only", ast.Constant(None))) != "True":
        found.append("torch.load without weights_only=True")
    if name == "yaml.load" and ast.unparse(given.get("Loader", ast.Constant(None))) not in (
        "_Loader",
        "_FastLoader",
    ):
        found.append("yaml.load with another loader")
    if (
        name in ("np.load", "numpy.load")
        and ast.unparse(given.get("allow_pickle", ast.Constant(None))) != "False"
    ):
        found.append("np.load without allow_pickle=False")
    if "shell" in given and ast.unparse(given["shell"]) != "False":
        found.append("shell=True")
    if last == "fit" and "ckpt_path" in given and "weights_only" not in given:
        found.append("a checkpoint given to Lightning without weights_only")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT_ROOT)))
def test_no_source_could_run_what_it_reads(path: Path) -> None:
    assert faults(ast.parse(path.read_text())) == []


def test_the_sources_of_both_packages_are_searched() -> None:
    packages = {str(path.parent.relative_to(PROJECT_ROOT)) for path in SOURCES}
    assert packages >= {"stclip", "stclip/data", "stclip/model", "sweeps"}


@pytest.mark.parametrize(
    "code",
    ["pickle.loads(x)", "shelve.open(p)", "cloudpickle.load(f)", "torch.load(p)", "torch.load(p, weights_only=False)",
     "yaml.load(t)", "yaml.load(t, Loader=yaml.Loader)", "np.load(p)", "np.load(p, allow_pickle=True)",
     "subprocess.run(x, shell=True)", "tar.extractall()", "trainer.fit(m, ckpt_path=p)",
     "numpy.load(p)", "from pickle import loads", *(f"{name}(x)" for name in sorted(FORBIDDEN_CALLS))],
)  # fmt: skip
def test_the_search_finds(code: str) -> None:
    assert faults(ast.parse(code))


# Where something is written that lies below no results folder, or in one that was made a moment ago.
OWN_WRITERS = {
    "sweeps/trial/machine.py": "/proc", "sweeps/results/scratch_folder.py": "the cache", "sweeps/results/mirror.py": "the cache",
    "sweeps/cluster/shipped_code.py": "a temporary folder", "sweeps/cluster/ray_token.py": "the token",
    "sweeps/results/folder.py": "a new folder",
    "sweeps/trial/worker_group.py": "a temporary folder", "sweeps/trial/run_trial.py": "a temporary folder",
    "sweeps/cluster/ray_folder.py": "the folder of Ray's files",
    "sweeps/trial/log.py": "O_NOFOLLOW, in a folder that was looked at",
}  # fmt: skip
WRITES = {"write_text", "write_bytes", "mkdir", "makedirs", "touch", "copyfile", "copy", "copy2", "copytree", "move",
          "symlink_to", "hardlink_to"}  # fmt: skip
SWEEPS = [path for path in SOURCES if path.is_relative_to(PROJECT_ROOT / "sweeps")]


def writers(tree: ast.AST) -> list[str]:
    """Calls that write by a path, and so through links."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [dotted(call.func) for call in calls if dotted(call.func).rpartition(".")[2] in WRITES]
    opens = [call for call in calls if dotted(call.func).rpartition(".")[2] in ("open", "fdopen")]
    modes = [
        ast.literal_eval(given) for call in opens for given in call.args if isinstance(given, ast.Constant)
    ]
    return names + [str(mode) for mode in modes if set(str(mode)) & set("wax+") and len(str(mode)) < 4]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_a_sweep_writes_below_its_folder_by_the_guarded_way_alone(path: Path) -> None:
    name = str(path.relative_to(PROJECT_ROOT))
    assert bool(writers(ast.parse(path.read_text()))) == (name in OWN_WRITERS), name


@pytest.mark.parametrize(
    "code", ["p.write_text(x)", "shutil.copyfile(a, b)", "p.open('w')", "open(p, 'r+')", "p.mkdir()"]
)
def test_a_writer_is_found(code: str) -> None:
    assert writers(ast.parse(code))


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(params=["torch zip", "torch old", "plain pickle"])
def evil(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint that makes a folder when it is unpickled, and that folder."""
    mark = tmp_path / "was_run"
    path = tmp_path / "folder" / CHECKPOINT
    path.parent.mkdir()
    content = {"stclip": {"epochs": 1, "config": {"name": "clip-0000"}}, "state_dict": Payload(mark)}
    if request.param == "plain pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=request.param == "torch zip")
    return path, mark


def test_the_payload_would_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "was_run")))
    assert (tmp_path / "was_run").is_dir()


REFUSED = "not a checkpoint that is safe to read .*delete it, and use one that this program wrote"


def test_a_pickled_checkpoint_is_refused_by_all_that_read_one(
    evil: tuple[Path, Path], shared_tiny_dataset: Path
) -> None:
    path, mark = evil
    config = Experiment(data=DataConfig(dataset=str(shared_tiny_dataset), image_size=16))
    with pytest.raises(InputError, match=REFUSED):
        read_checkpoint(path)
    with pytest.raises(InputError, match=REFUSED):
        load_model(path.parent)
    with pytest.raises(InputError, match=REFUSED):
        is_checkpoint_of(path, config)
    with pytest.raises(InputError, match=REFUSED):
        evaluate(config, path, "test")
    with pytest.raises(InputError, match=REFUSED):
        fit(config, path.parent / "out", resume_from=path)
    assert not mark.exists()


def test_a_pickled_checkpoint_in_a_results_folder_is_refused(evil: tuple[Path, Path], tmp_path: Path) -> None:
    path, mark = evil
    whole = zipfile.is_zipfile(path)
    place = tmp_path / "ray" / "0001" / "clip-0000" / "checkpoint_000003" / CHECKPOINT
    place.parent.mkdir(parents=True)
    path.rename(place)
    with pytest.raises(InputError, match=REFUSED) if whole else nullcontext():  # another file is passed over
        assert newest_checkpoint(str(tmp_path / "ray"), Experiment(name="clip-0000"), tmp_path) is None
    assert not mark.exists()


def test_tunes_own_pickles_are_left_unread(tmp_path: Path) -> None:
    """Tune writes some beside the checkpoints; a search for checkpoints opens none of them."""
    mark = tmp_path / "was_run"
    run = tmp_path / "ray" / "0001"
    trial = run / "clip-0000" / "checkpoint_000000"
    trial.mkdir(parents=True)
    names = ("tuner.pkl", "trainable.pkl", "searcher-state-x.pkl", "experiment_state-x.json", "clip-0000/params.pkl",
             "clip-0000/checkpoint_000000/.metadata.pkl")  # fmt: skip
    for name in names:
        (run / name).write_bytes(pickle.dumps(Payload(mark)))
    config = Experiment(name="clip-0000")
    torch.save({"stclip": {"config": config.model_dump(mode="json")}}, trial / CHECKPOINT)
    assert newest_checkpoint(str(tmp_path / "ray"), config, tmp_path) == trial / CHECKPOINT
    assert is_checkpoint_of(trial / CHECKPOINT, config)
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [{mark}]",
        "!!python/object/new:os.mkdir [{mark}]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object:stclip.config.Experiment {{}}",
        "!!python/tuple [1]",
    ],
)
def test_yaml_makes_no_objects(tmp_path: Path, text: str) -> None:
    mark = tmp_path / "was_run"
    text = text.format(mark=mark)
    with pytest.raises(ConfigError, match="not valid YAML: could not determine a constructor for the tag"):
        parse_yaml(text, "a file")
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_override(f"model.embed_dim={text}")
    (tmp_path / "a.yaml").write_text(f"about: {text}\n")
    with pytest.raises(ConfigError, match="a.yaml: line 1 not valid YAML"):
        read_yaml(tmp_path / "a.yaml")
    assert not mark.exists()
