"""Somebody else's code, called in a thread of its own: it may raise anything, end the process or hang, and its caller goes on."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class Apart:
    """A thread that makes calls one after the other, all in itself, as libraries that know their thread want it.

    Args:
        seconds: that a call may take. After one that takes longer nothing more should be asked of this thread.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()  # one that hangs ends with the process

    def __call__(self, call: Callable[[], Result]) -> Result:
        """What a call returns.

        Raises:
            Exception: what it raises; a RuntimeError if that would end the process, a TimeoutError if it takes too long.
        """
        future: Future[Result] = Future()
        self._calls.put((call, future))
        try:
            return future.result(self._seconds)
        except TimeoutError:
            if future.done():  # it is its own
                raise
            raise TimeoutError(f"it does not return within {self._seconds:g} s") from None

    def _work(self) -> None:
        while True:
            call, future = self._calls.get()
            try:
                future.set_result(call())
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:
                future.set_exception(RuntimeError(f"it ends the process: {error!r}"))
