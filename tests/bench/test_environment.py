"""The benchmark of environments: what it prints."""

import json

import pytest
from helpers import run_python


def speeds(tmp_path, name: str, contenders: set[str]) -> dict[str, float]:
    """Best speeds and ratios of a short run whose contenders must be `contenders`."""
    path = tmp_path / "speed.json"
    ended = run_python(
        "-m", "sensei", "bench", "environment", "--env", name, "--seconds", "0.2", "--rounds", "2", "--json", path, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(path.read_text(encoding="utf-8"))
    assert json.loads(ended.stdout) == result
    best = result["steps_per_second"]
    assert set(best) == set(result["steps_per_second_median"]) == contenders
    for pair, ratio in result["ratios"].items():
        numerator, denominator = pair.split(" / ")
        assert ratio == pytest.approx(best[numerator] / best[denominator], rel=1e-2)
    assert result["machine"]["cores"] >= 1
    return best | result["ratios"]


def test_it_prints_speeds_of_one_and_of_two_workers(tmp_path):
    measured = speeds(tmp_path, "toy_counting", {"one worker", "two workers"})
    assert measured["one worker"] > 100


@pytest.mark.slow
def test_robodesk_drawn_fast_is_many_times_as_fast_as_its_package(tmp_path):
    qualities = {f"{quality}, {workers}" for quality in ("fast", "full") for workers in ("one worker", "two workers")}
    measured = speeds(tmp_path, "robodesk", {"robodesk package", *qualities})
    assert measured["fast, one worker / robodesk package"] > 5, "15 and more on an idle machine"


def test_an_unknown_environment_names_the_known_ones(tmp_path):
    ended = run_python("-m", "sensei", "bench", "environment", "--env", "kitchen", cwd=tmp_path)
    assert ended.returncode == 2
    assert "found kitchen, expected one of minihack_keychest" in ended.stderr
    assert "Traceback" not in ended.stderr
