"""What a stage costs: minutes, memory, processes."""

from sensei.study.models.study import Study

DRAWN = {"robodesk"}  # families that draw a state again, so that the collector keeps no pictures


def run_steps(study: Study, stage: str, environment: str, method: str) -> int:
    """Agent steps of a run of stage `explore` or `learn`."""
    training = study.settings[environment].training
    if stage == "explore":
        return training.explore_steps
    return training.ppo_steps or training.learn_steps if study.methods[method].algorithm == "ppo" else training.learn_steps


def run_minutes(study: Study, stage: str, environment: str, method: str) -> int:
    """Time limit of a run on a cluster: half a second an update, two milliseconds a step, and half an hour. A run that hits it resumes."""
    training = study.settings[environment].training
    steps = run_steps(study, stage, environment, method)
    updates = steps * training.train_ratio / (training.batch_size * training.batch_length)
    dreamer = study.methods[method].algorithm == "dreamer"
    return int(30 + (0.002 * steps + 0.5 * updates * dreamer) / 60)


def run_memory(study: Study, stage: str, environment: str, method: str) -> int:
    """Memory of a run in MB: the pictures of the replay twice (the file cache holds them too) and 4 GB for the rest."""
    parts = study.settings[environment]
    kept = min(run_steps(study, stage, environment, method), parts.training.replay_capacity)
    return 4000 + 2 * kept * 3 * parts.world_model.image_size**2 // 10**6


def pairs_processes(study: Study, environment: str) -> int:
    """Processes that draw the frames of the pairs side by side: one where the collection keeps them."""
    return 8 if study.settings[environment].environment.family in DRAWN else 1


def pairs_minutes(study: Study, environment: str) -> int:
    """Time limit of drawing the pairs: an hour and, where frames are drawn, 0.05 s for each of two sides in two views, side by side."""
    parts = study.settings[environment]
    drawn = 4 * parts.pairs.number * (parts.environment.family in DRAWN)
    return int(60 + 0.05 * drawn / pairs_processes(study, environment) / 60)


def frames_memory(study: Study, environment: str) -> int:
    """Memory in MB of a job that holds every frame of the pairs: two a pair, 224 x 224 pixels where they are drawn, else 80 x 80."""
    parts = study.settings[environment]
    side = 224 if parts.environment.family in DRAWN else 80
    return 4000 + 2 * parts.pairs.number * 3 * side**2 // 10**6
