"""A command whose output nobody takes goes on with its work, and ends in no traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stclip.files.paths import PROJECT_ROOT

WORK = """
import os, sys
from pathlib import Path
from stclip.terminal.output import run_command

def main():
    for number in range(3):
        print("line", number, flush=True)
    os.write(1, b"of native code ")
    Path(sys.argv[1]).write_text("done")
    print("last")
    return int(sys.argv[2])

run_command(main)
"""
MISSING = "error: standard output: cannot be written (No space left on device), so a part of what was said is missing\n"


@pytest.fixture
def command(tmp_path):
    """Runs a command; returns its exit status and standard error, once its work is seen to be done."""

    def run(stdout, status=0, *options):
        mark = tmp_path / "mark"
        arguments = [sys.executable, *options, "-c", WORK, str(mark), str(status)]
        ended = subprocess.run(arguments, stdout=stdout, stderr=subprocess.PIPE, cwd=PROJECT_ROOT, text=True)
        assert mark.read_text() == "done"
        return ended.returncode, ended.stderr

    return run


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_what_can_be_written_is(command, tmp_path, options):
    with (tmp_path / "out").open("w") as out:
        assert command(out, 0, *options) == (0, "")
    assert (tmp_path / "out").read_text() == "line 0\nline 1\nline 2\nof native code last\n"


@pytest.mark.parametrize(("status", "expected"), [(0, 1), (1, 1), (2, 2)])
def test_a_full_disk_under_the_output_is_one_line(command, status, expected):
    with Path("/dev/full").open("w") as full:
        assert command(full, status) == (expected, MISSING)


@pytest.mark.parametrize("options", [(), ("-u",)])
@pytest.mark.parametrize("status", [0, 2])
def test_a_reader_who_left_is_no_fault(command, status, options):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert command(writer, status, *options) == (status, "")
    finally:
        os.close(writer)


def test_nothing_is_printed_into_a_file_that_has_the_number_of_a_closed_stream(tmp_path):
    code = f"""
from stclip.terminal.output import run_command

def main():
    with open({str(tmp_path / "study.db")!r}, "w"):
        print("text", flush=True)
    return 3

run_command(main)
"""
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        stderr=subprocess.PIPE,
    )
    assert (closed.returncode, closed.stderr) == (3, b"")
    assert (tmp_path / "study.db").read_bytes() == b""


def test_the_status_of_a_parser_that_ends_the_process_stays(tmp_path):
    code = "import sys\nfrom stclip.terminal.output import run_command\nrun_command(lambda: sys.exit(5))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT).returncode == 5


LIGHTNING = """
from lightning.pytorch import LightningModule, Trainer
from stclip.training.callbacks import quiet_lightning

def work():
    class Interrupted(LightningModule):
        def configure_optimizers(self):
            raise KeyboardInterrupt
        def training_step(self, batch, index): ...
        def train_dataloader(self):
            return [1]
    quiet_lightning()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(Interrupted())
"""


@pytest.mark.parametrize("work", ["def work():\n    raise KeyboardInterrupt\n", LIGHTNING])
def test_a_ctrl_c_is_one_line(tmp_path, work):
    """Lightning ends the process with 1 then, and says nothing."""
    code = f"{work}\nfrom stclip.terminal.output import run_command\nrun_command(work)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


def test_an_error_arrives_whole():
    code = "from stclip.terminal.output import run_command\nrun_command(lambda: 1 / 0)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert ended.returncode == 1 and re.search(r"\nZeroDivisionError: division by zero\n$", ended.stderr)


def test_every_command_is_run_so():
    files = [*PROJECT_ROOT.glob("stclip/**/*.py"), *PROJECT_ROOT.glob("sweeps/**/*.py")]
    ends = {
        str(path.relative_to(PROJECT_ROOT)): path.read_text().partition('if __name__ == "__main__":\n')[2]
        for path in files
    }
    commands = {name: end.strip() for name, end in ends.items() if end}
    assert set(commands) >= {"sweeps/run.py", "sweeps/report.py", "sweeps/submit.py", "stclip/train.py"}
    assert {re.sub("_?main", "main", end) for end in commands.values()} == {"run_command(main)"}
