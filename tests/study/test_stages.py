"""The table of stages: what each reads, writes and depends on; what a run costs, and which results folders a study accepts."""

import pytest

from sensei.core.errors import SenseiError
from sensei.core.provenance import closure
from sensei.study.cost import job_minutes, jobs_in_a_row, run_memory, run_minutes
from sensei.study.folder import check_folder, record_study
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study
from sensei.study.models.study import OPERATIONAL, Study
from sensei.study.slices import jobs
from sensei.study.stage import Job, flat
from sensei.study.stages import STAGES

FILES = Layout("results/any")
STUDIES = sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def settings(study: Study, stage: str, **names: str) -> dict:
    return STAGES[stage].settings(study, Job.of({"environment": study.environments[0], **names}))


@pytest.fixture(scope="module")
def smoke() -> Study:
    return load_study(CONFIG_FOLDER / "smoke.yaml")


def test_slices_hold_what_a_stage_reads_and_no_more(smoke):
    explore, learn = settings(smoke, "explore", method="sensei"), settings(smoke, "learn", method="sensei")
    assert "learn_steps" not in explore["training"] and "explore_steps" in explore["training"]
    assert "explore_steps" not in learn["training"] and "learn_steps" in learn["training"]
    assert not OPERATIONAL & set(explore["training"])
    assert settings(smoke, "explore", method="plan2explore")["episodes_of"] == [0]
    assert explore["episodes_of"] == []
    assert set(settings(smoke, "distil", annotator="oracle")) == {"reward"}
    labels = smoke.settings[smoke.environments[0]].labels.model_dump()
    asked, limits = settings(smoke, "annotate", annotator="oracle")["asking"], settings(smoke, "trust", annotator="oracle")
    assert not set(asked) & set(limits) and asked | limits == labels
    assert settings(smoke, "merge", annotator="oracle") == {"order": "random"}


@pytest.mark.parametrize("name", STUDIES)
def test_every_input_is_an_output_of_another_stage_or_a_file_of_the_project(name):
    study = load_study(CONFIG_FOLDER / f"{name}.yaml")
    everything = {stage: jobs(table, study) for stage, table in STAGES.items() if table.needs_study}
    collected = [
        {"environment": environment, "method": study.collector_of(generation), "seed": seed, "generation": generation}
        for environment, parts in study.settings.items()
        for seed in parts.pairs.seeds
        for generation in range(1, 1 + len(study.generation_ends(environment)))
    ]
    everything["explore"] += [Job.of({**names, "generation": max(1, names["generation"] - 1)}) for names in collected]
    everything["collect"] = list(map(Job.of, collected))
    everything["distil"] += [Job.of({**vars(job), "share": share}) for job in everything["distil"] for share in ("0.01", "0.1")]
    made = {path: (stage, job) for stage, each in everything.items() for job in each for path in STAGES[stage].outputs(FILES, job).values()}
    for stage, each in everything.items():
        for job in each:
            if stage == "own-pairs" and not study.annotator_settings[job.annotator].episodes:
                continue
            needed = [*flat(STAGES[stage].inputs(study, FILES, job)), *STAGES[stage].waits_for(study, FILES, job)]
            for path in needed:
                if stage == "caption-clip" and study.annotator_settings[job.annotator].kind != "captioned_clip":
                    continue
                own = path.is_relative_to(CONFIG_FOLDER) or "model" in path.parts
                assert own or made.get(path, (stage, job)) != (stage, job), (stage, job, path)
            assert set(STAGES[stage].folders(study, FILES, job).values()) <= set(needed), "a folder is named by an input"


def test_no_two_stages_write_the_same_file(smoke):
    patterns = [path for stage in STAGES.values() for path in stage.outputs(FILES, Job(share="{share}")).values()]
    assert len(set(patterns)) == len(patterns)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_knows_its_code(stage, smoke):
    job = jobs(STAGES[stage], smoke)[0]
    modules = closure(STAGES[stage].code(smoke, job), STAGES[stage].facts(smoke, job))
    assert modules and not any(name.startswith(("sensei.study", "sensei.cli", "sensei.bench")) for name in modules)


