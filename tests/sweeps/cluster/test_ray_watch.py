"""The end of Ray is noticed, and what waits for it is left to itself."""

import subprocess
import sys
import threading
import types

import pytest

from stclip.files.paths import PROJECT_ROOT
from sweeps.cluster import ray_watch
from sweeps.cluster.ray_watch import ASK_SECONDS, PATIENCE_SECONDS, LostHead, lost_private_ray, run_beside
from sweeps.driver.stopping import StopSwitch
from tests.sweeps.foreign import found


def never():
    return None


def test_work_that_ends_is_waited_for():
    done = []
    assert run_beside(lambda: done.append(threading.current_thread().name), never) is None
    assert done == ["tune"]


@pytest.mark.parametrize(
    "error", [ValueError("boom"), SystemExit(3), TimeoutError("its own"), KeyboardInterrupt()]
)
def test_what_the_work_raises_is_raised(error):
    def work():
        raise error

    with pytest.raises(type(error)) as caught:
        run_beside(work, never)
    assert caught.value is error


def test_work_that_waits_for_ever_is_left_when_ray_is_gone():
    for_ever = threading.Event()
    try:
        assert run_beside(for_ever.wait, lambda: "Ray has ended") == "Ray has ended"
    finally:
        for_ever.set()


def test_an_error_because_ray_is_gone_is_not_raised():
    gone = threading.Event()

    def work():
        gone.set()
        raise RuntimeError("no raylet")

    assert run_beside(work, lambda: "Ray has ended" if gone.is_set() else None) == "Ray has ended"


@pytest.mark.parametrize(
    ("dead", "told"),
    [
        ([], None),
        (["dashboard", "monitor", "log_monitor", "reaper"], None),  # a sweep does without
        (["raylet"], "Ray has ended: its process raylet was killed, or died"),
        (["raylet", "dashboard", "gcs_server"], "Ray has ended: its process gcs_server was killed, or died"),
    ],
)
def test_a_private_ray_is_gone_without_its_raylet_or_its_gcs(monkeypatch, dead, told):
    node = types.SimpleNamespace(dead_processes=lambda: [(kind, None) for kind in dead])
    monkeypatch.setattr("ray._private.worker._global_node", node)
    assert lost_private_ray() == told


def test_a_ray_that_was_shut_down_is_not_lost(monkeypatch):
    monkeypatch.setattr("ray._private.worker._global_node", None)
    assert lost_private_ray() is None


def test_ray_still_tells_which_of_its_processes_are_dead():
    rests = "sweeps/cluster/ray_watch.py rests on it to notice the end of Ray"
    node = found("ray._private.node:Node", rests)
    info = lambda code: types.SimpleNamespace(process=types.SimpleNamespace(poll=lambda: code))  # noqa: E731
    kinds = (
        found("ray._private.ray_constants:PROCESS_TYPE_GCS_SERVER", rests),
        found("ray._private.ray_constants:PROCESS_TYPE_RAYLET", rests),
    )
    assert kinds == ray_watch._NEEDED, rests
    some = types.SimpleNamespace(all_processes={kinds[0]: [info(None)], kinds[1]: [info(-9)]})
    assert [kind for kind, _ in node.dead_processes(some)] == [kinds[1]], rests


class Head:
    """A head of a cluster, and a clock."""

    def __init__(self):
        self.time, self.up, self.asked = 0.0, True, 0

    def answers(self):
        self.asked += 1
        return self.up


def test_a_head_is_gone_when_it_has_not_answered_for_a_while():
    head = Head()
    lost = LostHead(head.answers, lambda: head.time)
    assert lost() is None and head.asked == 0
    head.up = False
    for head.time in range(0, int(PATIENCE_SECONDS)):
        assert lost() is None
    assert head.asked == (PATIENCE_SECONDS - 1) // ASK_SECONDS
    head.time = PATIENCE_SECONDS
    assert lost() == "the cluster's head has not answered for 45 seconds"


def test_a_head_that_comes_back_in_time_is_not_gone():
    head = Head()
    lost = LostHead(head.answers, lambda: head.time)
    head.up, head.time = False, PATIENCE_SECONDS - 6
    assert lost() is None
    head.up, head.time = True, PATIENCE_SECONDS - 1
    assert lost() is None
    head.up, head.time = False, 2 * PATIENCE_SECONDS - 2
    assert lost() is None


def test_a_stop_that_was_asked_for_before_keeps_its_reason():
    switch = StopSwitch(None, lambda reason: None)
    switch.lose_ray("Ray has ended")
    assert (switch.reason, switch.broken, switch.ray_is_gone) == ("Ray has ended", True, True)
    switch = StopSwitch(None, lambda reason: None)
    switch.stop("interrupted")
    switch.lose_ray("Ray has ended")
    assert (switch.reason, switch.broken, switch.ray_is_gone) == ("interrupted", False, True)


def test_a_process_ends_with_its_words_and_its_status_though_threads_wait():
    code = (
        "import atexit, threading\nfrom sweeps.cluster.ray_watch import leave\natexit.register(lambda: print('late'))\n"
        "threading.Thread(target=threading.Event().wait).start()\nprint('said', end='')\nleave(1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "said", "")
