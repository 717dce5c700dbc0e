"""The two command lines as a user calls them; whatever a refusal should not do is an assertion."""

import re
import sys

import stclip.train
import sweeps.driver.sweep
import sweeps.run

TINY = ("data.image_size=16", "data.batch_size=16")


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


def files_below(folder):
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*")}
