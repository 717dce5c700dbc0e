"""The command line is strict and says what it wants."""

import argparse
import re

import pytest

from sweeps.planning.command_line import make_parser, parse_duration
from sweeps.run import main


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172800), ("1h0m5s", 3605)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "0s", "-5m", "1.5h", "30m1h", "30 m"])
def test_bad_durations(text):
    with pytest.raises(argparse.ArgumentTypeError, match="a time looks like 90s, 30m or 1h30m, got"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--spaec", "spatial"], "unrecognized arguments: --spaec"),
        (["--tri", "3"], "unrecognized arguments: --tri"),  # no abbreviations
        (["--trials", "0"], "--trials: must be a whole number from 1 up, got '0'"),
        (["--epochs", "1.5"], "--epochs: must be a whole number from 1 up, got '1.5'"),
        (["--seed", "-1"], "--seed: .*"),
        (["--cpus-per-trial", "0"], "must be above 0, got '0'"),
        (["--gpus-per-trial", "1.5"], "above 1 it must be a whole number, got '1.5'"),
        (
            ["--cpus-per-trial", "0.00001"],
            "must be 0.0001 or more, the smallest share that Ray counts, got '0.00001'",
        ),
        (["--gpus-per-trial", "9e-5"], "must be 0.0001 or more"),
        *[
            ([flag, empty], f"argument {flag}: is empty, got '{empty}'; give a value, or leave it out")
            for flag in (
                "--name",
                "--results",
                "--resume",
                "--data",
                "--space",
                "--address",
                "--family",
                "--logger",
                "--set",
            )
            for empty in ("", " ")
        ],
        (["--name=", "--space", "smoke"], "argument --name: is empty"),
        (["--gpus-per-trial", "nan"], "must be a number from 0 up, got 'nan'"),
        (["--time-budget", "soon"], "a time looks like"),
        (["--debug", "--list"], "not allowed with argument"),
    ],
)
def test_bad_flags_exit_with_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--space is missing"),
        (["--space", "spatail"], "unknown space 'spatail'; did you mean 'spatial'?"),
        (["--space", "spatial", "--set", "optimizer.lrr=1"], "lr"),
        (["--space", "spatial", "--set", "optimizer.lr=-1"], "greater than 0, got -1"),
        (["--space", "spatial", "--set", "optimizer.lr"], "an override must look like key.subkey=value"),
        (["--space", "spatial", "--logger", "tensorbord"], "did you mean 'tensorboard'"),
        (["--space", "spatial", "--name", "../x"], "--name is up to 100 letters"),
        (["--space", "spatial", "--family", "clip"], "--family goes with --debug only"),
        (["--space", "spatial", "--data", "nowhere", "--dry-run"], "nowhere"),
        (
            ["--space", "spatial", "--debug", "--family", "clipp"],
            "unknown family 'clipp'; did you mean 'clip'",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_help_has_three_worked_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.count("  python sweeps/run.py --space") == 3
    assert "exit status" in text
