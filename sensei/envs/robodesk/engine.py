"""MuJoCo, for whoever needs it here: imported by nobody before an OpenGL library is chosen, because it reads the choice once."""

from sensei.envs.opengl import choose_backend

choose_backend()
import mujoco  # noqa: E402

__all__ = ["mujoco"]
