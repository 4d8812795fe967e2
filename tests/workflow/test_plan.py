"""What the workflow plans: the jobs of a study, what an edit re-makes, what a mistake gets. No stage runs here."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, planned, planned_commands, snakemake

from sensei.study.graph import work
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study
from sensei.study.models.annotators import annotator_class

SMOKE = ("-n", "--configfile", "config/smoke.yaml")
AFTER_TABULATE = {"figure": 8, "tables": 1, "report": 1, "all": 1}


def expected_jobs(name: str, **changes: object) -> dict[str, int]:
    """Jobs of a study by rule, from its axes alone."""
    study = load_study(yaml.safe_load((CONFIG_FOLDER / f"{name}.yaml").read_text()) | changes, name)
    generations = study.generations or 1
    annotators = {name: study.annotators_of(name) for name in study.environments}
    labelled = sum(map(len, annotators.values()))
    extra_collections = sum(
        len({seed for seed in parts.pairs.seeds if seed not in study.seeds_of(name) or study.collector not in study.explore})
        for name, parts in study.settings.items()
    )
    explored = sum(len(study.seeds_of(name)) for name in study.environments)
    learned = sum(len(study.seeds_of(name)) * len(study.settings[name].environment.tasks) for name in study.environments)
    trained = sum(study.annotator_settings[name].kind == "captioned_clip" for names in annotators.values() for name in names)
    asking = dict.fromkeys(("annotate", "annotate_by_server"), 0)
    for name, names in annotators.items():
        for annotator in names:
            asks_server = annotator_class(study.annotator_settings[annotator].kind).asks_server
            asking["annotate_by_server" if asks_server else "annotate"] += study.settings[name].pairs.shards
    guided = sum(study.methods[method].needs_reward_model for method in study.explore if method not in study.one_generation)
    jobs = {
        "explore": (len(study.explore) + guided * (generations - 1)) * explored + extra_collections,
        "collect": sum(len(parts.pairs.seeds) for parts in study.settings.values()),
        "pairs": sum(not all(study.own_pairs(annotator, 1) for annotator in names) for names in annotators.values()),
        "own_pairs": sum(study.own_pairs(annotator, 1) is not None for names in annotators.values() for annotator in names),
        **asking,
        "caption_clip": trained,
        "merge": labelled,
        "trust": labelled,
        "distil": labelled,
        "distil_part": 2 * labelled if "labels" in study.figures else 0,
        "learn": len(study.learn) * learned,
        "tabulate": 1,
        "figure": len(study.figures),
        "tables": 1,
        "report": 1,
        "all": 1,
    }
    labelling = "collect", "pairs", *asking, "caption_clip", "merge", "trust", "distil", "distil_part"
    return {rule: count * (generations if rule in labelling else 1) for rule, count in jobs.items() if count}


ABLATIONS = sorted(f"ablations/{path.stem}" for path in (CONFIG_FOLDER / "ablations").glob("*.yaml"))


def test_every_ablation_has_a_sibling_that_two_cores_carry():
    assert len(ABLATIONS) == 18
    for name in ABLATIONS:
        study = load_study(CONFIG_FOLDER / f"{name}.yaml")
        assert f"ablations/{study.study}" == name, "results of two studies never lie in one folder"
        sibling = load_study(CONFIG_FOLDER / f"{name.removesuffix('_laptop')}_laptop.yaml")
        assert (study.explore, study.learn, study.figures, study.question) == (
            sibling.explore,
            sibling.learn,
            sibling.figures,
            sibling.question,
        )
        assert all(settings.world_model.size == "XS" for settings in sibling.settings.values())


@pytest.mark.parametrize("name", ["smoke", "config", "paper", "robodesk_laptop", "evidence_minihack", "evidence_robodesk", *ABLATIONS])
def test_the_jobs_of_a_study_follow_from_its_axes(name, tmp_path):
    result = snakemake("-n", "--configfile", CONFIG_FOLDER / f"{name}.yaml", cwd=tmp_path)
    assert planned(result) == expected_jobs(name)
    assert not (tmp_path / "results").exists()
    count = sum(expected_jobs(name).values()) - 1  # without rule `all`
    assert f"Plan of study {name.rpartition('/')[2]}: {count} of {count} jobs, " in result.stderr


def test_further_generations_are_further_jobs_of_labels_and_of_the_runs_that_they_guide(tmp_path):
    result = snakemake("-n", "-p", "--configfile", CONFIG_FOLDER / "smoke.yaml", "--config", "generations=3", cwd=tmp_path)
    assert planned(result) == expected_jobs("smoke", generations=3)
    explored = [options for stage, options in planned_commands(result) if stage == "explore" and "--method sensei" in options]
    assert Counter(re.findall(r"--generation=(\S*)", " ".join(explored))) == {"": 2, "2": 2, "3": 2}
    _, count = re.search(r"Plan of study smoke: (\d+) of (\d+) jobs", result.stderr).groups()
    assert int(count) == sum(expected_jobs("smoke", generations=3).values()) - 1


def test_the_paper_has_246_jobs():
    # MiniHack: 2 environments x 10 seeds x (3 explored + 4 learned methods) = 140 runs. Robodesk: 3 seeds x (3 explored + 4 learned
    # methods x 3 tasks) = 45, and Plan2Explore with a fourth seed for the pairs. Around them 60 jobs.
    assert sum(expected_jobs("paper").values()) == 246


@pytest.mark.parametrize(
    "target, present, absent",
    [
        ("figures", {"figure", "learn"}, {"report", "tables"}),
        ("labels", {"merge", "annotate"}, {"distil", "learn"}),
        ("train_all", {"explore", "learn"}, {"tabulate", "figure"}),
        ("report", {"report", "figure"}, set()),
        ("published", {"published"}, {"explore", "figure"}),
    ],
)
def test_named_targets(target, present, absent, tmp_path):
    jobs = planned(snakemake(target, "-n", "--configfile", CONFIG_FOLDER / "smoke.yaml", cwd=tmp_path))
    assert present <= set(jobs) and not absent & set(jobs)


def test_a_study_is_never_laid_over_the_laptop_study(checkout, change_study):
    (checkout / "config" / "config.yaml").write_text("pairs: {shards: 7}\nstudy: config\n")
    assert planned(snakemake(*SMOKE, cwd=checkout)) == {}


def test_the_laptop_study_is_the_default(checkout):
    assert planned(snakemake("-n", cwd=checkout)) == expected_jobs("config")


def test_a_finished_study_has_nothing_to_do(checkout):
    assert planned(snakemake(*SMOKE, cwd=checkout)) == {}


@pytest.mark.parametrize("suffix", [".pdf", ".png", ".csv"])
def test_a_deleted_figure_is_the_only_one_drawn_again(checkout, suffix):
    (checkout / "results" / "smoke" / "figures" / f"interactions{suffix}").unlink()
    assert planned(snakemake(*SMOKE, cwd=checkout)) == {"figure": 1, "report": 1, "all": 1}


@pytest.mark.parametrize(
    "lost",
    [
        "scores.parquet",
        "minihack_keyroom_s5/explore/sensei/seed0/agent.pt",
        "minihack_keyroom_s5/labels/oracle/trust.json",
        "minihack_keyroom_s5/labels/captioned_clip/labels.parquet",
        "minihack_keyroom_s5/learn",
        "robodesk",
    ],
)
def test_what_is_left_is_what_snakemake_plans(checkout, lost):
    """Counted without Snakemake by `sensei.study.graph`, for the plan of a study."""
    files = Layout(checkout / "results" / "smoke")
    (shutil.rmtree if (files.root / lost).is_dir() else Path.unlink)(files.root / lost)
    files.report.unlink()  # else Snakemake looks no further than what it is asked for
    left = Counter(one.stage.name for one in work(load_study(checkout / "config" / "smoke.yaml"), files, left=True))
    jobs = planned(snakemake(*SMOKE, cwd=checkout))
    parts = {"caption_clip": "caption-clip", "own_pairs": "own-pairs", "distil_part": "distil", "all": None}
    found = Counter()
    for rule, count in jobs.items():
        found[parts.get(rule, rule)] += count
    assert left == found - Counter({None: 1})


def test_a_study_that_was_unpacked_is_only_drawn_however_new_its_prompts_are(checkout):
    files = Layout(checkout / "results" / "smoke")
    for name in ("agent.pt", "pairs.frames.npz", "open_clip_model.safetensors", "scores.parquet"):
        for path in files.root.rglob(name):
            path.unlink()
    for path in [*files.root.glob("figures/*"), *files.root.glob("tables/*"), files.report]:
        path.unlink()
    for path in (checkout / "config" / "prompts").iterdir():
        path.touch()
    shutil.rmtree(checkout / ".snakemake")  # which knows that their content is what it was; elsewhere it is not there
    given = (*SMOKE, "--rerun-triggers", "mtime")
    assert "caption_clip" in planned(snakemake(*given, cwd=checkout)), "they are newer than what was made with them"
    files.croissant.touch()
    assert planned(snakemake(*given, cwd=checkout)) == {"tabulate": 1, **AFTER_TABULATE, "figure": 8}  # `training` reads no scores


def test_comments_and_docstrings_schedule_nothing(checkout):
    for name in ("sensei/reward/distil.py", "sensei/training/runs.py", "workflow/rules/train.smk", "sensei/analysis/scores.py"):
        path = checkout / name
        path.write_text(path.read_text() + "\n# a remark\n")
    path = checkout / "sensei/reward/distil.py"
    path.write_text(re.sub(r'^""".*?"""', '"""Other words."""', path.read_text(), count=1, flags=re.DOTALL))
    assert planned(snakemake(*SMOKE, cwd=checkout)) == {}


def test_an_edit_of_the_code_re_makes_what_depends_on_it(checkout):
    path = checkout / "sensei/analysis/scores.py"
    path.write_text(path.read_text() + "\nSOMETHING = 1\n")
    jobs = planned(snakemake(*SMOKE, cwd=checkout))
    assert {"tabulate", "figure", "report"} <= set(jobs)
    assert not {"explore", "learn", "distil", "annotate"} & set(jobs)


def adopt(checkout) -> None:
    """Accept the changed configuration as the error message says."""
    (checkout / "results/smoke/study.yaml").unlink()


def test_a_reward_parameter_re_makes_exactly_what_depends_on_the_reward(checkout, change_study):
    change_study(reward={"learning_rate": 5.0e-4})
    adopt(checkout)
    jobs = planned(snakemake(*SMOKE, cwd=checkout))
    # all annotators' models, the method with a semantic reward, its task run, in both environments; not Plan2Explore, DreamerV3, PPO
    assert jobs == {"distil": 3, "distil_part": 6, "explore": 2, "learn": 2, "tabulate": 1, **AFTER_TABULATE}


def test_other_limits_are_a_new_verdict_and_no_new_model(checkout, change_study):
    change_study(labels={"largest_order_bias": 0.3})
    adopt(checkout)
    assert planned(snakemake(*SMOKE, cwd=checkout)) == {"trust": expected_jobs("smoke")["trust"]}


def test_another_way_of_asking_asks_again(checkout, change_study):
    change_study(labels={"order": "both"})
    adopt(checkout)
    jobs = planned(snakemake(*SMOKE, cwd=checkout))
    assert {"annotate": 5, "merge": 3, "trust": 3, "distil": 3, "distil_part": 6}.items() <= jobs.items()
    assert "caption_clip" not in jobs


def test_labels_that_are_not_trusted_are_not_distilled(checkout):
    stages = checkout / "sensei" / "__main__.py"
    stages.write_text(stages.read_text().replace("for path", "assert name != 'trust'\nfor path"))
    folder = "results/smoke/minihack_keyroom_s5"
    model, verdict = (checkout / folder / name for name in ("reward/oracle/reward.safetensors", "labels/oracle/trust.json"))
    model.unlink()
    verdict.unlink()
    result = snakemake(model.relative_to(checkout), "--cores", "1", "--configfile", "config/smoke.yaml", cwd=checkout)
    assert result.returncode != 0 and "Error in rule trust" in result.stdout + result.stderr
    assert not model.exists()


def test_the_length_of_the_task_re_makes_only_the_task(checkout, change_study):
    change_study(training={"learn_steps": 700})
    adopt(checkout)
    jobs = planned(snakemake(*SMOKE, cwd=checkout))
    assert jobs == {"learn": 3, "tabulate": 1, **AFTER_TABULATE}


def test_where_a_study_runs_re_makes_nothing(checkout, change_study):
    change_study(training={"device": "auto", "trackers": ["tensorboard"]})
    assert planned(snakemake(*SMOKE, cwd=checkout)) == {}


def test_more_seeds_and_methods_join_a_finished_study(checkout, change_study):
    change_study(seeds=[0, 1], explore=["sensei", "plan2explore", "vlm_motif"])
    jobs = planned(snakemake(*SMOKE, cwd=checkout))
    assert jobs == {"explore": 2 * (2 * 3 - 2), "learn": 2 * 3, "tabulate": 1, **AFTER_TABULATE}


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"reward": {"learning_rate": 5.0e-4}}, "reward.learning_rate"),
        ({"training": {"explore_steps": 1200}}, "training.explore_steps"),
        ({"world_model": {"image_size": 64}}, "world_model.image_size"),
        ({"annotators": ["noisy_oracle", "oracle"]}, "annotator of.sensei"),
    ],
)
def test_a_folder_of_another_configuration_is_refused_before_any_job(checkout, change_study, changes, key):
    before = {path: path.stat().st_mtime_ns for path in (checkout / "results").rglob("*")}
    change_study(**changes)
    result = snakemake("--cores", "1", "--configfile", "config/smoke.yaml", cwd=checkout)
    refused(result, "results/smoke/study.yaml", key, "study:")
    assert {path: path.stat().st_mtime_ns for path in (checkout / "results").rglob("*")} == before


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Ended before any job with one to three lines that hold `words`, without a traceback."""
    assert result.returncode != 0
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("Using workflow specific profile", "Config file "))]
    message = [line for line in lines if line.strip() and not line.startswith("Assuming unrestricted shared filesystem")]
    assert 1 <= len(message) <= 3, result.stderr
    assert all(word in "\n".join(message) for word in words), result.stderr


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"seedz": [1]}, ["seedz"]),
        ({"training": {"no_such_key": 5}}, ["training.no_such_key"]),
        ({"training": {"workers": "many"}}, ["training.workers"]),
        ({"seeds": []}, ["seeds"]),
        ({"environments": ["minihack_keyrom"]}, ["minihack_keyrom", "minihack_keyroom_s5"]),
        ({"learn": ["sensay"]}, ["sensay"]),
        ({"annotators": ["gpt9"]}, ["gpt9"]),
        ({"figures": ["figure_99"]}, ["figure_99", "interactions"]),
        ({"exploration": {"percentile": 120}}, ["exploration.percentile", "120"]),
        ({"pairs": {"number": 10**9}}, ["pairs.number"]),
        ({"relabel_every": 10**6}, ["relabel_every", "lower it"]),
    ],
)
def test_a_mistake_ends_the_workflow_before_any_job_and_writes_nothing(changes, words, write_study, tmp_path):
    path = write_study(changes)
    refused(snakemake("--cores", "1", "--configfile", path, cwd=tmp_path), *words)
    assert {entry.name for entry in tmp_path.iterdir()} <= {path.name, ".snakemake"}


