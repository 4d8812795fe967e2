"""What an environment is in this project: the base class that every family extends; `check.py` checks one."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from sensei.core.errors import SenseiError
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.section import Section

Observation = dict[str, np.ndarray]
State = Mapping[str, np.ndarray | float]  # state key -> values [N] of N states, or a number of one
ENVIRONMENT_REWARD = "environment_reward"
TASK_EVENT = "task_"  # prefix of the events that are the sparse reward of a task


class Outcome(NamedTuple):
    """What one action led to, as a family reports it; the base class adds the time-out."""

    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    events: Mapping[str, float] = {}
    task_rewards: Mapping[str, float] = {}  # of every task at once, where a family knows several
    unstable: bool = False  # the simulator broke: the episode ends as truncated and is no experience


@dataclass(frozen=True)
class Captions:
    """What a family says in words of its annotator's pictures.

    vocabulary: all statements there are. statements: those that hold for a picture, uint8 [h, w, 3]. caption: a sentence that says some.
    """

    vocabulary: tuple[str, ...]
    statements: Callable[[np.ndarray], frozenset[str]]
    caption: Callable[[list[str]], str]


class Environment(gymnasium.Env):
    """A Gymnasium environment with a picture, flags, events that are counted and a state that an oracle may look at.

    observation = {"image": uint8 [image_size, image_size, 3], "flags": float32 [n]}, n may be 0; actions are Discrete(n) or
    Box([-1, 1], [d]). Every `info` holds "events" (dict[str, float], the names and order of the configuration: what happened at
    this step, 0 at a reset), "state" (dict[str, float], the same keys at every step), "task_rewards" (dict[str, float], one entry
    per `task_names`, 0 at a reset) and "unstable" (bool). The time-out is always `truncated`.

    A family implements `_begin`, `_advance`, `_image`, `_flags`, `_state` and `render_for_annotator`; one that knows several tasks
    pays the reward of `self.task`, and one that starts evaluations in a way of their own looks at `self.evaluation`. What is true of
    the whole family stands in the class, which is imported to check a study, where no simulator need be installed: the simulator is
    imported when an environment is made.

    Attributes:
        renders_states: whether `render_state` can draw any state again, so that nobody has to keep pictures.
        annotator_views: names of the views that annotators may be shown; the reward model sees the first.
        annotator_side: longer side in pixels of the annotator's picture; memory is asked for accordingly.
        seconds_per_step: of one agent step without learning; time limits on a cluster follow from it.
        seconds_per_picture: of drawing a state again; likewise.
        draws: whether observations hold the picture, or black because nobody looks.
    """

    class Options(Section):
        """What a study may choose of the family: `environment.options`."""

    renders_states: ClassVar[bool] = False
    annotator_views: ClassVar[tuple[str, ...]] = ("default",)
    annotator_side: ClassVar[int] = 224
    seconds_per_step: ClassVar[float] = 0.002
    seconds_per_picture: ClassVar[float] = 0.05

    metadata = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"
    draws = True

    def __init__(
        self,
        config: EnvironmentConfig,
        image_size: int,
        *,
        action_space: gymnasium.Space,
        known_events: Iterable[str],
        state_names: Iterable[str],
        flags: int = 0,
        task_names: Iterable[str] = (),
        annotator_image_shape: tuple[int, int, int] | None = None,
    ):
        """Check the configuration against what the family knows.

        Args:
            image_size: side of the agent's picture.
            known_events: what the family counts, besides the reward.
            state_names: keys of the state.
            flags: how many there are.
            task_names: every task of a family that pays several; () where it does not look at the task.
            annotator_image_shape: of the annotator's picture, by default [annotator_side, annotator_side, 3].

        Raises:
            SenseiError: the configuration names an event that the family does not count, or a task that it does not know.
        """
        known = [*known_events, ENVIRONMENT_REWARD]
        for name in config.events:
            if name not in known:
                raise SenseiError(
                    f"environment {config.level}: unknown event in `events`", found=name, expected=f"one of {', '.join(known)}"
                )
        self.config = config
        self.event_names = tuple(config.events)
        self.state_names = tuple(state_names)
        self.task_names = tuple(task_names)
        for name in config.tasks if self.task_names else ():
            self._check_task(name, self.task_names)
        self.task, self.evaluation = config.tasks[0], False
        self.annotator_image_shape = annotator_image_shape or (self.annotator_side, self.annotator_side, 3)
        self.action_space = action_space
        image = Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = Dict({"image": image, "flags": Box(0.0, 1.0, (flags,), np.float32)})
        self._steps, self._running = 0, False

    @classmethod
    def interactions(cls, events: Iterable[str]) -> dict[str, list[str]]:
        """Interaction, as figures and tables call it -> those of `events` that it sums, in the order of the figures."""
        return {event: [event] for event in events if not event.startswith(TASK_EVENT)}

    @classmethod
    def published_name(cls, config: EnvironmentConfig) -> str:
        """What tables of published values call the environment."""
        return config.tasks[0]

    @classmethod
    def lacking(cls) -> str | None:
        """What users have to bring that nobody may ship and that is not here; a study then leaves the environment out, and says this."""
        return None

    @classmethod
    def captions(cls) -> Captions:
        """How the family puts its annotator's pictures in words.

        Raises:
            SenseiError: it does not.
        """
        what = "this environment does not describe its pictures in words"
        raise SenseiError(what, expected=f"`captions` in {cls.__name__}", hint="choose an annotator that needs no captions")

    @staticmethod
    def can_rank(keys: Iterable[str]) -> bool:
        """Whether `ranks` and `extremes` understand states with these keys."""
        return False

    @classmethod
    def ranks(cls, state: State, nearer: bool = False) -> np.ndarray:
        """How interesting states are: [N] (or a scalar), from 0 (nothing of interest) upwards; for oracles.

        Args:
            state: key -> values [N] or a number; of truths, above 0.5 is true.
            nearer: of states that are equally interesting, those nearer to something interesting rank higher.

        Raises:
            SenseiError: the family cannot rank these states.
        """
        found = ", ".join(state) or "no state"
        raise SenseiError("the oracle cannot rank this environment's states", found=found, expected=f"`ranks` in {cls.__name__}")

    @classmethod
    def extremes(cls, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Which states are very good and which very bad, two bool [N]: the two sides of contrastive pairs.

        Raises:
            SenseiError: the family cannot say of these states.
        """
        what = "this environment does not say which states contrastive pairs are made of"
        raise SenseiError(what, expected=f"`extremes` in {cls.__name__}", hint="set `pairs.kind: random`")

    @abstractmethod
    def _begin(self, seed: int) -> None:
        """Start the episode that `seed` (63 bits) alone fixes."""

    @abstractmethod
    def _advance(self, action: int | np.ndarray) -> Outcome:
        """Take one valid action."""

    @abstractmethod
    def _image(self) -> np.ndarray:
        """The agent's picture now, uint8 [image_size, image_size, 3]."""

    @abstractmethod
    def _state(self) -> dict[str, float]:
        """What an oracle may look at now, one entry per state name."""

    @abstractmethod
    def render_for_annotator(self, view: str | None = None) -> np.ndarray:
        """The picture that annotators see now, uint8 of `annotator_image_shape`; by default the first view, which the reward model sees."""

    def render_state(self, state: Mapping[str, float], view: str | None = None) -> np.ndarray:
        """The same of a state seen earlier, for families with `renders_states`."""
        raise NotImplementedError(f"environment {self.config.level} cannot draw a state again")

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that the fields of a step name (`sensei.envs.step`)."""
        height, width, _ = self.annotator_image_shape
        spaces, names = self.observation_space, {"events": self.event_names, "state": self.state_names, "task_rewards": self.task_names}
        pictures = {"side": spaces["image"].shape[0], "height": height, "width": width}
        return {**pictures, "flags": spaces["flags"].shape[0], **{field: len(of_field) for field, of_field in names.items()}}

    def pursue(self, task: str | None = None, evaluation: bool = False) -> None:
        """Choose the task whose reward is paid (by default the configuration's first) and whether episodes are evaluations.

        Raises:
            SenseiError: the environment has no such task; the message names those it has.
        """
        self.task, self.evaluation = task or self.config.tasks[0], evaluation
        self._check_task(self.task, self.task_names or tuple(self.config.tasks))

    def _check_task(self, task: str, known: tuple[str, ...]) -> None:
        if task not in known:
            raise SenseiError(
                f"environment {self.config.level}: unknown task in `tasks`", found=task, expected=f"one of {', '.join(known)}"
            )

    def _length(self, episode: int, workers: int) -> int:
        """Steps until the time-out of the worker's episode of that number, `workers` playing side by side; by default always the same."""
        return self.config.episode_steps

    def _flags(self) -> np.ndarray:
        return np.zeros(self.observation_space["flags"].shape, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Start an episode. `seed` fixes all of it; without one, the next seed comes from the environment's own generator.

        Args:
            options: "episode", its number in the run, and "workers", how many play side by side; without them it has full length.
        """
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
            raise SenseiError(f"environment {self.config.level}: `seed`", found=repr(seed), expected="an integer from 0 on")
        super().reset(seed=None if seed is None else int(seed))
        self._begin(int(self.np_random.integers(2**63 - 1)))
        self._limit = self._length(options["episode"], options["workers"]) if options else self.config.episode_steps
        self._steps, self._running = 0, True
        return self._observation(), self._info(Outcome(), dict.fromkeys(self.event_names, 0.0))

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take one action; an invalid one raises a SenseiError that names the valid range."""
        if not self._running:
            raise SenseiError(f"environment {self.config.level}: step() outside an episode", hint="call reset() first")
        outcome = self._advance(check_actions(self.action_space, action)[()])
        self._steps += 1
        late = self._steps >= self._limit
        truncated = not outcome.terminated and (outcome.truncated or outcome.unstable or late)
        self._running = not (outcome.terminated or truncated)
        happened = {**outcome.events, ENVIRONMENT_REWARD: outcome.reward}
        events = {name: float(happened.get(name, 0.0)) for name in self.event_names}
        return self._observation(), float(outcome.reward), outcome.terminated, truncated, self._info(outcome, events)

    def _info(self, outcome: Outcome, events: dict[str, float]) -> dict[str, Any]:
        rewards = {name: float(outcome.task_rewards.get(name, 0.0)) for name in self.task_names}
        return {"events": events, "state": self._state(), "task_rewards": rewards, "unstable": outcome.unstable}

    def render(self) -> np.ndarray:
        """Gymnasium's name for `render_for_annotator`."""
        return self.render_for_annotator()

    def _observation(self) -> Observation:
        image = self._image() if self.draws else np.zeros(self.observation_space["image"].shape, np.uint8)
        return {"image": image, "flags": self._flags()}


def check_actions(space: gymnasium.Space, actions: Any, leading: tuple[int, ...] = ()) -> np.ndarray:
    """`actions` as int64 [*leading] (Discrete) or float32 [*leading, d] (Box).

    Raises:
        SenseiError: naming the valid range, for a wrong type or shape, a value out of range, NaN or infinity.
    """
    actions = np.asarray(actions)
    if isinstance(space, Discrete):
        shape, dtype, expected = leading, np.int64, f"integers from 0 to {space.n - 1}"
        valid = actions.shape == shape and actions.dtype.kind in "iu" and not ((actions < 0) | (actions >= space.n)).any()
    else:
        shape, dtype, expected = (*leading, *space.shape), np.float32, "finite numbers from -1 to 1"
        valid = actions.shape == shape and actions.dtype.kind in "fiu" and bool((np.abs(actions) <= 1).all())  # NaN compares false
    if not valid:
        text = np.array2string(actions, threshold=8) if actions.ndim else repr(actions.item())
        found = f"{text} of type {actions.dtype} and shape {actions.shape}"
        raise SenseiError("invalid action", found=found, expected=f"{expected}, shape {shape}")
    return actions.astype(dtype)
