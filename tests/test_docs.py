"""Documents, docstrings, comments, descriptions and hints name what exists: files, names, keys, commands, parts of the paper."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import typer
from fakes.guide import blocks
from helpers import ROOT

import sensei
from sensei.cli.main import app
from sensei.replay.episodes import episode_name
from sensei.study.layout import CONFIG_FOLDER, Layout, manifest_of
from sensei.study.models.study import Settings
from sensei.study.stages import STAGES

DOCUMENTS = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("", "config", "examples", "results", "sensei/analysis/published")),
]
METHOD = ROOT / "docs" / "method.md"
CODE = [path for folder in ("sensei", "tests", "workflow") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".smk", ".c")]
SETTINGS = [
    *(path for folder in ("config", "envs", "workflow/profiles") for path in (ROOT / folder).rglob("*.yaml")),
    *(ROOT / name for name in ("Makefile", "Snakefile", "pyproject.toml", "environment.yml", ".ci/run")),
]
ROOTS = [ROOT, *(ROOT / name for name in ("sensei", "tests", "docs", "config", "workflow", "sensei/analysis"))]
ENDS = "py|smk|c|ya?ml|md|csv|lock|toml|json|png|sh|rst|html|parquet|npz|safetensors|sqlite|jsonl|pt|mp4"
FILE = re.compile(rf"(?<![\w/.{{<~-])((?:\.\./)*[\w.-]+(?:/[\w.*{{}}-]+)*\.(?:{ENDS}))(?![\w/])")
MODULE = re.compile(r"(?<![\w.])(sensei(?:\.\w+)+)")
# What is written in the documents, and what a reader has.
THE_READERS = {"play.mp4", "dream.mp4", "dream.png", "gpu.json", "replies.csv", "first_times.csv", "mine.csv"}
NOT_OURS = {"qpos_objects", "ANTIALIAS", "FILE"}  # names of Robodesk's package and of Pillow; "any file"
SPOKEN = ("description", "help", "hint")  # arguments whose strings people read


class Text(NamedTuple):
    """What a file says to people, and where it is."""

    where: str
    said: str


@cache
def texts() -> list[Text]:
    """Every document, and the docstrings, comments, descriptions and hints of every file of code or settings."""
    found = [Text(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in DOCUMENTS]
    for path in [*CODE, *SETTINGS]:
        text = path.read_text(encoding="utf-8")
        said = re.findall(r"(?:^|\s)(?:#|//)\s(.*)$", text, re.MULTILINE)
        if path.suffix == ".py":
            nodes = list(ast.walk(ast.parse(text)))
            said += [ast.get_docstring(node) or "" for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
            keywords = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg in SPOKEN]
            said += [part.value for value in keywords for part in ast.walk(value) if is_text(part)]
        said += re.findall(r'"""(.*?)"""', text, re.DOTALL) if path.suffix == ".smk" else []
        said += re.findall(r"/\*(.*?)\*/", text, re.DOTALL) if path.suffix == ".c" else []
        found.append(Text(str(path.relative_to(ROOT)), "\n".join(said)))
    return found


def is_text(node: ast.AST) -> bool:
    """Whether a node is a string in the source."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# Files and modules --------------------------------------------------------------------------------------------------


def test_every_file_and_module_that_is_named_exists():
    lost = []
    for where, said in texts():
        own = blocks(said)  # files that the reader is told to write
        lost += [f"{where}: {name}" for name in FILE.findall(said) if name not in own and not exists(name, where)]
        lost += [f"{where}: {name}" for name in MODULE.findall(said) if not module_exists(name)]
    assert not lost, "\n".join(["there is no", *lost])


def exists(name: str, where: str) -> bool:
    """Whether a file stands where a reader would look for it; a name without a folder may be anywhere, a file of a study in any study."""
    last = name.rpartition("/")[2]
    if last in made() | THE_READERS or last.endswith(manifest_of("").name) or module_exists(name):
        return True
    places, pattern = [*ROOTS, (ROOT / where).parent], re.sub(r"\{[^}]*\}|<[^>]*>|\bNAME\b", "*", name)
    if "*" in pattern:
        return any(any(place.glob(pattern)) for place in places if not pattern.startswith(".."))
    return any((place / name).exists() for place in places) or ("/" not in name and name in names_of_files())


@cache
def made() -> set[str]:
    """Names of the files that studies make, as their layout has them."""
    study = Layout("results")
    labels = study.labels("e", "ANNOTATOR")
    parts = [study, study.explore("e", "m", 0), study.collect("e", 0), study.pairs("e"), labels, labels.model, study.reward("e", "a")]
    values = [getattr(part, name) for part in parts for name, kind in vars(type(part)).items() if isinstance(kind, property)]
    return {value.name for value in [*values, labels.shard(0)] if isinstance(value, Path)} | {episode_name(3, 12)}


@cache
def names_of_files() -> set[str]:
    """The name of every file of the project."""
    strange = {".git", ".venv", "results", ".snakemake"}
    return {path.name for path in ROOT.rglob("*") if path.is_file() and not strange & set(path.relative_to(ROOT).parts)}


