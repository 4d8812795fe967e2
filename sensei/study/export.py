"""A study as one archive, from which its figures, tables and page are drawn again without training, card or key; and the way back."""

import contextlib
import gzip
import hashlib
import importlib.machinery
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from sensei.core.errors import SenseiError
from sensei.core.files import atomic, json_text, sha256, temporary_of
from sensei.core.verification import thinned, verified
from sensei.study import croissant
from sensei.study.graph import work
from sensei.study.layout import RESULTS, Layout, RunFiles, manifest_of
from sensei.study.load import read_study
from sensei.study.models.study import Study
from sensei.training.release import released

DATE = 315_532_800  # of every file in an archive, 1980-01-01: equal results give equal bytes
CHUNK = 2**20
SHOWN = 10  # missing files that an error names
# Outputs that are left out unless they are asked for or drawn from: name of the output -> what asks for it.
LARGE = {"agent": "checkpoints", "weights": "checkpoints", "frames": "frames", "video": None}
FAULTS = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError, TypeError, ValueError, RecursionError)
LONGEST = 2**26  # bytes of `croissant.json`; that of the whole paper has a hundredth
# Of no archive of ours: a module, which a study might name, and the state of a run under way, which is believed when the run goes on.
CODE, STATES = tuple(importlib.machinery.all_suffixes()), {RunFiles(Path()).checkpoint.name, RunFiles(Path()).handed_on.name}


def export(study: Study, files: Layout, archive: Path, asked_for: frozenset[str] = frozenset(), agents: Sequence[str] = ()) -> int:
    """Pack a finished study; returns how many files.

    Raw answers, labels, pairs, reward models, metrics, events and the table of scores, all that figures, tables and page are made from,
    every manifest, and `croissant.json`, which says what each file is and its SHA-256.

    Args:
        archive: where to, `*.tar.gz`; equal results give equal bytes.
        asked_for: "checkpoints": also what was learned; "frames": also the pictures that were compared.
        agents: runs whose agents are packed to be played, without what only learning needs, each with a card; places in the study's folder.

    Raises:
        SenseiError: files are missing (one message names them), or one is damaged.
    """
    members = _members(study, files, asked_for)
    for run in agents:
        members |= {f"{run}/{name}": content for name, content in released(RunFiles(files.root / run)).items()}
    sizes = {place: (_digest(content), _size(content)) for place, content in members.items()}
    about = (
        f"Study {study.study} of the SENSEI workflow: labels, reward models, scores and events of "
        f"{len(study.exploration_runs())} exploration and {len(study.task_runs())} task runs in {', '.join(study.environments)}. "
        "Everything that its figures and tables are drawn from: `make figures EXPORT=FILE`."
    )
    metadata = croissant.describe(study.study, about, sizes, dict(_tables(study, files)))
    _write(archive, study.study, {files.croissant.name: croissant.text(metadata).encode(), **dict(sorted(members.items()))})
    return len(members)


def _members(study: Study, files: Layout, asked_for: frozenset[str]) -> dict[str, Path | bytes]:
    """Place in the study's folder -> the file there, or what stands in the archive instead."""
    every = work(study, files)
    last = [one for one in every if one.redraws]
    made_again = {path for one in last for path in one.stage.outputs(files, one.job).values()} - {files.scores}
    packed = {files.study, files.scores, *(path for one in last for path in one.reads(study, files))}
    for one in every:
        made = one.stage.outputs(files, one.job)
        packed |= {path for name, path in made.items() if name not in LARGE or LARGE[name] in asked_for}
    packed = {path for path in packed - made_again if path.is_relative_to(files.root)}
    if missing := sorted(str(path) for path in packed if not path.exists()):
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise SenseiError(
            f"study {study.study} is not finished: there is no {', '.join(missing[:SHOWN])}{more}", hint="`snakemake` makes it"
        )
    within = {path for one in last for path in one.stage.within(study, files, one.job)}
    indices = {index for one in last for index in one.stage.folders(study, files, one.job).values()}
    members: dict[str, Path | bytes] = {}
    for path in packed | within:
        members[_place(path, files)] = path
        if path in packed:
            verified(path)
            members[_place(manifest_of(path), files)] = manifest_of(path)
    for index in indices:
        members[_place(manifest_of(index), files)] = json_text(thinned(index, within)).encode()
    return members


