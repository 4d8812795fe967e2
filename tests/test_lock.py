"""uv.lock: the ranges of pyproject.toml on Linux and Macs; docs/install.md says of each system what is downloaded and what is built."""

import re
import tomllib
from functools import cache
from itertools import product

import pytest
from helpers import ASKED_FOR, ROOT
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import canonicalize_name, parse_wheel_filename

SYSTEMS = {  # as docs/install.md calls them -> what markers see, and the platforms whose wheels will do
    "Linux, x86-64": ({"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}, "manylinux_2_{}_x86_64"),
    "Linux, ARM": ({"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"}, "manylinux_2_{}_aarch64"),
    "macOS 14, Apple silicon": ({"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}, None),
}
PYTHONS = ("3.11", "3.12", "3.13")


@cache
def locked() -> dict[str, list[dict]]:
    """Package -> its entries in uv.lock."""
    found: dict[str, list[dict]] = {}
    for entry in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        found.setdefault(entry["name"], []).append(entry)
    return found


def needed(system: str, python: str) -> list[dict]:
    """The entries that a full installation takes there."""
    where = {"os_name": "posix", "implementation_name": "cpython", "platform_python_implementation": "CPython", "platform_release": ""}
    where |= SYSTEMS[system][0] | {"python_version": python, "python_full_version": f"{python}.7", "implementation_version": f"{python}.7"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for name, texts in project["optional-dependencies"].items() if name not in ASKED_FOR for text in texts]
    asked, found = [*map(Requirement, [*project["dependencies"], *extras])], {}
    todo = [(canonicalize_name(one.name), frozenset(one.extras)) for one in asked if one.marker is None or one.marker.evaluate(where)]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in found:
            continue
        (entry,) = (one for one in locked()[name] if applies(one.get("resolution-markers"), where))
        found[name, extras] = entry
        optional = entry.get("optional-dependencies", {})
        for one in [*entry.get("dependencies", []), *(one for extra in extras for one in optional.get(extra, []))]:
            if applies([one["marker"]] if "marker" in one else None, where):
                todo.append((one["name"], frozenset(one.get("extra", []))))
    return list({entry["name"]: entry for entry in found.values()}.values())


def applies(markers: list[str] | None, where: dict[str, str]) -> bool:
    return markers is None or any(Requirement(f"x; {marker}").marker.evaluate(where) for marker in markers)


@cache
def tags(system: str, python: str) -> frozenset[Tag]:
    """What a pip there installs."""
    version = tuple(map(int, python.split(".")))
    pattern = SYSTEMS[system][1]
    machine = "x86_64" if pattern and "x86" in pattern else "aarch64"
    older = [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]
    platforms = [*(pattern.format(minor) for minor in range(36, 4, -1)), *older] if pattern else list(mac_platforms((14, 0), "arm64"))
    return frozenset([*cpython_tags(version, platforms=platforms), *compatible_tags(version, f"cp{version[0]}{version[1]}", platforms)])


def what_is_fetched(system: str, python: str) -> tuple[int, int, set[str]]:
    """Packages, bytes, and those that are built from source."""
    size, built, entries = 0, set(), needed(system, python)
    for entry in entries:
        fitting = [
            wheel for wheel in entry.get("wheels", []) if tags(system, python) & parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
        ]
        assert fitting or "sdist" in entry, f"{entry['name']} {entry['version']} cannot be had for {system}, Python {python}"
        size += (fitting or [entry["sdist"]])[0].get("size", 0)
        built |= set() if fitting else {entry["name"]}
    return len(entries), size, built


@pytest.mark.parametrize(("system", "python"), list(product(SYSTEMS, PYTHONS)))
def test_everything_can_be_had_and_the_page_says_what_it_takes(system, python):
    packages, size, built = what_is_fetched(system, python)
    page = (ROOT / "docs" / "install.md").read_text()
    (row,) = re.findall(rf"^\| {re.escape(system)} \| {re.escape(python)} \|.*$", page, re.MULTILINE)
    assert row.split("|")[3:6] == [f" {packages} ", f" {size / 1e9:.1f} GB ", f" {', '.join(sorted(built))} "]


def test_the_lock_names_what_make_installs():
    pins = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
    for name, version in pins.items():
        assert version in {entry["version"] for entry in locked()[canonicalize_name(name)]}, name


def test_the_lock_is_of_these_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (ours,) = locked()["sensei"]
    stated = {
        canonicalize_name(one["name"]): Requirement(f"x{one.get('specifier', '')}").specifier for one in ours["metadata"]["requires-dist"]
    }
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        assert stated[canonicalize_name(requirement.name)] == requirement.specifier, requirement.name


def test_the_lock_names_public_hosts_alone():
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}
