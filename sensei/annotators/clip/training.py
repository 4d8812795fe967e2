"""Training of a small CLIP model on the frames of a study; no network, no download.

It is trained on pictures with captions in the environment's own words (for MiniHack NetHack's names of what is in view). Once trained it
is used like any other CLIP model: it sees pixels, and is told what the player carries as the inventory sentence tells it. The loss is
SigLIP's (Zhai et al. 2023, arXiv 2303.15343): each picture and each caption of a batch either belong together or do not, and whether they
do is known from the statements behind the caption.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sensei.annotators.clip.descriptions import Descriptions
from sensei.annotators.clip.model import Clip
from sensei.annotators.clip.options import CaptionedClipOptions
from sensei.annotators.prompts import PLACE, load_prompt
from sensei.core.files import atomic, write_json
from sensei.core.progress import progress
from sensei.core.rng import generator, integer_seed
from sensei.envs.contract import Captions
from sensei.envs.registry import family
from sensei.preferences.agreement import accuracy, cohen_kappa, proportion
from sensei.preferences.frames import Frames
from sensei.preferences.labels import oracle_labels
from sensei.preferences.pair import Label
from sensei.preferences.tables import SIDES, questions, read_pairs
from sensei.study.layout import ModelFiles
from sensei.study.models.environment import EnvironmentConfig

PATCH = 16  # pixels; one tile of NetHack
WIDTH, LAYERS, HEADS, EMBEDDING = 64, 2, 4, 64
CAPTION_TOKENS = 32
TEXTS = 96  # captions a batch, half of them of its pictures
LEARNING_RATE = 2e-3
BIAS, SCALE = -4.0, 10.0  # initial logit of a picture and a caption that have nothing in common, and what their cosine is multiplied by
HELD_OUT = 0.2  # share of the pictures
CHECKED = 4000  # pairs of held-out frames behind the agreement on the card
MEAN, DEVIATION = (0.5,) * 3, (0.5,) * 3


def train(
    options: CaptionedClipOptions,
    environment: EnvironmentConfig,
    pairs_path: str | Path,
    frames_path: str | Path,
    seed: int,
    prompt: str,
    folder: str | Path,
) -> dict[str, object]:
    """Train on the frames of a set of pairs but for a held-out share, and say how well the held-out ones are understood.

    Args:
        options: sizes and steps.
        environment: whose words the captions are in.
        pairs_path: table of `make_pairs`.
        frames_path: its frames.
        seed: of split, weights and batches; on a CPU equal seeds give equal files.
        prompt: name or path of the prompt with which the model will be asked.
        folder: where the files of `ModelFiles` go.

    Returns:
        The card: pictures seen and held out; retrieval: share of held-out pictures to whose things, one by one, the model gives the
        higher probability than to any thing that is not in view; agreement with the oracle on pairs of held-out frames, drawn as often
        as they are met: accuracy on pairs clear to both, share of equal labels, kappa, shares of the model's labels; None if the oracle
        cannot rank these states. The same without what the inventory sentence says, from pixels alone.

    Raises:
        SenseiError: a file is damaged, or the environment does not describe its pictures in words.
    """
    words, table, frames = family(environment).captions(), read_pairs(pairs_path), Frames(frames_path)
    picture_of_frame, pictures = distinct(frames.image)
    holds = truths(pictures, words)
    shuffled = generator(seed, "captioned_clip", "held out").permutation(len(pictures))
    cut = max(round(HELD_OUT * len(pictures)), 1)
    held_out, seen = shuffled[:cut], shuffled[cut:]
    model = _fit(options, pictures[seen], holds[seen], words, seed)
    files = ModelFiles(Path(folder))
    save(model, files)
    clip = Clip(str(files.folder), None)
    asked = load_prompt(prompt)
    unheard = replace(asked, positive=tuple(text for text in asked.positive if text != PLACE))
    checked = held_out_pairs(table, np.isin(picture_of_frame, held_out), generator(seed, "captioned_clip", "checked"))
    card = {
        "pictures": {"seen": len(seen), "held_out": len(held_out)},
        "retrieval": retrieval(clip, pictures[held_out], holds[held_out], words),
        "oracle": agreement(Descriptions(clip, asked, options.margin), checked, frames, environment),
        "oracle_without_inventory": agreement(Descriptions(clip, unheard, options.margin), checked, frames, environment),
        "config": options.model_dump(mode="json"),
        "seed": seed,
    }
    write_json(files.card, card)
    return card


def distinct(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row of each of `images` uint8 [F, h, w, 3] among the different ones, int64 [F]; the different ones, uint8 [P, h, w, 3])."""
    rows = images.reshape(len(images), -1)
    _, first, place = np.unique(rows.view(np.dtype((np.void, rows.shape[1]))).ravel(), return_index=True, return_inverse=True)
    return place, images[first]


def truths(pictures: np.ndarray, words: Captions) -> np.ndarray:
    """Which statements of the vocabulary hold for each of `pictures` [P, h, w, 3], bool [P, words]."""
    number = {statement: index for index, statement in enumerate(words.vocabulary)}
    holds = np.zeros((len(pictures), len(number)), bool)
    for row, picture in zip(holds, pictures, strict=True):
        row[[number[statement] for statement in words.statements(picture)]] = True
    return holds


