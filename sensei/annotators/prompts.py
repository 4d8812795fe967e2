"""A prompt file: what an annotator is asked in words, and how its reply is read. Question and parser come from the same file.

    ---
    version: 1
    grammar: {"0": first, "1": second, "2": tie, "3": unknown}    # the whole reply -> label
    inventory:                                                    # optional: what {inventory} in the text stands for
      state: key_held                                             # a key of the environment's state
      first: Only the first player holds the key.                 # likewise second, both, neither
    positive: [an open door, "{inventory}", a key]                # optional: what annotators that compare pictures with
    negative: [an empty floor]                                    # descriptions look for, the most interesting first
    ---
    The question about two pictures. If a line `---` divides the text, the part before it is asked once, about a single picture, and
    question and reply are the history of every pair.

The reply must be one of the grammar's answers and nothing else. Case, white space and punctuation around it do not matter, nor does what
servers wrap it in: thoughts up to `</think>`, a fence, {"answer": 1}. "10" is not "1" (the released code takes any reply with a 0 in it
for "first").
"""

import hashlib
import json
import re
import string
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sensei.core.errors import SenseiError
from sensei.core.yaml import parse_yaml
from sensei.preferences.pair import Label, Pair, Side
from sensei.study.layout import CONFIG_FOLDER

DIVIDER = "---"
PLACE = "{inventory}"
CASES = ("first", "second", "both", "neither")
HEADER = {"version", "grammar", "inventory", "positive", "negative"}
THOUGHTS = re.compile(r"\s*(?:<think>)?(?:(?!</?think>).)*</think>((?:(?!</?think>).)*)", re.DOTALL)  # closed, and once
FENCE = re.compile(r"\s*```(?:json|text)?[ \t]*\n([^`]*)```\s*", re.IGNORECASE)
OPENING, CLOSING = string.whitespace + "\"'`*_([", string.whitespace + "\"'`*_)].,:;!"  # no sign: "-1" is not "1"


@dataclass(frozen=True)
class Prompt:
    """A prompt file.

    answers: the grammar; what may be replied -> label in the order shown. first_turn: what is asked once about a single picture, if
    anything. pair_turn: what is asked about every pair. inventory: `state` and the four cases, if the question mentions it. positive,
    negative: descriptions of interesting and of uninteresting pictures.
    """

    name: str
    version: str
    answers: dict[str, Label]
    first_turn: str | None
    pair_turn: str
    inventory: dict[str, str] | None
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    sha256: str

    def question(self, pair: Pair) -> str:
        """What is asked about `pair`, the inventory sentence included.

        Raises:
            SenseiError: the environment's state lacks what the inventory sentence speaks of.
        """
        if self.inventory is None:
            return self.pair_turn
        first, second = self.carries(pair.first), self.carries(pair.second)
        case = {(True, False): "first", (False, True): "second", (True, True): "both", (False, False): "neither"}[first, second]
        return self.pair_turn.replace(PLACE, self.inventory[case])

    def carries(self, side: Side) -> bool:
        """Whether what the inventory sentence speaks of is true of `side`.

        Raises:
            SenseiError: the environment's state lacks it.
        """
        key = self.inventory["state"]
        if key not in side.state:
            raise SenseiError(
                f"prompt {self.name} speaks of the state {key!r}, which this environment has not",
                found=", ".join(side.state) or "no state",
                hint="choose another prompt with `pairs.prompt` or the annotator's `prompt`",
            )
        return side.state[key] > 0.5

    def parse(self, reply: str) -> Label:
        """The label of a reply; unknown for anything outside the grammar."""
        label = self.read(reply)
        return Label.UNKNOWN if label is None else label

    def read(self, reply: str) -> Label | None:
        """As `parse`, but None for a reply outside the grammar, as against one that says "unknown"."""
        return self._normal.get(_normal(_unwrapped(reply)))

    @cached_property
    def _normal(self) -> dict[str, Label]:
        return {_normal(answer): label for answer, label in self.answers.items()}


def _normal(answer: str) -> str:
    return answer.lstrip(OPENING).rstrip(CLOSING).casefold()


