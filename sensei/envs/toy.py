"""Two small grids for tests: one whose picture says where in an episode it was taken, one that an agent must learn to solve."""

import numpy as np
from gymnasium.spaces import Discrete

from sensei.core.rng import generator
from sensei.envs.contract import Environment, Outcome
from sensei.envs.minihack import oracle
from sensei.study.models.environment import EnvironmentConfig

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left; (row, column)


class Counting(Environment):
    """The picture encodes the steps taken, the last action and the episode, so that a test can recognise any stored frame.

    Every pixel is (steps % 256, 10 * (last action + 1), seed % 256), the action being -1 at reset; flags = [steps is odd]; the reward
    of step t is t / 100. Three actions that change nothing else. Episodes of an even seed last until the time-out; those of an odd
    seed are terminated at a step drawn between 1 and the time-out.
    """

    annotator_side = 32

    def __init__(self, config: EnvironmentConfig, image_size: int):
        super().__init__(
            config,
            image_size,
            action_space=Discrete(3),
            known_events=("odd_step",),
            state_names=("steps", "last_action", "seed"),
            flags=1,
        )

    def _begin(self, seed: int) -> None:
        self._count, self._last_action, self._seed = 0, -1, seed % 256
        drawn = int(generator(seed, "length").integers(1, self.config.episode_steps + 1))
        self._end = drawn if seed % 2 else None

    def _advance(self, action: int) -> Outcome:
        self._count, self._last_action = self._count + 1, int(action)
        return Outcome(self._count / 100, terminated=self._count == self._end, events={"odd_step": self._count % 2})

    def _colour(self) -> np.ndarray:
        return np.array([self._count % 256, 10 * (self._last_action + 1), self._seed], np.uint8)

    def _image(self) -> np.ndarray:
        return np.broadcast_to(self._colour(), self.observation_space["image"].shape).copy()

    def _flags(self) -> np.ndarray:
        return np.array([self._count % 2], np.float32)

    def _state(self) -> dict[str, float]:
        return {"steps": float(self._count), "last_action": float(self._last_action), "seed": float(self._seed)}

    def render_for_annotator(self, view: str | None = None) -> np.ndarray:
        """The agent's picture at 32x32."""
        return np.broadcast_to(self._colour(), self.annotator_image_shape).copy()


class KeyDoor(Environment):
    """KeyRoom in miniature: a 4x4 grid, seen whole; fetch the key, then walk to the door, which ends the episode.

    Two tasks, each paid with 1: `keydoor`, reaching the door with the key, and `fetch_key`.

    The door stands in the lower right corner; hero and key begin on two other cells, drawn from the seed. Four moves; at the door
    without the key nothing happens. flags = [key held]. The state has the keys by which the oracle ranks KeyRoom.
    """

    annotator_side = 80
    can_rank, ranks = staticmethod(oracle.can_rank), staticmethod(oracle.ranks)

    SIZE = 4
    FLOOR, HERO, KEY, DOOR = (0, 0, 0), (60, 120, 255), (255, 220, 0), (200, 40, 40)

    def __init__(self, config: EnvironmentConfig, image_size: int):
        super().__init__(
            config,
            image_size,
            action_space=Discrete(len(MOVES)),
            known_events=("key_picked_up", "door_opened"),
            state_names=("stairs_in_view", "open_door_in_view", "closed_door_beside", "key_held", "key_in_view", "x", "y"),
            flags=1,
            task_names=("keydoor", "fetch_key"),
        )
        self._door = (self.SIZE - 1, self.SIZE - 1)

    def _begin(self, seed: int) -> None:
        cells = [divmod(int(cell), self.SIZE) for cell in generator(seed, "places").permutation(self.SIZE**2)]
        self._hero, self._key = [cell for cell in cells if cell != self._door][:2]
        self._held = self._open = False

    def _advance(self, action: int) -> Outcome:
        row, column = (place + move for place, move in zip(self._hero, MOVES[action], strict=True))
        self._hero = (min(max(row, 0), self.SIZE - 1), min(max(column, 0), self.SIZE - 1))
        picked_up = self._hero == self._key and not self._held
        self._held = self._held or picked_up
        self._open = self._held and self._hero == self._door
        rewards = {"keydoor": float(self._open), "fetch_key": float(picked_up)}
        events = {"key_picked_up": picked_up, "door_opened": self._open}
        return Outcome(rewards[self.task], terminated=self._open, events=events, task_rewards=rewards)

    def _draw(self, side: int) -> np.ndarray:
        grid = np.full((self.SIZE, self.SIZE, 3), self.FLOOR, np.uint8)
        grid[self._door] = self.DOOR
        if not self._held:
            grid[self._key] = self.KEY
        grid[self._hero] = self.HERO
        cell = (np.arange(side) * self.SIZE) // side
        return grid[cell][:, cell]

    def _image(self) -> np.ndarray:
        return self._draw(self.observation_space["image"].shape[0])

    def _flags(self) -> np.ndarray:
        return np.array([self._held], np.float32)

    def _state(self) -> dict[str, float]:
        beside = max(abs(self._hero[0] - self._door[0]), abs(self._hero[1] - self._door[1])) <= 1
        state = (self._open, self._open, beside, self._held, not self._held, self._hero[1], self._hero[0])
        return dict(zip(self.state_names, map(float, state), strict=True))

    def render_for_annotator(self, view: str | None = None) -> np.ndarray:
        """The grid at 20 pixels a cell."""
        return self._draw(self.annotator_image_shape[0])
