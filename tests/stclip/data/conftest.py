"""Fixtures of the tests that run `python -m stclip.data`."""

import pytest

from stclip.data.__main__ import main


@pytest.fixture
def command(capsys):
    """A command line: exit status, what it printed, what it complained about."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def hest(tmp_path, command):
    """`hest` on a raw folder, into `<tmp_path>/out`, in this process, with all genes unless told otherwise."""

    def run(raw, *options):
        given = ("--raw", raw, "--out", tmp_path / "out", "--jobs", 1, "--quiet", "--genes", "all")
        return command("hest", *given, *options)

    return run
