"""Bad input through the real command lines: one line, exit status 2, Ray not started, nothing written."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

import pytest

import stclip.train
import sweeps.launch
import sweeps.run
from stclip.config import PROJECT_ROOT
from stclip.data import store as store_module
from sweeps.describe import describe_data
from sweeps.report import report_text
from sweeps.results import ResultsFolder
from sweeps.space import SPACES

SPACE = (SPACES / "smoke.yaml").read_text()
EXPERIMENTS = PROJECT_ROOT / "configs" / "experiment"
TINY = ("data.image_size=16", "data.batch_size=16")
HUGE = "9" * 400
LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


def ray_runs():
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


class Commands:
    """The two command lines; whatever they should not do is an assertion."""

    def __init__(self, folder, dataset, capsys):
        self.folder, self.dataset, self.capsys = folder, dataset, capsys
        self.reached = 0
        self.ray_ran = ray_runs()  # another test may have started one

    def sweep(self, *arguments, data=None, results=None):
        given = [part for item in TINY for part in ("--set", item)]
        given += ["--data", str(data or self.dataset), "--results", str(results or self.folder / "results")]
        given += [] if "--space" in arguments else ["--space", "smoke"]
        return self._call(sweeps.run.main, [*given, *arguments])

    def train(self, *arguments, out=None):
        where = [f"data.dataset={self.dataset}", *TINY, f"out={out or self.folder / 'out'}"]
        if not any(argument.startswith("experiment=") for argument in arguments):
            where.append("experiment=sweep_base")
        return self._call(stclip.train.main, [*where, "trainer.max_epochs=1", *arguments])

    def _call(self, main, arguments):
        try:
            status = main(arguments)
        except SystemExit as stop:  # argparse
            status = stop.code
        printed = self.capsys.readouterr()
        return status, printed.err, printed.out

    def refused(self, answer, message):
        """One line that says so, status 2, and neither results nor a store nor a temporary file."""
        status, error, _ = answer
        assert status == 2, error
        assert error.endswith("\n") and error.count("\n") == 1 and error[:-1].isprintable(), error
        assert error.startswith("error: ") and len(error) < 1600
        assert re.search(message, error), error
        assert self.reached == 0, "the sweep was launched"
        assert ray_runs() == self.ray_ran
        assert not (self.folder / "results").exists() and not (self.folder / "out").exists()


@pytest.fixture
def commands(shared_tiny_dataset, tmp_path, capsys, monkeypatch):
    """Both command lines on a tiny data set; launching a sweep is only counted."""
    dataset = shutil.copytree(shared_tiny_dataset, tmp_path / "tiny", ignore=shutil.ignore_patterns(".store"))
    found = Commands(tmp_path, dataset, capsys)

    def launch(*_, **__):
        found.reached += 1
        return 0

    def fit(*_, **__):
        found.reached += 1
        return stclip.train.FitResult({})

    monkeypatch.setattr(sweeps.launch, "run_sweep", launch)
    monkeypatch.setattr(stclip.train, "fit", fit)
    monkeypatch.setenv("STCLIP_CACHE", str(tmp_path / "cache"))
    return found


def files_below(folder):
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*")}


def test_the_data_set_and_the_commands_themselves_are_good(commands):
    assert commands.sweep()[:2] == (0, "")
    assert commands.train()[:2] == (0, "")
    assert commands.reached == 2


# -- space files

OVERRIDES = SPACE[SPACE.index("overrides:") : SPACE.index("metric:")]
FAMILIES = SPACE[SPACE.index("families:") :]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials: 3", "trails: 3", r"unknown key 'trails' \(did you mean 'trials'\?\).*trials: is missing"),
        ("learnable_temp", "learnabel_temp", r"unknown key 'model.learnabel_temperature' \(did you mean 'learnable_temp"),
        ("batching:", "batchng:", r"families.spatial: unknown key 'data.batchng' \(did you mean 'batching'\?\)"),
        ("high: 5.0", "hihg: 5.0", r"families.spatial.parameters.*hihg' \(did you mean 'high'\?\)"),
        ("{name: spatial}", "{name: spatail}", "families.spatial.loss: unknown loss 'spatail'; did you mean 'spatial'"),
        ("{name: spatial}", "{name: spatial, cap: 3}", "unknown key 'loss.cap'.*known here: cap_logit_scale"),
        ("loss: {name: spatial}", "loss: spatial", "families.spatial.loss: must be a mapping of keys, got 'spatial'"),
        ("high: 5.0", "high: 500", "neighbor_alpha_scale: .*less than or equal to 100, got 500"),
        ("low: 0.05", "low: 50", "low must be below high, got low=50, high=5.0"),
        ("low: 0.05", "low: 0", "low must be above 0 with log: true, got 0"),
        ("high: 5.0", "high: .nan", "high: must be a finite number, got nan"),
        ("high: 5.0", "high: .inf", "high: must be a finite number, got inf"),
        ("high: 5.0", "high: much", "high: must be a finite number, got 'much'"),
        ("high: 5.0", "high: true", "high must be a number, got true"),
        ("high: 5.0", f"high: {HUGE}", "low and high lie between"),
        ("high: 5.0", f"high: {HUGE * 12}", "not valid YAML: Exceeds the limit"),
        ("alpha_scale: 0.5", "alpha_scale: 50", "must be a number from 0.05 to 5.0, got 50"),
        ("alpha_scale: 0.5", f"alpha_scale: {HUGE}", "must be a number from 0.05 to 5.0"),
        ("alpha_scale: 0.5", "alpha_scale: .nan", r"must be true or false or a finite number or text, got nan"),
        ("alpha_scale: 0.5", "alpha_scale: [1]", r"must be true or false or a finite number or text, got \[1\]"),
        ("trials: 3 ", "trials: three ", "trials: must be a whole number, got 'three'"),
        ("trials: 3 ", "trials: 2.5 ", "trials: must be a whole number, got 2.5"),
        ("trials: 3 ", "trials: true ", "trials must be a number, got true"),
        ("trials: 3 ", "trials: 0 ", "trials: .*greater than or equal to 1, got 0"),
        ("trials: 3 ", f"trials: {HUGE} ", "trials: .*less than or equal to 1000000"),
        ("trials: 3 ", "trials: 2020-01-01 ", "trials: must be a whole number"),
        ("trials: 3 ", "trials: 2020-13-45 ", "not valid YAML: month must be in 1..12"),
        ("trials: 3 ", "trials: !!int '' ", "not valid YAML"),
        ("trials: 3 ", "trials: !!timestamp x ", "not valid YAML"),
        ("trials: 3 ", "trials: !!bool x ", "not valid YAML"),
        ("trials: 3 ", "trials: !!python/object/apply:os.system [':'] ", "not valid YAML: could not determine a constr"),
        ("trials: 3 ", "trials: 3\ntrials: 4 ", "line 21 not valid YAML: key 'trials' is given twice"),
        ("trials: 3 ", "trials: 3\n4: 4 ", "4: a key must be text"),
        ("trials: 3 ", "trials: 3\n[1, 2]: 4 ", "a key must be text, got a list"),
        ("trials: 3 ", "\ttrials: 3 ", "line 20 not valid YAML: found character"),
        ("trials: 3 ", "trials: *three ", "undefined alias 'three'"),
        ("epochs: 2", "epochs: -2", "epochs: .*greater than or equal to 1, got -2"),
        ("mode: max", "mode: maximum", "mode: .*'max' or 'min', got 'maximum'"),
        ("metric: val/R@10", "metric: test/R@10", "unknown metric to search by 'test/R@10'; did you mean 'val/R@10'"),
        ("sweep_base", "sweep_bas", "unknown experiment 'sweep_bas'; did you mean 'sweep_base'"),
        ("sweep_base", "../../../etc/passwd", "unknown experiment|must end in .yaml"),
        ("early_stopping: null", "early_stopping: [1]", r"early_stopping: must be a mapping of keys, got \[1\]"),
        ("early_stopping: null", "early_stopping: {first_rung: 0, factor: 1}", "first_rung: .*got 0; .*factor: .*got 1"),
        (OVERRIDES, "overrides:\n", "overrides: must be a mapping of keys, got nothing"),
        (OVERRIDES, "overrides: [1, 2]\n", r"overrides: must be a mapping of keys, got \[1, 2\]"),
        (OVERRIDES, "overrides:\n  data:\n", "data: must be a mapping of keys, got nothing"),
        (OVERRIDES, "overrides:\n  data: [a]\n", r"data: must be a mapping of keys, got \['a'\]"),
        (OVERRIDES, "overrides:\n  seed: 3\n", "seed cannot be chosen here; use --seed"),
        (OVERRIDES, "overrides: &a\n  features: *a\n", "more than 20 levels"),
        (OVERRIDES, "overrides:\n  <<: {data: {}}\n", "'<<' is not supported; write the keys out"),
        (OVERRIDES, f"overrides:\n  features: {'{a: ' * 100}1{'}' * 100}\n", "more than 20 levels of brackets"),
        (FAMILIES, "families:\n", "families: must be a mapping of keys, got nothing"),
        (FAMILIES, "families: {}\n", "a space needs at least one family, got none"),
        (FAMILIES, "families: [a]\n", r"families: must be a mapping of keys, got \['a'\]"),
        (FAMILIES, "families:\n  float:\n", "families.float: must be a mapping of keys, got nothing"),
        (FAMILIES, "families:\n  spatial: {}\n", "families.spatial.loss: is missing"),
        (FAMILIES, "families:\n  spatial: {loss: {name: spatial}}\n", "families.spatial: nothing to search"),
        ("\n  spatial:\n", "\n  ../spatial:\n", "a family's name is up to 40 letters, .*got '../spatial'"),
        ("\n  spatial:\n", '\n  "a\\nb":\n', "a family's name is up to 40 letters, .*got 'a b'"),
        ("\n  spatial:\n", '\n  "\\e[2Ja":\n', "a family's name is up to 40 letters"),
        ("\n  spatial:\n", "\n  3:\n", "families.3.*must be text"),
        ("about:", "name: ../x\nabout:", r"space ../x: choose a --name, which is up to 100 letters"),
        ("about:", "name: [x]\nabout:", r"name: must be text, got \['x'\]"),
        ("about: a", "about: &a [*a]\nx: a", "more than 20 levels"),
    ],
)  # fmt: skip
def test_a_space_with_one_fault(commands, old, new, message):
    assert SPACE.count(old) >= 1
    path = commands.folder / "bad.yaml"
    path.write_text(SPACE.replace(old, new, 1))
    before = files_below(commands.dataset)
    commands.refused(commands.sweep("--space", str(path)), message)
    assert files_below(commands.dataset) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "experiment: is missing.*metric: is missing"),
        (b"hello", "the top level must be a mapping of keys, got str"),
        (b"- a\n- b", "the top level must be a mapping of keys, got list"),
        (random.Random(0).randbytes(3000), "bad.yaml: cannot be read as text .*save it as UTF-8"),
        ("about: é".encode("latin1"), "cannot be read as text .*save it as UTF-8"),
        (SPACE.encode("utf-16"), "cannot be read as text .*save it as UTF-8"),
        (b"a: \x00", "not valid YAML: unacceptable character"),
        (b"a: \x1b[31m", "not valid YAML: unacceptable character"),
        (b"a: " + b"[" * 10_000, "more than 20 levels of brackets"),
        (b"{" * 10_000, "more than 20 levels of brackets"),
        (b"{a: " * 90 + b"1" + b"}" * 90, "more than 20 levels of brackets"),
        (LAUGHS.encode(), "holds more than 20000 values, aliases .* written out"),
        (LAUGHS.encode() + b"? *l\n: 1\n", "a key must be text, got a list"),
        (b"a: 1\n" * 100_000, "larger than 256 KB, so not a configuration"),
        ((EXPERIMENTS / "sweep_base.yaml").read_bytes(), "unknown key 'data'"),
    ],
)
def test_a_file_that_is_no_space(commands, content, message):
    path = commands.folder / "bad.yaml"
    path.write_bytes(content)
    commands.refused(commands.sweep("--space", str(path)), message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "unknown space ''. Known: clip, smoke, spatial, wide"),
        ("spatail", "unknown space 'spatail'; did you mean 'spatial'"),
        ("/tmp", "unknown space '/tmp'"),
        ("nowhere.yaml", "space file nowhere.yaml: no such file"),
        (__file__, "the name of a YAML file must end in .yaml"),
        ("x" * 5000, "unknown space 'xxx"),
        ("x" * 5000 + ".yaml", "no such file"),
        ("a\nb", "unknown space 'a b'"),
        ("a\udcff\x1b[2J", r"unknown space 'a\[2J'"),
    ],
)
def test_a_space_that_is_not_there(commands, name, message):
    commands.refused(commands.sweep("--space", name), message)


def test_an_experiment_beside_the_space_is_checked_too(commands):
    (commands.folder / "base.yaml").write_text("modle: {}\n")
    path = commands.folder / "bad.yaml"
    path.write_text(SPACE.replace("experiment: sweep_base", "experiment: base.yaml"))
    commands.refused(commands.sweep("--space", str(path)), r"unknown key 'modle' \(did you mean 'model'\?\)")


# -- overrides and flags


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.embed_dm=3", r"unknown key 'model.embed_dm' \(did you mean 'embed_dim'\?\)"),
        ("modle.embed_dim=3", r"unknown key 'modle' \(did you mean 'model'\?\)"),
        ("modél.x=3", r"unknown key 'modél' \(did you mean 'model'\?\)"),
        ("__class__=3", "unknown key '__class__'"),
        ("model.embed_dim", "an override must look like key.subkey=value, got 'model.embed_dim'"),
        ("=3", "an override must look like"),
        ("model..x=3", "an override must look like"),
        (".=3", "an override must look like"),
        ("a." * 3000 + "b=3", "an override must look like"),
        ("model.embed_dim=", "model.embed_dim: must be a whole number, got nothing"),
        ("model.embed_dim=a=b=c", "must be a whole number, got 'a=b=c'"),
        ("model.embed_dim=-1", "greater than or equal to 1, got -1"),
        ("model.embed_dim=.nan", "must be a finite number, got nan"),
        (f"model.embed_dim={HUGE}", "less than or equal to 1000000"),
        (f"optimizer.lr={HUGE}", "must be a finite number|valid number"),
        ("optimizer.lr=true", "lr must be a number, got true"),
        ("optimizer.lr=abc", "optimizer.lr: must be a number, got 'abc'"),
        ("optimizer.betas=.nan", "optimizer.betas: must be a list, such as .*got nan"),
        ("model.temperature=.inf", "less than or equal to 10, got inf"),
        ("model.learnable_temperature=3", "must be true or false|valid boolean"),
        ("data.batch_size=[1", "override 'data.batch_size=.1': line 1 not valid YAML"),
        ("model.embed_dim=" + "[" * 10_000, "more than 20 levels of brackets"),
        (
            "data.batch_size={a: 1}",
            "'data.batch_size' is a single value, so 'data.batch_size.a' cannot be set",
        ),
        ("model=", "model: must be a mapping of keys, got nothing"),
        ("model=3", "model: must be a mapping of keys, got 3"),
        ("model=&a {x: *a}", "more than 20 levels"),
        ("model.image=stain", "model.image: must be a mapping of keys, got 'stain'"),
        ("model.image.name=stian", "unknown image tower 'stian'; did you mean 'stain'"),
        ("loss=clip", "unknown loss key"),
        ("loss.name=clip", "a family is its loss; write another family"),
        ("loss.alpha=3", "unknown loss key of every family 'loss.alpha'"),
        ("seed=3", "use --seed"),
        ("trainer.max_epochs=3", "use --epochs"),
        ("data.dataset=x", "use --data"),
        ("data={dataset: x}", "use --data"),
        ("data.on_bad_spot=skipp", "'error' or 'skip', got 'skipp'"),
        ("data.num_neighbors=16", "batch_size must be above data.num_neighbors.*raise the batch size"),
        ("trainer.loggers=csv", "must be a list, such as .*got 'csv'"),
        ("trainer.loggers=[csv, csv]", "logger 'csv' is given twice"),
        ("trainer.loggers=[x]", "unknown logger 'x'"),
        ('foo="a\\nb\\e[2J"', "unknown key 'foo'"),
        ("foo\nbar=3", "unknown key 'foo bar'"),
        ("x" * 50_000 + "=1", "unknown key 'xxx"),
    ],
)
def test_an_override_with_one_fault(commands, text, message):
    before = files_below(commands.dataset)
    commands.refused(commands.sweep("--set", text), message)
    assert files_below(commands.dataset) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "../x"], "--name is up to 100 letters.*got '../x'"),
        (["--name", "a\nb"], "--name is up to 100 letters.*got 'a b'"),
        (["--name", "x" * 101], "--name is up to 100 letters"),
        (["--time-budget", "0"], "argument --time-budget: a time looks like 90s, 30m or 1h30m, got '0'"),
        (["--time-budget", "9" * 30 + "d"], "a time is a year"),
        (["--trials", "0"], "--trials: must be a whole number from 1 up, got '0'"),
        (["--trials", "999999999"], "trials: .*less than or equal to 1000000"),
        (["--epochs", "1.5"], "--epochs: must be a whole number"),
        (["--seed", "-1"], "--seed"),
        (["--cpus-per-trial", "nan"], "--cpus-per-trial: must be a number from 0 up, got 'nan'"),
        (["--cpus-per-trial", "100000"], "--cpus-per-trial 100000 is more than the .* processors there are"),
        (["--gpus-per-trial", "64"], "--gpus-per-trial 64 is more than the .* GPUs there are"),
        (["--logger", "csvv"], "unknown logger 'csvv'; did you mean 'csv'"),
        (["--family", "clip"], "--family goes with --debug only"),
        (["--debug", "--family", "clp"], "unknown family 'clp'; did you mean 'clip'"),
        (["--debug", "--dry-run"], "not allowed with argument"),
        (["--bogus"], "unrecognized arguments: --bogus; --help shows all flags"),
        (["--tria", "3"], "unrecognized arguments: --tria 3"),
    ],
)
def test_a_flag_with_one_fault(commands, arguments, message):
    before = files_below(commands.dataset)
    commands.refused(commands.sweep(*arguments), message)
    assert files_below(commands.dataset) == before


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(commands):
    message = "trainer.accelerator=gpu with trainer.devices=1: this machine has 0 GPUs; use trainer.accelerator=auto"
    commands.refused(commands.sweep("--set", "trainer.accelerator=gpu"), message)
    commands.refused(commands.train("trainer.accelerator=gpu"), message)


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
    "a tar folder": (lambda d: folder_instead(shard(d, "T2")), "not a plain file"),
    "a broken manifest": (lambda d: (d / "manifest.json").write_text("{"), "manifest.json: not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_data_set(commands, case):
    damage, message = BROKEN[case]
    damage(commands.dataset)
    before = files_below(commands.dataset)
    temporary = set(Path(tempfile.gettempdir()).glob("stclip*"))
    for answer in (commands.sweep(), commands.train(), commands.sweep("--debug")):
        commands.refused(answer, message)
    assert files_below(commands.dataset) == before  # no store, no lock, no part of one
    assert set(Path(tempfile.gettempdir()).glob("stclip*")) == temporary
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
        sweeps.launch, "run_sweep", lambda plan, store, *_: held.update(describe_data(plan, store)) or 0
    )
    assert commands.sweep("--set", "data.on_bad_spot=skip")[0] == 0
    assert held["skipped_spots"] == {"T1": 1}
    summary = {"families": {}, "baselines": {}, "status": "complete", "seconds": 1, "metric": "val/R@10", "mode": "max",
               "verdict": "none"}  # fmt: skip
    text = report_text({"data": held}, [], summary, ResultsFolder(commands.folder / "results"))
    assert "Broken spots were left out (data.on_bad_spot: skip), 1 in all (T1: 1)." in text
    assert "skipped_spots (T1 1)" in text


def test_a_slide_of_broken_spots_only_cannot_be_skipped(commands):
    only_first_shard(commands.dataset, "V1", lambda members: [(name, b"x") for name, _ in members])
    before = files_below(commands.dataset)
    message = "V1: the slide is empty: all of its 16 spots were skipped as bad"
    commands.refused(commands.sweep("--set", "data.on_bad_spot=skip"), message)
    assert files_below(commands.dataset) == before


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


# -- the training command's own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiment=sweep_bas"], "unknown experiment 'sweep_bas'; did you mean 'sweep_base'"),
        (["experiment="], "unknown experiment ''"),
        (["nonsense"], "arguments look like key=value, got 'nonsense'"),
        (["experiment=sweep_base", "out=/a"], "out= is given twice"),
        (["model.embed_dm=3"], r"unknown key 'model.embed_dm' \(did you mean 'embed_dim'\?\)"),
        (["loss.name=clop"], "loss.name: unknown loss 'clop'; did you mean 'clip'"),
        (["loss=3"], "loss"),
    ],
)
def test_a_training_argument_with_one_fault(commands, arguments, message):
    commands.refused(commands.train(*arguments), message)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("out=", "out= is empty; name a folder"),
        ("name=../../up", "name '../../up' cannot name a folder below results/train; give out=DIR"),
        ("name=..", "name '..' cannot name a folder"),
        ("name=" + "x" * 300, "cannot name a folder"),
    ],
)
def test_a_place_for_a_run(commands, argument, message):
    answer = commands._call(stclip.train.main, ["experiment=sweep_base", argument])
    commands.refused(answer, message)


# -- as a user starts them


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sweeps/run.py", "--space", "spatail"], "error: unknown space 'spatail'; did you mean 'spatial'"),
        (
            ["-m", "stclip.train", "experiment=sweep_base", "sed=1"],
            r"unknown key 'sed' \(did you mean 'seed'\?\)",
        ),
        (["-m", "stclip.data", "synthetic", "x"], "error: unknown built-in data set 'x'"),
        (["sweeps/report.py", "nowhere"], "error: nowhere: not a sweep's results folder"),
    ],
)
def test_in_a_process_of_its_own(command, message):
    done = subprocess.run(
        [sys.executable, *command], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and re.search(message, done.stderr), done.stderr
