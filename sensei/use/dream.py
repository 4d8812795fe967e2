"""Imagination beside what happened: a world model sees some steps, then only actions."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from sensei.agents.actor_critic import action_tensor
from sensei.analysis import style
from sensei.analysis.statistics import bootstrap_band
from sensei.core.errors import SenseiError
from sensei.core.rng import generator, torch_generator
from sensei.use.agents import LoadedAgent
from sensei.use.play import Step
from sensei.world_model.rssm import one_hot

BORDER = 1  # pixels between the pictures of a frame


class Dream(NamedTuple):
    """Windows of play and what the model made of them.

    Attributes:
        seen: steps at the beginning of each window in which the model was shown the observation.
        actual, dreamt: uint8 [windows, time, H, W, 3].
        held: what it looks like to foresee no change: the last picture that was shown, in place of the later ones.
    """

    seen: int
    actual: np.ndarray
    dreamt: np.ndarray
    held: np.ndarray


@torch.no_grad()
def dream(agent: LoadedAgent, steps: Iterable[Step], seen: int = 5, horizon: int = 15, seed: int = 0) -> Dream:
    """Cut what was played into windows of `seen` + `horizon` steps and imagine the end of each from its beginning and the actions taken.

    Raises:
        SenseiError: the agent has no world model, or no episode is as long as a window.
    """
    model = getattr(agent.agent, "world_model", None)
    if model is None:
        raise SenseiError(f"the agent of {agent.source} has no world model, and does not dream")
    windows = _windows(steps, seen + horizon)
    if not windows:
        raise SenseiError(f"no episode has {seen + horizon} steps", hint="ask for a shorter horizon or for more episodes")
    image = np.stack([[step.observation["image"] for step in window] for window in windows])
    flags = np.stack([[step.observation["flags"] for step in window] for window in windows])
    taken = torch.from_numpy(np.stack([[step.action for step in window[:-1]] for window in windows]))
    action = action_tensor(taken, agent.spaces.actions, agent.spaces.discrete)
    device = next(model.parameters()).device
    randomness = torch_generator(seed, "dream", device=device)

    def uniform() -> torch.Tensor:
        return torch.rand((len(windows), model.size.stoch), generator=randomness, device=device)

    state = agent.agent.initial_policy_state(len(windows)).model
    dreamt = []
    for time in range(seen + horizon):
        before = (action[:, time - 1] if time else torch.zeros_like(action[:, 0])).to(device)
        if time < seen:
            shown = [torch.from_numpy(array[:, time]).to(device) for array in (image, flags)]
            first = torch.full((len(windows),), time == 0, device=device)
            state = model.observe_step(state, before, *shown, is_first=first, uniform=uniform())
        else:
            deter, index, _ = model.rssm.imagine_step(state.deter, state.index, before, uniform())
            state = type(state)(deter, index)
        features = torch.cat([state.deter, one_hot(state.index, model.size.classes)], -1)
        dreamt.append(((model.image_decoder(features) + 0.5).clamp(0, 1) * 255).round().byte().cpu().numpy())
    held = np.repeat(image[:, seen - 1 : seen], horizon, 1)
    return Dream(seen, image, np.stack(dreamt, 1), np.concatenate([image[:, :seen], held], 1))


def _windows(steps: Iterable[Step], length: int) -> list[list[Step]]:
    """Windows of one episode each, end to end; the rest of an episode is left."""
    windows, window = [], []
    for step in steps:
        window = [step] if step.first else [*window, step]
        if len(window) == length:
            windows.append(window)
            window = []
    return windows


def frames(dreamt: Dream) -> np.ndarray:
    """A video, uint8 [time, H, W, 3]: what happened above what was imagined above the difference, all windows one after the other; while
    the model is shown the observations the imagined row has a bright border."""
    difference = np.abs(dreamt.actual.astype(int) - dreamt.dreamt).astype(np.uint8)
    rows = []
    for name, pictures in (("actual", dreamt.actual), ("dreamt", dreamt.dreamt), ("difference", difference)):
        framed = np.pad(pictures, ((0, 0), (0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0)))
        if name == "dreamt":
            shown = framed[:, : dreamt.seen]
            shown[:, :, [0, -1]], shown[:, :, :, [0, -1]] = 255, 255
        rows.append(framed)
    return np.concatenate(rows, 2).reshape(-1, *np.concatenate(rows, 2).shape[2:])


def errors(dreamt: Dream) -> pd.DataFrame:
    """Mean squared error of the pictures (from 0 to 1 a channel) by step beyond the last observation shown, with 95 % bootstrap
    intervals over windows; columns horizon, pictures (imagined, or "no change"), value, low, high, windows."""
    rows = []
    for name, pictures in (("imagined", dreamt.dreamt), ("no change", dreamt.held)):
        wrong = ((pictures.astype(float) - dreamt.actual) / 255) ** 2
        curves = wrong.mean((2, 3, 4))[:, dreamt.seen :]
        band = bootstrap_band(curves, generator(0, "dream"))
        rows += [(at, name, value, *ends, len(curves)) for at, (value, ends) in enumerate(zip(curves.mean(0), band.T, strict=True), 1)]
    return pd.DataFrame(rows, columns=["horizon", "pictures", "value", "low", "high", "windows"])


def draw_errors(table: pd.DataFrame, png: Path) -> None:
    """Draw `errors` as `png`, with the vector and the numbers beside it."""
    with style.styled():
        figure = style.figure(3.4, 2.2)
        axes = figure.subplots()
        for name, colour in (("imagined", style.colour("sensei")), ("no change", style.FAINT)):
            curve = table[table.pictures == name]
            axes.plot(curve.horizon, curve.value, color=colour, label=name)
            axes.fill_between(curve.horizon, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
        axes.set(xlabel="imagined steps", ylabel="squared error of the picture", ylim=(0, None))
        axes.legend()
        caption = (
            f"Error of imagined pictures by horizon: mean squared error over {table.windows.iloc[0]} windows of play, with 95 % bootstrap "
            'intervals over windows; "no change" repeats the last picture that the model was shown.'
        )
        style.save(style.Drawing(figure, table, caption), png.with_suffix(".pdf"), png, png.with_suffix(".csv"))
