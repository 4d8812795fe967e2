"""Any Hugging Face model that takes pictures and text, in this process: a folder or the hub, batches, the model's own chat template."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from os.path import commonprefix
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed

from sensei.annotators.ledger import Answer, Ledger, Question, picture_hash, through_ledger
from sensei.annotators.prompts import Prompt
from sensei.annotators.vlm.chat import FIRST_TURN_TOKENS, OUTSIDE, reply_to
from sensei.core.errors import SenseiError
from sensei.core.files import write_json
from sensei.core.rng import integer_seed
from sensei.preferences.pair import Label, Pair, Reply, Side
from sensei.study.models.annotators import LocalVLMConfig

SAMPLE = 64  # weights of each parameter by which a model is known
Message = dict[str, object]


class LocalVLM:
    """Asks a model about pairs; a question that the ledger knows is not asked again.

    Args:
        config: which model, and how its answers are taken.
        prompt: what it is asked.
        folder: where the first turn of a prompt of two turns is kept, with its reply.
        seed: of sampled replies.
        ledger: of all questions and answers.

    Raises:
        SenseiError: the model cannot be loaded, has no chat template, or does not tell the prompt's answers apart.
    """

    def __init__(self, config: LocalVLMConfig, prompt: Prompt, folder: Path, seed: int, ledger: Ledger):
        self.config, self.prompt, self.folder, self.seed, self.ledger = config, prompt, folder, seed, ledger
        device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        try:
            self.processor = AutoProcessor.from_pretrained(config.model, revision=config.revision)
            self.model = AutoModelForImageTextToText.from_pretrained(config.model, revision=config.revision, dtype=config.dtype).to(device)
        except (OSError, ValueError, ImportError) as error:
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            hint = "give `model` a folder or an id of the hub whose model is of the kind image-text-to-text"
            raise SenseiError(f"there is no vision-language model {config.model} to load", found=reason, hint=hint) from error
        if getattr(self.processor, "chat_template", None) is None:
            raise SenseiError(f"the model {config.model} has no chat template", hint="use a model that is tuned to follow instructions")
        self.model.eval().requires_grad_(False)
        self.weights = _fingerprint(self.model)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"  # so that every prompt ends where its reply begins
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        self.history: list[Message] | None = None if prompt.first_turn else []
        self.before_answer, self.answer_tokens = self._answers() if config.choice == "logits" else ("", {})

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair; with `choice` "logits" its text is the answer and the probability of each answer."""
        pairs = iter(pairs)
        while batch := list(islice(pairs, self.config.pairs_at_once)):
            if self.history is None:
                self.history = self._first_turn(batch[0].first)
            questions = [self._question(self.prompt.question(pair), pair.first, pair.second) for pair in batch]
            for pair, answer in zip(batch, through_ledger(self.ledger, questions, partial(self._ask, batch)), strict=True):
                yield reply_to(pair, answer)

    def _ask(self, batch: list[Pair], places: list[int]) -> list[Answer]:
        """Answers about the pairs at `places` of a batch."""
        asked = [batch[place] for place in places]
        conversations = [[*self.history, _message(self.prompt.question(pair), pair.first, pair.second)] for pair in asked]
        begin = time.monotonic()
        replies = self._choose(conversations) if self.config.choice == "logits" else self._write(conversations, asked[0].pair)
        seconds = (time.monotonic() - begin) / len(asked)
        return [Answer(text, label, OUTSIDE if label is None else None, seconds=seconds, server="local") for text, label in replies]

    def _question(self, text: str, *sides: Side) -> Question:
        """A question as the ledger knows it."""
        first, second = [*(picture_hash(side.image) for side in sides), ""][:2]
        chosen = self.config.model_dump(include={"choice", "reply_tokens", "temperature", "dtype"}) | {"weights": self.weights}
        history = tuple(message["text"] for message in self.history or ())
        return Question(first, second, text, history, self.prompt.name, self.prompt.version, self.config.model, tuple(chosen.items()))

    def _answers(self) -> tuple[str, dict[int, str]]:
        """(what all answers begin with, the first token in which they differ -> answer)."""
        tokens = {answer: self.tokenizer(answer, add_special_tokens=False).input_ids for answer in self.prompt.answers}
        shared = len(commonprefix(list(tokens.values())))
        telling = {ids[shared]: answer for answer, ids in tokens.items() if len(ids) > shared}
        if len(telling) < len(tokens) or self.tokenizer.unk_token_id in telling:
            raise SenseiError(
                f"the model {self.config.model} does not tell the answers of prompt {self.prompt.name} apart by a token",
                found=", ".join(f"{answer!r}: {ids}" for answer, ids in tokens.items()),
                hint="set `choice: text`, or use other answers in the prompt's grammar",
            )
        return self.tokenizer.decode(next(iter(tokens.values()))[:shared]), telling

    @torch.inference_mode()
    def _choose(self, conversations: list[list[Message]]) -> list[tuple[str, Label]]:
        """(text, label) of the most probable answer to each conversation."""
        inputs = self._inputs(conversations, self.before_answer)
        logits = self.model(**inputs, logits_to_keep=1).logits[:, -1, list(self.answer_tokens)]
        chances = logits.float().softmax(1).cpu().numpy()
        answers = list(self.answer_tokens.values())
        texts = [answers[best] for best in chances.argmax(1)]
        return [
            (f"{text} {' '.join(f'{answer}:{p:.3f}' for answer, p in zip(answers, row, strict=True))}", self.prompt.answers[text])
            for text, row in zip(texts, chances, strict=True)
        ]

    def _write(self, conversations: list[list[Message]], pair: int) -> list[tuple[str, Label | None]]:
        """(reply, its label or None if it cannot be read) of each conversation; sampling is seeded by the first pair's number."""
        replies = self._generate(conversations, self.config.reply_tokens, integer_seed(self.seed, "local_vlm", pair) % 2**32)
        return [(reply, self.prompt.read(reply)) for reply in replies]

    @torch.inference_mode()
    def _generate(self, conversations: list[list[Message]], tokens: int, seed: int) -> list[str]:
        inputs = self._inputs(conversations)
        temperature = self.config.temperature
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        set_seed(seed)
        output = self.model.generate(**inputs, max_new_tokens=tokens, pad_token_id=self.tokenizer.pad_token_id, **sampling)
        return self.processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def _inputs(self, conversations: list[list[Message]], begun: str = "") -> dict[str, torch.Tensor]:
        """What the model takes of `conversations`, whose replies begin with `begun`."""
        texts = [self.processor.apply_chat_template(_shown(talk), add_generation_prompt=True) + begun for talk in conversations]
        pictures = [[Image.fromarray(side.image) for message in talk for side in message["sides"]] for talk in conversations]
        inputs = self.processor(text=texts, images=pictures, padding=True, return_tensors="pt").to(self.model.device)
        return {name: value.to(self.model.dtype) if value.is_floating_point() else value for name, value in inputs.items()}

    def _first_turn(self, side: Side) -> list[Message]:
        """The prompt's first turn about the first frame of all, with the reply; kept in first_turn.json beside the labels."""
        asked = [_message(self.prompt.first_turn, Side(side.frames, 0, {}, side.view))]

        def ask(_: list[int]) -> list[Answer]:
            return [Answer(*self._generate([asked], FIRST_TURN_TOKENS, 0), None, server="local")]

        reply = through_ledger(self.ledger, [self._question(self.prompt.first_turn, *asked[0]["sides"])], ask)[0].reply
        about = {"model": self.config.model, "prompt": self.prompt.name, "version": self.prompt.version}
        write_json(self.folder / "first_turn.json", about | {"question": self.prompt.first_turn, "reply": reply})
        return [*asked, {"role": "assistant", "text": reply, "sides": ()}]


def _message(text: str, *sides: Side) -> Message:
    return {"role": "user", "text": text, "sides": sides}


def _shown(talk: list[Message]) -> list[dict]:
    """A conversation as chat templates take it: pictures before text."""
    return [
        {
            "role": message["role"],
            "content": [*({"type": "image"} for _ in message["sides"]), {"type": "text", "text": message["text"]}],
        }
        for message in talk
    ]


def _fingerprint(model: torch.nn.Module) -> str:
    """Hex digest of some weights of every parameter: a folder of the same name may hold another model tomorrow."""
    digest = hashlib.blake2b(digest_size=16)
    for weights in model.parameters():
        digest.update(weights.detach().flatten()[:: max(1, weights.numel() // SAMPLE)].float().cpu().numpy().tobytes())
    return digest.hexdigest()
