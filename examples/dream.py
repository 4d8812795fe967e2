"""Look into a world model: it is shown five steps, then only the actions; what it imagines beside what happened.

python examples/dream.py         # writes examples/dream.mp4, and examples/dream.png, .pdf, .csv: the error by horizon
"""

from pathlib import Path

from released import EXPLORER

import sensei
from sensei.training.evaluate import write_video
from sensei.use.dream import draw_errors, dream, errors, frames

HERE = Path(__file__).parent

agent = sensei.load_agent(EXPLORER)
dreamt = dream(agent, sensei.play(agent, behaviour="task", episodes=3, seed=1), seen=5, horizon=15, seed=1)
write_video(HERE / "dream.mp4", frames(dreamt))
table = errors(dreamt)
draw_errors(table, HERE / "dream.png")
imagined = table[table.pictures == "imagined"].value
print(f"dream.mp4: {len(dreamt.actual)} windows; squared error {imagined.iloc[0]:.4f} one step ahead, {imagined.iloc[-1]:.4f} after 15")
