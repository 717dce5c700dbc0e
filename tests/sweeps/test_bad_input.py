"""Bad settings through the real command lines: one line, exit status 2, Ray not started, nothing written."""

import random
import re
import subprocess
import sys

import pytest

import stclip.train
from stclip.files.paths import PROJECT_ROOT
from sweeps.search.space import SPACES
from tests.sweeps.command_lines import files_below

SPACE = (SPACES / "smoke.yaml").read_text()
EXPERIMENTS = PROJECT_ROOT / "configs" / "experiment"
HUGE = "9" * 400
LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


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
        ("high: 5.0", f"high: {HUGE * 12}", "not valid YAML: a number of more than 1,200 digits"),
        ("alpha_scale: 0.5", "alpha_scale: 50", "must be a number from 0.05 to 5.0, got 50"),
        ("alpha_scale: 0.5", f"alpha_scale: {HUGE}", "alpha_scale must be a number from 0.05 to 5.0, got 999"),
        ("alpha_scale: 0.5", "alpha_scale: .nan", r"must be true or false or a finite number or text, got nan"),
        ("alpha_scale: 0.5", "alpha_scale: [1]", r"must be true or false or a finite number or text, got \[1\]"),
        ("trials: 3 ", "trials: three ", "trials: must be a whole number, got 'three'"),
        ("trials: 3 ", "trials: 2.5 ", "trials: must be a whole number, got 2.5"),
        ("trials: 3 ", "trials: true ", "trials must be a number, got true"),
        ("trials: 3 ", "trials: 0 ", "trials: .*greater than or equal to 1, got 0"),
        ("trials: 3 ", f"trials: {HUGE} ", "trials: .*less than or equal to 1000000"),
        ("trials: 3 ", "trials: 2020-01-01 ", "trials: must be a whole number, got datetime.date"),
        ("trials: 3 ", "trials: 2020-13-45 ", "line 20 not valid YAML: month must be in 1..12"),
        ("trials: 3 ", "trials: !!int '' ", "line 20 not valid YAML: '' is no !!int"),
        ("trials: 3 ", "trials: !!timestamp x ", "line 20 not valid YAML: 'x' is no !!timestamp"),
        ("trials: 3 ", "trials: !!bool x ", "line 20 not valid YAML: 'x' is no !!bool"),
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
        ("sweep_base", "../../../etc/passwd", r"experiment file ../../../etc/passwd: the name of a YAML file must end in \.yaml"),
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
        ("\n  spatial:\n", '\n  "\\e[2Ja":\n', r"a family's name is up to 40 letters, .*got '\[2Ja'"),
        ("\n  spatial:\n", "\n  3:\n", r"families\.3\.\[key\]: must be text, got 3"),
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
        ("", "argument --space: is empty, got ''"),
        ("spatail", "unknown space 'spatail'; did you mean 'spatial'"),
        ("/tmp", "unknown space '/tmp'"),
        ("nowhere.yaml", "space file nowhere.yaml: no such file"),
        (__file__, "the name of a YAML file must end in .yaml"),
        ("x" * 5000, "unknown space 'xxx"),
        ("x" * 5000 + ".yaml", r"space file xxx.*\.yaml: no such file"),
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
        ("=3", "an override must look like .*, got '=3'"),
        ("model..x=3", "an override must look like .*, got 'model..x=3'"),
        (".=3", "an override must look like .*, got '.=3'"),
        ("a." * 3000 + "b=3", "an override must look like .*, got 'a.a.a"),
        ("model.embed_dim=", "model.embed_dim: must be a whole number, got nothing"),
        ("model.embed_dim=a=b=c", "model.embed_dim: must be a whole number, got 'a=b=c'"),
        ("model.embed_dim=-1", "model.embed_dim: input should be greater than or equal to 1, got -1"),
        ("model.embed_dim=.nan", "model.embed_dim: must be a finite number, got nan"),
        (f"model.embed_dim={HUGE}", "model.embed_dim: input should be less than or equal to 1000000"),
        (f"optimizer.lr={HUGE}", "optimizer.lr: must be a finite number, got 999"),
        ("optimizer.lr=true", "lr must be a number, got true"),
        ("optimizer.lr=abc", "optimizer.lr: must be a number, got 'abc'"),
        ("optimizer.betas=.nan", "optimizer.betas: must be a list, such as .*got nan"),
        ("model.temperature=.inf", "model.temperature: input should be less than or equal to 10, got inf"),
        ("model.learnable_temperature=3", "model.learnable_temperature: must be true or false, got 3"),
        ("data.batch_size=[1", "override 'data.batch_size=.1': line 1 not valid YAML"),
        ("model.embed_dim=" + "[" * 10_000, "more than 20 levels of brackets"),
        (
            "data.batch_size={a: 1}",
            "'data.batch_size' is a single value, so 'data.batch_size.a' cannot be set",
        ),
        ("model=", "model: must be a mapping of keys, got nothing"),
        ("model=3", "model: must be a mapping of keys, got 3"),
        ("model=&a {x: *a}", "override 'model=&a .*more than 20 levels"),
        ("model.image=stain", "model.image: must be a mapping of keys, got 'stain'"),
        ("model.image.name=stian", "unknown image tower 'stian'; did you mean 'stain'"),
        ("loss=clip", "--set loss=clip: unknown loss key of every family 'loss'"),
        ("loss.name=clip", "a family is its loss; write another family"),
        ("loss.alpha=3", "unknown loss key of every family 'loss.alpha'"),
        ("seed=3", "--set seed=3: seed cannot be chosen here; use --seed"),
        ("trainer.max_epochs=3", "trainer.max_epochs cannot be chosen here; use --epochs"),
        ("data.dataset=x", "data.dataset cannot be chosen here; use --data"),
        ("data={dataset: x}", "data.dataset cannot be chosen here; use --data"),
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
        (["--time-budget", "9" * 30 + "d"], "argument --time-budget: a time is a year"),
        (["--trials", "0"], "--trials: must be a whole number from 1 up, got '0'"),
        (["--trials", "999999999"], "trials: .*less than or equal to 1000000"),
        (["--epochs", "1.5"], "--epochs: must be a whole number from 1 up, got '1.5'"),
        (["--seed", "-1"], "argument --seed: must be a whole number from 0 to 2147483647, got '-1'"),
        (["--cpus-per-trial", "nan"], "--cpus-per-trial: must be a number from 0 up, got 'nan'"),
        (["--cpus-per-trial", "100000"], "--cpus-per-trial 100000 is more than the .* processors there are"),
        (["--gpus-per-trial", "64"], "--gpus-per-trial 64 is more than the .* GPUs there are"),
        (["--logger", "csvv"], "unknown logger 'csvv'; did you mean 'csv'"),
        (["--family", "clip"], "--family goes with --debug only"),
        (["--debug", "--family", "clp"], "unknown family 'clp'; did you mean 'clip'"),
        (["--debug", "--dry-run"], "argument --dry-run: not allowed with argument --debug"),
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
        (["loss=3"], "loss: must be a mapping of keys, got 3"),
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
        ("name=" + "x" * 300, "name 'xxx.* cannot name a folder"),
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
        [sys.executable, *command], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and re.search(message, done.stderr), done.stderr
