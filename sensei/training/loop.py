"""The loop that acts, stores and learns; start and resume are one path.

One turn: the current observation and the action chosen for it enter the replay, the environments begin to step, the updates that
the train ratio asks for are made meanwhile (they need nothing of the coming observation), and the semantic reward of what the
environments return is scored for all workers at once.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Discrete

from sensei.agents.dreamer import DreamerAgent, Spaces
from sensei.agents.random import RandomActions, RandomAgent
from sensei.envs.vector import VectorEnvironment
from sensei.errors import SenseiError
from sensei.replay.buffer import Replay
from sensei.reward.scorer import RewardScorer
from sensei.rng import generator
from sensei.training import checkpoint
from sensei.training.episodes import Episodes, forget_old
from sensei.training.evaluate import Evaluator, Policy
from sensei.training.feed import Feed
from sensei.training.logger import Logger
from sensei.training.outputs import STATE, start_anew, write_outputs
from sensei.training.run import Run

STORED = ("image", "flags", "reward", "task_rewards", "is_first", "is_terminal")
log = logging.getLogger("sensei.training")


def train(run: Run) -> None:
    """Carry out a run of the world-model agent or the random one; writes `metrics.jsonl`, `events.parquet`, `agent.pt`, `video.mp4`.

    Killed at any moment and started again it continues from its last checkpoint and, on a CPU, ends with the same bytes.

    Raises:
        SenseiError: the checkpoint there belongs to another configuration or is damaged, or a worker died.
    """
    with opened(run) as loop:
        loop.run_to_the_end()


@contextmanager
def opened(run: Run) -> Iterator["Loop"]:
    """The loop of a run with its environments, not begun yet; their processes end with the block."""
    settings = run.settings
    start_anew(run)
    images = True if run.reward_model else None if run.keep_episodes else False
    size, workers = settings.world_model.image_size, settings.training.workers
    with VectorEnvironment(settings.environment, size, run.seed, run.phase, workers, images, task=run.task) as environments:
        loop = Loop(run, environments)
        try:
            yield loop
        finally:
            loop.close()


def spaces_of(environments: VectorEnvironment) -> Spaces:
    """What the agent has to know of the environments."""
    space = environments.action_space
    discrete = isinstance(space, Discrete)
    return Spaces(environments.flags_size, int(space.n) if discrete else space.shape[0], discrete, len(environments.task_names))


class Acting:
    """Where the lagging actor computes: on CUDA a stream of its own beside the updates, on the CPU nothing else than usual."""

    def __init__(self, device: str):
        self.stream = torch.cuda.Stream() if device == "cuda" else None
        self.copied = torch.cuda.Event() if device == "cuda" else None
        self.mark()

    def mark(self) -> None:
        """The actor's weights have been set by what is launched so far."""
        if self.copied is not None:
            self.copied.record()

    def __enter__(self) -> None:
        if self.stream is not None:
            self.stream.wait_event(self.copied)
        self.context = torch.cuda.stream(self.stream)
        self.context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)


