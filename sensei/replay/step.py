"""What agents have to know of an environment beside the fields of its steps."""

from typing import NamedTuple

from gymnasium.spaces import Box, Discrete, Space

from sensei.envs.vector.environment import VectorEnvironment


class Spaces(NamedTuple):
    """Sizes of what an agent sees and does: number of flags, number of actions, whether they are discrete, number of tasks."""

    flags: int
    actions: int
    discrete: bool
    tasks: int = 0

    @property
    def action(self) -> Space:
        """The action space: every environment has `Discrete(n)` or numbers from -1 to 1."""
        return Discrete(self.actions) if self.discrete else Box(-1.0, 1.0, (self.actions,))


def spaces_of(environments: VectorEnvironment) -> Spaces:
    """The spaces of some environments."""
    space = environments.action_space
    discrete = isinstance(space, Discrete)
    return Spaces(environments.flags_size, int(space.n) if discrete else space.shape[0], discrete, len(environments.task_names))
