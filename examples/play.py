"""Watch agents: what the explorer does, what it would do for the task, and what the agent does that has learned the task.

python examples/play.py [keyroom_s5 | keyroom_s15 | robodesk]     # writes examples/explore.mp4, examples/task.mp4, examples/learned.mp4
"""

import sys
from pathlib import Path

import numpy as np
from released import released

import sensei
from sensei.training.evaluate import write_video

HERE = Path(__file__).parent

study = released(sys.argv[1] if len(sys.argv) > 1 else "keyroom_s5")
(explorer,), (learned,) = study.glob("*/explore/sensei/seed0"), study.glob("*/learn/*/sensei/seed0")
for name, run, behaviour in (("explore", explorer, "explore"), ("task", explorer, "task"), ("learned", learned, "task")):
    agent, pictures, counts = sensei.load_agent(run), [], {}
    environment = agent.environment()
    for step in sensei.play(agent, environment, behaviour=behaviour, episodes=2, seed=1):
        pictures.append(environment.render())
        counts = {event: counts.get(event, 0) + count for event, count in step.events.items()}
    environment.close()
    write_video(HERE / f"{name}.mp4", np.stack(pictures))
    print(f"{name}.mp4: {len(pictures)} pictures, {', '.join(f'{event} {count:g}' for event, count in counts.items())}")
