"""A trial's folder of config.yaml and logs: written on the trial's node, and copied where the results are at an address."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stclip.errors import InputError
from stclip.files.addresses import Remote, is_address, open_address
from stclip.files.guarded_folder import check_no_links, check_way, make_below, write_below

GOES_ON = "metrics.csv"  # what a trial that goes on appends to; all else is written anew or under a new name


@contextmanager
def trial_folder(
    place: str, note: Callable[[str], None], goes_on: str = GOES_ON
) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The folder to write into, and a function that brings `place` up to date; it is called at the end, too.

    Args:
        place: the trial's folder, `<results>/trials/<name>`; one that is no address is written into directly.
        note: is told when a copy fails. A trial does not fail for that: what decides is its reports and checkpoints.
        goes_on: the file that an earlier start of the trial wrote and this one appends to.

    Raises LinkError for a folder with a link in it (see `stclip.files.guarded_folder`), ResultsGoneError where the results are
    gone.
    """
    if not is_address(place):
        results = Path(place).parents[1]
        name = Path(place).relative_to(results).as_posix()
        check_way(results, name)
        check_no_links(Path(place))
        _make(results, name)
        yield Path(place), lambda: None
        return
    with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
        copy = _Copy(open_address(place), Path(folder), note, goes_on)
        copy.fetch()
        try:
            yield Path(folder), copy.send
        finally:
            copy.send()


class ResultsGoneError(InputError):
    """The folder of the whole sweep was moved or deleted. A trial that made it again would leave half a sweep in its place."""


def _make(results: Path, name: str) -> None:
    try:
        make_below(results, name)
    except (FileNotFoundError, NotADirectoryError):
        raise ResultsGoneError(
            f"results {results}: are gone; put them back, or go on where they are now with --resume"
        ) from None


def write_to(place: str, name: str, text: str) -> None:
    """Write one small file into a trial's folder. Nothing happens where it cannot be written, as on a full disk."""
    with suppress(OSError, InputError), trial_folder(place, lambda reason: None) as (folder, _):
        results = folder if is_address(place) else folder.parents[1]
        write_below(results, (folder / name).relative_to(results).as_posix(), text)


class _Copy:
    """Sends what has changed since it was last sent."""

    def __init__(self, remote: Remote, folder: Path, note: Callable[[str], None], goes_on: str) -> None:
        self._remote, self._folder, self._note, self._goes_on = remote, folder, note, goes_on
        self._sent: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """What an earlier start of the trial wrote and this one goes on with."""
        try:
            if self._remote.exists(self._goes_on):
                own = self._folder / self._goes_on
                self._remote.download(self._goes_on, own)
                self._sent[self._goes_on] = self._state(own)
        except Exception as error:  # of whatever kind the file system has
            self._note(f"{self._remote.path}: cannot be read ({type(error).__name__}: {error})")

    def send(self) -> None:
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            try:
                if not path.is_file() or self._sent.get(name) == (state := self._state(path)):
                    continue
                self._remote.upload(path, name)
                self._sent[name] = state
            except Exception as error:  # of whatever kind the file system has; the next call tries again
                self._note(f"{name}: not copied to {self._remote.path} ({type(error).__name__}: {error})")
                return

    @staticmethod
    def _state(path: Path) -> tuple[int, int]:
        facts = path.stat()
        return facts.st_mtime_ns, facts.st_size