class Loop:
    """State of a run between two turns, all of it in the checkpoint.

    Attributes:
        actor: the agent that acts. With `training.acting_lag: 1` it is a copy that is one turn of updates behind, so that on a
            graphics card the actions need not wait for the updates under way.
        part: is entered around each part of a turn with the part's name, for measurements.
    """

    part: Callable[[str], AbstractContextManager] = staticmethod(lambda name: nullcontext())

    def __init__(self, run: Run, environments: VectorEnvironment):
        training = run.settings.training
        self.run, self.training, self.environments = run, training, environments
        self.agent = self._agent()
        self.learns = isinstance(self.agent, DreamerAgent)
        self.lags = self.learns and training.acting_lag > 0
        self.actor = self._agent() if self.lags else self.agent
        self.acting = Acting(run.device) if self.lags else nullcontext()
        self.scorer = RewardScorer.load(run.reward_model, run.device) if run.reward_model else None
        self.random = RandomActions(environments.action_space, run.seed, "prefill")
        self.replay_rng = generator(run.seed, "replay")
        if self.learns:
            self.replay = self._replay()
            self.feed = Feed(self.replay, self.replay_rng, training.batch_size, training.batch_length, run.device)
        keep = run.folder / "episodes" if run.keep_episodes else None
        self.episodes = Episodes(environments.workers, environments.event_names, environments.state_names, keep)
        self.logger = Logger(run.state_folder, run.folder, training.log_every, run.steps, run.title, training.tensorboard)
        self.evaluator = Evaluator(run) if run.phase == "task" else None
        self.step = self.updates = self.saved_step = 0
        self.policy_state: Any = None

    def _agent(self) -> DreamerAgent | RandomAgent:
        run = self.run
        if run.method.algorithm == "random":
            return RandomAgent(self.environments.action_space, run.seed)
        agent = DreamerAgent(spaces_of(self.environments), run.settings, run.method, run.weights, run.phase, run.seed, run.device)
        if run.explored_agent is not None:
            names, explored_task = self.environments.task_names, run.settings.environment.tasks[0]
            task = None if run.task == explored_task else names.index(run.task)
            agent.start_from(checkpoint.load(run.explored_agent, run.device)["agent"], task)
        return agent

    def _replay(self) -> Replay:
        environments, training = self.environments, self.training
        space = environments.action_space
        spec = {
            "image": (environments.image_shape, np.dtype(np.uint8)),
            "flags": ((environments.flags_size,), np.dtype(np.float32)),
            "action": (space.shape, np.dtype(space.dtype)),
            **{name: ((), np.dtype(np.float32)) for name in ("reward", "semantic")},
            "task_rewards": ((len(environments.task_names),), np.dtype(np.float32)),
            **{name: ((), np.dtype(bool)) for name in ("is_first", "is_terminal")},
        }
        capacity = min(training.replay_capacity, 2 * self.run.steps)
        return Replay(self.run.state_folder / "replay", spec, capacity, environments.workers, slack=2 * training.checkpoint_every)

    def run_to_the_end(self) -> None:
        """Start or resume, and go on until the last step; then write the outputs and drop the state."""
        self.begin()
        while self.step < self.run.steps:
            if self.step - self.saved_step >= self.training.checkpoint_every:
                self.save()
            self._evaluate()
            self.turn()
        self._evaluate()
        write_outputs(
            self.run, self.step, self.agent.checkpoint(), self.episodes, self.logger, self._policy, self.agent.initial_policy_state
        )

    def begin(self) -> None:
        """Begin the first episodes, or go back to the checkpoint if there is one."""
        path = self.run.state_folder / STATE
        if path.exists():
            self._restore(checkpoint.load(path, self.run.device, arrays=True))  # the state of acting stays where it is loaded
        else:
            self._observe(self.environments.reset())

    def turn(self) -> None:
        """One step of every worker, and the updates that are due after it."""
        with self.part("act"):
            action = self._act()
        if self.learns:
            with self.part("store"):
                step = {**{name: self.rows[name] for name in STORED}, "action": action, "semantic": np.nan_to_num(self.semantic)}
                self.replay.add(step, discard=self.rows["is_unstable"])
        self.episodes.act(action)
        with self.part("environments"):
            self.environments.step_async(action)
        if self.learns:
            self._learn(self.step + self._steps_of(self.rows["is_last"]))
        with self.part("environments"):
            rows = self.environments.step_wait()
        self._observe(rows)
        with self.part("log"):
            totals = {**self.episodes.totals, "episodes": float(len(self.episodes.finished))}
            self.logger.advance(self.step, self.updates, totals)

    def _act(self) -> np.ndarray:
        rows = self.rows
        if self.step < self.training.prefill and self.learns:
            return self.random.sample(self.environments.workers)
        with self.acting:
            if self.policy_state is None:  # the agent takes over in the middle of an episode it has not seen
                self.policy_state = self.actor.initial_policy_state(self.environments.workers)
                rows = {**rows, "is_first": np.ones_like(rows["is_first"])}
            action, self.policy_state = self.actor.policy(rows, self.policy_state)
        return action

    def _observe(self, rows: dict[str, np.ndarray]) -> None:
        self.rows = rows
        with self.part("score"):
            self.semantic = self._score(rows)
        with self.part("episodes"):
            self.step += self._steps_of(rows["is_first"])
            self.episodes.observe(rows, self.semantic, self.step)

    @staticmethod
    def _steps_of(new: np.ndarray) -> int:
        """Agent steps of a turn: the workers that begin an episode, those that ended one before, take none."""
        return int((~new).sum())

    def _score(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        """Semantic rewards float32 [workers], NaN without a reward model."""
        if self.scorer is None:
            return np.full(len(rows["reward"]), np.nan, np.float32)
        return self.scorer(rows["annotator_image"], rows["flags"])

    def _learn(self, step: int) -> None:
        """Make the updates that are due after `step` agent steps."""
        training = self.training
        due = int((step - training.prefill) * training.train_ratio / (training.batch_size * training.batch_length))
        if self.lags:
            with self.part("act"):
                self._renew_actor()
        while self.updates < due:
            with self.part("sample"):
                batch = self.feed.sample()
            with self.part("update"):
                metrics = self.agent.update(batch)
            with self.part("log"):
                self.logger.add(metrics)
            self.updates += 1

    @torch.no_grad()
    def _renew_actor(self) -> None:
        torch._foreach_copy_(list(self.actor.state_dict().values()), list(self.agent.state_dict().values()))
        self.acting.mark()

    def _evaluate(self) -> None:
        if self.evaluator is not None:
            self.evaluator.if_due(self.step, self._policy, self.agent.initial_policy_state, self.logger)

    def _policy(self, randomness: torch.Generator) -> Policy:
        return lambda rows, state: self.agent.policy(rows, state, generator=randomness)

    def save(self) -> None:
        """One consistent state; what it refers to on disk is written before it, what it replaces is deleted after it."""
        folder = self.run.state_folder
        state = {
            "identity": self.run.identity(),
            "step": self.step,
            "updates": self.updates,
            "evaluations": self.evaluator.number if self.evaluator else 0,
            "agent": self.agent.checkpoint(),
            "actor": self.actor.checkpoint() if self.lags else None,
            "policy_state": self.policy_state,
            "random": self.random.checkpoint(),
            "replay_rng": self.replay_rng.bit_generator.state,
            "replay": self.replay.checkpoint() if self.learns else None,
            "episodes": self.episodes.checkpoint(folder, self.step),
            "logger": self.logger.checkpoint(),
            "image": self.rows["image"],
        }
        checkpoint.save(folder / STATE, state)
        forget_old(folder, self.step)
        self.saved_step = self.step

    def _restore(self, state: dict[str, Any]) -> None:
        folder = self.run.state_folder
        checkpoint.check_identity(folder / STATE, state["identity"], self.run.identity())
        self.step, self.updates, self.saved_step = state["step"], state["updates"], state["step"]
        if self.evaluator is not None:
            self.evaluator.number = state["evaluations"]
        self.agent.restore(state["agent"])
        if self.lags:
            self.actor.restore(state["actor"])
            self.acting.mark()
        self.policy_state = state["policy_state"]
        self.random.restore(state["random"])
        self.replay_rng.bit_generator.state = state["replay_rng"]
        if self.learns:
            self.replay.restore(state["replay"])
        self.episodes.restore(state["episodes"], folder, self.step)
        self.logger.restore(state["logger"], self.step, self.updates)
        self.rows = self.environments.restore(self.episodes.numbers, state["episodes"]["actions"])
        if not np.array_equal(self.rows["image"], state["image"]):
            raise SenseiError(
                f"{self.run.title}: replaying the actions since the last reset does not lead back to the checkpoint's picture",
                hint="the environment is not determined by its seed; start the run anew without its checkpoint folder",
            )
        self.semantic = self._score(self.rows)
        log.info("%s resumes at step %d", self.run.title, self.step)

    def close(self) -> None:
        """End the evaluation workers and the progress line."""
        self.logger.close()
        if self.evaluator is not None:
            self.evaluator.close()
