"""Distillation: preference labels become a reward model (Bradley-Terry; docs/method.md, section 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sensei.core.devices import device_of
from sensei.core.errors import SenseiError
from sensei.core.files import atomic, write_json
from sensei.core.progress import progress
from sensei.core.rng import generator, torch_generator
from sensei.preferences.agreement import CLEAR, proportion
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, soft_label
from sensei.preferences.tables import read_labels, read_pairs
from sensei.reward.model import RewardModel, save_model
from sensei.study.models.reward import RewardModelConfig

CHUNK = 1024  # frames at once where no gradients are needed
SCALE = (5, 95)  # percentiles of the reward of held-out frames, between which most of what it says lies


@dataclass(frozen=True)
class PairSet:
    """Labelled pairs as tensors: sides int64 [P, 2] are rows of image uint8 [F, h, w, 3] and flags float32 [F, n]; target float32 [P]."""

    image: Tensor
    flags: Tensor
    sides: Tensor
    target: Tensor


def bradley_terry_loss(first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    """Mean of -((1 - y) log p_1 + y log p_2) with p = softmax(R(o_1), R(o_2)), the paper's loss of a pair.

    Args:
        first: rewards of the first sides, float32 [P].
        second: rewards of the second sides.
        target: y, the soft label: 0 first, 1 second, 0.5 tie.
    """
    return binary_cross_entropy_with_logits(second - first, target)  # log p_2 is the log-sigmoid of the difference


def distil(
    labelled: Sequence[tuple[str | Path, str | Path, str | Path]],
    config: RewardModelConfig,
    seed: int,
    model_path: str | Path,
    curves_path: str | Path,
    card_path: str | Path,
    device: str = "cpu",
    share: float = 1.0,
) -> dict[str, object]:
    """Train on a random part of the clear and tied pairs; keep the weights of the epoch with the lowest loss on the rest.

    Args:
        labelled: of every generation, the table of `merge_shards`, the table of `make_pairs`, and its frames.
        config: architecture and optimiser.
        seed: of split, initial weights and order of pairs; on a CPU equal seeds give equal files.
        model_path: safetensors, weights and (as metadata) configuration.
        curves_path: csv, one row an epoch (from 1): epoch, train_loss, train_accuracy (running, while learning), validation_loss,
            validation_accuracy. Accuracies are over clear pairs: which side gets the higher reward.
        card_path: json, the returned card.
        device: where to train; `auto`: on a GPU if there is one.
        share: of the training pairs to learn from; the held-out pairs are the same for every share.

    Returns:
        chosen_epoch and criterion; validation_loss; held_out: accuracy against the labels, and oracle: against the oracle's labels (None
        if there are none), both on the held-out pairs, with 95 % intervals; pairs: used for training and validation, and dropped; config
        (clip among it); seed; share.

    Raises:
        SenseiError: too few labelled pairs, or a damaged file.
    """
    device = device_of(device)
    labels, sides, image, flags = _joined([_read(*paths) for paths in labelled])
    usable, held_out = split(labels["label"], config.validation_share, generator(seed, "distil", "split"))
    parts = usable[: max(round(share * len(usable)), 1)], held_out
    image, flags = (torch.from_numpy(array).to(device) for array in (image, flags))
    training, validation = (
        PairSet(image, flags, *(torch.from_numpy(array).to(device) for array in (sides[part], soft_label(_codes(labels, "label", part)))))
        for part in parts
    )
    model = RewardModel(image.shape[1:], flags.shape[1], config, torch_generator(seed, "distil", "weights")).to(device)
    curves = _fit(model, training, validation, config, generator(seed, "distil", "order"))
    if config.centred:
        _centre(model, training)
    card = _card(curves, _rewards(model, validation), labels, held_out)
    card["pairs"] = {"training": len(parts[0]), "validation": len(held_out), "dropped": len(labels) - len(usable) - len(held_out)}
    card |= {"share": share, "config": config.model_dump(mode="json"), "seed": seed}
    with atomic(curves_path) as temporary:
        curves.to_csv(temporary, index=False)
    write_json(card_path, card)
    save_model(model_path, model)
    return card


Read = tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]  # labels [P], sides int64 [P, 2], images [F, h, w, 3], flags [F, n]


def _read(labels_path: str | Path, pairs_path: str | Path, frames_path: str | Path) -> Read:
    labels, frames = read_labels(labels_path), Frames(frames_path)
    sides = read_pairs(pairs_path)[["first_frame", "second_frame"]].to_numpy()
    if len(sides) != len(labels):
        found = f"{len(labels)} and {len(sides)} pairs"
        raise SenseiError(f"{labels_path} and {pairs_path} do not belong together", found=found, hint="annotate again")
    return labels, sides, frames.image, frames.flags


def _joined(parts: list[Read]) -> Read:
    """One set of labelled pairs out of several; a single one is not copied, for its pictures may fill half the memory."""
    if len(parts) == 1:
        return parts[0]
    labels, sides, images, flags = zip(*parts, strict=True)
    before = np.cumsum([0, *map(len, images[:-1])])
    sides = [each + offset for each, offset in zip(sides, before, strict=True)]
    return pd.concat(labels, ignore_index=True), *(np.concatenate(arrays) for arrays in (sides, images, flags))


def _right(first: Tensor, second: Tensor, codes: np.ndarray) -> np.ndarray:
    """Whether the preferred side has the higher reward, bool, for those of the pairs [P] whose label codes are clear."""
    difference = (first - second).cpu().numpy()
    return np.where(codes == Label.FIRST, difference > 0, difference < 0)[np.isin(codes, CLEAR)]


def _codes(labels: pd.DataFrame, column: str, pairs: np.ndarray) -> np.ndarray:
    """Label codes int64 of some pairs."""
    return labels[column].iloc[pairs].to_numpy(np.int64)


def _card(curves: pd.DataFrame, rewards: tuple[Tensor, Tensor], labels: pd.DataFrame, validation: np.ndarray) -> dict[str, object]:
    """What there is to say about a model with these `rewards` of the validation pairs."""
    chosen = curves.loc[curves["validation_loss"].idxmin()]
    known = labels["oracle"].notna().all()
    low, high = np.percentile(torch.cat(rewards).cpu().numpy(), SCALE)
    return {
        "chosen_epoch": int(chosen["epoch"]),
        "criterion": "lowest validation loss",
        "validation_loss": float(chosen["validation_loss"]),
        "held_out": proportion(_right(*rewards, _codes(labels, "label", validation))),
        "scale": {"low": float(low), "high": float(high)},
        "oracle": proportion(_right(*rewards, _codes(labels, "oracle", validation))) if known else None,
    }


def split(labels: pd.Series, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random training and validation pairs, indices into `labels` [N]; unknown and missing labels are left out.

    Raises:
        SenseiError: fewer than two pairs are left.
    """
    usable = np.flatnonzero(labels.notna() & (labels != Label.UNKNOWN))
    if len(usable) < 2:
        raise SenseiError(
            "there is nothing to distil",
            found=f"{len(usable)} labelled pairs of {len(labels)}, all others are unknown or failed",
            expected="2 or more",
            hint="raise `pairs.number`, or collect longer: `training.explore_steps`",
        )
    held_out = min(max(round(share * len(usable)), 1), len(usable) - 1)
    shuffled = rng.permutation(usable)
    return shuffled[held_out:], shuffled[:held_out]