def module_exists(name: str) -> bool:
    """Whether a dotted name leads to a module of the package, or to something that its module defines."""
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        path = ROOT.joinpath(*parts[:length])
        file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        if file.exists():
            return length == len(parts) or has(".".join(parts[length:]), defined_in(file))
    return parts[1:] in ([name] for name in sensei.__all__)


# Names and keys -----------------------------------------------------------------------------------------------------


def test_every_name_and_every_key_that_a_document_gives_exists():
    lost = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        pairs = re.findall(r"`([\w/]+\.py)`: `([\w.]+)", text)
        places = [(next((place / file for place in ROOTS if (place / file).exists()), None), file, name) for file, name in pairs]
        lost += [f"{path.name}: {file}: {name}" for place, file, name in places if place and not has(name, defined_in(place))]
        lost += [f"{path.name}: {span}" for span in spans(text) if not known(span)]
    assert not lost, "\n".join(["there is no", *lost])


def known(span: str) -> bool:
    """Whether what stands in backticks exists, if it is `Class.attribute`, `Class(argument=)`, `section.key` or `module.name`."""
    if (argument := re.match(r"(\w+)\((\w+)=\)", span)) and argument[1] in classes():
        return argument[2] in classes()[argument[1]]
    dotted = re.match(r"(\w+)\.(\w+)", span)
    if dotted is None or FILE.fullmatch(span):
        return True
    first, name = dotted.groups()
    if first in classes():
        return name in classes()[first]
    if first in Settings.model_fields:
        return name in Settings.model_fields[first].annotation.model_fields
    return first not in modules() or name in modules()[first]


def test_every_name_in_the_table_of_the_paper_exists():
    named = {word for span in spans(METHOD.read_text(encoding="utf-8")) for word in re.findall(r"[A-Za-z_]{4,}", span)}
    lost = {word for word in named - identifiers() - NOT_OURS if "_" in word or word[0].isupper()}
    assert not lost, f"docs/method.md names what the package does not know: {sorted(lost)}"


def spans(text: str) -> Iterator[str]:
    """Everything in backticks, code blocks apart; ".name" is completed with the owner of the span before it in the line."""
    for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines():
        owner = ""
        for written in re.findall(r"`([^`]+)`", line):
            span = owner + written if re.match(r"\.[a-z_]\w*$", written) else written
            owner = dotted[1] if (dotted := re.match(r"([A-Za-z_]\w*)(?:\.\w|$)", span)) else owner
            yield span


@cache
def identifiers() -> set[str]:
    """Every word that the package or its configuration uses, and every part of a path of the project."""
    files = [*(ROOT / "sensei").rglob("*.py"), *(ROOT / "config").rglob("*.yaml")]
    words = {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    return words | {part for path in [*CODE, *SETTINGS] for part in re.split(r"\W", str(path.relative_to(ROOT)))}


@cache
def modules() -> dict[str, set[str]]:
    """Name of a module without its package -> what modules of that name define; not of names that are words of the configuration."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "sensei").rglob("*.py"):
        found.setdefault(path.stem, set()).update(defined_in(path))
    return {name: names for name, names in found.items() if not (ROOT / "sensei" / name).exists() and name != "environment"}


@cache
def defined_in(file: Path) -> frozenset[str]:
    """Names at the top of a module, what it imports apart."""
    return frozenset(bound(ast.parse(file.read_text(encoding="utf-8")).body))


def bound(body: list[ast.stmt]) -> Iterator[str]:
    """Names that statements define."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))


@cache
def classes() -> dict[str, set[str]]:
    """Class of the package -> its attributes and the arguments of its methods, those of its bases included."""
    own: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for path in (ROOT / "sensei").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                within = list(ast.walk(node))
                attributes = {part.attr for part in within if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)}
                arguments = {part.arg for part in within if isinstance(part, ast.arg)}
                own[node.name] = own.get(node.name, set()) | set(bound(node.body)) | attributes | arguments
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]

    def of(name: str) -> set[str]:
        return own.get(name, set()).union(*(of(base) for base in bases.get(name, ()) if base != name))

    return {name: of(name) for name in own}


def has(name: str, names: frozenset[str]) -> bool:
    """Whether `name`, or "Class.attribute", is among the names of a module."""
    first, _, rest = name.partition(".")
    return first in names and (not rest or rest.partition(".")[0] in classes().get(first, ()))


def test_the_rooms_and_stages_of_the_table_are_those_there_are():
    text = METHOD.read_text(encoding="utf-8").partition("### Rooms")[2].partition("### Seeds")[0]
    rooms, stages = text.split("### Stages")
    named = [room.removesuffix(".py").strip("/").replace("/", ".") for row in rooms.split("\n| `")[1:] for room in first_cell(row)]
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [layer.removeprefix("sensei.") for line in reversed(contract["layers"]) for layer in line.split(" | ")]
    inside = [name for name in named if name in layers]
    assert sorted(inside, key=layers.index) == inside, "from the lowest layer up, as pyproject.toml has them"
    assert {path.name for path in (ROOT / "sensei").iterdir() if path.is_dir() and path.name[0] != "_"} == {
        name.partition(".")[0] for name in named
    }
    rows = re.findall(r"^\| `([\w-]+)` \| ([a-z, ]*?) ?\|", stages, re.MULTILINE)
    assert rows == [(name, ", ".join(stage.axes)) for name, stage in STAGES.items()]


