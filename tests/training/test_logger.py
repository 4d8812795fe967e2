"""Lines of metrics."""

import json
from pathlib import Path

import torch

from sensei.study.layout import RunFiles
from sensei.training.logger import Logger
from sensei.training.tracking import Tracking


def untracked(folder: Path) -> Tracking:
    return Tracking([], RunFiles(folder), "s", "t", dict)


def so_far(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in RunFiles(folder).metrics_so_far.read_text().splitlines()]


def test_means_of_metrics_that_come_together_or_not(tmp_path):
    logger = Logger(RunFiles(tmp_path), every=10, total=20, title="t", tracking=untracked(tmp_path))
    logger.add({})
    for value in (1.0, 2.0, 4.5):
        logger.add({"a": torch.tensor(value), "b": torch.tensor(-value)})
    logger.add({"c": torch.tensor(8.0)})
    again = Logger(RunFiles(tmp_path), every=10, total=20, title="t", tracking=untracked(tmp_path))
    again.restore(logger.checkpoint(), step=5, updates=4)
    for each in (logger, again):
        each.advance(10, 4, {})
        each.close()
        assert so_far(tmp_path)[-1] == {"step": 10, "a": 2.5, "b": -2.5, "c": 8.0, "updates": 4.0}
    assert len(so_far(tmp_path)) == 2


def test_a_scalar_that_comes_with_others_or_without_is_averaged_over_all_updates(tmp_path):
    logger = Logger(RunFiles(tmp_path), every=10, total=20, title="t", tracking=untracked(tmp_path))
    for value in (1.0, 2.0, 6.0):
        logger.add({"a": torch.tensor(value)})
    logger.add({"a": torch.tensor(11.0), "b": torch.tensor(3.0)})
    logger.advance(10, 4, {})
    logger.close()
    assert so_far(tmp_path)[-1] == {"step": 10, "a": 5.0, "b": 3.0, "updates": 4.0}
