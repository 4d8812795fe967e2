"""A shard's questions to a real server that does everything wrong that servers do: every pair answered, nothing paid twice."""

import json
from collections import Counter

import numpy as np
import pytest
from fakes.asking import BAD_REPLIES, BROKEN, MODEL, asking, counted, distinct, draw, told, truth, write_frames

from sensei.annotators import audit
from sensei.annotators.ledger import Ledger
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label, Pair

PRICES = {"input_per_million": 5.0, "output_per_million": 15.0}


@pytest.mark.parametrize("settings", [{}, {"stitched": True}, {"structured": True}, {"detail": "high"}])
def test_every_pair_gets_its_answer_and_is_bought_once(tmp_path, address, settings):
    pairs = draw(write_frames(tmp_path), 60)
    replies = list(asking(tmp_path, **settings).replies(pairs))
    assert [reply.pair for reply in replies] == list(range(60)), "in the order asked"
    if not settings.get("stitched"):  # the server compares two pictures
        assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert counted(address)["bought"] == distinct(pairs)
    again = asking(tmp_path, **settings)
    assert list(again.replies(pairs[:9])) + list(again.replies(pairs[9:])) == replies
    assert counted(address)["bought"] == distinct(pairs), "the second time all comes from the ledger"
    turned = [Pair(pair.pair, True, pair.second, pair.first) for pair in pairs[:5]]
    assert [reply.label for reply in asking(tmp_path, **settings).replies(turned)] == [reply.label for reply in replies[:5]] or settings


def test_a_prompt_of_two_turns_asks_the_first_one_once(tmp_path, address):
    pairs = draw(write_frames(tmp_path), 30)
    replies = list(asking(tmp_path, "general").replies(pairs[:15])) + list(asking(tmp_path, "general").replies(pairs[15:]))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert counted(address)["bought"] == distinct(pairs) + 1
    kept = json.loads((tmp_path / "first_turn.json").read_text())
    assert kept["reply"].startswith("I see 1 picture")
    history = audit.table(Ledger(tmp_path / "ledger.sqlite"))["earlier_turns"].map(json.loads)
    assert {tuple(turns) for turns in history if turns} == {(kept["question"], kept["reply"])}


def test_broken_requests_are_sent_again_and_nothing_is_bought_twice(tmp_path, address):
    told(address, BROKEN | BAD_REPLIES | {"bad_image": 0.02, "hang": 0.003})
    pairs = draw(write_frames(tmp_path, 80), 400)
    asked = asking(tmp_path, requests={"timeout": 4.0})
    replies = list(asked.replies(pairs))
    count = counted(address)
    assert count["repeated"] == 0
    assert count["requests"].keys() >= BROKEN.keys() | BAD_REPLIES.keys() | {"bad_image"}, "every fault occurred"
    rejected = [reply for reply in replies if reply.error]
    assert rejected
    assert all("the server rejects this question: 400 bad_image" in reply.error for reply in rejected)
    for pair, reply in zip(pairs, replies, strict=True):
        if reply.fault:
            assert reply.answer is Label.UNKNOWN
        elif not reply.error:
            assert reply.answer is truth(pair)
    faults = Counter(reply.fault for reply in replies)
    assert faults.keys() == {None, "empty", "refused", "outside the grammar"}
    assert {reply.text for reply in replies if reply.fault == "outside the grammar"} == {
        "10",
        "The first image, because the key is visible.",
    }
    statistics = audit.statistics(asked.ledger).iloc[0]
    unanswered = {(pairs[reply.pair].first.frame, pairs[reply.pair].second.frame) for reply in rejected}
    assert count["bought"] == statistics["questions"] >= distinct(pairs) - len(unanswered), (
        "what was rejected is no answer, and was not paid"
    )
    assert statistics["attempts"] > 1
    assert audit.faults(asked.ledger) == []


def test_a_server_that_is_down_fails_with_a_count_and_what_was_answered_stays(tmp_path, address):
    pairs = draw(write_frames(tmp_path), 100)
    done = list(asking(tmp_path).replies(pairs[:40]))
    told(address, {"503": 0.5, "dropped": 0.5})
    with pytest.raises(SenseiError, match=r"\d+ questions in a row to gpt-4o-2024-05-13 at .* failed"):
        list(asking(tmp_path, requests={"attempts": 2}).replies(pairs))
    told(address, {"502": 0.3})
    with pytest.raises(SenseiError, match=r"\d+ of 100 questions .* failed: found 502 .*\n-> run again"):
        list(asking(tmp_path, requests={"attempts": 1}).replies(pairs))
    told(address, {})
    replies = list(asking(tmp_path).replies(pairs))
    assert replies[:40] == done
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]


def test_a_server_without_structured_output_is_asked_without(tmp_path, address):
    told(address, {"no_schema": 1.0})
    pairs = draw(write_frames(tmp_path), 20)
    replies = list(asking(tmp_path, structured=True).replies(pairs))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert {reply.text for reply in replies} <= {"0", "1", "2"}


@pytest.mark.parametrize("batch", [False, True])
def test_a_budget_is_never_exceeded_and_what_was_bought_is_kept(tmp_path, address, batch):
    pairs = draw(write_frames(tmp_path, 60), 200)
    settings = {"prices": PRICES, "requests": {"batch": batch}}
    limit = 0.12 if batch else 0.2
    with pytest.raises(
        SenseiError, match=rf"could exceed `max_usd`: found 0\.\d+ \$ spent, expected at most {limit} \$\n-> raise `max_usd`"
    ):
        list(asking(tmp_path, **settings, max_usd=limit).replies(pairs))
    bought = counted(address)["bought"]
    spent = Ledger(tmp_path / "ledger.sqlite").spent(MODEL)
    assert 0.5 * limit < spent <= limit
    assert 0 < bought < distinct(pairs)
    replies = list(asking(tmp_path, **settings, max_usd=5.0).replies(pairs))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert counted(address)["repeated"] == 0
    ledger = Ledger(tmp_path / "ledger.sqlite")
    table = audit.table(ledger)
    full = (table["input_tokens"] * 5 + table["output_tokens"] * 15) / 1e6
    assert np.allclose(table["usd"], full / 2 if batch else full)
    assert audit.faults(ledger) == []