def _tables(study: Study, files: Layout) -> Iterator[tuple[str, tuple[str, Path]]]:
    """The tables that are sets of records, by name: scores, pairs, labels."""
    tables = {"scores": files.scores}
    for name, annotator, generation in study.label_sets():
        again = f", generation {generation}" if generation > 1 else ""
        own = study.own_pairs(annotator, generation)
        whose = f" of {own}" if own else ""
        tables |= {f"pairs of {name}{whose}{again}": files.pairs(name, generation, own).pairs}
        tables |= {f"labels of {name} by {annotator}{again}": files.labels(name, annotator, generation).labels}
    for name, path in tables.items():
        yield name.replace(",", "").replace(" ", "_"), (_place(path, files), path)


def _place(path: Path, files: Layout) -> str:
    return path.relative_to(files.root).as_posix()


def _digest(content: Path | bytes) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256(content)


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _write(archive: Path, folder: str, members: dict[str, Path | bytes]) -> None:
    """Pack `members` below `folder`, in their order."""
    with (
        atomic(archive) as temporary,
        open(temporary, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=DATE) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for place, content in members.items():
            entry = tarfile.TarInfo(f"{folder}/{place}")
            entry.size, entry.mtime, entry.mode = _size(content), DATE, 0o644
            with io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb") as source:
                tar.addfile(entry, source)


def unpack(archive: Path, results: Path = RESULTS) -> Layout:
    """Lay the study in an archive below `results`, but for what is made again; nothing if it came from this archive before.

    Raises:
        SenseiError: the archive is damaged or none of `export`, or another study has the folder.
    """
    if not archive.is_file():
        raise SenseiError(f"there is no archive {archive}", hint="`python -m sensei export --study NAME` writes one")
    results.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(results / "unpacked")
    try:
        with _whole(archive), tarfile.open(archive, "r:gz") as tar:
            name, described = _extract(tar, temporary)
        files = Layout(results / name)
        if files.root.exists():
            if not files.croissant.exists() or files.croissant.read_bytes() != described:
                raise SenseiError(
                    f"{files.root} is there already, and not from {archive}", hint="move it away, or unpack in another folder"
                )
        else:
            os.replace(temporary, files.root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return files


def _extract(tar: tarfile.TarFile, folder: Path) -> tuple[str, bytes]:
    """Write the files of an archive, each compared with what `croissant.json`, the first of them, says; the study's name, and that file.

    Raises:
        one of FAULTS, SenseiError: it is not what `export` wrote.
    """
    files, first = Layout(folder), tar.next()
    name, _, place = first.name.partition("/") if first else ("", "", "")
    if place != files.croissant.name or first.size > LONGEST:
        raise ValueError("it does not begin with what it holds")
    described = tar.extractfile(first).read()
    expected = croissant.checksums(json.loads(described))
    for entry in iter(tar.next, None):
        place = entry.name.removeprefix(f"{name}/")
        parts = {*PurePosixPath(place).parts, place}
        if place not in expected or not entry.isreg() or entry.issparse() or {"", ".", "..", "/"} & parts:
            raise ValueError(f"{entry.name} is not of it")
        if place.endswith(CODE) or STATES & parts:
            raise ValueError(f"{entry.name} is more than data")
        if _lay(tar.extractfile(entry), folder / place) != expected.pop(place):
            raise ValueError(f"{entry.name} is not what it was")
    while tar.fileobj.read(CHUNK):  # to the end, where the checksum of the whole is
        pass
    if expected:
        raise ValueError(f"{min(expected)} is not there")
    if read_study(files.study).study != name:
        raise ValueError(f"it is not the study {name}")
    for path in (files.scores, manifest_of(files.scores)):  # made again, from the runs
        path.unlink()
    with open(files.croissant, "wb") as file:
        file.write(described)
    return name, described


def _lay(source: IO[bytes], target: Path) -> str:
    """Write a file with the date of all of them, so that none is newer than what was made from it; its SHA-256."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
    os.utime(target, (DATE, DATE))
    return digest.hexdigest()


@contextlib.contextmanager
def _whole(archive: Path) -> Iterator[None]:
    """Let what shows that an archive is not whole be said of it."""
    try:
        yield
    except (*FAULTS, SenseiError) as error:
        raise SenseiError(f"{archive} is damaged, or no export of a study", found=error, hint="get it again") from error
