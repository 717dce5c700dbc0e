"""Why a trial's process died, in words; and when the same reason comes so often that the sweep stops."""

import pytest

from sweeps.driver.failures import process_death, repeated_reason
from sweeps.results.records import TrialRecord


def failed(number, reason):
    return TrialRecord(
        family="clip", number=number, name=f"clip-{number:04d}", state="FAIL", params={}, metrics={}, epochs=0,
        seconds=0.0, seed=0, error=reason,
    )  # fmt: skip


def test_a_reason_is_the_same_when_only_its_numbers_differ():
    same = [failed(i, f"CUDA out of memory: tried {i}.5 GiB") for i in range(10)]
    assert repeated_reason(same[:9]) is None
    assert (
        repeated_reason(same) == "10 trials in a row failed for one reason: CUDA out of memory: tried 9.5 GiB"
    )
    assert repeated_reason([*same[:9], failed(9, "another")]) is None
    assert repeated_reason([*same, failed(10, "another"), *same[:9]]) is None


def test_data_that_have_changed_stop_a_sweep_at_the_first_trial_that_finds_it_out():
    changed = failed(1, "DataChangedError: data set 'x' is not as it was")
    assert (
        repeated_reason([failed(0, "another"), changed])
        == f"what the trials read has changed: {changed.error}"
    )
    assert repeated_reason([changed, failed(2, "another")]) is None


UNEXPECTED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: StclipTrial\nThe actor is dead because its worker "
    "process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error "
    "code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage"
)
UNREACHABLE = (
    "The actor 9746546885130ca892b3c46102000000 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: "
    "Socket closed rpc_code: 14. The task may or may not have been executed on the actor."
)


@pytest.mark.parametrize(
    ("text", "said"),
    [  # the second and third as Ray 2.60 wrote them
        (
            "OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory.",
            "killed for memory",
        ),
        (UNEXPECTED, "the trial's process died (it exited, was killed, or crashed in native code)"),
        (UNREACHABLE, "its node was lost, or could not be reached"),
        ("The actor died because its node has died. Node Id: ab", "its node was lost"),
        ("", "the trial's process died or raised"),
    ],
)
def test_a_dead_process_in_words(text, said):
    assert said in process_death(text, 1)
    assert process_death(text, 3).endswith("; started 3 times")
