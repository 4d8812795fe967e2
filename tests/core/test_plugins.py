"""Modules that a study brings along, and whatever is wrong with them: a sentence each, before the first job."""

import sys

import pytest
from helpers import run_python

from sensei.core.errors import SenseiError
from sensei.study.models.annotators import annotator_options
from sensei.study.models.exploration import Method

START = "from sensei.annotators.contract import Annotator\nfrom sensei.study.models.annotators import AnnotatorOptions\n"
BODY = f"{START}\n\nclass Mine(Annotator):\n    def annotate(self, pairs):\n        return iter(())\n"
BROKEN = {
    "absent": (None, "there is no annotator `kind` {name}:Mine.*No module named"),
    "syntax": (f"{BODY}    def (:", "importing {name} fails: found SyntaxError.*line"),
    "another name": (BODY.replace("Mine", "Other"), "there is no annotator `kind` {name}:Mine"),
    "another base": ("class Mine:\n    pass\n", "is no annotator `kind`: expected a class that derives from Annotator"),
    "incomplete": (f"{START}\n\nclass Mine(Annotator):\n    pass\n", "is not complete: found no annotate"),
    "raises": ("raise RuntimeError('licence')\n", "importing {name} fails: found RuntimeError: licence"),
    "leaves": ("import sys\nsys.exit(3)\n", "importing {name} fails: found SystemExit: 3"),
    "needs": ("import no_such_package\n", "No module named 'no_such_package'"),
    "not UTF-8": ("\udce9 = 1\n", "importing {name} fails: found SyntaxError"),
    "a picture": ("\x89PNG\0\0", "importing {name} fails: found SyntaxError"),
    "options of no kind": (f"{BODY}\n    Options = dict\n", "`Options` of {name}:Mine: found <class 'dict'>"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_annotator_of_ones_own_is_named_with_its_fault(fault, tmp_path, monkeypatch):
    text, message = BROKEN[fault]
    name = f"broken_{fault.replace(' ', '_').replace('-', '_')}"
    if text is not None:
        (tmp_path / f"{name}.py").write_bytes(text.encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(SenseiError, match=message.format(name=name)) as caught:
        annotator_options({"kind": f"{name}:Mine"}, "mine.yaml")
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize("text", [None, "def (:\n", "class Other:\n    pass\n"])
def test_a_broken_reward_source_is_found_without_importing_it(text, tmp_path, monkeypatch):
    name = f"source_{abs(hash(text))}"
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(ValueError, match=f"{name}"):
        Method(title="Mine", sources=[f"{name}:Mine"])
    assert name not in sys.modules


STAGE = """
from sensei.study.stage import Stage


class Mine(Stage):
    \"\"\"Divide by nothing.\"\"\"

    name = "mine"
    needs_study = False

    def outputs(self, files, job):
        return {"out": files.root / "out"}

    def run(self, study, job, inputs, outputs, threads):
        len(outputs) / 0
"""


def test_what_a_module_of_ones_own_raises_is_told_with_file_and_line(tmp_path):
    (tmp_path / "mine.py").write_text(STAGE)
    result = run_python("-m", "sensei", "run", "mine:Mine", cwd=tmp_path)
    told = [line for line in result.stderr.splitlines() if not line[:2].isdigit()]
    assert result.returncode == 2 and len(told) == 2, result.stderr
    assert "mine.py, line 15, in run: ZeroDivisionError: found division by zero" in told[0]
