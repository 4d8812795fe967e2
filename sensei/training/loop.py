"""The loop that acts, stores and learns, for every algorithm; start and resume are one path.

One turn: the current observation and the action chosen for it enter the replay, the environments begin to step, the updates that
the train ratio asks for are made meanwhile (they need nothing of the coming observation), and the semantic reward of what the
environments return is scored for all workers at once. An agent on policy learns before it acts again, and follows what its actions
led to; its environments begin the next episode within the step that ended one.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from sensei.agents.contract import Agent
from sensei.core import stopping
from sensei.core.errors import SenseiError
from sensei.core.plugins import find
from sensei.envs.vector.environment import VectorEnvironment
from sensei.kernels import choice
from sensei.replay.step import spaces_of
from sensei.reward.scorer import RewardScorer
from sensei.study.models.exploration import AGENTS
from sensei.training import checkpoint
from sensei.training.episodes import Episodes, forget_old
from sensei.training.evaluate import Evaluator
from sensei.training.experience import Experience
from sensei.training.logger import Logger
from sensei.training.outputs import resume_or_start_anew, write_outputs
from sensei.training.run import Run
from sensei.training.tracking import Tracking

log = logging.getLogger("sensei.training")


@contextmanager
def opened(run: Run) -> Iterator["Loop"]:
    """The loop of a run with its environments, not begun yet; their processes end with the block."""
    settings = run.settings
    state = resume_or_start_anew(run)
    images = True if run.reward_model else None if run.keep_episodes else False
    size, workers = settings.world_model.image_size, settings.training.workers
    with VectorEnvironment(settings.environment, size, run.seed, run.stream, workers, images, task=run.task) as environments:
        loop = Loop(run, environments, state)
        try:
            yield loop
        finally:
            loop.close()


def make_agent(run: Run, environments: VectorEnvironment) -> Agent:
    """The agent of a run, begun from the explored one if there is one.

    Raises:
        SenseiError: the algorithm refuses the settings, or the explored agent does not fit.
    """
    kind = find(run.method.algorithm, *AGENTS)
    agent = kind(spaces_of(environments), run.settings, run.method, run.weights, run.phase, run.seed, run.device)
    if run.explored_agent is not None:
        names, explored_task = environments.task_names, run.settings.environment.tasks[0]
        task = None if run.task == explored_task else names.index(run.task)
        agent.start_from(checkpoint.load(run.explored_agent, run.device)["agent"], task)
    return agent


class Loop:
    """State of a run between two turns, all of it in the checkpoint.

    Args:
        state: what an earlier attempt has saved, whole; None to start.

    Attributes:
        part: is entered around each part of a turn with the part's name, for measurements.
    """

    part: Callable[[str], AbstractContextManager] = staticmethod(lambda name: nullcontext())

    def __init__(self, run: Run, environments: VectorEnvironment, state: dict[str, Any] | None = None):
        training = run.settings.training
        self.saved = state
        self.run, self.training, self.environments = run, training, environments
        self.agent = make_agent(run, environments)
        self.experience = Experience(run, environments) if self.agent.learns and not self.agent.on_policy else None
        self.scorer = RewardScorer.load(run.reward_model, run.device) if run.reward_model else None
        keep = run.files.episodes if run.keep_episodes else None
        self.episodes = Episodes(environments.workers, environments.event_names, environments.state_names, keep)
        tracking = Tracking(training.trackers, run.files, run.study, run.title, run.description)
        self.logger = Logger(run.files, training.log_every, run.steps, run.title, tracking)
        self.evaluator = Evaluator(run) if run.phase == "learn" else None
        self.step = self.updates = self.saved_step = 0
        self.policy_state: Any = None

    def run_to_the_end(self) -> None:
        """Start or resume, and go on until the last step; then write the outputs and drop the state.

        Raises:
            SystemExit: a signal to stop came; the state is that of the last turn before it.
        """
        self.begin()
        with stopping.held_back():
            while self.step < self.run.steps:
                if self.step - self.saved_step >= self.training.checkpoint_every:
                    self.save()
                self._evaluate()
                self._may_stop()
                self.turn()
            self._save_progress()
            self._evaluate()
        write_outputs(self.run, self.step, self.agent, spaces_of(self.environments), self.episodes, self.logger)

    def begin(self) -> None:
        """Begin the first episodes, or go back to the checkpoint if there is one."""
        if self.saved is not None:
            self._restore(self.saved)
            self.saved = None  # as large as the agent
        else:
            self._observe(self.environments.reset())

    def turn(self) -> None:
        """One step of every worker, and the updates that are due."""
        if self.agent.on_policy and self.agent.ready:
            self._update(None)
        with self.part("act"):
            action = self._act()
        if self.experience:
            with self.part("store"):
                self.experience.store(self.rows, action, self.semantic)
        self.episodes.act(action)
        with self.part("environments"):
            self.environments.step_async(action)
        if self.experience:
            self._learn(self.experience.updates_due(self.step + self._steps_of(self.rows["is_last"])))
        with self.part("environments"):
            rows = self.environments.step_wait()
        acted_on = self.rows
        self._observe(rows)
        if self.agent.on_policy:
            self._follow(acted_on)
        with self.part("log"):
            totals = {**self.episodes.totals, "episodes": float(len(self.episodes.finished))}
            self.logger.advance(self.step, self.updates, totals)

    def _act(self) -> np.ndarray:
        rows, workers = self.rows, self.environments.workers
        if self.experience and self.experience.begins(self.step):
            return self.experience.random.sample(workers)
        if self.policy_state is None:  # the agent takes over in the middle of an episode it has not seen
            self.policy_state = self.agent.initial_policy_state(workers)
            rows = {**rows, "is_first": np.ones_like(rows["is_first"])}
        action, self.policy_state = self.agent.policy(rows, self.policy_state)
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

    def _follow(self, acted_on: dict[str, np.ndarray]) -> None:
        """Begin the next episode where one has ended, and tell the agent what came of its actions."""
        ended, finished = self.rows, np.flatnonzero(self.rows["is_last"])
        if len(finished):
            self.rows = self.environments.reset_finished()
            self.episodes.observe(self.rows, self.semantic, self.step, finished)
        self.agent.follow(acted_on, self.policy_state, ended, self.rows)

    def _learn(self, due: int) -> None:
        """Make the updates that are due."""
        while self.updates < due:
            with self.part("sample"):
                batch = self.experience.sample()
            self._update(batch)

    def _update(self, batch: dict[str, np.ndarray] | None) -> None:
        with self.part("update"):
            metrics = self.agent.update(batch)
        with self.part("log"):
            self.logger.add(metrics)
        self.updates += self.agent.counts_for

    def _evaluate(self) -> None:
        if self.evaluator is not None:
            self.evaluator.if_due(self.step, self.agent, self.logger, self._may_stop)

    def _may_stop(self) -> None:
        """Leave, if a signal asks for it: between two turns or in the middle of an evaluation, which a resumed run begins anew."""
        if stopping.wanted():
            stopping.leave(self._save_progress)

    def _save_progress(self) -> None:
        if self.step > self.saved_step:
            self.save()

    def save(self) -> None:
        """One consistent state; what it refers to on disk is written before it, what it replaces is deleted after it."""
        files = self.run.files
        state = {
            "run": self.run.description(),
            "spaces": tuple(spaces_of(self.environments)),
            "kernels": choice.decision().as_json() if choice.taken() else None,
            "step": self.step,
            "updates": self.updates,
            "evaluations": self.evaluator.number if self.evaluator else 0,
            "agent": self.agent.checkpoint(),
            "policy_state": self.policy_state,
            "experience": self.experience.checkpoint() if self.experience else None,
            "episodes": self.episodes.checkpoint(files, self.step),
            "logger": self.logger.checkpoint(),
            "image": self.rows["image"],
        }
        state["parts"] = self.logger.parts() | self.episodes.parts(files, self.step)
        checkpoint.save(files.state, state)
        forget_old(files, self.step)
        self.saved_step = self.step

    def _restore(self, state: dict[str, Any]) -> None:
        files = self.run.files
        if state["kernels"] is not None:
            choice.use(state["kernels"])
        self.step, self.updates, self.saved_step = state["step"], state["updates"], state["step"]
        if self.evaluator is not None:
            self.evaluator.number = state["evaluations"]
        self.agent.restore(state["agent"])
        self.policy_state = state["policy_state"]
        if self.experience:
            self.experience.restore(state["experience"])
        self.episodes.restore(state["episodes"], files, self.step)
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
