"""The page on which a person labels."""

from pathlib import Path
from typing import Annotated

import typer

from sensei.cli.stages import AXES, checked_generation
from sensei.cli.study import recorded_of

PORT = 8765


def add_to(app: typer.Typer) -> None:
    """`label-page`."""
    app.command(name="label-page")(label_page)


def label_page(
    study: Annotated[str, typer.Option(help="a study below results/ whose pairs are drawn, or its study.yaml")],
    environment: Annotated[str | None, typer.Option(help=f"{AXES['environment']}; needed where there are several")] = None,
    annotator: Annotated[str | None, typer.Option(help="annotator of kind person; needed where there are several")] = None,
    generation: Annotated[str, typer.Option(help=AXES["generation"], callback=checked_generation)] = "1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="of this machine; 0: any that is free")] = PORT,
    export: Annotated[
        Path | None, typer.Option(help="write the labels there are as CSV, as annotators of kind replayed read it, and end")
    ] = None,
) -> None:
    """Show a person the pairs of a study in the browser of this machine, and keep every answer; goes on where it was left."""
    from sensei.label_page.server import Server
    from sensei.label_page.session import find, opened
    from sensei.study.load import read_study

    recorded = recorded_of(study)
    questions = find(read_study(recorded), recorded, environment, annotator, int(generation))
    if export:
        print(f"{export}: {questions.export(export)} labels")
        return
    with opened(questions) as session, Server(session, port) as server:
        print(f"{_told(session.state())}\nopen {server.address} in a browser of this machine; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"\n{_told(session.state())}; they are in {questions.journal_path}")


def _told(state: dict[str, object]) -> str:
    return f"{state['annotator']} has answered {state['answered']} of {state['questions']} questions about {state['environment']}"