def test_code_follows_what_a_run_uses(smoke):
    def modules(stage: str, **names: str) -> set[str]:
        return set(closure(STAGES[stage].code(smoke, Job.of(names))))

    room, desk = smoke.environments
    runs = {method: modules("learn", environment=room, method=method) for method in ("sensei", "ppo")}
    assert "sensei.agents.ppo" in runs["ppo"] - runs["sensei"] and "sensei.agents.dreamer" in runs["sensei"] - runs["ppo"]
    assert not any("robodesk" in name for name in runs["sensei"])
    assert not any("minihack" in name for name in modules("explore", environment=desk, method="sensei"))
    asked = {name: modules("annotate", environment=room, annotator=name) for name in ("oracle", "captioned_clip")}
    assert not any("vlm" in name for names in asked.values() for name in names)
    assert "sensei.annotators.clip.captioned_clip" not in asked["oracle"]
    drawn = modules("figure", figure="interactions")
    assert "sensei.analysis.figures.labels" not in drawn and "sensei.analysis.figures.interactions" in drawn


def test_cost_follows_from_the_steps():
    smoke, paper = load_study(CONFIG_FOLDER / "smoke.yaml"), load_study(CONFIG_FOLDER / "paper.yaml")
    assert run_minutes(smoke, "learn", smoke.environments[0], "sensei") < 60
    # 500,000 steps are 250,000 updates
    assert run_minutes(paper, "explore", paper.environments[0], "sensei") == int(30 + (1000 + 125_000) / 60)
    assert run_minutes(paper, "learn", paper.environments[0], "ppo") == int(30 + 49e6 * 0.002 / 60)
    assert job_minutes(paper, "explore", paper.environments[0], "sensei") == 24 * 60
    assert (jobs_in_a_row(paper, "explore"), jobs_in_a_row(paper, "learn"), jobs_in_a_row(smoke, "learn")) == (3, 5, 1)
    assert run_memory(paper, "explore", paper.environments[0], "sensei") == 4000 + 2 * 500_000 * 64 * 64 * 3 // 10**6


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"training": {"learn_steps": 700}}, "learn_steps"),
        ({"reward": {"epochs": 6}}, "reward.epochs"),
        ({"pairs": {"number": 300}}, "pairs.number"),
        ({"collector": "random"}, "collector"),
        ({"annotators": ["noisy_oracle", "oracle"]}, "annotator of"),
        ({"training": {"device": "auto", "trackers": ["tensorboard"], "checkpoint_every": 50}}, None),
        ({"seeds": [0, 1]}, None),
        ({"explore": ["sensei", "plan2explore", "vlm_motif"]}, None),
        ({"figures": ["interactions"]}, None),
        ({"environments": ["minihack_keyroom_s5", "minihack_keyroom_s15"], "figures": ["labels"]}, None),
    ],
)
def test_a_folder_accepts_more_of_the_same_and_nothing_else(changes, key, write_study, tmp_path):
    path = tmp_path / "results" / "study.yaml"
    record_study(load_study(write_study()), path)
    study = load_study(write_study(changes))
    if key is None:
        check_folder(study, path, "my.yaml")
        return
    with pytest.raises(SenseiError) as caught:
        check_folder(study, path, "my.yaml")
    message = str(caught.value)
    assert key in message and str(path) in message and "my.yaml" in message
    assert len(message.splitlines()) <= 3


def test_recording_the_same_study_again_leaves_the_file_alone(write_study, tmp_path):
    path = tmp_path / "study.yaml.recorded"
    study = load_study(write_study())
    record_study(study, path)
    before = path.stat().st_mtime_ns
    record_study(study, path)
    assert path.stat().st_mtime_ns == before
