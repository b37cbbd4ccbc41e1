"""import_report.py: tables fit a terminal of 80 columns."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from model_build.cli import import_report
from model_build.importing import candidates
from model_build.importing.candidates import Choice, Figures


def test_a_recipe_that_is_not_compared_takes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With its size and time, and without figures if it failed."""
    fault = candidates._no_gain(0.27, 1.62)
    slow = Figures("int8, pairs, products alone", None, 10, 0.27, 5.0, 1.62, fault)
    large = replace(slow, time_ratio=1, bytes_ratio=1, fault=candidates._no_gain(1, 1))
    failed = Figures("int8, entropy", fault="failed: why")
    choice = Choice(None, Path(), Path(), "", [slow, large, failed])
    Console(width=80).print(import_report.recipes(choice))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line and "int8" in line]
    assert rows == [
        "int8, pairs, products alone 27% 162% is slower",
        "int8, pairs, products alone 100% 100% gains nothing",
        "int8, entropy failed: why",
    ]
