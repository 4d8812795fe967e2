"""A question and an answer, and questions that differ from it."""

import dataclasses

from sensei.annotators.questions import Answer, Question
from sensei.preferences.pair import Label

QUESTION = Question("first", "second", "Which?", ("Describe.", "A room."), "own", "1", "a model", (("temperature", 0.2),))
ANSWER = Answer("0", Label.FIRST, None, 300, 1, 0.002, 1.5, 2, "127.0.0.1:8000", "req-1", None)
NO_LIMITS = {"max_usd": None, "at_once": 100, "seconds": 60.0}


def other(number: int) -> Question:
    """A question of its own."""
    return dataclasses.replace(QUESTION, first=f"picture {number}")
