"""Evaluation of a policy on episodes of its own, and videos of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import torch

from sensei.agents.contract import Agent
from sensei.core.files import atomic
from sensei.core.rng import torch_generator
from sensei.envs.vector.environment import VectorEnvironment
from sensei.training.logger import Logger
from sensei.training.run import Run

VIDEO_SIDE, VIDEO_RATE = 320, 15


class Evaluator:
    """Plays evaluation episodes in worker processes that are kept between evaluations.

    Evaluation number k always plays the same episodes of a seed, whoever plays them, and none of them is a training episode.
    """

    def __init__(self, run: Run):
        training = run.settings.training
        self.run, self.every, self.number = run, training.evaluate_every, 0
        self.episodes = training.evaluate_episodes
        self.workers = min(self.episodes, training.workers)
        self.rounds = -(-self.episodes // self.workers)
        self.environments = VectorEnvironment(
            run.settings.environment,
            run.settings.world_model.image_size,
            run.seed,
            "evaluation",
            self.workers,
            task=run.task,
            evaluation=True,
        )

    def if_due(self, step: int, agent: Agent, logger: Logger, between: Callable[[], None]) -> None:
        """Evaluate and log at step 0, when `step` has reached the next multiple of `evaluate_every`, and at the end of the run.

        The line carries that multiple and not `step`, which workers that count together overshoot by a few: the points of all
        seeds and methods lie at the same steps. `between` two steps of an episode the caller may raise: nothing is logged before the end.
        """
        last = step >= self.run.steps
        if step < self.number * self.every and not last:
            return
        randomness = torch_generator(self.run.seed, "evaluation", self.number, device=self.run.device)
        metrics = self(self.number, agent, randomness, between)
        logger.write(self.run.steps if last else self.number * self.every, metrics)
        self.number = step // self.every + 1

    def __call__(self, number: int, agent: Agent, randomness: torch.Generator, between: Callable[[], None]) -> dict[str, float]:
        """Play the episodes of evaluation `number`; `evaluation/score` is their mean return."""
        scores: list[float] = []
        for episode in range(number * self.rounds, (number + 1) * self.rounds):
            scores += self._round(episode, agent, randomness, between)
        scores = scores[: self.episodes]
        return {"evaluation/score": float(np.mean(scores)), "evaluation/episodes": float(len(scores))}

    def _round(self, episode: int, agent: Agent, randomness: torch.Generator, between: Callable[[], None]) -> list[float]:
        state: Any = agent.initial_policy_state(self.workers)
        no_actions = np.zeros((0, *self.environments.action_space.shape), self.environments.action_space.dtype)
        rows = self.environments.restore([episode] * self.workers, [no_actions] * self.workers)
        returns, running = np.zeros(self.workers), np.ones(self.workers, bool)
        while running.any():
            between()
            action, state = agent.policy(rows, state, randomness)
            rows = self.environments.step(action)
            returns += np.where(running, rows["reward"], 0)
            running &= ~rows["is_last"]
        return returns.tolist()

    def close(self) -> None:
        """End the worker processes."""
        self.environments.close()


def record_video(run: Run, agent: Agent, randomness: torch.Generator) -> None:
    """Write one episode of an agent, seen through the annotator's camera, as MP4."""
    settings = run.settings
    with VectorEnvironment(
        settings.environment, settings.world_model.image_size, run.seed, "video", 1, annotator_images=True, task=run.task, evaluation=True
    ) as environments:
        rows, state = environments.reset(), agent.initial_policy_state(1)
        frames = [rows["annotator_image"][0]]
        while not rows["is_last"][0]:
            action, state = agent.policy(rows, state, randomness)
            rows = environments.step(action)
            frames.append(rows["annotator_image"][0])
    with atomic(run.files.video) as temporary:
        write_video(temporary, np.stack(frames))


def write_video(path: Path, frames: np.ndarray) -> None:
    """Write frames uint8 [time, H, W, 3] as H.264, enlarged by whole factors to about 320 pixels."""
    factor = max(1, VIDEO_SIDE // frames.shape[1])
    large = frames.repeat(factor, 1).repeat(factor, 2)
    height, width = (side - side % 2 for side in large.shape[1:3])
    imageio.mimwrite(path, large[:, :height, :width], format="FFMPEG", fps=VIDEO_RATE, codec="libx264", macro_block_size=1)
