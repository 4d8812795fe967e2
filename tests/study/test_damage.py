"""What a stage reads is what the stage before it wrote, or a sentence that names the file: one fault of a disk, or of a hand, at a time."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes.small_study import ANNOTATOR, ENVIRONMENT, finish, in_order
from helpers import run_python

from sensei.core.errors import SenseiError
from sensei.core.verification import MANIFEST
from sensei.study.folder import check_folder, record_study
from sensei.study.layout import Layout, manifest_of
from sensei.study.load import load_study
from sensei.study.models.study import Study
from sensei.study.stage import Job, Stage, carry_out, flat
from sensei.study.stages import STAGES

COUNT = 200
Damage = Callable[[Path, np.random.Generator, list[Path]], None]


def flip(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    """One bit is another."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def truncate(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    """The end is missing; of lines, whole ones."""
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    text = path.suffix in (".jsonl", ".csv") and len(lines) > 1
    path.write_bytes(b"".join(lines[: rng.integers(len(lines))]) if text else content[: rng.integers(len(content))])


def zero(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    """A block is filled with zeros."""
    content = path.read_bytes()
    at, size = int(rng.integers(len(content))), int(rng.integers(1, 4096))
    path.write_bytes(content[:at] + bytes(len(content[at : at + size])) + content[at + size :])


def swap(path: Path, rng: np.random.Generator, others: list[Path]) -> None:
    """Another file is in its place, one of its kind where there is one."""
    alike = [other for other in others if other.name == path.name] or [other for other in others if other.suffix == path.suffix] or others
    shutil.copyfile(alike[rng.integers(len(alike))], path)


DAMAGES = (flip, truncate, zero, swap)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Study, Layout]:
    """The small study, complete; whoever damages it mends it."""
    return finish(tmp_path_factory.mktemp("finished"))


def readers(study: Study, files: Layout) -> dict[Path, list[tuple[Stage, Job]]]:
    """File that a stage made, or manifest of one -> the jobs that read it."""
    found: dict[Path, list[tuple[Stage, Job]]] = {}
    for stage, job in in_order(study):
        named = [files.study, *flat(stage.inputs(study, files, job))]
        within = [path for folder in stage.folders(study, files, job) for path in sorted(folder.iterdir())]
        for path in [*named, *map(manifest_of, named), *within]:
            found.setdefault(path, []).append((stage, job))
    return found


def kind_of(path: Path, files: Layout) -> str:
    """Files that one stage makes side by side are of one kind: without numbers, and without the names that a study chooses."""
    inside = path.relative_to(files.root).parts
    return f"{inside[1] if inside[0] == ENVIRONMENT else ''}/{''.join(letter for letter in inside[-1] if not letter.isdigit())}"


def state(files: Layout) -> dict[Path, tuple[int, int]]:
    """(size, date) of every file."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files.root.rglob("*") if path.is_file()}


def draws(study: Study, files: Layout, count: int) -> Iterator[tuple[Path, Damage, Stage, Job, np.random.Generator, list[Path]]]:
    """(file, damage, a job that reads it, ...): all kinds of files and all damages in turn, places at random."""
    rng, reading = np.random.default_rng(0), readers(study, files)
    kinds: dict[str, list[Path]] = {}
    for path in reading:
        kinds.setdefault(kind_of(path, files), []).append(path)
    for (damage, kind), _ in zip(itertools.cycle(itertools.product(DAMAGES, kinds)), range(count), strict=False):
        path = kinds[kind][rng.integers(len(kinds[kind]))]
        stage, job = reading[path][rng.integers(len(reading[path]))]
        yield path, damage, stage, job, rng, [other for other in reading if other.read_bytes() != path.read_bytes()]


