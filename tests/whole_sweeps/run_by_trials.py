"""sweeps/run.py with a time budget that only trials use up, so that what a test sees does not depend on the machine.

python tests/whole_sweeps/run_by_trials.py RESULTS_FOLDER SECONDS_PER_TRIAL [run.py's arguments]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweeps.driver.stopping import StopSwitch
from sweeps.run import main


def clock_of(folder, seconds_per_trial):
    """A clock that goes on by so much whenever a trial of the sweep in `folder` has begun."""

    def now():
        return seconds_per_trial * sum(1 for _ in (folder / "trials").glob("*"))

    return now


if __name__ == "__main__":
    folder, seconds_per_trial, *arguments = sys.argv[1:]
    clock = clock_of(Path(folder), float(seconds_per_trial))
    StopSwitch.__init__.__defaults__ = (clock,)
    sys.exit(main(arguments))
