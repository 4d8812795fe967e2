"""The checker finds every breach of the contract."""

import signal
import time

import numpy as np
import pytest
from fakes.counting import CONFIG

from sensei.core.errors import SenseiError
from sensei.envs.check import check_environment
from sensei.envs.contract import Outcome
from sensei.envs.toy import Counting, KeyDoor


def ends_twice(self, action):
    observation, reward, _, _, info = Counting.step(self, action)
    return observation, reward, True, True, info


def breach(**methods) -> Counting:
    return type("Broken", (Counting,), methods)(CONFIG, 16)


def test_the_checker_accepts_the_toys():
    assert check_environment(Counting(CONFIG, 16)) <= 12
    config = CONFIG.model_copy(update={"events": ["door_opened"]})
    assert check_environment(KeyDoor(config, 24)) <= 12


BREACHES = {
    r"`image`: found float64 \(16, 16, 3\), expected uint8": {"_image": lambda self: np.zeros((16, 16, 3))},
    r"`image`: found uint8 \(8, 8, 3\)": {"_image": lambda self: np.zeros((8, 8, 3), np.uint8)},
    r"`flags`: found float64": {"_flags": lambda self: np.zeros(1)},
    r"`state`: found {'other': 1.0}, expected finite numbers for steps": {"_state": lambda self: {"other": 1.0}},
    r"`state`: .*nan": {"_state": lambda self: {"steps": np.nan, "last_action": 0.0, "seed": 0.0}},
    r"`render_for_annotator\(\)`: found uint8 \(8, 8, 3\)": {"render_for_annotator": lambda self: np.zeros((8, 8, 3), np.uint8)},
    r"`reward`: found nan": {"_advance": lambda self, action: Outcome(np.nan)},
    r"two values under seed 0": {"_flags": lambda self: np.random.rand(1).astype(np.float32)},  # noqa: NPY002
    r"end of the episode: found terminated=True, truncated=True": {"step": ends_twice},
}


def raises(error):
    def method(self, *arguments):
        raise error

    return method


def prints(self, action):
    print("step!")
    return Counting._advance(self, action)


BREACHES |= {
    r"reset\(\) raises ValueError: found 'on fire'": {"_begin": raises(ValueError("on fire"))},
    r"step\(\) raises SystemExit: found '3'": {"_advance": raises(SystemExit(3))},
    r"render_for_annotator\(\) raises KeyError": {"render_for_annotator": raises(KeyError("camera"))},
    r"reset\(\): found None, expected 2 values": {"reset": lambda self, seed=None: None},
    r"reset\(\), info: found nothing, expected events": {
        "reset": lambda self, seed=None: (Counting.reset(self, seed=seed)[0], {"nothing": 1})
    },
    r"`image`: found \[\[0\]\], expected uint8": {"_image": lambda self: [[0]]},
    r"`flags`: found nan or infinity": {"_flags": lambda self: np.full(1, np.nan, np.float32)},
    r"`reward`: found 'much'": {"step": lambda self, action: (step := Counting.step(self, action))[:1] + ("much",) + step[2:]},
    r"standard output: found 'step!": {"_advance": prints},
    r"action \[nan, nan, nan\]: found IndexError": {"step": raises(IndexError("3"))},
}


@pytest.mark.parametrize("message", BREACHES)
def test_the_checker_names_each_breach(message):
    with pytest.raises(SenseiError, match=message):
        check_environment(breach(**BREACHES[message]))


def test_the_checker_wants_invalid_actions_refused():
    with pytest.raises(SenseiError, match="found accepted, expected a SenseiError"):
        check_environment(breach(step=lambda self, action: None))


def test_the_checker_finds_an_environment_that_never_ends():
    def step(self, action):
        self._steps = 0
        return Counting.step(self, action)

    with pytest.raises(SenseiError, match="end of the episode: found terminated=False, truncated=False at step 12"):
        check_environment(breach(step=step, _begin=lambda self, seed: Counting._begin(self, 2)))


def test_the_checker_gives_up_an_environment_that_hangs():
    env = breach(_advance=lambda self, action: time.sleep(60))
    begin = time.monotonic()
    with pytest.raises(SenseiError, match="no end within 0.3 s"):
        check_environment(env, seconds=0.3)
    assert time.monotonic() - begin < 10
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
