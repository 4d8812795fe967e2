"""Results that were copied to another machine are taken as they are: nothing is made again."""

import os
import random
import shutil

from helpers import planned, snakemake

SMOKE = ("--configfile", "config/smoke.yaml")


def test_a_copy_that_keeps_dates_is_finished(checkout):
    """As `rsync -a` copies: without Snakemake's own notes, with the dates."""
    shutil.rmtree(checkout / ".snakemake")
    assert planned(snakemake("-n", *SMOKE, cwd=checkout)) == {}


def test_a_copy_that_lost_its_dates_is_finished_once_it_is_touched(checkout):
    shutil.rmtree(checkout / ".snakemake")
    files = sorted(path for path in (checkout / "results").rglob("*") if path.is_file())
    rng = random.Random(0)
    for path in files:
        os.utime(path, (then := 1.7e9 + rng.uniform(0, 1e6), then))
    before = {path: path.read_bytes() for path in files}
    assert planned(snakemake("-n", *SMOKE, cwd=checkout)) != {}
    touched = snakemake("--touch", "--cores", "1", *SMOKE, cwd=checkout)
    assert touched.returncode == 0, touched.stderr
    assert planned(snakemake("-n", *SMOKE, cwd=checkout)) == {}
    assert {path: path.read_bytes() for path in files} == before
