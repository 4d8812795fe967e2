"""`python -m sensei bench`: how fast each part is on this machine; every number of docs/performance.md comes from here.

Each module holds one command. Heavy modules are imported inside the commands, as in `sensei.__main__`.
"""

import typer

from sensei.bench.annotate import annotate
from sensei.bench.environment import environment
from sensei.bench.gpu import gpu
from sensei.bench.loop import loop
from sensei.bench.update import update

app = typer.Typer(help="Measure speed; prints JSON.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure speed; prints JSON."""


app.command()(annotate)
app.command()(environment)
app.command()(gpu)
app.command()(loop)
app.command()(update)
