"""A finished study in miniature, in the formats of the real one; what the tests of sensei.analysis share."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.analysis.figures.labels import SHARES
from sensei.core.yaml import read_yaml
from sensei.replay.episodes import collect, episode_name, save_episode
from sensei.study.layout import Layout, manifest_of
from sensei.study.load import load_study
from sensei.study.models.study import Study

ROOT = Path(__file__).resolve().parents[2]
EXPLORE = ["sensei", "plan2explore", "vlm_motif", "sensei_released", "random"]
LEARN = ["sensei", "plan2explore", "dreamerv3", "ppo"]
OF_ROBODESK = ("task_rewards", "open_drawer_light", "logged_runs")  # figures
OF_POKEMON = ("pokemon_progress", "pokemon_parties", "pokemon_caught", "pokemon_episodes", "pokemon_generations")
OF_GENERATIONS = ("reward_generations",)  # of studies with several: tests/study/test_generations.py
OF_OTHER_METHODS = ("robustness", "ppo_convergence", "head_start")  # fixed weights, or steps of their own
MEANS = {
    "key_picked_up": 14,
    "door_opened": 9,
    "next_to_exit": 400,
    "environment_reward": 2,
    "at_chest_without_key": 2000,
    "at_chest_with_key": 400,
}


def make_study(environments=("minihack_keyroom_s15",), seeds=(0, 1, 2), explore_steps=20_000, learn_steps=12_000, **changes) -> Study:
    """The smoke study with other axes and steps."""
    content = read_yaml(ROOT / "config" / "smoke.yaml")
    content |= {"study": "miniature", "environments": list(environments), "seeds": list(seeds), "explore": EXPLORE, "learn": LEARN}
    content["annotators"] = ["oracle", "noisy_oracle"]
    content["training"] |= {"explore_steps": explore_steps, "learn_steps": learn_steps, "evaluate_every": learn_steps // 12}
    del content["per_environment"]
    if "robodesk" not in environments:
        content["figures"] = [figure for figure in content["figures"] if figure not in OF_ROBODESK]
    return load_study(content | changes)


def episode_table(study: Study, environment: str, rng: np.random.Generator, scale: float) -> pd.DataFrame:
    """events.parquet of one run: four finished episodes and one that the end cut off, two workers."""
    config = study.settings[environment]
    length = config.training.explore_steps // 5
    rows = []
    for index in range(5):
        row = {
            "worker": index % 2,
            "episode": index // 2,
            "finished": index < 4,
            "first_step": index * length,
            "last_step": (index + 1) * length,
        }
        row |= {"length": 4 if index == 0 else 8, "episode_return": 0.0, "semantic_return": float(rng.normal())}
        rows.append(row | {event: float(rng.poisson(MEANS[event] * scale / 5)) for event in config.environment.events})
    return pd.DataFrame(rows)


def metrics_lines(study: Study, environment: str, rng: np.random.Generator, delay: float) -> str:
    """metrics.jsonl of one task run: training lines, and evaluations that rise from 0 to 1."""
    training = study.settings[environment].training
    lines = []
    for step in range(training.evaluate_every, training.learn_steps + 1, training.evaluate_every):
        success = 1 / (1 + np.exp(-(8 * step / training.learn_steps - 3 - delay)))
        logged = {"loss/image": 9.0 + rng.random(), "explore/entropy": 2.0 + rng.random(), "explore/explore_share": rng.random()}
        lines.append({"step": step - 1} | logged)
        lines.append({"step": step, "evaluation/score": float(rng.binomial(5, success) / 5), "evaluation/episodes": 5})
    return "".join(json.dumps(line) + "\n" for line in lines)


def write_runs(study: Study, layout: Layout) -> None:
    """Every run that the axes of the study name."""
    rng = np.random.default_rng(0)
    for environment in study.environments:
        task = study.settings[environment].environment.tasks[0]
        runs = [("explore", index, method) for index, method in enumerate(study.explore)]
        runs += [("learn", index, method) for index, method in enumerate(study.learn)]
        for phase, index, method in runs:
            for seed in study.seeds:
                of_phase = {"explore": layout.explore(environment, method, seed), "learn": layout.learn(environment, task, method, seed)}
                run = of_phase[phase]
                run.folder.mkdir(parents=True)
                run.metrics.write_text(metrics_lines(study, environment, rng, index))
                episode_table(study, environment, rng, 1.4 - 0.2 * index).to_parquet(run.events)
                run.video.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(100))
                manifest_of(run.video).write_text(json.dumps({"stage": phase, "seed": seed}))


def episode(length: int, events: list[str], times: dict[str, int]) -> dict[str, np.ndarray]:
    """A recorded episode; each event of `times` happens at that step, and the key flag is up from the first on."""
    rng = np.random.default_rng(1)
    counts = np.zeros((length, len(events)), np.float32)
    for event, time in times.items():
        counts[time, events.index(event)] = 1
    tiles = rng.integers(0, 255, (length, 5, 5, 3)).repeat(16, 1).repeat(16, 2).astype(np.uint8)
    last = np.arange(length) == length - 1
    return {
        "image": tiles[:, ::2, ::2],
        "annotator_image": tiles,
        "flags": (counts.cumsum(0)[:, :1] > 0).astype(np.float32),
        "action": np.zeros(length, np.int64),
        "reward": np.zeros(length, np.float32),
        "is_first": np.arange(length) == 0,
        "is_last": last,
        "is_terminal": last,
        "events": counts,
        "state": np.zeros((length, 1), np.float32),
        "event_names": np.array(events),
        "state_names": np.array(["key_held"]),
    }


def write_labels_and_rewards(study: Study, layout: Layout) -> None:
    """The collection, label cards, reward models, their curves and cards."""
    import torch

    from sensei.reward.model import RewardModel, save_model

    accuracy = {"share": 0.9625, "low": 0.95, "high": 0.97, "count": 800}
    rng = np.random.default_rng(0)
    oracle = rng.integers(0, 4, 400)
    for environment in study.environments:
        write_collection(study, environment, layout)
        for annotator in study.annotators:
            labels, reward = layout.labels(environment, annotator), layout.reward(environment, annotator)
            labels.folder.mkdir(parents=True)
            reward.folder.mkdir(parents=True)
            shares = {"first": 0.5, "second": 0.25, "tie": 0.05, "unknown": 0.2}
            card = {"pairs": 400, "errors": 0, "shares": shares, "order_bias": accuracy, "swap_consistency": accuracy}
            labels.card.write_text(json.dumps(card | {"note": f"<b>{annotator}</b>"}))
            codes = rng.integers(0, 4, 400)
            table = pd.DataFrame({"pair": np.arange(400), "label": pd.array(codes, dtype="Int8"), "oracle": pd.array(oracle, dtype="Int8")})
            table.to_parquet(labels.labels)
            epochs = np.arange(1, 6)
            curves = {"epoch": epochs, "train_loss": 0.6 / epochs, "train_accuracy": 1 - 0.3 / epochs}
            curves |= {"validation_loss": [0.6, 0.4, 0.3, 0.31, 0.33], "validation_accuracy": [0.7, 0.8, 0.9625, 0.96, 0.95]}
            pd.DataFrame(curves).to_csv(reward.curves, index=False)
            card = {
                "chosen_epoch": 3,
                "validation_loss": 0.3,
                "held_out": accuracy,
                "oracle": accuracy,
                "scale": {"low": -2.0, "high": 3.0},
                "criterion": "lowest validation loss",
            }
            for share, number in zip(SHARES, (4, 32, 320), strict=True):
                part = layout.reward(environment, annotator, share=share)
                part.folder.mkdir(exist_ok=True)
                part.card.write_text(json.dumps(card | {"pairs": {"training": number, "validation": 80, "dropped": 0}}))
            config = study.settings[environment].reward
            save_model(reward.model, RewardModel((80, 80, 3), 1, config, torch.Generator().manual_seed(0)))


def write_collection(study: Study, environment: str, layout: Layout) -> None:
    """Five episodes of the collector's run, and their index."""
    events = study.settings[environment].environment.events
    run = layout.explore(environment, study.collector, 0)
    for index in range(5):
        save_episode(run.episodes / episode_name(index % 2, index // 2), episode(40, events, {events[0]: 8, events[1]: 20}))
    collect(run.episodes, layout.collect(environment, 0).folder)


def write_study(study: Study, layout: Layout) -> None:
    """All that the figures, tables and the report are made from, the table of scores included."""
    from sensei.analysis.scores import tabulate

    write_runs(study, layout)
    write_labels_and_rewards(study, layout)
    tabulate(study, layout, layout.scores)
