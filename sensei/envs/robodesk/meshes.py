"""Coarser meshes for drawing: the robot's have 140,000 triangles, most of them far smaller than a pixel."""

import numpy as np

from sensei.envs.robodesk.engine import mujoco

DETAILED = 500  # triangles from which on a mesh is coarsened


def merge_vertices(model: mujoco.MjModel, distance: float) -> None:
    """Draw each detailed mesh of `model` with one vertex for every cube of `distance` metres a side, without the triangles that vanish.

    Changes the triangles in place; must come before the OpenGL context, which copies them. The physics does not look at these meshes.
    """
    for mesh in np.flatnonzero(model.mesh_facenum > DETAILED):
        vertices = _part(model.mesh_vert, model.mesh_vertadr[mesh], model.mesh_vertnum[mesh])
        cube, chosen = _one_vertex_a_cube(vertices, distance)
        triangles = _part(model.mesh_face, model.mesh_faceadr[mesh], model.mesh_facenum[mesh])
        normals = _part(model.mesh_facenormal, model.mesh_faceadr[mesh], model.mesh_facenum[mesh])
        cubes = cube[triangles]
        kept = (cubes != np.roll(cubes, 1, axis=1)).all(axis=1)
        number = int(kept.sum())
        triangles[:number], normals[:number] = chosen[cubes[kept]], normals[kept]
        model.mesh_facenum[mesh] = number


def _part(array: np.ndarray, start: int, number: int) -> np.ndarray:
    return array[start : start + number]


def _one_vertex_a_cube(vertices: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Cube of every vertex of `vertices` [n, 3], int [n], and for every cube its vertex that is nearest to their mean, int [cubes]."""
    _, cube, sizes = np.unique(np.floor(vertices / side).astype(np.int64), axis=0, return_inverse=True, return_counts=True)
    cube = cube.ravel()
    mean = np.stack([np.bincount(cube, axis) for axis in vertices.T], axis=1) / sizes[:, None]
    by_distance = np.lexsort((np.square(vertices - mean[cube]).sum(1), cube))
    return cube, by_distance[np.cumsum(sizes) - sizes]
