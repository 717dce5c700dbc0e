"""Which errors of Ray count as a lost process."""

from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError

from sweeps.driver.failures import process_death
from sweeps.driver.lost_workers import as_actor_error


def test_a_process_killed_for_memory_is_a_lost_actor_and_its_reason_stays():
    error = as_actor_error(OutOfMemoryError("1 worker(s) were killed due to the node running low on memory"))
    assert isinstance(error, RayActorError)
    assert process_death(str(error), 1).startswith("killed for memory")


def test_other_errors_stay_as_they_are():
    for error in (ActorDiedError(), ValueError("mine")):
        assert as_actor_error(error) is error
