"""SIGTERM while coroutines run: they are cancelled where they wait, not torn apart wherever they are."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any


class Runner(asyncio.Runner):
    """An `asyncio.Runner` that treats SIGTERM as it treats SIGINT: the coroutine is cancelled, then the handler there was is called."""

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end; other tasks stand still until the next call."""
        handler = signal.getsignal(signal.SIGTERM)
        if not callable(handler) or threading.current_thread() is not threading.main_thread():
            return super().run(coroutine)
        loop, terminated, result = self.get_loop(), False, None
        task = loop.create_task(coroutine)

        def terminate(*_: object) -> None:
            nonlocal terminated
            terminated = True
            task.cancel()
            loop.call_soon_threadsafe(lambda: None)  # wakes the loop

        signal.signal(signal.SIGTERM, terminate)
        try:
            result = super().run(_outcome(task))
        except asyncio.CancelledError:
            if not terminated:
                raise
        finally:
            signal.signal(signal.SIGTERM, handler)
        if terminated:
            handler(signal.SIGTERM, None)
        return result


async def _outcome(task: asyncio.Task) -> Any:
    return await task
