"""`python -m sensei bench`: how fast each part is on this machine, and what a world model knows; every number of docs/performance.md comes
from here.

Each module of a command's name holds that command, and is imported when it is asked for.
"""

import importlib

import typer
from typer.core import TyperGroup

COMMANDS = ("annotate", "environment", "gpu", "kernels", "loop", "model", "recipe", "update")


class Lazy(TyperGroup):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, name: str) -> object:
        """The command of that name; None if there is none."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{name}")
        one = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        one.command(name)(getattr(module, name))
        return typer.main.get_command(one)


app = typer.Typer(cls=Lazy, help="Measure speed, and what a world model knows; prints JSON.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure speed, and what a world model knows; prints JSON."""
