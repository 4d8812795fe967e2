"""Prompt files: what is asked, and that nothing but an answer of the grammar becomes a preference."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensei.annotators.prompts import load_prompt
from sensei.core.errors import SenseiError
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, Pair, Side
from sensei.study.layout import CONFIG_FOLDER

SHIPPED = sorted(path.stem for path in (CONFIG_FOLDER / "prompts").glob("*.md"))
GENERAL = load_prompt("general")
FORCED = {Label.FIRST, Label.SECOND}  # of the game the paper asks for no tie
HEADER = "version: 1\ngrammar: {'0': first, '1': second}\n"


def pair(first: dict[str, float], second: dict[str, float]) -> Pair:
    """A question about two states whose pictures nobody looks at."""
    return Pair(0, False, Side(Frames("unused"), 0, first), Side(Frames("unused"), 1, second))


def write(folder: Path, header: str = HEADER, text: str = "Which one?") -> str:
    """A prompt file of one's own."""
    path = folder / "own.md"
    path.write_text(f"---\n{header}---\n{text}\n")
    return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_prompt_reads_its_own_answers(name):
    prompt = load_prompt(name)
    assert {prompt.parse(answer) for answer in prompt.answers} == (FORCED if name == "pokemon" else set(Label))
    assert all(answer in prompt.pair_turn for answer in prompt.answers), "the question names each answer"
    assert (prompt.first_turn is not None) == (name in ("general", "pokemon"))


def test_the_inventory_sentence_has_exactly_four_cases():
    prompt = load_prompt("minihack")
    asked = {(a, b): prompt.question(pair({"key_held": a}, {"key_held": b})) for a in (0.0, 1.0) for b in (0.0, 1.0)}
    assert len(set(asked.values())) == 4
    assert all(prompt.inventory[case] in asked[held] for case, held in
               {"first": (1, 0), "second": (0, 1), "both": (1, 1), "neither": (0, 0)}.items())  # fmt: skip
    assert "{" not in asked[0, 0]
    with pytest.raises(SenseiError, match="'key_held', which this environment has not: found x"):
        prompt.question(pair({"x": 1}, {"x": 1}))


@pytest.mark.parametrize(
    "reply",
    ["0", " 0\n", "0.", '"0"', "**0**", "(0)", "'0'", '{"answer": "0"}', '{"answer": 0}',
     "<think>1? No.</think>\n0", "Thoughts that the server has begun.\n</think>\n\n0.", '```json\n{"answer": "0"}\n```', "```\n0\n```",
     '<think>1</think>```json\n{"answer": 0}\n```'],
)  # fmt: skip
def test_what_surrounds_an_answer_does_not_matter(reply):
    assert GENERAL.parse(reply) is Label.FIRST


@pytest.mark.parametrize(
    "reply",
    ["", " ", "10", "01", "0 1", "-1", "0.1", "1.5", "the first", "0 first", "2/3", "١", "０",
     '{"answer": 0.0}', '{"answer": true}', '{"answer": null}', '{"answer": -0}', '{"answer": [0]}', '{"answer": "0", "why": "?"}',
     "<think>0", "<think>0</think>", "0</think>", "1 <think>1</think> 0", "<think>1</think>0</think>0", "<think><think>1</think>0",
     "```json\n0\n``` or ```json\n1\n```", "```tie\n0\n```", "```json\n{}\n```", "<think>" * 5000, "</think>" * 5000 + "0",
     '{"answer": "0", "answer": "1"}', '[["answer", "0"]]', '{"answer": "10"}', "null", "I cannot help with that.", "4", "[" * 5000],
)  # fmt: skip
def test_what_is_not_an_answer_is_unknown(reply):
    assert GENERAL.read(reply) is None
    assert GENERAL.parse(reply) is Label.UNKNOWN


@given(st.text())
@example("0")
def test_no_text_becomes_a_preference_by_chance(text):
    """Whatever is said: a label only if the letters and digits in it are an answer."""
    label = GENERAL.read(text)
    assert (label is None) or "".join(filter(str.isalnum, text)) in GENERAL.answers or json.loads(text)


@given(st.sampled_from(sorted(GENERAL.answers)), st.text(st.characters(categories=["L", "N"]), min_size=1))
def test_letters_or_digits_beside_an_answer_spoil_it(answer, more):
    assert GENERAL.read(answer + more) is None
    assert GENERAL.read(more + answer) is None


WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1).filter(lambda word: word not in ("left", "right"))


@given(st.dictionaries(WORDS, st.sampled_from(["tie", "unknown"])), st.sampled_from(["", " ", "\n", '"', "*"]))
def test_every_grammar_reads_what_it_allows(tmp_path_factory, others, around):
    header = json.dumps({"version": 1, "grammar": others | {"Left": "first", "right": "second"}})
    prompt = load_prompt(write(tmp_path_factory.mktemp("own"), header + "\n"))
    assert prompt.parse("LEFT") is Label.FIRST
    for answer, label in prompt.answers.items():
        assert prompt.read(around + answer.upper() + around) is label


@pytest.mark.parametrize(
    ("header", "text", "complaint"),
    [
        ("version: 1\n", "Which?", "no `grammar`"),
        ("version: 1\ngrammar: {}\n", "Which?", "no `grammar`"),
        ("version: 1\ngrammar: {'0': first}\n", "Which?", "no `grammar`"),
        ("version: 1\ngrammar: {'0': first, '1': second, '2': both}\n", "Which?", "no `grammar`"),
        ("version: 1\ngrammar: {A: first, a: second}\n", "Which?", "two answers"),
        ("grammar: {'0': first, '1': second}\n", "Which?", "no `version`"),
        (HEADER + "gramar: 1\n", "Which?", "unknown key `gramar`"),
        ("version: [\n", "Which?", "line 1"),
        ("version: 1\nversion: 2\n", "Which?", "version stands twice"),
        (HEADER, "Which? {inventory}", "lacks `inventory`"),
        (HEADER + "inventory: {state: x, first: a, second: b, both: c, neither: d}\n", "Which?", "lacks {inventory}"),
        (HEADER + "inventory: {state: x}\n", "Which? {inventory}", "exactly"),
        (HEADER + "positive: a key\n", "Which?", "not a list"),
        (HEADER + 'positive: [a key, "{inventory}"]\n', "Which?", "lacks `inventory`"),
        (HEADER, "", "header between two lines"),
        (HEADER, "a\n---\nb\n---\nc", "header between two lines"),
    ],
)
def test_a_mistake_in_a_prompt_file_is_named(tmp_path, header, text, complaint):
    with pytest.raises(SenseiError, match=complaint):
        load_prompt(write(tmp_path, header, text))


def test_an_absent_prompt_lists_those_there_are():
    with pytest.raises(SenseiError, match="general, minihack, pokemon, robodesk"):
        load_prompt("minihak")
