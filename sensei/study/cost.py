"""What a stage costs: minutes, memory, processes."""

from sensei.envs.registry import family
from sensei.study.models.study import Study


def run_steps(study: Study, stage: str, environment: str, method: str) -> int:
    """Agent steps of a run of stage `explore` or `learn`."""
    training = study.settings[environment].training
    if stage == "explore":
        return training.explore_steps
    return training.ppo_steps or training.learn_steps if study.methods[method].algorithm == "ppo" else training.learn_steps


def run_minutes(study: Study, stage: str, environment: str, method: str) -> int:
    """Time limit of a run on a cluster: half a second an update, the family's time a step, and half an hour. A run that hits it resumes."""
    training = study.settings[environment].training
    steps = run_steps(study, stage, environment, method)
    updates = steps * training.train_ratio / (training.batch_size * training.batch_length)
    dreamer = study.methods[method].algorithm == "dreamer"
    return int(30 + (family(study.settings[environment].environment).seconds_per_step * steps + 0.5 * updates * dreamer) / 60)


def run_memory(study: Study, stage: str, environment: str, method: str) -> int:
    """Memory of a run in MB: the pictures of the replay twice (the file cache holds them too) and 4 GB for the rest."""
    parts = study.settings[environment]
    kept = min(run_steps(study, stage, environment, method), parts.training.replay_capacity)
    return 4000 + 2 * kept * 3 * parts.world_model.image_size**2 // 10**6


def pairs_processes(study: Study, environment: str) -> int:
    """Processes that draw the frames of the pairs side by side: one where the collection keeps them."""
    return 8 if family(study.settings[environment].environment).renders_states else 1


def pairs_minutes(study: Study, environment: str) -> int:
    """Time limit of drawing the pairs: an hour and, where frames are drawn, the family's time for two sides in each view, side by side."""
    parts = study.settings[environment]
    of = family(parts.environment)
    drawn = 2 * len(of.annotator_views) * parts.pairs.number * of.renders_states
    return int(60 + of.seconds_per_picture * drawn / pairs_processes(study, environment) / 60)


def frames_memory(study: Study, environment: str) -> int:
    """Memory in MB of a job that holds every frame of the pairs: two a pair, as large as annotators see them."""
    parts = study.settings[environment]
    return 4000 + 2 * parts.pairs.number * 3 * family(parts.environment).annotator_side ** 2 // 10**6