def draw_captions(holds: np.ndarray, texts: int, rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """A batch: rows of pictures int64 [texts / 2] and what is said in `texts` captions, each one or two statements (their numbers).

    Each caption of the first half is true of its picture; its first statement is drawn evenly among those that occur, so that rare
    things are seen as often as walls. The others are statements drawn from the whole vocabulary.
    """
    occur = np.flatnonzero(holds.any(0))
    chosen = rng.choice(occur, texts // 2)
    rows = np.array([rng.choice(np.flatnonzero(holds[:, statement])) for statement in chosen])
    said = []
    for row, statement in zip(rows, chosen, strict=True):
        other = rng.choice(np.flatnonzero(holds[row]))
        said.append(np.unique([statement, other]) if rng.random() < 0.5 else np.array([statement]))
    return rows, [*said, *rng.choice(holds.shape[1], (texts - texts // 2, 1))]


def _fit(options: CaptionedClipOptions, pictures: np.ndarray, holds: np.ndarray, words: Captions, seed: int) -> open_clip.CLIP:
    """Train a model on `pictures` uint8 [P, h, w, 3], for which the statements `holds` bool [P, words] are true."""
    rng = generator(seed, "captioned_clip", "batches")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(seed, "captioned_clip", "weights"))
        model = open_clip.CLIP(**model_config(pictures.shape[1]))
    tokenizer = open_clip.SimpleTokenizer(context_length=CAPTION_TOKENS)
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=options.steps, pct_start=0.1)
    with progress(options.steps, "captioned_clip", "steps") as bar:
        for _ in range(options.steps):
            rows, said = draw_captions(holds, TEXTS, rng)
            fits = torch.from_numpy(np.stack([holds[rows][:, statements].all(1) for statements in said], 1)).float()
            tokens = tokenizer([words.caption([words.vocabulary[number] for number in statements]) for statements in said])
            picture, text, scale, bias = model(normalised(images[rows]), tokens)
            loss = binary_cross_entropy_with_logits(scale * picture @ text.T + bias, fits)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
            bar.update()
    return model.eval()


def model_config(side: int) -> dict:
    """open_clip's configuration of the model for square pictures of `side` pixels."""
    tower = {"width": WIDTH, "layers": LAYERS}
    return {
        "embed_dim": EMBEDDING,
        "vision_cfg": {"image_size": side, "patch_size": PATCH, "head_width": WIDTH // HEADS, **tower},
        "text_cfg": {"context_length": CAPTION_TOKENS, "heads": HEADS, **tower},
        "init_logit_scale": float(np.log(SCALE)),
        "init_logit_bias": BIAS,
    }


def normalised(pictures: Tensor) -> Tensor:
    """What the model is given of `pictures` uint8 [N, 3, h, w]; the same as `Clip.preprocess` after `save`."""
    return (pictures / 255 - MEAN[0]) / DEVIATION[0]


def save(model: open_clip.CLIP, files: ModelFiles) -> None:
    """Write configuration and weights, as `Clip` reads them."""
    side = model.visual.image_size[0]
    preprocessing = {"size": side, "mean": MEAN, "std": DEVIATION, "interpolation": "bicubic", "resize_mode": "shortest"}
    write_json(files.config, {"model_cfg": model_config(side), "preprocess_cfg": preprocessing})
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    with atomic(files.weights) as temporary:
        temporary.write_bytes(safetensors.torch.save(weights))


def retrieval(clip: Clip, pictures: np.ndarray, holds: np.ndarray, words: Captions) -> dict[str, float | int | None]:
    """Share of `pictures` [P, h, w, 3] of which every true statement fits better than every one that is not, as a proportion."""
    texts = clip.encode_texts(words.caption([statement]) for statement in words.vocabulary)
    logits = clip.logits(clip.encode_pictures(pictures), texts)
    return proportion(np.where(holds, logits, np.inf).min(1) > np.where(holds, -np.inf, logits).max(1))


def held_out_pairs(table: pd.DataFrame, held_out: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """`CHECKED` pairs of `held_out` frames, bool [F]; sides are drawn from those of `table`, so frames come as often as they are met."""
    met = pd.concat([table.filter(regex=f"^{side}").rename(columns=lambda name, s=side: name.removeprefix(s)) for side in SIDES])
    met = met[held_out[met["frame"]]]
    drawn = [met.iloc[rng.integers(len(met), size=CHECKED)].reset_index(drop=True).add_prefix(side) for side in SIDES]
    return pd.concat([pd.Series(np.arange(CHECKED), name="pair"), *drawn], axis=1)


def agreement(annotator: Descriptions, pairs: pd.DataFrame, frames: Frames, environment: EnvironmentConfig) -> dict[str, object] | None:
    """How well an annotator's labels of `pairs` agree with the oracle's; None if it cannot rank their states."""
    oracle = oracle_labels(pairs, environment)
    if oracle[0] is None:
        return None
    labels = np.array([reply.answer for reply in annotator.annotate(questions(pairs, frames, np.zeros(len(pairs), bool)))])
    return {
        "accuracy": accuracy(labels, oracle),
        "same": proportion(labels == oracle),
        "kappa": cohen_kappa(labels, oracle),
        "shares": {code.name.lower(): float((labels == code).mean()) for code in Label},
    }
