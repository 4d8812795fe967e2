"""Robodesk behind the contract: the paper's robot at a desk (section 3.5 of the notes)."""

from collections.abc import Mapping

import numpy as np
from gymnasium.spaces import Box

from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.envs.contract import Environment, Outcome
from sensei.envs.robodesk.opengl import choose_backend
from sensei.study.models.environment import EnvironmentConfig, RobodeskOptions

choose_backend()  # MuJoCo reads the choice when it is imported
import mujoco  # noqa: E402

from sensei.envs.robodesk.events import UNSTABLE, Readings, event_names, joint_positions  # noqa: E402
from sensei.envs.robodesk.rendering import FAST_OVERSAMPLING, SIZE, Renderer, average, shrink  # noqa: E402
from sensei.envs.robodesk.rewards import TASKS, Rewards  # noqa: E402
from sensei.envs.robodesk.simulation import Simulation, locate  # noqa: E402

LEVEL = "Robodesk"
ACTION_REPEAT = 2
AGENT_CAMERA = "right"


class RobodeskEnvironment(Environment):
    """The desk with drawer, slide, three buttons, ball and two blocks; five-dimensional actions, each taken twice.

    Rewards are summed over the two repeats: sparse pays the task's success at every one of them, dense upstream's shaped reward;
    evaluations start in the middle of the training starts and pay success once an episode. Never terminated. Where the simulation
    breaks, the episode is cut and the last valid state stays.
    """

    renders_states = True

    @classmethod
    def interactions(cls, events):
        """What the paper's figures call an interaction -> the events that it sums."""
        known = {
            "upright_block": ["upright_block_moved"],
            "flat_block": ["flat_block_moved"],
            "ball": ["ball_moved"],
            "buttons": ["red_button_moved", "green_button_moved", "blue_button_moved"],
            "drawer": ["drawer_moved"],
            "sliding_cabinet": ["slide_moved"],
        }
        return {name: parts for name, parts in known.items() if set(parts) <= set(events)}

    @classmethod
    def published_name(cls, config):
        """The paper has one Robodesk, whatever the task."""
        return "robodesk"

    def __init__(self, config: EnvironmentConfig, image_size: int):
        if config.level != LEVEL:
            raise SenseiError("environment of family robodesk: unknown level", found=config.level, expected=f"one of {LEVEL}")
        options = config.robodesk or RobodeskOptions()
        self._options, self._image_size = options, image_size
        self._simulation = Simulation()
        self._rewards = Rewards(self._simulation, options.original_positions)
        self._readings = Readings(self._simulation)
        self._renderer = Renderer(self._simulation.model, options.render_quality, max(SIZE, FAST_OVERSAMPLING * image_size))
        self._drawn = mujoco.MjData(self._simulation.model)  # where states seen earlier are drawn again
        self._pictures: dict[str, np.ndarray] = {}  # of the present state, by camera
        self._solved = np.zeros(len(TASKS), bool)  # in this episode
        super().__init__(
            config,
            image_size,
            action_space=Box(-1.0, 1.0, (5,), np.float32),
            known_events=event_names(TASKS),
            state_names=self._state(),
            annotator_image_shape=(SIZE, SIZE, 3),
            task_names=TASKS,
            annotator_views=(AGENT_CAMERA, "left"),
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
        events = {**self._readings.interactions(), **{f"task_{task}": reward for task, reward in zip(TASKS, sparse, strict=True)}}
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
        self._drawn.qpos[:] = joint_positions(state)
        locate(self._simulation.model, self._drawn)
        return self._renderer.draw(self._drawn, view or AGENT_CAMERA)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()