def _unwrapped(reply: str) -> str:
    """The answer in a reply that has thoughts before it, is fenced, or is structured, {"answer": "0"}; any other reply as it is."""
    for wrapping in (THOUGHTS, FENCE):
        if found := wrapping.fullmatch(reply):
            reply = found[1]
    try:  # a pair for each member: a name that is there twice is no answer; a number is what is written, 1.0 is not 1
        members = json.loads(reply, object_pairs_hook=tuple, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return reply
    match members:
        case tuple(((("answer", str(answer))),)):
            return answer
    return reply


def prompt_path(name: str) -> Path:
    """The file of the prompt `name`: one of config/prompts, or a path that ends in .md."""
    return Path(name) if name.endswith(".md") else CONFIG_FOLDER / "prompts" / f"{name}.md"


def load_prompt(name: str) -> Prompt:
    """Read and check a prompt file.

    Args:
        name: of a file in config/prompts, or the path of one's own, ending in .md.

    Raises:
        SenseiError: it is absent, its header is damaged, or it has no grammar; the message names the file.
    """
    path = prompt_path(name)
    try:
        content = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(file.stem for file in prompt_path("any").parent.glob("*.md")))
        raise SenseiError(f"there is no prompt file {path}", expected=f"one of {known}, or the path of a text file .md") from error
    header, turns = _split(content, path)
    grammar = header["grammar"]
    inventory = header.get("inventory")
    if (inventory is not None) != (PLACE in turns[-1]):
        raise _fault(
            path, f"the question {'lacks' if inventory else 'has'} {PLACE}, the header {'has' if inventory else 'lacks'} `inventory`"
        )
    return Prompt(
        name=path.stem,
        version=str(header["version"]),
        answers={str(answer): Label[str(label).upper()] for answer, label in grammar.items()},
        first_turn=turns[0] if len(turns) == 2 else None,
        pair_turn=turns[-1],
        inventory=inventory,
        positive=tuple(header.get("positive", ())),
        negative=tuple(header.get("negative", ())),
        sha256=hashlib.sha256(content.encode()).hexdigest(),
    )


def _split(content: str, path: Path) -> tuple[dict, list[str]]:
    """(checked header, turns) of a prompt file."""
    parts = [[]]
    for line in content.strip().splitlines():
        if line.rstrip() == DIVIDER:
            parts.append([])
        else:
            parts[-1].append(line)
    before, *rest = ("\n".join(part).strip() for part in parts)
    if before or len(rest) not in (2, 3) or not all(rest):
        raise _fault(path, f"it is not a header between two lines {DIVIDER} and a text of one or two turns")
    header = parse_yaml(rest[0], f"the header of prompt file {path}")
    _check(header, path)
    return header, rest[1:]


def _check(header: object, path: Path) -> None:
    """The header must have a version and a grammar that tells first from second, and no unknown key."""
    if not isinstance(header, dict) or "version" not in header:
        raise _fault(path, "its header has no `version`")
    if unknown := header.keys() - HEADER:
        raise _fault(path, f"its header has the unknown key `{min(map(str, unknown))}`; known are {', '.join(sorted(HEADER))}")
    grammar = header.get("grammar")
    labels = [label.name.lower() for label in Label]
    if not isinstance(grammar, dict) or not {"first", "second"} <= set(map(str, grammar.values())) <= set(labels):
        raise _fault(path, f"its header has no `grammar` that maps replies to {', '.join(labels)}, `first` and `second` at least")
    answers = [_normal(str(answer)) for answer in grammar]
    if "" in answers or len(set(answers)) < len(answers):
        raise _fault(path, "two answers of its `grammar` are alike, or one is empty, but for case and punctuation")
    inventory = header.get("inventory")
    keys = {"state", *CASES}
    if inventory is not None and not (
        isinstance(inventory, dict) and inventory.keys() == keys and all(isinstance(v, str) for v in inventory.values())
    ):
        raise _fault(path, f"its `inventory` needs texts for exactly {', '.join(sorted(keys))}")
    for key in ("positive", "negative"):
        given = header.get(key, [])
        if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
            raise _fault(path, f"its `{key}` is not a list of descriptions")
    if PLACE in header.get("positive", ()) and inventory is None:
        raise _fault(path, f"its `positive` has {PLACE}, its header lacks `inventory`")


def _fault(path: Path, what: str) -> SenseiError:
    return SenseiError(f"prompt file {path}: {what}", hint="mend the file; docs/extending.md shows one")
