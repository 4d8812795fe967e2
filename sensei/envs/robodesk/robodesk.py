"""Robodesk behind the contract: the paper's robot at a desk (docs/method.md, section 7)."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from gymnasium.spaces import Box
from pydantic import Field

from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.envs.contract import TASK_EVENT, Environment, Outcome
from sensei.envs.robodesk import oracle
from sensei.envs.robodesk.events import INTERACTIONS, UNSTABLE, Readings, event_names, joint_positions
from sensei.envs.robodesk.picture import FAST_OVERSAMPLING, SIDE, average, shrink
from sensei.envs.robodesk.rewards import TASKS, Rewards
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.section import Section

LEVEL = "Robodesk"
ACTION_REPEAT = 2
AGENT_CAMERA = "right"


class RobodeskEnvironment(Environment):
    """The desk with drawer, slide, three buttons, ball and two blocks; five-dimensional actions, each taken twice.

    Rewards are summed over the two repeats: sparse pays the task's success at every one of them, dense upstream's shaped reward;
    evaluations start in the middle of the training starts and pay success once an episode. Never terminated. Where the simulation
    breaks, the episode is cut and the last valid state stays.
    """

    class Options(Section):
        """Choices that the published Robodesk numbers depended on; the defaults are the paper's."""

        render_quality: Literal["full", "fast"] = Field(
            "full", description="full: shadows, reflections and multisampling (paper); fast: none of them, many times as fast on a CPU"
        )
        original_positions: Literal["views", "copies"] = Field(
            "views", description="views: no body ever counts as moved, upstream's mistake (paper); copies: as upstream's tasks mean it"
        )
        reward: Literal["sparse", "dense", "success"] = Field(
            "sparse", description="reward of training: sparse (paper), success at every step; dense, shaped; success, once an episode"
        )

    renders_states = True
    annotator_views = (AGENT_CAMERA, "left")
    annotator_side = SIDE
    can_rank, ranks, extremes = map(staticmethod, (oracle.can_rank, oracle.ranks, oracle.extremes))

    @classmethod
    def interactions(cls, events: Iterable[str]) -> dict[str, list[str]]:
        """The panels of the paper's Figure 6, as far as `events` has them."""
        counted = set(events)
        return {name: summed for name, summed in INTERACTIONS.items() if counted.issuperset(summed)}

    @classmethod
    def published_name(cls, config: EnvironmentConfig) -> str:
        """The desk's, whatever the task."""
        return "robodesk"

    def __init__(self, config: EnvironmentConfig, image_size: int):
        from sensei.envs.robodesk.rendering import Renderer
        from sensei.envs.robodesk.simulation import Simulation

        if config.level != LEVEL:
            raise SenseiError("environment of family robodesk: unknown level", found=config.level, expected=f"one of {LEVEL}")
        self._options, self._image_size = self.Options.model_validate(config.options), image_size
        self._simulation = Simulation()
        self._rewards = Rewards(self._simulation, self._options.original_positions)
        self._readings = Readings(self._simulation)
        largest = max(SIDE, FAST_OVERSAMPLING * image_size)
        self._renderer = Renderer(self._simulation.model, self._options.render_quality, largest)
        self._pictures: dict[str, np.ndarray] = {}  # of the present state, by camera
        self._solved = np.zeros(len(TASKS), bool)  # in this episode
        super().__init__(
            config,
            image_size,
            action_space=Box(-1.0, 1.0, (5,), np.float32),
            known_events=event_names(TASKS),
            state_names=self._state(),
            task_names=TASKS,
        )

    def _begin(self, seed: int) -> None:
        self._simulation.reset(None if self.evaluation else generator(seed, "reset"))
        self._rewards.begin()
        self._solved[:] = False
        self._pictures.clear()

    def _advance(self, action: np.ndarray) -> Outcome:
        self._pictures.clear()
        kind = "success" if self.evaluation else self._options.reward
        sparse, paid = np.zeros(len(TASKS)), np.zeros(len(TASKS))
        for _ in range(ACTION_REPEAT):
            if not self._simulation.act(action):
                return Outcome(unstable=True, events={UNSTABLE: 1.0})
            success = self._rewards.successes()
            sparse += success
            paid += self._payment(kind, success)
        events = {**self._readings.moved(), **{f"{TASK_EVENT}{task}": reward for task, reward in zip(TASKS, sparse, strict=True)}}
        rewards = dict(zip(TASKS, paid, strict=True))
        return Outcome(float(rewards[self.task]), events=events, task_rewards=rewards)

    def _payment(self, kind: str, success: np.ndarray) -> np.ndarray:
        """Reward of every task after one simulator action, float64 [tasks]."""
        if kind == "sparse":
            return success
        if kind == "dense":
            return self._rewards.dense()
        first = success * ~self._solved
        self._solved |= success > 0
        return first

    def _image(self) -> np.ndarray:
        """The agent's picture: full, the annotator's at 224 pixels shrunk with antialiasing; fast, two by two pixels averaged."""
        size = self._image_size
        if self._options.render_quality == "full":
            return shrink(self.render_for_annotator(), size)
        return average(self._renderer.draw(self._simulation.data, AGENT_CAMERA, FAST_OVERSAMPLING * size), FAST_OVERSAMPLING)

    def _state(self) -> dict[str, float]:
        return self._readings.state(stacked=self._rewards.success("stack"))

    def render_for_annotator(self, view: str | None = None) -> np.ndarray:
        """What the camera `view` (right, left or top) sees, uint8 [224, 224, 3]; drawn when first asked for."""
        view = view or AGENT_CAMERA
        if view not in self._pictures:
            self._pictures[view] = self._renderer.draw(self._simulation.data, view)
        return self._pictures[view]

    def render_state(self, state: Mapping[str, float], view: str | None = None) -> np.ndarray:
        """The same of a state seen earlier, by this or another environment."""
        return self._renderer.draw(self._simulation.at(joint_positions(state)), view or AGENT_CAMERA)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()
