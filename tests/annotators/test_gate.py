"""The gate of a shard: counts of all replies, the limit, and what is said."""

import pytest

from sensei.annotators.gate import EARLY, Gate
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label, Reply


def reply(fault=None, error=None):
    return Reply(0, False, "0", None if error else Label.UNKNOWN if fault else Label.FIRST, error, fault)


def test_a_share_at_the_limit_passes_and_one_above_does_not():
    gate = Gate("gpt-4o", 0.1)
    for _ in range(18):
        gate.count(reply())
    gate.count(reply("cut off"))
    gate.count(reply(error="the server rejects this question: 400 bad image"))
    gate.check()
    gate.count(reply("cut off"))
    said = r"3 of 21 replies of gpt-4o are no answers: found 2 cut off, 1 failed, the last: the server rejects .*\n-> raise `reply_tokens`"
    with pytest.raises(SenseiError, match=said):
        gate.check()


def test_a_long_shard_stops_early_and_no_limit_never_does():
    for limit, expected in ((0.5, EARLY), (None, 3 * EARLY)):
        gate, counted = Gate("gpt-4o", limit), 0
        try:
            for _ in range(3 * EARLY):
                counted += 1
                gate.count(reply("outside the grammar"))
        except SenseiError as error:
            assert "ledger export" in str(error)
        assert counted == expected
