"""SENSEI: semantic exploration with foundation models, as a reproducible pipeline (arXiv 2503.01584).

Data flows one way: envs -> replay -> preferences -> annotators -> reward -> world_model -> exploration -> agents -> training -> analysis.
"""

__version__ = "0.1.0"
