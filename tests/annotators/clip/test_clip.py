"""Zero-shot preferences of CLIP models: preprocessing, scores, ties, and models that cannot be used."""

import numpy as np
import open_clip
import pytest
import torch
from fakes.annotating import assignment, options
from fakes.tiny_models import CLIP_PICTURES, random_frames, save_clip
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sensei.annotators.clip.descriptions import Descriptions, expected_rank, fit
from sensei.annotators.clip.model import Clip
from sensei.annotators.prompts import load_prompt
from sensei.annotators.registry import make_annotator
from sensei.core.errors import SenseiError
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, Pair, Side

chances = arrays.arrays(float, st.integers(1, 6), elements=st.floats(0, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    save_clip(folder)
    return folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return Frames(random_frames(tmp_path_factory.mktemp("frames") / "frames.npz"))


def test_pictures_are_prepared_as_the_weights_were_trained(folder):
    clip = Clip(str(folder), None)
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    expected = (picture / 255 - CLIP_PICTURES["mean"]) / CLIP_PICTURES["std"]  # not the mean of open_clip's default
    np.testing.assert_allclose(clip.preprocess(Image.fromarray(picture)).permute(1, 2, 0), expected, atol=1e-5)
    large = Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 80, 3), np.uint8))
    resized = np.asarray(large.resize((32, 32), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(clip.preprocess(large).permute(1, 2, 0), (resized - CLIP_PICTURES["mean"]) / CLIP_PICTURES["std"], atol=1e-5)


def test_logits_are_those_of_open_clip(folder, frames):
    texts = ["a key", "a wall", "a chest"]
    clip = Clip(str(folder), None, at_once=4)
    ours = clip.logits(clip.encode_pictures(frames.image), clip.encode_texts(texts))
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(texts)
    with torch.no_grad():
        picture, text, scale = model.eval()(torch.stack([preprocess(Image.fromarray(image)) for image in frames.image]), tokens)
    np.testing.assert_allclose(ours, scale * picture @ text.T, atol=1e-4)
    assert ours.shape == (6, 3) and not clip.absolute


@given(chances)
def test_the_expected_rank_is_that_of_all_outcomes(chances):
    n, expected = len(chances), 0.0
    for outcome in np.ndindex(*(2,) * n):
        probability = np.prod(np.where(outcome, chances, 1 - chances))
        expected += probability * ((n - outcome.index(1)) / n if any(outcome) else 0)
    assert expected_rank(chances) == pytest.approx(expected)


@given(chances, st.data())
def test_what_is_more_likely_interesting_scores_no_less(chances, data):
    place = data.draw(st.integers(0, len(chances) - 1))
    likelier = chances.copy()
    likelier[place] = data.draw(st.floats(chances[place], 1))
    assert expected_rank(likelier) >= expected_rank(chances) - 1e-12


logits = arrays.arrays(float, (3, 4), elements=st.floats(-50, 50))


@given(logits, logits, st.floats(-20, 20), st.booleans())
def test_descriptions_are_weighed_against_the_negative_ones(positive, negative, shift, absolute):
    p = fit(positive, negative, absolute)
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(fit(positive, np.hstack([negative, negative]), absolute), p, atol=1e-9)
    others = np.exp(negative).mean(1, keepdims=True) + (1 if absolute else 0)
    np.testing.assert_allclose(p, np.exp(positive) / (np.exp(positive) + others), atol=1e-9)
    if not absolute:
        np.testing.assert_allclose(fit(positive + shift, negative + shift, False), p, atol=1e-9)


def pair(frames: Frames, first: int, second: int, *held: bool) -> Pair:
    return Pair(0, False, *(Side(frames, n, {"key_held": float(h)}) for n, h in zip((first, second), held or (False, False), strict=True)))


def test_a_preference_turns_with_the_pictures(folder, frames):
    annotator = Descriptions(Clip(str(folder), None), load_prompt("minihack"), margin=0.0)
    asked = [(a, b) for a in range(6) for b in range(6) if a != b]
    answers = {key: reply.answer for key, reply in zip(asked, annotator.annotate(pair(frames, *key) for key in asked), strict=True)}
    assert all(answers[a, b] is answers[b, a].swapped for a, b in asked)
    assert {Label.FIRST, Label.SECOND} <= set(answers.values())


def test_close_scores_are_a_tie_and_low_ones_are_nothing(folder, frames):
    annotator = Descriptions(Clip(str(folder), None), load_prompt("minihack"), margin=0.1)
    assert [annotator.prefer(*scores) for scores in ((0.9, 0.2), (0.2, 0.9), (0.5, 0.55), (0.05, 0.02))] == list(Label)
    assert [reply.answer for reply in annotator.annotate([pair(frames, 2, 2)])] <= [Label.UNKNOWN]


def test_what_the_player_carries_counts_as_the_inventory_sentence_does(folder, frames):
    annotator = Descriptions(Clip(str(folder), None), load_prompt("minihack"), margin=0.0)
    [alike, carried, other] = annotator.annotate(pair(frames, 0, 0, *held) for held in ((False, False), (True, False), (False, True)))
    assert [alike.answer.clear, carried.answer, other.answer] == [False, Label.FIRST, Label.SECOND]
    with pytest.raises(SenseiError, match="key_held"):
        list(annotator.annotate([Pair(0, False, Side(frames, 0, {}), Side(frames, 1, {}))]))


def test_replies_do_not_depend_on_what_else_is_asked(folder, frames):
    annotator = make_annotator(options("clip", model=str(folder)), assignment(folder, prompt="minihack")).descriptions
    asked = [pair(frames, a, b) for a in range(3) for b in range(3)]
    together = [reply.answer for reply in annotator.annotate(asked)]
    alone = [Descriptions(annotator.clip, annotator.prompt, annotator.margin) for _ in asked]
    assert together == [reply.answer for one, fresh in zip(asked, alone, strict=True) for reply in fresh.annotate([one])]


def test_a_model_that_cannot_be_used_is_named(folder, tmp_path):
    with pytest.raises(SenseiError, match="no CLIP model no-such-model"):
        Clip("no-such-model", None)
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(SenseiError, match="no CLIP model"):
        Clip(str(tmp_path), None)
    with pytest.raises(SenseiError, match=r"general has no descriptions[\s\S]*positive"):
        Descriptions(Clip(str(folder), None), load_prompt("general"), 0.1)
