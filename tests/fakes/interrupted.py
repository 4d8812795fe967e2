"""What stops a run."""

import pytest

from sensei.envs.vector.environment import VectorEnvironment


class Interrupted(Exception):
    """What stops a run in these tests."""


def count_steps(patch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[int]:
    """Record every step of environments, of training, evaluation or video alike; raise Interrupted at step `stop_at`."""
    calls: list[int] = []
    step = VectorEnvironment.step_async

    def counted(self, actions):
        calls.append(len(calls))
        if len(calls) == stop_at:
            raise Interrupted
        return step(self, actions)

    patch.setattr(VectorEnvironment, "step_async", counted)
    return calls
