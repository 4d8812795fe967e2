"""What a study will ask, before anything is sent, and before there is anything to ask about."""

from pathlib import Path

import pytest
from fakes.asking import ENVIRONMENT

from sensei.annotators.estimate import estimate_lines
from sensei.study.load import load_study


def test_an_annotator_that_sends_nothing_looks_at_nothing(smoke, tmp_path):
    study = load_study(smoke | {"annotators": ["oracle"]}, "the test")
    absent = Path("no pairs"), Path("no frames")
    assert estimate_lines(study, ENVIRONMENT, "oracle", *absent, tmp_path / "ledger.sqlite") == [
        "annotator oracle sends nothing and costs nothing"
    ]


@pytest.mark.parametrize(("labels", "each"), [({"both_orders": 0}, 1), ({"both_orders": 0.5}, 1.5), ({"order": "both"}, 2)])
def test_before_there_are_pairs_their_number_is_the_studys(smoke, tmp_path, labels, each):
    changes = {"annotators": ["gpt-4o"], "pairs": {"number": 200, "shards": 1, "prompt": "minihack"}, "labels": labels}
    ledger = tmp_path / "ledger.sqlite"
    said = estimate_lines(load_study(smoke | changes, "the test"), ENVIRONMENT, "gpt-4o", None, None, ledger)
    assert said[0] == "model    gpt-4o-2024-05-13"
    assert said[1] == f"pairs    200: {int(200 * each)} questions, of which the ledger answers 0"
    assert not ledger.exists()
