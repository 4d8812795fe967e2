"""MiniHack behind the contract: 5x5 pixel view, key flag, clipped reward, counted events (docs/method.md, sections 3 and 4)."""

import numpy as np

from sensei.envs.contract import Captions, Environment, Outcome
from sensei.envs.minihack import events as minihack_events
from sensei.envs.minihack import oracle
from sensei.envs.minihack.events import Moment
from sensei.envs.minihack.picture import SIDE, NearestResize, draw
from sensei.study.models.environment import EnvironmentConfig


class MiniHackEnvironment(Environment):
    """KeyRoom, with rooms of 5 to 15 tiles a side, or KeyChest.

    Observation: the 5x5 cells around the hero, resized by nearest neighbour from 80x80, and flags = [key in inventory].
    Reward: MiniHack's (1 for success, -0.01 for actions that take no game time), clipped to [0, 1]. Terminated only by success or
    death, that is from NLE's end status 1 on.
    """

    annotator_side = SIDE
    can_rank, ranks = staticmethod(oracle.can_rank), staticmethod(oracle.ranks)

    @classmethod
    def captions(cls) -> Captions:
        """NetHack's names of what is in view."""
        from sensei.envs.minihack import captions

        return Captions(captions.vocabulary(), captions.statements, captions.caption)

    def __init__(self, config: EnvironmentConfig, image_size: int):
        from sensei.envs.minihack.levels import make_game

        self._game = make_game(config.level, config.episode_steps)
        self._resize = NearestResize(SIDE, image_size)
        self._look(self._game.begin(0))
        super().__init__(
            config,
            image_size,
            action_space=self._game.action_space,
            known_events=minihack_events.EVENTS,
            state_names=self._state(),
            flags=1,
        )

    def _begin(self, seed: int) -> None:
        self._look(self._game.begin(seed))

    def _advance(self, action: int) -> Outcome:
        before = self._now
        observation, reward, _, _, information = self._game.step(int(action))
        self._look(observation)
        return Outcome(
            reward=min(max(reward, 0.0), 1.0),
            terminated=int(information["end_status"]) >= 1,
            events=minihack_events.events(before, self._now),
        )

    def _look(self, observation: dict[str, np.ndarray]) -> None:
        self._now = Moment.of(observation)
        self._picture = draw(self._now.crop)

    def _image(self) -> np.ndarray:
        return self._resize(self._picture)

    def _flags(self) -> np.ndarray:
        return np.array([self._now.key_held], np.float32)

    def _state(self) -> dict[str, float]:
        return minihack_events.state(self._now, self._game.has_chest)

    def render_for_annotator(self, view: str | None = None) -> np.ndarray:
        """The 5x5 view at 16 pixels a cell, uint8 [80, 80, 3]."""
        return self._picture

    def close(self) -> None:
        """Remove the game's temporary folder."""
        self._game.close()
