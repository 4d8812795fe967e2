"""What a world model knows of events before they come: one prior step ahead, beside what happened, and over whole rollouts.

A model may draw and compress well and still not know where a key is taken: steps at which something happens are one of hundreds. So what
counts is the probability it gives an event at the step before, where it happens and where it does not, and how often it imagines one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from sensei.world_model.distributions import categorical_kl
from sensei.world_model.model import Batch, WorldModel
from sensei.world_model.rssm import Observed, State, one_hot

SAMPLES = 4  # of the next state, over which a probability is the mean
Reader = Callable[[torch.Tensor], torch.Tensor]  # features float [rows, deter + stoch * classes] -> probability or value [rows]


class Sign(NamedTuple):
    """Something that happens, and how it is read off a state.

    Attributes:
        by: what reads it: a head of the model, or a probe.
        happens: bool [batch, time], whether it has happened with a step.
        may: bool [batch, time], steps at which it can: not at the first one of an episode, nor where a flag is on already.
        reader: its probability (of a reward: its value) in states.
    """

    by: str
    happens: np.ndarray
    may: np.ndarray
    reader: Reader


def signs(model: WorldModel, batch: Batch, events: dict[str, tuple[np.ndarray, Reader]]) -> dict[str, Sign]:
    """What is looked for in a batch: each flag that turns on, a reward, the end of an episode, and events.

    Args:
        events: name -> whether it has happened with a step, bool [batch, time], and a probe that reads it.
    """
    later = ~batch.is_first.numpy()
    later[:, 0] = False
    on, width = batch.flags.numpy() > 0.5, model.size.deter
    was = np.concatenate([on[:, :1], on[:, :-1]], 1)
    found = {}
    for flag in range(model.flags):
        reader = partial(_flag, model, flag)
        found[f"flag {flag} turns on"] = Sign("flags", on[..., flag] & ~was[..., flag], later & ~was[..., flag], reader)
    reward, terminal = batch.reward.numpy() != 0, batch.is_terminal.numpy()
    found["reward"] = Sign("reward", reward, later, lambda rows: model.predict_reward("extrinsic", rows[:, :width], rows[:, width:]))
    ends = Sign("continue", terminal, later, lambda rows: 1 - model.predict_continue(rows[:, :width], rows[:, width:]))
    return (
        found | {"end of the episode": ends} | {name: Sign("probe", happened, later, reader) for name, (happened, reader) in events.items()}
    )


def _flag(model: WorldModel, flag: int, rows: torch.Tensor) -> torch.Tensor:
    return model.predict_flags(rows, rows[:, :0])[:, flag]


def features_of(model: WorldModel, deter: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """States as heads of features read them: float [..., deter], int64 [..., stoch] -> float [..., deter + stoch * classes]."""
    return torch.cat([deter, one_hot(index, model.size.classes)], -1)


def probe(features: torch.Tensor, happened: np.ndarray, steps: int = 60) -> Reader:
    """A logistic regression that reads off states whether something has happened; the model itself is left alone.

    Args:
        features: float [rows, ...] of posterior states.
        happened: bool [rows], for at least one of them true.
    """
    target = torch.from_numpy(happened).float()
    mean, scale = features.mean(0), features.std(0) + 0.1
    line = nn.Linear(features.shape[1], 1)
    nn.init.zeros_(line.weight)
    nn.init.constant_(line.bias, float(np.log(happened.mean() / max(1 - happened.mean(), 1e-6))))
    inputs = (features - mean) / scale
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        wrong = nn.functional.binary_cross_entropy_with_logits(line(inputs)[:, 0], target) + 1e-4 * line.weight.square().sum()
        wrong.backward()
        return wrong

    with torch.enable_grad():
        optimiser.step(loss)
    line.requires_grad_(False)
    return lambda rows: torch.sigmoid(line((rows - mean) / scale)[:, 0])


@torch.no_grad()
def ahead(
    model: WorldModel, state: State, action: torch.Tensor, readers: dict[str, Reader], generator: torch.Generator
) -> dict[str, np.ndarray]:
    """What each reader says of the state one prior step after each of these and an action: float [rows, actions] -> [rows]."""
    sums = dict.fromkeys(readers, 0.0)
    for _ in range(SAMPLES):
        uniform = torch.rand((len(action), model.size.stoch), generator=generator)
        deter, index, _ = model.rssm.imagine_step(*state, action, uniform)
        features = features_of(model, deter, index)
        sums = {name: total + reader(features) for (name, reader), total in zip(readers.items(), sums.values(), strict=True)}
    return {name: (total / SAMPLES).numpy() for name, total in sums.items()}


def other_actions(action: torch.Tensor, discrete: bool) -> list[torch.Tensor]:
    """Actions [rows, actions] with none as it was: if discrete every other one, else four times those of other rows."""
    turns = range(1, action.shape[-1]) if discrete else range(1, 5)
    return [action.roll(turn, -1 if discrete else 0) for turn in turns]


class Rollouts(NamedTuple):
    """Imagination from states and the actions that were taken there, beside what came of them.

    Attributes:
        features: float [horizon, rows, ...] of the imagined states.
        rows, times: int64 [rows], where in the batch each begins.
        within: bool [horizon, rows], steps before the real episode had ended; what is imagined after them is not judged.
    """

    features: torch.Tensor
    rows: np.ndarray
    times: np.ndarray
    within: np.ndarray

    def real(self, happened: np.ndarray) -> np.ndarray:
        """Of what came of a batch [batch, time, ...] the part that belongs to the rollouts: [horizon, rows, ...]."""
        return np.stack([happened[self.rows, self.times + step] for step in range(1, len(self.features) + 1)])


@torch.no_grad()
def rollouts(model: WorldModel, batch: Batch, observed: Observed, horizon: int, generator: torch.Generator) -> Rollouts:
    """Imagine `horizon` steps from every `horizon`-th state of a batch, but not from its first ones nor across its border.

    Raises:
        ValueError: its rows are too short.
    """
    first = batch.is_first.numpy()
    starts = np.arange(horizon // 2, first.shape[1] - horizon, horizon)
    if not len(starts):
        raise ValueError(f"rows of {first.shape[1]} steps are too short for rollouts of {horizon}")
    rows, times = np.array(np.meshgrid(np.arange(len(first)), starts, indexing="ij")).reshape(2, -1)
    deter, index, states = observed.deter[rows, times], observed.index[rows, times], []
    for step in range(horizon):
        uniform = torch.rand((len(rows), model.size.stoch), generator=generator)
        deter, index, _ = model.rssm.imagine_step(deter, index, batch.action[rows, times + step], uniform)
        states.append(features_of(model, deter, index))
    begun = np.stack([first[rows, times + step] for step in range(1, horizon + 1)])
    return Rollouts(torch.stack(states), rows, times, ~np.logical_or.accumulate(begun))


def told_apart(probability: np.ndarray, happened: np.ndarray) -> dict[str, Any]:
    """How well probabilities [steps] tell where something happens, bool [steps]: means there and elsewhere, the median there, and the
    area under the curve, the chance that a step where it happens is given more than one where it does not."""
    there, elsewhere = probability[happened], probability[~happened]
    if not len(there) or not len(elsewhere):
        return {"number": len(there), "there": _mean(there), "elsewhere": _mean(elsewhere)}
    ranks = rankdata(np.concatenate([there, elsewhere]))[: len(there)].sum() - len(there) * (len(there) + 1) / 2
    means = {"there": _mean(there), "median": float(np.median(there)), "elsewhere": _mean(elsewhere)}
    return {"number": len(there), **means, "area": float(ranks / (len(there) * len(elsewhere)))}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


@torch.no_grad()
def foresight(
    model: WorldModel,
    batch: Batch,
    discrete: bool,
    horizon: int,
    generator: torch.Generator,
    events: dict[str, tuple[np.ndarray, Reader]] | None = None,
) -> dict[str, Any]:
    """Judge a model on steps that it has not learned from, played at random.

    Args:
        batch: [batch, time, ...] on the CPU, as is the model.
        events: name -> whether it happened, bool [batch, time], and a probe that reads it; beside what the heads foretell.

    Returns:
        "signs": of each flag, reward, end and event, who reads it (`by`), what `told_apart` says of its probability one prior step ahead,
        the same mean with every other action (`other_action`), its mean in the states after it has been seen (`seen`), and how much of it
        a rollout of `horizon` steps imagines and how much there was (`imagined`, `real`): of a reward the sum, else the chance that it
        happens. "pictures": mean squared error, from 0 to 1 a channel, of the pictures of rollouts by step, and of repeating the last
        picture seen. "reconstruction", "kl": the same error of the posterior's pictures, and the KL of posterior and prior in nats.
    """
    shape = batch.is_first.shape
    observed = model.observe(batch, torch.rand((*shape, model.size.stoch), generator=generator))
    known = signs(model, batch, events or {})
    readers = {name: sign.reader for name, sign in known.items()}
    before = State(observed.deter[:, :-1].flatten(0, 1), observed.index[:, :-1].flatten(0, 1))
    action, posterior = batch.action[:, :-1].flatten(0, 1), features_of(model, observed.deter, observed.index)
    expected, dreamt = ahead(model, before, action, readers, generator), rollouts(model, batch, observed, horizon, generator)
    judged = {}
    for name, sign in known.items():
        may, happens = sign.may[:, 1:].ravel(), (sign.happens & sign.may)[:, 1:].ravel()
        found, there = told_apart(expected[name][may], happens[may]), torch.from_numpy(np.flatnonzero(happens))
        if len(there):
            acted = other_actions(action[there], discrete)
            others = [
                ahead(model, State(*(part[there] for part in before)), other, {name: sign.reader}, generator)[name] for other in acted
            ]
            found |= {
                "other_action": _mean(np.concatenate(others)),
                "seen": _mean(sign.reader(posterior[:, 1:].flatten(0, 1)[there]).numpy()),
            }
        judged[name] = {"by": sign.by, **found, **_over_horizon(sign, dreamt, batch)}
    return {"signs": judged, **_pictures(model, batch, observed, posterior.flatten(0, 1), dreamt)}


def _over_horizon(sign: Sign, dreamt: Rollouts, batch: Batch) -> dict[str, float]:
    """Imagined and real amounts of something over rollouts that begin where it can still come."""
    start = sign.may[dreamt.rows, dreamt.times + 1]
    if not start.any():
        return {}
    within = dreamt.within[:, start]
    imagined = sign.reader(dreamt.features[:, torch.from_numpy(start)].flatten(0, 1)).view(within.shape).numpy() * within
    if sign.by == "reward":
        return {"imagined": _mean(imagined.sum(0)), "real": _mean((dreamt.real(batch.reward.numpy())[:, start] * within).sum(0))}
    # A flag stays on, so the largest of its probabilities counts; other things happen anew at each step.
    chance = imagined.max(0) if sign.by == "flags" else 1 - (1 - imagined).prod(0)
    return {"imagined": _mean(chance), "real": _mean((dreamt.real(sign.happens)[:, start] & within).any(0))}


def _pictures(model: WorldModel, batch: Batch, observed: Observed, posterior: torch.Tensor, dreamt: Rollouts) -> dict[str, Any]:
    truth = batch.image.numpy()
    last, curves = truth[dreamt.rows, dreamt.times], {"imagined": [], "no change": []}
    for features, now, within in zip(dreamt.features, dreamt.real(truth), dreamt.within, strict=True):
        curves["imagined"].append(_wrong(drawn(model, features), now, within))
        curves["no change"].append(_wrong(last, now, within))
    everywhere = np.ones(len(posterior), bool)
    return {
        "pictures": curves,
        "reconstruction": _wrong(drawn(model, posterior), truth.reshape(-1, *truth.shape[2:]), everywhere),
        "kl": float(categorical_kl(observed.posterior, observed.prior).mean()),
    }


def drawn(model: WorldModel, features: torch.Tensor) -> np.ndarray:
    """Pictures of states, uint8 [rows, H, W, 3]."""
    with torch.no_grad():
        return ((model.image_decoder(features) + 0.5).clamp(0, 1) * 255).round().byte().numpy()


def _wrong(pictures: np.ndarray, truth: np.ndarray, rows: np.ndarray) -> float | None:
    """Mean squared error, from 0 to 1 a channel, of the pictures of some rows."""
    return _mean(np.square(pictures[rows].astype(np.float32) - truth[rows]) / 255**2)
