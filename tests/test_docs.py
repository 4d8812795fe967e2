"""Documentation and docstrings name what exists: files, modules, and in docs/method.md the names inside them."""

import ast
import re
from functools import cache

import pytest
from helpers import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "README.md"]
SOURCES = [
    path for folder in ("sensei", "tests", "workflow") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".smk", ".c")
]
FILE = re.compile(r"(?<![\w/.{<~-])((?:\.\./)*[\w.-]+(?:/[\w.*{}-]+)*\.(?:py|smk|c|yaml|yml|md|csv|lock|toml|json|png|sh))(?![\w/])")
MODULE = re.compile(r"(?<![\w.])(sensei(?:\.\w+)+)")
ROOTS = [ROOT, ROOT / "sensei", ROOT / "tests", ROOT / "docs", ROOT / "config", ROOT / "workflow", ROOT / "sensei" / "analysis"]
# Files that studies make, or that the reader writes, or that another package has.
MADE = re.compile(
    r"results/|^(card|trust|first_turn|open_clip_config|study|result|state|settings|config|package|manifest)\.|\.manifest\.json$|shard|replies|labels\.csv|curves\.csv"
)


def texts() -> list[tuple[str, str]]:
    """(where, prose) of every document and of every docstring and comment."""
    found = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in DOCUMENTS]
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        comments = "\n".join(re.findall(r"(?:^|\s)#\s(.*)$", text, re.MULTILINE))
        strings = []
        if path.suffix == ".py":
            nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
            strings = [ast.get_docstring(node) or "" for node in nodes]
        found.append((str(path.relative_to(ROOT)), "\n".join([comments, *strings])))
    return found


def exists(name: str, where: str) -> bool:
    """Whether a file stands where a reader would look for it."""
    places = [*ROOTS, (ROOT / where).parent]
    pattern = re.sub(r"\{[^}]*\}|<[^>]*>", "*", name)
    if "*" in pattern:
        return any(any(place.glob(pattern)) for place in places if not pattern.startswith(".."))
    return any((place / name).exists() for place in places) or ("/" not in name and name in names_of_files())


@cache
def names_of_files() -> set[str]:
    """The name of every file of the project."""
    return {
        path.name for path in ROOT.rglob("*") if path.is_file() and not {".git", ".venv", "results"} & set(path.relative_to(ROOT).parts)
    }


def own_example(where: str, text: str) -> set[str]:
    """Files that a document tells the reader to write: the titles of its code blocks."""
    return set(re.findall(r"`([\w./-]+)`[^`\n]*:\n+```", text)) if where.startswith("docs/") else set()


@pytest.mark.parametrize("where, text", texts(), ids=lambda value: value if len(value) < 80 and "\n" not in value else "")
def test_every_file_and_module_that_is_named_exists(where, text):
    examples = own_example(where, text)
    lost = {name for name in FILE.findall(text) if not MADE.search(name) and name not in examples and not exists(name, where)}
    assert not lost, f"{where} names files that there are not: {sorted(lost)}"
    modules = {name for name in MODULE.findall(text) if not module_exists(name)}
    assert not modules, f"{where} names modules that there are not: {sorted(modules)}"


def module_exists(name: str) -> bool:
    """Whether a dotted name leads to a module of the package, or to something that its module defines."""
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        path = ROOT.joinpath(*parts[:length])
        file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        if file.exists():
            return all(re.search(rf"\b{part}\b", file.read_text(encoding="utf-8")) for part in parts[length:]) or path.is_dir()
    return False


@cache
def identifiers() -> set[str]:
    """Every name that the package or its configuration defines or uses."""
    files = [*(ROOT / "sensei").rglob("*.py"), *(ROOT / "config").rglob("*.yaml")]
    return {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


def test_every_name_in_the_table_of_the_paper_exists():
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    named = {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[A-Za-z_]{4,}", code)}
    of_paths = {part for path in SOURCES for part in re.split(r"\W", str(path.relative_to(ROOT)))}
    lost = {word for word in named - identifiers() - of_paths if "_" in word or word[0].isupper()}
    assert not lost, f"docs/method.md names what the package does not know: {sorted(lost)}"


def test_sections_of_the_paper_are_cited_as_such():
    """The paper has sections 1 to 5 and appendices A to H; whatever else is cited is in this repository or in print."""
    for where, text in texts():
        wrong = re.findall(r"paper section (?:[6-9]|\d\d)[\d.]*|sections? [\d.]+ of the notes|the notes", text)
        assert not wrong, f"{where}: {wrong}"
