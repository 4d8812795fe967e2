"""Local vision-language models of two families, from the saved folder to the label: processor, chat template, batch, generation, choice."""

import json
import re

import numpy as np
import pytest
import torch
from fakes.annotating import assignment, options
from fakes.tiny_models import FAMILIES, random_frames
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from sensei.annotators.audit import table
from sensei.annotators.prompts import load_prompt
from sensei.annotators.registry import make_annotator
from sensei.annotators.vlm.local_vlm import LocalVLM
from sensei.core.errors import SenseiError
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, Pair, Side


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp(request.param)
    FAMILIES[request.param](folder)
    return str(folder)


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Frames:
    return Frames(random_frames(tmp_path_factory.mktemp("frames") / "frames.npz"))


def pairs(frames: Frames, number: int = 3) -> list[Pair]:
    held = [{"key_held": float(index % 2)} for index in range(6)]
    return [Pair(n, bool(n % 2), Side(frames, n, held[n]), Side(frames, 5 - n, held[5 - n])) for n in range(number)]


def annotator(model: str, folder, prompt: str = "minihack", **changes) -> LocalVLM:
    return make_annotator(options("local_vlm", model=model, device="cpu", **changes), assignment(folder, prompt=prompt))


def probabilities(text: str) -> list[float]:
    return [float(p) for p in re.findall(r":([\d.]+)", text)]


def test_logit_choice_is_the_most_probable_answer_and_never_unreadable(model, frames, tmp_path):
    replies = list(annotator(model, tmp_path).annotate(pairs(frames)))
    assert [(reply.pair, reply.swapped) for reply in replies] == [(0, False), (1, True), (2, False)]
    for reply in replies:
        chances = probabilities(reply.text)
        assert sum(chances) == pytest.approx(1, abs=0.01)
        assert reply.error is None and reply.answer is Label(int(np.argmax(chances))) and reply.text[0] == str(int(reply.answer))


def test_logit_choice_is_that_of_the_model_asked_by_hand(model, frames, tmp_path):
    pair, prompt = pairs(frames)[0], load_prompt("minihack")
    processor, network = AutoProcessor.from_pretrained(model), AutoModelForImageTextToText.from_pretrained(model).eval()
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": prompt.question(pair)}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    images = [Image.fromarray(side.image) for side in (pair.first, pair.second)]
    with torch.no_grad():
        logits = network(**processor(text=text, images=images, return_tensors="pt")).logits[0, -1]
    digits = [processor.tokenizer.convert_tokens_to_ids(str(digit)) for digit in range(4)]
    [reply] = annotator(model, tmp_path).annotate([pair])
    assert probabilities(reply.text) == pytest.approx(logits[digits].softmax(0).tolist(), abs=2e-3)


def test_answers_do_not_depend_on_the_batch(model, frames, tmp_path):
    asked = pairs(frames, 6)  # questions of different lengths, so that batches are padded
    one_by_one = list(annotator(model, tmp_path, pairs_at_once=1).annotate(asked))
    together = list(annotator(model, tmp_path, pairs_at_once=4).annotate(asked))
    for one, other in zip(one_by_one, together, strict=True):
        assert probabilities(one.text) == pytest.approx(probabilities(other.text), abs=2e-3)


def test_the_pictures_and_their_order_matter(model, frames, tmp_path):
    [pair, *_] = pairs(frames)
    asked = annotator(model, tmp_path)
    state = {"key_held": 0.0}
    alike = [Pair(0, False, Side(frames, a, state), Side(frames, b, state)) for a, b in ((0, 5), (5, 0), (1, 5))]
    texts = [asked.model.inputs([asked.chat.about(pair)])["pixel_values"].flatten() for pair in alike]
    assert not torch.equal(texts[0], texts[1]) and not torch.equal(texts[0], texts[2])
    assert torch.equal(texts[0].sort()[0], texts[1].sort()[0])


def test_generated_text_is_read_by_the_prompts_grammar(model, frames, tmp_path):
    replies = list(annotator(model, tmp_path, choice="text", reply_tokens=4).annotate(pairs(frames)))
    assert len(replies) == 3 and all(reply.answer is load_prompt("minihack").parse(reply.text) for reply in replies)
    assert all((reply.fault is None) == (load_prompt("minihack").read(reply.text) is not None) for reply in replies)
    again = list(annotator(model, tmp_path, choice="text", reply_tokens=4).annotate(pairs(frames)))
    assert replies == again
    warm = {"choice": "text", "reply_tokens": 8, "temperature": 1.5}
    sampled = [list(annotator(model, tmp_path, **warm).annotate(pairs(frames))) for _ in range(2)]
    assert sampled[0] == sampled[1] != replies


def test_the_first_turn_is_asked_once_and_kept(model, frames, tmp_path, monkeypatch):
    monkeypatch.setattr("sensei.annotators.vlm.local_vlm.FIRST_TURN_TOKENS", 5)
    asked = annotator(model, tmp_path, prompt="general", pairs_at_once=2)
    assert len(list(asked.annotate(pairs(frames)))) == 3
    kept = json.loads((tmp_path / "first_turn.json").read_text())
    assert kept["question"] == load_prompt("general").first_turn
    assert (asked.earlier.reply, asked.earlier.side.frame) == (kept["reply"], 0)
    assert set(table(asked.ledger)["earlier_turns"]) == {json.dumps([]), json.dumps([kept["question"], kept["reply"]])}


def test_answers_that_begin_alike_are_told_apart_where_they_differ(model, frames, tmp_path):
    path = tmp_path / "own.md"
    path.write_text('---\nversion: 1\ngrammar: {"image A": first, "image B": second}\n---\nWhich one, image A or image B?\n')
    asked = annotator(model, tmp_path, prompt=str(path))
    assert asked.choices.begin == "image " and list(asked.choices.answers.values()) == ["image A", "image B"]
    assert {reply.answer for reply in asked.annotate(pairs(frames))} <= {Label.FIRST, Label.SECOND}
    path.write_text('---\nversion: 1\ngrammar: {"left": first, "le": second, "lest": tie}\n---\nWhich one?\n')
    with pytest.raises(SenseiError, match=r"does not tell the answers .* apart[\s\S]*choice: text"):
        annotator(model, tmp_path, prompt=str(path))


def test_a_model_that_cannot_be_used_is_named(tmp_path, model):
    with pytest.raises(SenseiError, match="no vision-language model .*nowhere"):
        annotator(str(tmp_path / "nowhere"), tmp_path)


def test_a_question_in_the_ledger_is_not_asked_again(model, frames, tmp_path, monkeypatch):
    replies = list(annotator(model, tmp_path).annotate(pairs(frames)))
    again = annotator(model, tmp_path)
    monkeypatch.setattr(again, "_choose", lambda _: pytest.fail("it was asked again"))
    assert list(again.annotate(pairs(frames))) == replies
    assert set(table(again.ledger)["model"]) == {model}
