"""SENSEI: semantic exploration with foundation models, as a reproducible pipeline (arXiv 2503.01584).

Data flows one way: envs -> replay -> preferences -> annotators -> reward -> world_model -> exploration -> agents -> training -> analysis.

For scripts of one's own (docs/using.md): `load_agent`, `play`, `load_reward`. Nothing else of the package is promised to stay as it is.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["load_agent", "load_reward", "play"]
_PLACES = {"load_agent": "sensei.use.agents", "play": "sensei.use.play", "load_reward": "sensei.use.rewards"}


def __getattr__(name: str) -> Any:
    """What is promised, imported when it is asked for: most of the package needs neither torch nor an environment."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
