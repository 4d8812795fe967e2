"""What the training loop asks of an agent, whatever the algorithm; the module of an algorithm's name holds the class that answers."""

from typing import Any, Literal

import numpy as np

from sensei.core.errors import SenseiError

Phase = Literal["explore", "learn"]
Rows = dict[str, np.ndarray]  # fields of a step, each [workers, ...]


class Agent:
    """Acts, learns, and can be stopped and restored at any step.

    Made as `Agent(spaces, settings, method, weights, phase, seed, device)`: `sensei.replay.step.Spaces`, the settings and the method
    of the study, the go and explore weights, which phase it is in, the seed that fixes all it draws, and "cpu" or "cuda".

    Attributes: literals, because a study is checked without importing the algorithm.
        explores: without reward sources it has an exploration phase.
        takes_sources: its exploration maximises reward sources.
        learns: tasks can be learned with it.
        on_policy: it learns from what it has just done, told by `follow`, and episodes that end begin anew within the step. An agent
            that learns otherwise is given batches of the replay as often as the train ratio says.
        seconds_per_update: for time limits on a cluster.
        counts_for: updates that one call of `update` is logged as.
        behaviours: what it can act with: "explore", "task" or both; the one it was trained to act with first.
    """

    explores = False
    takes_sources = False
    learns = True
    on_policy = False
    seconds_per_update = 0.0
    counts_for = 1
    behaviours: tuple[str, ...] = ("task",)

    def act_as(self, behaviour: str) -> None:
        """Choose the behaviour that `policy` acts with from now on.

        Raises:
            SenseiError: it has none of that name.
        """
        if behaviour not in self.behaviours:
            raise SenseiError("the agent has no such behaviour", found=behaviour, expected=f"one of {', '.join(self.behaviours)}")

    def initial_policy_state(self, workers: int) -> Any:
        """What `policy` is given with the first observation."""
        return None

    def policy(self, rows: Rows, state: Any, generator: Any = None) -> tuple[np.ndarray, Any]:
        """Act by sampling.

        Args:
            rows: the fields that a policy is shown.
            state: what the call before returned.
            generator: `torch.Generator` to draw from; by default the agent's own stream.

        Returns:
            int64 [workers] (discrete) or float32 [workers, actions], and the next state.
        """
        raise NotImplementedError

    @staticmethod
    def to_act(checkpoint: dict[str, Any]) -> dict[str, Any]:
        """What of a `checkpoint` acting needs, and `restore` accepts; by default all."""
        return checkpoint

    def update(self, batch: Rows | None) -> dict[str, Any]:
        """One update; scalars to log, 0-d tensors.

        Args:
            batch: fields of the replay, each [batch, time, ...]; None for an agent on policy, which learns from what it has followed.
        """
        raise NotImplementedError

    def follow(self, rows: Rows, state: Any, ended: Rows, following: Rows) -> None:
        """What came of an action (on policy alone).

        Args:
            rows, state: the rows that were acted on and the state that `policy` returned with the action.
            ended: the rows that the action led to.
            following: the same, but of workers whose episode has ended the first row of the next one.
        """
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Whether enough has been followed for an update (on policy alone)."""
        raise NotImplementedError

    def checkpoint(self) -> dict[str, Any]:
        """All that `restore` needs: tensors, numbers, text and containers of them."""
        raise NotImplementedError

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue exactly where `checkpoint` was taken."""
        raise NotImplementedError

    def start_from(self, explored: dict[str, Any], task: int | None) -> None:
        """Begin a task with an explored agent.

        Args:
            explored: the `checkpoint` of an exploration run.
            task: None for the task whose reward the exploration paid, else the number of the task.

        Raises:
            SenseiError: the algorithm cannot, or the agent does not fit.
        """
        raise SenseiError(f"{type(self).__name__} cannot start from an explored agent", hint="remove its method from `explore`")