def _fit(model: RewardModel, training: PairSet, validation: PairSet, config: RewardModelConfig, rng: np.random.Generator) -> pd.DataFrame:
    """Train `model`, leave it with the weights of its best epoch, return the curves."""
    optimiser = torch.optim.Adam(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)
    lowest, weights, curves = np.inf, None, []
    with progress(config.epochs, "distil", "epochs") as bar:
        for epoch in range(1, config.epochs + 1):
            learned = _train_epoch(model, optimiser, training, config.batch_size, rng)
            checked = _measure(*_rewards(model, validation), validation.target)
            if checked[0] < lowest:
                lowest, weights = checked[0], {name: value.clone() for name, value in model.state_dict().items()}
            curves.append((epoch, *learned, *checked))
            bar.set_postfix(loss=f"{learned[0]:.3f}", validation=f"{checked[0]:.3f}", accuracy=f"{checked[1]:.3f}", refresh=False)
            bar.update()
    if weights is None:
        raise SenseiError("the reward model diverged", found="no finite validation loss", hint="lower `reward.learning_rate`")
    model.load_state_dict(weights)
    return pd.DataFrame(curves, columns=["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"])


def _train_epoch(
    model: RewardModel, optimiser: torch.optim.Optimizer, pairs: PairSet, batch_size: int, rng: np.random.Generator
) -> tuple[float, float]:
    """One pass in random order; loss and accuracy as they were before each update."""
    model.train()
    order = torch.from_numpy(rng.permutation(len(pairs.target))).to(pairs.target.device)
    rewards = []
    for batch in order.split(batch_size):
        frames, place = torch.unique(pairs.sides[batch], return_inverse=True)  # a frame that occurs twice is computed once
        first, second = model(pairs.image[frames], pairs.flags[frames])[place].unbind(1)
        loss = bradley_terry_loss(first, second, pairs.target[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rewards.append(torch.stack([first, second]).detach())
    return _measure(*torch.cat(rewards, 1), pairs.target[order])


@torch.no_grad()
def _rewards(model: RewardModel, pairs: PairSet) -> tuple[Tensor, Tensor]:
    """Rewards [P] of the first and of the second sides."""
    model.eval()
    frames, place = torch.unique(pairs.sides, return_inverse=True)
    rewards = [model(pairs.image[part], pairs.flags[part]) for part in frames.split(CHUNK)]
    return torch.cat(rewards)[place].unbind(1)


@torch.no_grad()
def _centre(model: RewardModel, pairs: PairSet) -> None:
    """Shift the rewards so that their mean over both sides of these pairs is 0."""
    model.head[-1].bias -= torch.cat(_rewards(model, pairs)).mean()


def _measure(first: Tensor, second: Tensor, target: Tensor) -> tuple[float, float]:
    """Loss over all pairs and accuracy over the clear ones (NaN if there are none)."""
    clear = target != 0.5
    right = (second - first) * (target - 0.5) > 0  # equal rewards are wrong for a clear pair
    return bradley_terry_loss(first, second, target).item(), right[clear].float().mean().item()
