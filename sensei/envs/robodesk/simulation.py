"""The physics of Robodesk: the model of the `robodesk` package, stepped by MuJoCo directly (docs/method.md, section 7)."""

import contextlib
import io

import numpy as np

from sensei.envs.robodesk.engine import mujoco

with contextlib.redirect_stderr(io.StringIO()):  # gym, which robodesk imports, prints that it is unmaintained
    from robodesk import RoboDesk

SUBSTEPS = 10  # simulator steps of 2 ms per action
ROBOT_JOINTS, ARM_JOINTS, WRIST, FINGERS = 9, 6, 6, slice(7, 9)
END_EFFECTOR_SCALE, WRIST_SCALE = 0.01, 0.02  # metres per action along x, y and z; share of the wrist's range
START = np.array([-0.30, -0.4, 0.28, -2.5, 0.13, 1.87, 0.91, 0.01, 0.01])  # of the robot's joints
START_NOISE = 0.15  # share of the joints' range
BROKEN = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


class Simulation:
    """Desk, objects and robot arm. `model` and `data` are MuJoCo's; `package` is the unmodified RoboDesk that loaded them."""

    def __init__(self):
        self.package = RoboDesk()
        self.model, self.data = self.package.physics.model.ptr, self.package.physics.data.ptr
        self._arm = self.package.physics_copy.data.ptr  # where the inverse kinematics tries joint positions
        self._site = self.model.site("end_effector").id
        self.end_effector = self.data.site_xpos[self._site]
        self._robot_range = self.model.actuator_ctrlrange[:ROBOT_JOINTS].copy()
        self._valid = self.data.qpos.copy(), self.data.qvel.copy()
        self._drawn = mujoco.MjData(self.model)

    def reset(self, rng: np.random.Generator | None) -> None:
        """Put drawer, slide, objects and robot at a start drawn from upstream's distribution; without `rng`, in its middle."""
        draws = iter(np.full(17, 0.5) if rng is None else rng.random(17))
        mujoco.mj_resetData(self.model, self.data)
        self._joint("drawer_joint")[0] -= 0.10 * next(draws)
        self._joint("slide_joint")[0] += 0.20 * next(draws)
        for body, start, width in (
            ("flat_block", (0, 0), (0.3, 0.07)),
            ("ball", (0, 0), (0.48, 0.08)),
            ("upright_block", (0.05, 0), (0.3, 0.05)),
        ):
            self._joint(body)[:2] += [low + size * next(draws) for low, size in zip(start, width, strict=True)]
        low, high = self._robot_range.T
        self.data.qpos[:ROBOT_JOINTS] = START + START_NOISE * (low + (high - low) * np.fromiter(draws, float))
        self.start(self.data.qpos.copy())

    def start(self, qpos: np.ndarray) -> None:
        """Start from joint positions `qpos` [nq], at rest."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = qpos
        mujoco.mj_forward(self.model, self.data)
        self._valid = self.data.qpos.copy(), self.data.qvel.copy()

    def act(self, action: np.ndarray) -> bool:
        """Take one simulator action, float [5] in [-1, 1]; False where the simulation broke and was put back before the action.

        The action moves the end effector by x, y and z, turns the wrist and sets the opening of the fingers.
        """
        model, data = self.model, self.data
        target = self._joint_targets(action)
        for _ in range(SUBSTEPS):
            data.ctrl[:ROBOT_JOINTS] = target
            data.qfrc_applied[:ROBOT_JOINTS] = data.qfrc_bias[:ROBOT_JOINTS]  # gravity compensation
            mujoco.mj_step2(model, data)
            mujoco.mj_step1(model, data)
        if any(data.warning[kind].number for kind in BROKEN) or not np.isfinite(data.qpos).all() or not np.isfinite(data.qvel).all():
            self._return_to_valid()
            return False
        self._valid = data.qpos.copy(), data.qvel.copy()
        return True

    def at(self, qpos: np.ndarray) -> mujoco.MjData:
        """Where everything is at joint positions `qpos` [nq], to be drawn; the simulation stays where it is."""
        self._drawn.qpos[:] = qpos
        locate(self.model, self._drawn)
        return self._drawn

    def _return_to_valid(self) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = self._valid
        mujoco.mj_forward(self.model, self.data)

    def _joint(self, name: str) -> np.ndarray:
        """Position of joint `name`, a view."""
        return self.data.joint(name).qpos

    def _joint_targets(self, action: np.ndarray) -> np.ndarray:
        """Joint positions of the robot, float64 [9], that `action` asks for."""
        action = np.asarray(action, np.float64)
        target = self._inverse_kinematics(self.end_effector + action[:3] * END_EFFECTOR_SCALE)
        low, high = self._robot_range.T
        fraction = (action[3:] + 1) / 2
        turn = fraction[0] * (high[WRIST] - low[WRIST]) + low[WRIST]
        target[WRIST] = np.clip(WRIST_SCALE * turn + self.data.qpos[WRIST], low[WRIST], high[WRIST])
        target[FINGERS] = fraction[1] * (high[FINGERS] - low[FINGERS]) + low[FINGERS]
        return target

    def _inverse_kinematics(self, position: np.ndarray) -> np.ndarray:
        """Robot joints, float64 [9], that bring the end effector to `position`: Gauss-Newton on the six arm joints.

        Same arithmetic as dm_control.utils.inverse_kinematics with its defaults, but of each pose only the kinematics are computed.
        """
        model, arm = self.model, self._arm
        arm.qpos[:] = self.data.qpos
        site, update = arm.site_xpos[self._site], np.zeros(model.nv)
        jacobian, joints = np.empty((3, model.nv)), list(range(ARM_JOINTS))
        locate(model, arm)
        for _ in range(100):
            error = position - site
            distance = np.linalg.norm(error)
            if distance < 1e-14:
                break
            mujoco.mj_jacSite(model, arm, jacobian, None, self._site)
            of_arm = jacobian[:, joints]
            hessian, gradient = of_arm.T.dot(of_arm), of_arm.T.dot(error)
            if distance > 0.1:
                step = np.linalg.solve(hessian + 3e-2 * np.eye(ARM_JOINTS), gradient)
            else:
                step = np.linalg.lstsq(hessian, gradient, rcond=-1)[0]
            length = np.linalg.norm(step)
            if distance / length > 20:
                break
            update[joints] = step * (2.0 / length) if length > 2.0 else step
            mujoco.mj_integratePos(model, arm.qpos, update, 1)
            locate(model, arm)
        return arm.qpos[:ROBOT_JOINTS].copy()


def locate(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Compute where everything is from the joint positions, without collisions and forces: enough for Jacobians and pictures."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)