def first_cell(row: str) -> list[str]:
    """What is in backticks in the first cell of a row of a table, whose first backtick is gone."""
    return re.findall(r"`([^`]+)`", f"`{row.partition(' |')[0]}")


# The paper, and where else a reader is sent -------------------------------------------------------------------------


def test_what_is_cited_of_the_paper_is_in_it():
    """Of the paper sections 1 to 5, appendices A to F, nine equations, 27 figures; else a section of docs/method.md that there is."""
    headings = re.findall(r"^## (\d+) ", METHOD.read_text(encoding="utf-8"), re.MULTILINE)
    wrong = []
    for where, text in texts():
        said = " ".join(text.split())
        wrong += [f"{where}: {found}" for found in re.findall(r"(?:of|from) (?:the|its|the paper's) notes|Appendix (?![A-F]\b)\w+", said)]
        for kind, most in (("Eq", 9), ("Fig(?:ure)?", 27)):
            wrong += [f"{where}: {kind} {number}" for number in re.findall(rf"\b{kind}s?\.? (\d+)", said) if int(number) > most]
        for owner, first, others in re.findall(r"([\w./()]+),? [Ss]ections? (\d[\d.]*)((?:,? and \d|, \d)*)", said):
            numbers, paper = [first.rstrip("."), *re.findall(r"\d", others)], owner.strip("(").endswith("paper")
            at_home = where == "docs/method.md" or owner.endswith("docs/method.md")
            right = all(number in ("12345" if paper else headings) for number in numbers) and (paper or at_home)
            wrong += [] if right else [f"{where}: {owner}, section {first}{others}"]
    assert not wrong, "\n".join(["this cannot be looked up", *wrong])


def test_every_link_leads_somewhere():
    for path in DOCUMENTS:
        for link in re.findall(r"\]\((?!https://)([^)\s]+)\)", path.read_text(encoding="utf-8")):
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.name}: {link}"
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else [""]
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, f"{path.name}: {link}"


# Commands -----------------------------------------------------------------------------------------------------------


def test_every_command_that_is_shown_exists_with_its_options():
    wrong = []
    for where, said in texts():
        for line in re.findall(r"python -m sensei ([^`\n]*)", re.sub(r"\\\n\s*", " ", said)):
            words = re.split(r"[\s\[\]()]+", line)
            command = typer.main.get_command(app) if re.match(r"[a-z]", line) else None
            while hasattr(command, "list_commands") and words and not words[0].startswith("-"):
                command = command.get_command(typer.Context(command), words.pop(0).strip("'\",.;:"))
            if command is None and re.match(r"[a-z]", line):
                wrong.append(f"{where}: python -m sensei {line}")
            elif command is not None and command.name != "run":  # which has the options of the stage that is named
                wrong += [f"{where}: {command.name} {word}" for word in words if word.startswith("--") and word not in options(command)]
    assert not wrong, "\n".join(["there is no", *wrong])


def test_every_option_in_a_hint_is_one_of_some_command():
    known = options(typer.main.get_command(app)) | {"--configfile", "--unlock"}
    for path in (ROOT / "sensei").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        hints = [node for node in nodes if isinstance(node, ast.keyword) and node.arg == "hint"]
        parts = [part.value for hint in hints for part in ast.walk(hint) if is_text(part)]
        assert {option for part in parts for option in re.findall(r"--[a-z][\w-]*", part)} <= known, path.relative_to(ROOT)


def options(command: typer.core.TyperGroup) -> set[str]:
    """The options of a command and of those below it."""
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    context = typer.Context(command)
    below = command.list_commands(context) if hasattr(command, "list_commands") else ()
    return own.union(*(options(command.get_command(context, name)) for name in below))


def test_every_target_and_study_of_snakemake_and_make_exists():
    rules = "\n".join(file.read_text(encoding="utf-8") for file in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")])
    targets, wrong = set(re.findall(r"^rule (\w+):", rules, re.MULTILINE)), []
    goals = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"(?:^|`)(?:\S*/)?snakemake ([^`#\n\\]*)", text, re.MULTILINE):
            words = shlex.split(line)
            for option, word in zip(["", *words], words, strict=False):
                study = option == "--configfile" and not (ROOT / word).exists() and word not in blocks(text)
                target = not option.startswith("-") and re.fullmatch(r"[a-z_]+", word) and word not in targets
                wrong += [f"{path.name}: snakemake {line}: {word}"] if study or target else []
        wrong += [f"{path.name}: make {goal}" for goal in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE) if goal not in goals]
        studies = re.findall(r"STUDY=([\w/-]+)", text)
        wrong += [f"{path.name}: STUDY={study}" for study in studies if not (CONFIG_FOLDER / f"{study}.yaml").exists()]
    assert not wrong, "\n".join(["there is no", *wrong])
