"""Signals to stop: what a cluster sends before it ends a job, and what `kill` sends.

SIGTERM and SIGUSR1 end a stage through every `finally`, with exit code 128 + the signal's number, so that a workflow manager sees a
job that is not done. What can be left at some points only holds them back and asks at each of these points. Schedulers send the
signal more than once; the second one does nothing.
"""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
PATIENCE = 25.0  # seconds until a signal held back ends the process nevertheless: SLURM kills 30 seconds after SIGTERM (KillWait)


@dataclass
class _State:
    held_back: bool = False
    waiting: int | None = None


_state = _State()


def listen() -> None:
    """Obey signals to stop from now on; in the main thread."""
    _state.waiting = None
    for number in SIGNALS:
        signal.signal(number, _arrived)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let a signal that comes while the body runs wait until the body calls `leave`, or ends; but no longer than `PATIENCE`."""
    _state.held_back = True
    try:
        yield
    finally:
        _state.held_back = False
    if wanted():
        leave()


def wanted() -> bool:
    """Whether a signal waits."""
    return _state.waiting is not None


def leave(last: Callable[[], None] = lambda: None) -> None:
    """End the process because of the signal that waits, after `last`, which takes the time it takes.

    Raises:
        SystemExit: 128 + the signal's number.
    """
    signal.setitimer(signal.ITIMER_REAL, 0)
    last()
    _end(_state.waiting)


def _arrived(number: int, frame: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    if not _state.held_back:
        _end(number)
    _state.waiting = number
    signal.signal(signal.SIGALRM, lambda *_: _end(number))
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)


def _end(number: int) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    _state.waiting = None
    logging.getLogger("sensei").warning("%s: stopping", signal.Signals(number).name)
    raise SystemExit(128 + number)
