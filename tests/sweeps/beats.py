"""The beats of a thread that works every few seconds: they come when a test says so, and no clock is asked."""

import threading

HANGS = 300  # seconds; only turns a hang into a failure


class Beats:
    """Stands for `threading.Event.wait` in such a thread; a wait of less than `shortest` seconds is none."""

    def __init__(self, shortest=0.0):
        self._shortest = shortest
        self._asked = threading.Semaphore(0)
        self._go = threading.Semaphore(0)

    def wait(self, event, seconds):
        """Wait for the event, or for a beat; True for the event."""
        if seconds < self._shortest:
            return event.is_set()
        self._asked.release()
        while not event.is_set():
            if self._go.acquire(timeout=0.01):
                return event.is_set()
        return True

    def beat(self):
        """Let the thread work once; returns when it waits again."""
        assert self._asked.acquire(timeout=HANGS), "the thread does not wait for its next beat"
        self._go.release()
        assert self._asked.acquire(timeout=HANGS), "the thread does not end its work"
        self._asked.release()  # it waits still
