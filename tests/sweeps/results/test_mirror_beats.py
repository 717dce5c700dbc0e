"""The thread that copies the record: when it copies, what it says, and when it ends."""

import threading

import pytest

from stclip.files.addresses import Remote
from sweeps.results import mirror as mirror_module
from sweeps.results.mirror import AddressError
from tests.sweeps.mirrors import add_trial, begun


def at_once(event, seconds):
    """Nothing is waited for: the thread copies as often as it can."""
    return event.wait(0)


def lost():
    error = AddressError("lost")
    error.__cause__ = ConnectionError()
    return error


def test_a_fault_is_said_again_after_a_copy_succeeded(driver, monkeypatch):
    mirror, _, _ = begun(driver)
    answers, over, said = [lost(), lost(), None, lost(), lost()], threading.Event(), []

    def push():
        if not answers:
            over.set()
        elif (error := answers.pop(0)) is not None:
            raise error

    monkeypatch.setattr(mirror, "push", push)
    with mirror.following(said.append, pytest.fail, at_once):
        assert over.wait(60)
    assert said == ["lost; trying again"] * 2


def test_nothing_more_is_copied_when_another_driver_has_taken_over(driver, monkeypatch):
    mirror, _, _ = begun(driver)
    pushes, said, taken = [], [], []

    def push():
        name = threading.current_thread().name
        pushes.append(name)
        if pushes.count(name) > 1:
            raise SystemExit  # ends a thread that goes on
        raise AddressError("another driver")

    monkeypatch.setattr(mirror, "push", push)
    with (
        pytest.raises(AddressError, match="another driver"),
        mirror.following(said.append, taken.append, at_once),
    ):
        for thread in threading.enumerate():
            if thread.name == "results-mirror":
                thread.join(60)
    assert (pushes, taken) == (["results-mirror", threading.current_thread().name], ["another driver"])
    assert said == []


def test_a_copy_that_is_asked_for_is_made_before_the_next_beat(driver, monkeypatch):
    mirror, _, _ = begun(driver)
    monkeypatch.setattr(mirror_module, "BEAT_SECONDS", 3600)
    copied, still_asked = threading.Event(), []

    def push():
        still_asked.append(mirror._wake.is_set())
        copied.set()

    monkeypatch.setattr(mirror, "push", push)
    with mirror.following(pytest.fail, pytest.fail):
        mirror.soon()
        assert copied.wait(60)
    assert still_asked[0] is False  # or the next would follow at once


def test_what_is_kept_takes_the_place_of_what_an_earlier_end_kept(driver, monkeypatch):
    mirror, folder, _ = begun(driver)
    kept = folder.path.with_name("first-not-copied")
    kept.mkdir()
    (kept / "old").touch()
    add_trial(folder, "clip-0000")

    def broken(remote, source, name):
        raise ConnectionError("down")

    monkeypatch.setattr(Remote, "upload", broken)
    with pytest.raises(AddressError, match="what it lacks is in"), mirror.following(str, pytest.fail):
        pass
    assert (kept / "trials.csv").read_text() == "clip-0000" and not (kept / "old").exists()
