"""A Gymnasium environment with one continuous action and no flags; workers import it through the id "fakes.dial:Dial-v0"."""

import gymnasium
import numpy as np


class Dial(gymnasium.Env):
    """The picture's brightness says where the dial should be turned to; the reward is 1 minus the distance. 12 steps, never terminated."""

    observation_space = gymnasium.spaces.Box(0, 255, (40, 40, 3), np.uint8)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._look(), {}

    def step(self, action):
        reward = 1 - abs(float(action[0]) - self.target)
        return self._look(), reward, False, False, {}

    def _look(self):
        self.target = float(self.np_random.choice([-0.8, 0.8]))
        return np.full((40, 40, 3), 100 + 100 * self.target, np.uint8)


gymnasium.register("Dial-v0", Dial)
