"""What a study will ask, before anything is sent, and before there is anything to ask about."""

from pathlib import Path

import pytest
import yaml
from fakes.asking import ENVIRONMENT, MODEL, write_study

from sensei.annotators.estimate import beyond_budget, estimate_lines
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study, read_study

SHIPPED = sorted(path.stem for path in (CONFIG_FOLDER / "annotators").glob("*.yaml"))


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


def test_a_study_that_would_pass_its_budget_says_so_before_and_after_there_are_pairs(tmp_path):
    files = write_study(tmp_path, 60, 20, max_usd=0.01)
    study = read_study(files.study)
    [known] = beyond_budget(study, files)
    assert known.startswith(f"the questions to {MODEL} should cost 0.1")
    assert "`max_usd` of annotator gpt-4o is 0.01 $: raise it" in known
    made = files.pairs(ENVIRONMENT)
    for path in (made.pairs, made.frames):
        path.unlink()
    [guessed] = beyond_budget(study, files)
    cost = [float(said.split("cost ")[1].split(" $")[0]) for said in (known, guessed)]
    assert cost[0] == pytest.approx(cost[1], rel=0.1)
    assert not files.ledger.exists(), "nothing is written"
    labels = files.labels(ENVIRONMENT, "gpt-4o").labels
    labels.parent.mkdir(parents=True)
    labels.touch()
    assert beyond_budget(study, files) == [], "what is labelled costs nothing more"


def test_every_shipped_annotator_has_a_budget_and_the_shipped_studies_keep_it(tmp_path):
    study = load_study(yaml.safe_load((CONFIG_FOLDER / "smoke.yaml").read_text()) | {"annotators": SHIPPED}, "the test")
    limited = {name: getattr(options, "max_usd", 0.0) for name, options in study.annotator_settings.items() if name in SHIPPED}
    assert None not in limited.values() and limited["gpt-4o"] == 20
    assert beyond_budget(study, Layout(tmp_path / "results" / "smoke")) == []
