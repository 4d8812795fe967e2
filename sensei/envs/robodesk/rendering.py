"""Pictures of the desk: one OpenGL context and renderer kept for the life of the environment."""

import atexit
import os
import weakref

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.opengl import no_opengl
from sensei.envs.robodesk.engine import mujoco
from sensei.envs.robodesk.meshes import merge_vertices
from sensei.envs.robodesk.picture import SIDE

MERGED = {"full": 0.004, "fast": 0.008}  # metres; a pixel where the cameras look is 6 mm wide at 224 pixels and 10 mm at 128

# Azimuth and elevation in degrees, distance in metres, the point looked at.
CAMERAS = {
    "right": (180.0, -18.0, 1.55, (-0.136, 0.535, 0.645)),
    "left": (25.0, -15.0, 1.05, (-0.136, 0.535, 0.645)),
    "top": (90.0, -60.0, 1.8, (0.0, 0.535, 1.1)),
}


class Renderer:
    """Draws a state of the simulation from one of `CAMERAS`.

    `quality` full: shadows, reflections and four samples a pixel, as published; fast: none of them. Meshes are drawn without what is
    smaller than a pixel.
    """

    def __init__(self, model: mujoco.MjModel, quality: str, largest: int = SIDE):
        self._model, self._full = model, quality == "full"
        merge_vertices(model, MERGED[quality])
        model.vis.global_.offwidth, model.vis.global_.offheight = largest, largest
        if not self._full:
            model.vis.quality.offsamples = 0  # has an effect only before the context is made
            # Most of the time goes into the corners of triangles, which Mesa's software OpenGL computes in one thread; the others would
            # only take cores from other workers.
            os.environ.setdefault("LP_NUM_THREADS", "1")
        try:
            self._gl = mujoco.GLContext(largest, largest)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except Exception as error:  # each OpenGL library has errors of its own
            raise no_opengl(f"{type(error).__name__}: {error}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene, self._option = mujoco.MjvScene(model, maxgeom=1000), mujoco.MjvOption()
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = self._full
        self._cameras = {name: _camera(*view) for name, view in CAMERAS.items()}
        # A context that Python frees at exit, after its OpenGL library has ended, raises; a weak reference lets it go before.
        atexit.register(_close, weakref.ref(self))

    def draw(self, data: mujoco.MjData, camera: str, size: int = SIDE) -> np.ndarray:
        """What `camera` sees, uint8 [size, size, 3]; `size` at most `largest`.

        Raises:
            SenseiError: there is no such camera; names those there are.
        """
        if camera not in self._cameras:
            raise SenseiError("Robodesk: unknown camera", found=camera, expected=f"one of {', '.join(CAMERAS)}")
        self._gl.make_current()
        kinds = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._cameras[camera], kinds, self._scene)
        viewport, picture = mujoco.MjrRect(0, 0, size, size), np.empty((size, size, 3), np.uint8)
        mujoco.mjr_render(viewport, self._scene, self._context)
        mujoco.mjr_readPixels(picture, None, viewport, self._context)
        return picture[::-1]

    def close(self) -> None:
        """Free the OpenGL context; a second call does nothing."""
        if self._gl is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._gl = None


def _close(renderer: weakref.ref[Renderer]) -> None:
    if (alive := renderer()) is not None:
        alive.close()


def _camera(azimuth: float, elevation: float, distance: float, lookat: tuple[float, float, float]) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation, camera.distance, camera.lookat = azimuth, elevation, distance, lookat
    return camera
