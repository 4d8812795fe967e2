"""What a study is said to take, against numbers worked out by hand."""

import json

import pytest
from fakes.toys import AXES, SMALL
from helpers import ROOT, run_python

from sensei.annotators.estimate import beyond_budget
from sensei.study.cost import LONGEST_JOB, limit, run_minutes
from sensei.study.graph import work
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study
from sensei.study.plan import duration, plan
from sensei.study.rates import CARD, CORE, LEARN, OWN_RUNS, QUESTION

SEEDS = 2


def study(**changes):
    sections = {name: {**SMALL[name], **changes.pop(name, {})} for name in SMALL if name != "pairs"}
    return load_study({**AXES, "environments": ["toy_keydoor"], **sections, "pairs": {"number": 100, "shards": 2}} | changes)


@pytest.fixture
def files(tmp_path):
    return Layout(tmp_path / "results" / "toys")


def row(found, stage):
    return next(row for row in found.rows if row.stage == stage)


def test_the_paper_is_chains_of_day_long_jobs():
    paper = load_study(CONFIG_FOLDER / "paper.yaml")
    found = plan(paper, Layout("nowhere/results/paper"), look=False)
    longest = max(run_minutes(paper, "learn", name, method) for name in paper.environments for method in paper.learn)
    assert longest > LONGEST_JOB == 24 * 60
    learn = row(found, "learn")
    assert learn.links == -(-longest // LONGEST_JOB) > 1 and learn.minutes == LONGEST_JOB
    assert all(one.minutes <= LONGEST_JOB for one in found.rows)
    assert found.total.jobs == 245 and found.total.card_hours > 100 > found.total.core_hours
    assert row(found, "annotate").labels == 2 * 100_000 + 200_000 and found.total.dollars == 0
    assert f"chains of up to {learn.links} of them" in found.line() and "24 h" in found.line()


def test_hours_follow_from_measured_rates(files):
    found = plan(study(), files, look=False)
    updates, batch = 240 * 8 / 32, 32
    runs = {"explore": (2 * SEEDS, 1 * SEEDS, 1.0), "learn": (2 * SEEDS, 1 * SEEDS, LEARN)}  # with a world model, without
    for stage, (learning, others, share) in runs.items():
        seconds = (learning + others) * 240 * 0.002 + learning * updates * CORE["XS"] * batch * share
        assert row(found, stage).core_hours * 3600 == pytest.approx(seconds)
        assert row(found, stage).card_hours == 0
    assert row(found, "annotate").core_hours * 3600 == pytest.approx(2 * 5 + QUESTION * row(found, "annotate").labels)
    assert row(found, "annotate").labels == 105  # 5 % of 100 in both orders
    on_card = plan(study(training={"device": "cuda"}, world_model={"size": "S"}), files, look=False)
    expected = (2 + 1) * SEEDS * 240 * 0.002 + 2 * SEEDS * updates * CARD["S"]
    assert row(on_card, "explore").card_hours * 3600 == pytest.approx(expected) and row(on_card, "explore").core_hours == 0
    assert row(on_card, "distil").unknown == row(on_card, "distil").jobs > 0
    assert "beside" in on_card.line() and "nobody measured" in on_card.line()


def test_larger_models_are_scaled_and_say_so(files):
    small, large = (plan(study(world_model={"size": size}), files, look=False) for size in ("S", "XL"))
    assert row(large, "learn").core_hours > 5 * row(small, "learn").core_hours
    assert "docs/performance.md" in row(small, "learn").sources and "the same, by size" in row(large, "learn").sources


def test_runs_of_the_study_itself_are_the_best_measure(files):
    one = study()
    timing = files.explore("toy_keydoor", "sensei", 0).timing
    timing.parent.mkdir(parents=True)
    lines = [{"step": 40 * k, "seconds": 10.0, "steps_per_second": 4.0, "updates_per_second": 1.0} for k in range(1, 6)]
    timing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    explore = row(plan(one, files, look=False), "explore")
    slow, random = 2 * SEEDS * 240 / 4.0, SEEDS * 240 * 0.002
    assert explore.core_hours * 3600 == pytest.approx(slow + random) and OWN_RUNS in explore.sources
    timing.write_text(json.dumps(lines[0]) + "\n{")
    assert OWN_RUNS not in row(plan(one, files, look=False), "explore").sources, "a line that is being written, and nothing but the prefill"


def test_what_is_made_costs_nothing_more(files):
    one = study()
    for job in work(one, files):
        for path in job.stage.outputs(files, job.job).values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    found = plan(one, files, look=False)
    assert found.total.jobs == 0 < found.total.of and found.total.core_hours == found.total.bytes == found.total.labels == 0
    run = files.learn("toy_keydoor", "keydoor", "ppo", 1)
    for path in run.outputs:
        path.unlink()
    files.scores.unlink()
    again = {one.stage: one.jobs for one in plan(one, files, look=False).rows if one.jobs}
    assert again == {"tabulate": 1, "learn": 1, "figure": 1, "tables": 1, "report": 1}


def test_dollars_are_those_of_the_budget(files, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    paid = study(annotators=["gpt-4o"])
    found = plan(paid, files)
    price = row(found, "annotate").dollars
    assert price > 0.01 and found.total.dollars == price and not found.notes
    twice = plan(study(annotators=["gpt-4o"], pairs={"number": 200, "shards": 2}), files)
    assert twice.total.dollars == pytest.approx(2 * price, rel=0.01)
    limited = paid.annotator_settings["gpt-4o"].model_copy(update={"max_usd": price / 2})
    (told,) = beyond_budget(paid.model_copy(update={"annotator_settings": {"gpt-4o": limited}}), files)
    assert f"{price:.2f} $" in told
    assert plan(paid, files, look=False).total.dollars is None and "dollars unknown" in plan(paid, files, look=False).line()


def test_labels_are_those_that_each_annotator_is_asked_for(files):
    options = {"gpt-4-turbo_right": {"views": ["right"]}, "person": {"number": 30}}
    asked = study(annotators=["oracle", *options], labels={"views": ["right", "left"], "both_orders": 0})
    settings = {name: asked.annotator_settings[name].model_copy(update=options.get(name, {})) for name in asked.annotator_settings}
    asked = asked.model_copy(update={"annotator_settings": settings})
    assert row(plan(asked, files, look=False), "annotate").labels == 2 * 100 + 100 + 2 * 30


def test_an_environment_that_cannot_be_made_is_said_and_counted(files):
    broken = {"toy_keydoor": {"environment": {"family": "fakes.badly_behaved:Raises", "events": ["odd_step"]}}}
    found = plan(study(per_environment=broken), files)
    assert any("toy_keydoor cannot be made here" in note for note in found.notes) and row(found, "explore").bytes > 0


def test_the_command_prints_a_table_or_json(tmp_path):
    toys = ROOT / "tests" / "fakes" / "toys.yaml"
    shown = run_python("-m", "sensei", "plan", "--study", toys, cwd=tmp_path)
    assert shown.returncode == 0 and "│ explore" in shown.stdout and "Plan of study toys: 15 of 15 jobs" in shown.stdout, shown.stderr
    said = json.loads(run_python("-m", "sensei", "plan", "--study", toys, "--json", cwd=tmp_path).stdout)
    assert said["total"]["jobs"] == sum(stage["jobs"] for stage in said["stages"])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "smoke").mkdir()  # a folder is no study
    named = run_python("-m", "sensei", "plan", "--study", "smoke", "--json", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    wrong = run_python("-m", "sensei", "plan", "--study", "nobody", cwd=tmp_path)
    assert (
        wrong.returncode == 2 and "there is no study nobody: expected one of config, " in wrong.stderr and "Traceback" not in wrong.stderr
    )


def test_limits_are_those_of_the_jobs():
    smoke = load_study(CONFIG_FOLDER / "smoke.yaml")
    every = work(smoke, Layout("nowhere/results/smoke"))
    assert {limit(smoke, one.stage.name, one.job).minutes for one in every if one.stage.name == "figure"} == {30}
    assert duration(45) == "45 min" and duration(1440) == "24 h"