@pytest.mark.slow
def test_damage_of_any_kind_is_told_and_nothing_is_written(finished):
    study, files = finished
    tried, kinds = 0, set()
    for path, damage, stage, job, rng, others in draws(study, files, COUNT):
        whole = path.read_bytes()
        damage(path, rng, others)
        if path.read_bytes() == whole:  # zeros that were zeros
            continue
        before, what = state(files), f"{damage.__name__} of {path}, read by {stage.name}"
        try:
            with pytest.raises(SenseiError) as caught:
                carry_out(stage, study, files.study, job)
        finally:
            assert state(files) == before, what
            path.write_bytes(whole)
        lines = str(caught.value).splitlines()
        assert str(path).removesuffix(MANIFEST) in lines[0] and len(lines) <= 5, f"{what}: {caught.value}"
        assert "delete" in lines[-1], what
        tried, kinds = tried + 1, kinds | {kind_of(path, files)}
    assert tried > 0.9 * COUNT and len(kinds) > 40


@pytest.mark.slow
def test_two_runs_that_changed_places_are_told_even_with_their_manifests(finished, tmp_path):
    study, files = finished
    one, other = (files.learn(ENVIRONMENT, "keydoor", "sensei", seed).folder for seed in (0, 1))
    changes = [(one, tmp_path / "aside"), (other, one), (tmp_path / "aside", other)]
    for source, target in changes:
        shutil.move(source, target)
    try:
        with pytest.raises(SenseiError, match="is of another file"):
            carry_out(STAGES["tabulate"], study, files.study, Job())
    finally:
        for source, target in reversed(changes):
            shutil.move(target, source)


@pytest.mark.slow
def test_a_missing_manifest_or_episode_and_a_file_too_many_are_told(finished, tmp_path):
    study, files = finished
    index = files.collect(ENVIRONMENT, 0)
    episode = next(index.episodes.iterdir())
    pairs = STAGES["pairs"], Job(environment=ENVIRONMENT)
    for path in (manifest_of(index.index), episode):
        path.rename(tmp_path / path.name)
        with pytest.raises(SenseiError, match=path.name):
            carry_out(pairs[0], study, files.study, pairs[1])
        shutil.move(tmp_path / path.name, path)
    strange = index.episodes / "worker09-000000.npz"
    shutil.copyfile(episode, strange)
    with pytest.raises(SenseiError, match=f"{strange.name} is not of stage collect"):
        carry_out(pairs[0], study, files.study, pairs[1])
    strange.unlink()
    (index.episodes / ".temporary").touch()
    carry_out(pairs[0], study, files.study, pairs[1])


@pytest.mark.slow
def test_the_command_ends_with_2_and_a_file_of_ones_own_needs_no_manifest(finished, tmp_path):
    study, files = finished
    model = files.reward(ENVIRONMENT, ANNOTATOR).model
    own, whole = tmp_path / "own.safetensors", model.read_bytes()
    own.write_bytes(whole[:-8] + bytes(8))
    words = ["-m", "sensei", "explore", "--study", files.study, "--environment", ENVIRONMENT, "--method", "sensei", "--seed", "0"]
    model.write_bytes(whole[:-8] + bytes(8))
    result = run_python(*words, cwd=tmp_path)
    assert result.returncode == 2 and str(model) in result.stderr and len(result.stderr.splitlines()) <= 5, result.stderr
    result = run_python(*words, "--reward", own, "--folder", tmp_path / "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shutil.copyfile(manifest_of(model), manifest_of(own))  # whoever has one is held to it, whatever the file is called now
    result = run_python(*words, "--reward", own, "--folder", tmp_path / "run", cwd=tmp_path)
    model.write_bytes(whole)
    assert result.returncode == 2 and f"{own} is damaged" in result.stderr


def test_a_damaged_record_of_the_study_is_told_before_any_job_and_a_lost_manifest_is_written_again(write_study, tmp_path):
    study, path = load_study(write_study()), tmp_path / "results" / "smoke" / "study.yaml"
    record_study(study, path)
    whole = path.read_text()
    path.write_text(whole.replace("explore_steps: 600", "explore_steps: 601"))
    with pytest.raises(SenseiError, match="damaged, or not what stage study wrote") as caught:
        check_folder(study, path, "my.yaml")
    assert f"delete {path}" in str(caught.value)
    path.write_text(whole)
    manifest_of(path).unlink()
    date = path.stat().st_mtime_ns
    record_study(study, path)
    assert manifest_of(path).exists() and path.stat().st_mtime_ns == date
    check_folder(study, path, "my.yaml")
