"""What one update is timed on, and our update of it."""

from typing import Any

HORIZON, IMAGE = 15, 64
BATCHES = {"tiny": (8, 32), "XS": (8, 32), "S": (16, 64), "M": (16, 64), "L": (16, 64), "XL": (16, 64)}


def workload(size: str, shape: tuple[int, int], method: str, **options: Any) -> dict[str, Any]:
    """A batch of noise [batch, time, ...] and all that an implementation has to know to update on it; plain values and arrays only."""
    import numpy as np

    from sensei.world_model.sizes import SIZES

    rng, discrete = np.random.default_rng(0), size != "M"  # M is Robodesk's, whose five actions are continuous
    actions, side = 9 if discrete else 5, options["image_size"]
    drawn = rng.integers(0, actions, shape) if discrete else rng.uniform(-1, 1, (*shape, actions)).astype(np.float32)
    first = rng.random(shape) < 1 / 200
    first[:, 0] = True
    ends = np.concatenate([first[:, 1:], np.zeros((shape[0], 1), bool)], 1)
    return {
        "size": vars(SIZES[size]) | {"name": size},
        "method": method,
        "batch": shape[0],
        "length": shape[1],
        "discrete": discrete,
        "actions": actions,
        "image": rng.integers(0, 256, (*shape, side, side, 3), dtype=np.uint8),
        "flags": np.zeros((*shape, 0), np.float32),
        "action": drawn,
        "model_action": np.eye(actions, dtype=np.float32)[drawn] if discrete else drawn,
        "reward": rng.normal(size=shape).astype(np.float32),
        "semantic": rng.normal(size=shape).astype(np.float32),
        "task_rewards": rng.normal(size=(*shape, options["tasks"])).astype(np.float32),
        "is_first": first,
        "is_terminal": ends & (rng.random(shape) < 0.5),
        **options,
    }


def ours(work: dict[str, Any]):
    """(agent, one update of it) on a workload, from memory as a training run has it."""
    from sensei.agents.dreamer import DreamerAgent
    from sensei.replay.feed import Buffer
    from sensei.replay.step import Spaces
    from sensei.study.load import load_study
    from sensei.study.models.study import Settings
    from sensei.world_model.model import Batch

    names = {"dreamerv3": "plan2explore", "plan2explore": "plan2explore", "sensei": "sensei"}
    axes = {"study": "bench", "seeds": [0], "environments": ["toy_counting"], "annotators": ["oracle"], "figures": ["interactions"]}
    study = load_study({**axes, "explore": ["sensei", "plan2explore"], "learn": ["dreamerv3"]}, source="the benchmark")
    changes = {
        "world_model": {"size": work["size"]["name"], "image_size": work["image_size"]},
        "ensemble": {"members": work["members"]},
        "behaviour": {"horizon": work["horizon"], "starts": work["starts"]},
        "training": {name: work[name] for name in ("compile", "precision", "device")},
    }
    base = study.settings["toy_counting"].model_dump()
    settings = Settings.model_validate(base | {key: base[key] | change for key, change in changes.items()})
    method = names[work["method"]]
    phase = "learn" if work["method"] == "dreamerv3" else "explore"
    spaces = Spaces(0, work["actions"], work["discrete"], work["tasks"])
    agent = DreamerAgent(spaces, settings, study.methods[method], study.weights("toy_counting", method), phase, 0, work["device"])
    arrays = Buffer({name: work[name] for name in Batch._fields}, work["device"]).arrays
    return agent, lambda: agent.update(arrays)
