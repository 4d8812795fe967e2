"""`python -m sensei <stage>`: every stage by hand, and the only place that opens a study, reads inputs and writes outputs for the workflow.

Heavy modules are imported inside the commands, so that `--help` is quick and threads are set before torch starts.
"""

import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer

from sensei.annotators.registry import MODEL_FILES, Assignment, sources
from sensei.bench import app as bench
from sensei.core.errors import SenseiError
from sensei.core.files import atomic, read_json, write_json
from sensei.core.process import stage
from sensei.study.folder import check_folder, record_study
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study, read_study
from sensei.study.models.annotators import CaptionedClipConfig, OpenAIConfig
from sensei.study.models.study import Study
from sensei.study.schema import json_schema
from sensei.study.stages import code_of, slice_of

app = typer.Typer(
    help="Stages of the SENSEI pipeline. `snakemake` runs them all in order.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(bench, name="bench")

StudyPath = Annotated[Path, typer.Option("--study", help="resolved study, results/STUDY/study.yaml (see `study`)")]
Environment = Annotated[str, typer.Option(help="environment of the study, e.g. minihack_keyroom_s15")]
Method = Annotated[str, typer.Option(help="method of the study, e.g. sensei")]
Annotator = Annotated[str, typer.Option(help="annotator of the study, e.g. oracle")]
Seed = Annotated[int, typer.Option(help="seed of the run")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of this process")]
RunFolder = Annotated[Path, typer.Option(help="folder of the run: metrics.jsonl, events.parquet, agent.pt, video.mp4 and checkpoint/")]
Pairs = Annotated[Path, typer.Option(help="pairs.parquet of the stage `pairs`")]
Frames = Annotated[Path, typer.Option(help="frames.npz of the stage `pairs`")]
RUN_FILES = ("metrics.jsonl", "events.parquet", "agent.pt", "video.mp4")


@app.command()
def study(
    source: Annotated[Path, typer.Argument(help="study file, e.g. config/smoke.yaml")],
    output: Annotated[Path, typer.Argument(help="where the resolved study goes, results/STUDY/study.yaml")],
) -> None:
    """Validate a study and write it with every default filled in, as the workflow does before its first job."""
    resolved = load_study(source)
    check_folder(resolved, output, str(source))
    record_study(resolved, output)


@app.command()
def explore(
    study_path: StudyPath,
    environment: Environment,
    method: Method,
    seed: Seed,
    folder: RunFolder,
    reward: Annotated[Path | None, typer.Option(help="reward.safetensors, for methods with a semantic reward")] = None,
    threads: Threads = 1,
) -> None:
    """Explore one environment with one method; resumes from the folder's checkpoint.

    The collector's runs for the pairs also keep every episode in the folder.
    """
    resolved = _open(study_path, environment=environment, method=method)
    needed = resolved.methods[method].needs_reward_model
    if needed != (reward is not None):
        raise SenseiError(
            f"method {method} {'needs' if needed else 'takes no'} --reward", hint="stages `annotate`, `labels` and `distil` make it"
        )
    settings = slice_of(resolved, "explore", environment, method)
    inputs = [study_path, *([reward] if reward else [])]
    with stage(
        "explore", code=code_of("explore"), inputs=inputs, outputs=_run_files(folder), settings=settings, seed=seed, threads=threads
    ):
        from sensei.training.runs import explore

        explore(resolved, environment, method, seed, folder, reward, keep_episodes=seed in settings["episodes_of"])


@app.command()
def learn(
    study_path: StudyPath,
    environment: Environment,
    task: Annotated[str, typer.Option(help="task of the environment, e.g. keyroom")],
    method: Method,
    seed: Seed,
    folder: RunFolder,
    explored: Annotated[Path | None, typer.Option(help="agent.pt of the exploration run, for methods that explore first")] = None,
    threads: Threads = 1,
) -> None:
    """Learn one task of the environment, from an explored agent or from scratch; resumes from the folder's checkpoint."""
    resolved = _open(study_path, environment=environment, task=task, method=method)
    needed = resolved.methods[method].explores
    if needed != (explored is not None):
        raise SenseiError(f"method {method} {'needs' if needed else 'takes no'} --explored", hint="stage `explore` makes agent.pt")
    settings = slice_of(resolved, "learn", environment, method)
    inputs = [study_path, *([explored] if explored else [])]
    with stage("learn", code=code_of("learn"), inputs=inputs, outputs=_run_files(folder), settings=settings, seed=seed, threads=threads):
        from sensei.training.runs import learn

        learn(resolved, environment, task, method, seed, folder, explored)


@app.command()
def collect(
    run: Annotated[Path, typer.Option(help="folder of the collector's exploration run, with episodes/")],
    output: Annotated[Path, typer.Option(help="index.parquet; the episodes are linked into episodes/ beside it")],
    seed: Seed,
) -> None:
    """Verify the episodes of an exploration run and index them."""
    with stage("collect", code=code_of("collect"), inputs=[run / "events.parquet"], outputs=[output], seed=seed):
        from sensei.replay.episodes import collect

        collect(run / "episodes", output.parent)


@app.command()
def pairs(
    study_path: StudyPath,
    environment: Environment,
    index: Annotated[list[Path], typer.Option(help="index.parquet of a collection, once per seed in the order of `pairs.seeds`")],
    pairs: Annotated[Path, typer.Option(help="output: pair table (parquet)")],
    frames: Annotated[Path, typer.Option(help="output: pictures of the frames (npz)")],
    processes: Annotated[int, typer.Option(min=1, help="that draw pictures side by side, where the collection keeps none")] = 1,
) -> None:
    """Draw which frames are compared."""
    resolved = _open(study_path, environment=environment)
    config, played = resolved.settings[environment].pairs, resolved.settings[environment].environment
    if len(index) != len(config.seeds):
        raise SenseiError("--index must name one collection per seed of `pairs.seeds`", found=len(index), expected=len(config.seeds))
    seed = config.seeds[0]
    settings = slice_of(resolved, "pairs", environment)
    with stage("pairs", code=code_of("pairs"), inputs=[study_path, *index], outputs=[pairs, frames], settings=settings, seed=seed):
        from sensei.preferences.pairs import make_pairs

        collections = {number: path.parent for number, path in zip(config.seeds, index, strict=True)}
        make_pairs(collections, config, seed, pairs, frames, played, processes)


@app.command()
def annotate(
    study_path: StudyPath,
    environment: Environment,
    annotator: Annotator,
    shard: Annotated[int | None, typer.Option(min=0, help="which share of the pairs, from 0")] = None,
    pairs: Annotated[Path | None, Pairs.__metadata__[0]] = None,
    frames: Annotated[Path | None, Frames.__metadata__[0]] = None,
    output: Annotated[Path | None, typer.Option(help="raw replies of this shard (jsonl)")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="only say what all shards would take; send nothing")] = False,
) -> None:
    """Ask an annotator about one shard of the pairs; keeps the replies it already has.

    With --estimate, pairs, tokens, price and time of all shards: of --pairs with --frames, or before there are any, of the study's number.
    """
    resolved = _open(study_path, environment=environment, annotator=annotator)
    if estimate:
        _estimate(resolved, study_path, environment, annotator, pairs, frames)
        return
    if None in (shard, pairs, frames, output):
        raise SenseiError("annotate needs --shard, --pairs, --frames and --output", hint="--estimate does without them")
    config, parts = resolved.annotator_settings[annotator], resolved.settings[environment]
    settings = slice_of(resolved, "annotate", environment, annotator=annotator)
    seed, inputs = parts.pairs.seeds[0], [study_path, pairs, frames, *sources(config, output.parent)]
    with stage("annotate", code=code_of("annotate"), inputs=inputs, outputs=[output], settings=settings, seed=seed):
        from sensei.annotators.shards import annotate_shard

        assignment = Assignment(seed, resolved.prompt_of(annotator, environment), folder=output.parent, ledger=_ledger(study_path))
        annotate_shard(pairs, frames, annotator, config, shard, parts.pairs.shards, output, assignment, parts.labels)


def _estimate(resolved: Study, study_path: Path, environment: str, annotator: str, pairs: Path | None, frames: Path | None) -> None:
    config, settings = resolved.annotator_settings[annotator], resolved.settings[environment]
    if not isinstance(config, OpenAIConfig):
        print(f"annotator {annotator} sends nothing and costs nothing")
        return
    from sensei.annotators.vlm.openai.estimate import blank_pairs, estimate

    prompt = resolved.prompt_of(annotator, environment)
    if pairs and frames:
        from sensei.annotators.shards import plan
        from sensei.preferences.frames import Frames
        from sensei.preferences.pairs import questions, read_pairs

        table, shown = read_pairs(pairs), Frames(frames)
        rows, swapped = plan(len(table), settings.labels, settings.pairs.seeds[0])
        asked = itertools.chain.from_iterable(questions(table.iloc[rows], shown, swapped, view) for view in settings.labels.asked_views)
    else:
        from sensei.envs.registry import make

        shape = make(settings.environment, settings.world_model.image_size).annotator_image_shape
        repeats = (1 + settings.labels.reversed_share) * len(settings.labels.asked_views)
        asked = blank_pairs(settings.pairs.number, repeats, shape, prompt)
    print("\n".join(estimate(config, prompt, _ledger(study_path), asked).lines(config)))


def _ledger(study_path: Path) -> Path:
    """The ledger that all studies share, results/ledger.sqlite."""
    return study_path.parent.parent / "ledger.sqlite"


@app.command(name="caption-clip")
def caption_clip(
    study_path: StudyPath,
    environment: Environment,
    annotator: Annotator,
    pairs: Pairs,
    frames: Frames,
    folder: Annotated[Path, typer.Option(help="where the model goes: open_clip_config.json, open_clip_model.safetensors, card.json")],
    threads: Threads = 1,
) -> None:
    """Train the model of an annotator of kind captioned_clip on the frames of the pairs and the environment's words for them."""
    resolved = _open(study_path, environment=environment, annotator=annotator)
    config, parts = resolved.annotator_settings[annotator], resolved.settings[environment]
    if not isinstance(config, CaptionedClipConfig):
        raise SenseiError(f"annotator {annotator} is not trained", found=f"kind {config.kind}", expected="kind captioned_clip")
    settings = slice_of(resolved, "caption-clip", environment, annotator=annotator)
    outputs, seed = [folder / name for name in (*MODEL_FILES, "card.json")], parts.pairs.seeds[0]
    with stage(
        "caption-clip",
        code=code_of("caption-clip"),
        inputs=[study_path, pairs, frames],
        outputs=outputs,
        settings=settings,
        seed=seed,
        threads=threads,
    ):
        from sensei.annotators.clip.captioned_clip import train

        train(config, parts.environment, pairs, frames, seed, resolved.prompt_of(annotator, environment), folder)


@app.command()
def labels(
    study_path: StudyPath,
    environment: Environment,
    shard: Annotated[list[Path], typer.Option(help="raw replies, once per shard")],
    pairs: Pairs,
    labels: Annotated[Path, typer.Option(help="output: one row a pair (parquet)")],
    card: Annotated[Path, typer.Option(help="output: shares, order bias, agreement (json)")],
) -> None:
    """Merge the shards of an annotator into labels and describe them."""
    resolved = _open(study_path, environment=environment)
    settings = slice_of(resolved, "labels", environment)
    with stage("labels", code=code_of("labels"), inputs=[study_path, *shard, pairs], outputs=[labels, card], settings=settings):
        from sensei.preferences.labels import merge_shards

        merge_shards(shard, pairs, labels, card, resolved.settings[environment].labels.order)


@app.command()
def trust(
    study_path: StudyPath,
    environment: Environment,
    annotator: Annotator,
    card: Annotated[Path, typer.Option(help="card.json of the stage `labels`")],
    verdict: Annotated[Path, typer.Option(help="output: the limits that the labels keep to (json)")],
) -> None:
    """Stop here if an annotator's labels are beyond the study's limits: nothing is distilled from them."""
    resolved = _open(study_path, environment=environment, annotator=annotator)
    settings = slice_of(resolved, "trust", environment)
    with stage("trust", code=code_of("trust"), inputs=[study_path, card], outputs=[verdict], settings=settings):
        from sensei.preferences.trust import require_trust

        require_trust(read_json(card), resolved.settings[environment].labels, annotator, environment)
        write_json(verdict, settings)


@app.command()
def distil(
    study_path: StudyPath,
    environment: Environment,
    annotator: Annotator,
    labels: Annotated[Path, typer.Option(help="labels.parquet of the stage `labels`")],
    pairs: Pairs,
    frames: Frames,
    model: Annotated[Path, typer.Option(help="output: reward.safetensors")],
    curves: Annotated[Path, typer.Option(help="output: loss and accuracy per epoch (csv)")],
    card: Annotated[Path, typer.Option(help="output: chosen epoch and why, held-out accuracy (json)")],
    share: Annotated[float, typer.Option(min=0, max=1, help="share of the labels to learn from; held out are always the same")] = 1.0,
    threads: Threads = 1,
) -> None:
    """Train the reward model on the labels of one annotator."""
    resolved = _open(study_path, environment=environment, annotator=annotator)
    parts = resolved.settings[environment]
    seed = parts.pairs.seeds[0]
    settings = slice_of(resolved, "distil", environment, annotator=annotator)
    with stage(
        "distil",
        code=code_of("distil"),
        inputs=[study_path, labels, pairs, frames],
        outputs=[model, curves, card],
        settings=settings,
        seed=seed,
        threads=threads,
    ):
        from sensei.core import devices
        from sensei.reward.distil import distil

        with devices.card(parts.training.device, parts.training.runs_per_gpu):
            distil(labels, pairs, frames, parts.reward, seed, model, curves, card, parts.training.device, share)


@app.command()
def tabulate(study_path: StudyPath, output: Annotated[Path, typer.Option(help="scores.parquet")]) -> None:
    """Gather the scores and interaction counts of every run of the study; a missing run is an error that names it."""
    from sensei.analysis import scores
    from sensei.analysis.inputs import Inputs

    resolved, layout = _open(study_path), Layout.of(study_path)
    inputs = [study_path, *Inputs(scores.inputs(resolved, layout)).paths()]
    with stage("tabulate", code=code_of("tabulate"), inputs=inputs, outputs=[output], settings=slice_of(resolved, "tabulate")):
        scores.tabulate(resolved, layout, output)


@app.command()
def figure(study_path: StudyPath, name: Annotated[str, typer.Option(help="figure of the study, e.g. interactions")]) -> None:
    """Draw one figure from finished results."""
    from sensei.analysis.figures.contract import make
    from sensei.analysis.figures.registry import figure_of
    from sensei.analysis.inputs import Inputs

    resolved, layout = _open(study_path), Layout.of(study_path)
    drawn = figure_of(resolved, name)
    declared, outputs = drawn.inputs(resolved, layout), layout.figure(name)
    inputs = [study_path, *Inputs(declared).paths()]
    with stage("figure", code=code_of("figure"), inputs=inputs, outputs=outputs, settings=slice_of(resolved, "figure")):
        make(drawn, resolved, declared, outputs)


@app.command()
def tables(study_path: StudyPath) -> None:
    """Write the tables of final numbers as CSV and Markdown."""
    from sensei.analysis import tables
    from sensei.analysis.inputs import Inputs

    resolved, layout = _open(study_path), Layout.of(study_path)
    outputs = [path for name in tables.TABLES for path in layout.table(name)]
    inputs = [study_path, *Inputs(tables.inputs(resolved, layout)).paths()]
    with stage("tables", code=code_of("tables"), inputs=inputs, outputs=outputs, settings=slice_of(resolved, "tables")):
        tables.make(resolved, layout)


@app.command()
def report(study_path: StudyPath, output: Annotated[Path, typer.Option(help="report.html")]) -> None:
    """Put figures, tables, videos and manifests on one self-contained page."""
    from sensei.analysis import report
    from sensei.analysis.inputs import Inputs

    resolved, layout = _open(study_path), Layout.of(study_path)
    inputs = [study_path, *Inputs(report.inputs(resolved, layout)).paths()]
    with stage("report", code=code_of("report"), inputs=inputs, outputs=[output], settings=slice_of(resolved, "report")):
        page = report.build(resolved, layout)
        with atomic(output) as temporary:
            temporary.write_text(page, encoding="utf-8")


@app.command()
def published(folder: Annotated[Path, typer.Option(help="where the figures go")]) -> None:
    """Draw figures of the paper from the published values alone."""
    from sensei.analysis.figures.registry import draw_published, published
    from sensei.study.layout import published_figure

    outputs = [path for number in published() for path in published_figure(number, folder)]
    with stage("published", code=code_of("published"), inputs=[], outputs=outputs):
        draw_published(folder)


ledger = typer.Typer(help="What models were asked, and answered, in all studies.", no_args_is_help=True)
app.add_typer(ledger, name="ledger")
LedgerPath = Annotated[Path, typer.Option("--path", help="the ledger")]
LEDGER = Path("results/ledger.sqlite")


@ledger.command()
def stats(path: LedgerPath = LEDGER) -> None:
    """Questions, unreadable replies, tokens and dollars of each model and prompt."""
    book = _open_ledger(path)
    print(book.statistics().to_string(index=False))
    flight, flight_usd, lost, lost_usd = book.open_claims()
    print(f"in flight: {flight} questions, at most {flight_usd:.4f} $; lost in flight: {lost}, at most {lost_usd:.4f} $")


@ledger.command()
def export(output: Annotated[Path, typer.Argument(help="where to, ending in .csv, .parquet or .jsonl")], path: LedgerPath = LEDGER) -> None:
    """Write every question with its answer as a table."""
    table = _open_ledger(path).table()
    writers = {
        ".csv": lambda file: table.to_csv(file, index=False),
        ".parquet": lambda file: table.to_parquet(file, index=False),
        ".jsonl": lambda file: table.to_json(file, orient="records", lines=True),
    }
    if output.suffix not in writers:
        raise SenseiError(f"cannot write {output}", found=output.suffix or "no suffix", expected=f"one of {', '.join(writers)}")
    with atomic(output) as temporary:
        writers[output.suffix](temporary)


@ledger.command()
def verify(path: LedgerPath = LEDGER) -> None:
    """Check that the file is whole, each answer that of its question, and the sums right."""
    book = _open_ledger(path)
    if faults := book.faults():
        raise SenseiError(f"the ledger {path} has {len(faults)} faults", found=faults[0], hint="go back to a copy of the file")
    statistics = book.statistics()
    print(f"{path}: {int(statistics['questions'].sum())} answers, all whole")
    for row in statistics[statistics["servers"] > 1].itertuples():
        print(f"{row.model}: its answers come from {row.servers} servers")


def _open_ledger(path: Path):
    from sensei.annotators.ledger import Ledger

    if not path.exists():
        raise SenseiError(f"there is no ledger {path}", hint="name it with --path; annotators that ask a model make it")
    return Ledger(path)


@app.command()
def schema(output: Annotated[Path, typer.Argument(help="where to")] = CONFIG_FOLDER / "schema.json") -> None:
    """Write the JSON schema of study files, for editors; run it after changing sensei/config.py."""
    with atomic(output) as temporary:
        temporary.write_text(json_schema(), encoding="utf-8")


def _open(
    path: Path, *, environment: str | None = None, task: str | None = None, method: str | None = None, annotator: str | None = None
) -> Study:
    """The resolved study at `path`; what is asked for must be in it."""
    resolved = read_study(path)
    asked = (
        ("environment", environment, resolved.settings),
        ("task", task, resolved.settings[environment].environment.tasks if environment in resolved.settings else ()),
        ("method", method, resolved.methods),
        ("annotator", annotator, resolved.annotator_settings),
    )
    for key, name, known in asked:
        if name is not None and name not in known:
            raise SenseiError(
                f"{path}: no {key} {name!r} in this study",
                expected=f"one of {', '.join(known)}",
                hint="correct the option, or add it to the study",
            )
    return resolved


def _run_files(folder: Path) -> list[Path]:
    return [folder / name for name in RUN_FILES]


def main() -> None:
    """Run the command line; a `SenseiError` is printed without a traceback and ends it with exit code 1."""
    try:
        app()
    except SenseiError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