def test_a_mistake_on_the_command_line_is_found_too(tmp_path):
    result = snakemake("--cores", "1", "--configfile", CONFIG_FOLDER / "smoke.yaml", "--config", "seeds=none", cwd=tmp_path)
    refused(result, "seeds")


def test_a_broken_file_is_refused(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("seeds: [0\n")
    result = snakemake("--cores", "1", "--configfile", path, cwd=tmp_path)
    assert result.returncode != 0 and "YAML" in result.stderr
    assert not (tmp_path / "results").exists()


def test_a_key_that_stands_twice_ends_the_workflow_though_snakemake_takes_the_last(write_study, tmp_path):
    path = write_study()
    path.write_text(path.read_text() + "training: {workers: 3}\n")
    line = len(path.read_text().splitlines())
    refused(snakemake("-n", "--configfile", path, cwd=tmp_path), f"{path.name}, line {line}", "training stands twice")


def test_the_study_is_what_its_file_says_and_not_what_snakemake_reads(write_study, tmp_path):
    path = write_study({"study": "NAME", "environments": ["minihack_keyroom_s5"], "per_environment": {}, "figures": ["learn"]})
    path.write_text(path.read_text().replace("NAME", "off"))
    result = snakemake("-n", "-p", "--configfile", path, "--config", "seeds=[4]", cwd=tmp_path)
    assert planned(result)["learn"] == 3
    assert "--study results/off/study.yaml --environment minihack_keyroom_s5 --task keyroom_s5 --method ppo --seed 4" in result.stdout


def test_the_entry_file_stays_short():
    lines = (ROOT / "Snakefile").read_text().splitlines()
    assert len(lines) <= 50
    assert not any(line.lstrip().startswith("def ") for line in lines)


def test_every_rule_says_what_it_needs():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in re.split(r"\n *rule\b", path.read_text())[1:]:
            for directive in ("output:", "log:", "threads:", "resources:", "mem_mb=", "runtime=", "params:", "message:", "shell:"):
                assert f" {directive}" in rule, f"{path.name}: rule {rule.split(':')[0]} lacks {directive}"
            assert "code=code(" in rule, rule.split(":")[0]
            assert "retries:" not in rule and "checkpoint " not in rule


@pytest.mark.parametrize("profile", ["workstation", "slurm"])
def test_profiles_use_the_same_triggers(profile):
    content = yaml.safe_load((ROOT / "workflow" / "profiles" / profile / "config.yaml").read_text())
    assert content["rerun-triggers"] == ["mtime", "input", "params", "software-env"]
    assert content["rerun-incomplete"] is True and "keep-incomplete" not in content


def test_the_slurm_profile_plans_the_paper(tmp_path):
    result = snakemake(
        "-n", "--configfile", CONFIG_FOLDER / "paper.yaml", "--workflow-profile", ROOT / "workflow/profiles/slurm", cwd=tmp_path
    )
    assert planned(result) == expected_jobs("paper")


def test_annotators_that_ask_a_server_run_where_the_ledger_is(tmp_path):
    """On a cluster all nodes would write to one SQLite file."""
    asked = "--config", 'annotators=["gpt-4o", "oracle"]'
    jobs = planned(snakemake("-n", "labels", *asked, "--configfile", CONFIG_FOLDER / "smoke.yaml", cwd=tmp_path))
    shards = load_study(CONFIG_FOLDER / "smoke.yaml").settings["minihack_keyroom_s5"].pairs.shards
    assert jobs["annotate_by_server"] == shards
    assert "localrules:\n    annotate_by_server," in (ROOT / "workflow" / "rules" / "annotate.smk").read_text()
