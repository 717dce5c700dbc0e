"""Kill a sweep's driver (SIGKILL) at named moments drawn at random, resume each time, and compare with the unbroken sweep.

    python benchmarks/kill_driver.py [--kills 20] [--seed 11]

Sweeps of 24 trials, three at a time, on a tiny data set, against an unbroken one with one at a time; another one starts when one
is complete, until all kills are done.
Ends with 1 at the first difference: a finished trial lost, changed or run again, a budget missed, another table.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Exit status of the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=11, help="of the moments")
    options = parser.parse_args()
    environment = {**os.environ, "STCLIP_KILLS": str(options.kills), "STCLIP_KILL_SEED": str(options.seed)}
    started = time.monotonic()
    file = "tests/whole_sweeps/test_resumed.py"
    test = f"{file}::test_a_driver_killed_at_any_moment_loses_nothing_and_reruns_nothing"
    command = [sys.executable, "-m", "pytest", "-s", "-q", "-n", "0", test]
    status = subprocess.run(command, cwd=Path(__file__).parents[1], env=environment, check=False).returncode
    print(
        f"{options.kills} kills, {time.monotonic() - started:.0f} s: {'as the unbroken sweep' if status == 0 else 'FAILED'}"
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
