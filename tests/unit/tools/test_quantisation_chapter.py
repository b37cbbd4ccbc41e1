"""docs/quantisation.md says what the code does: its blocks are run, its numbers looked up."""

import doctest
import re

import numpy as np
import pytest
from PIL import Image

from model_build.quantise.arithmetic import symmetric
from tests.support import ROOT

CHAPTER = (ROOT / "docs/quantisation.md").read_text()
TAUGHT, MEASURED = CHAPTER.split("## Measurements")
BLOCKS = re.findall(r"```pycon\n(.*?)```", TAUGHT, re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?![\w])")


def test_each_block_gives_what_the_chapter_prints() -> None:
    session = doctest.DocTestParser().get_doctest("\n".join(BLOCKS), {}, "chapter", None, 0)
    said: list[str] = []
    found = doctest.DocTestRunner().run(session, out=said.append)
    assert found.attempted > 20
    assert found.failed == 0, "".join(said)


def test_no_code_is_left_out_of_the_test() -> None:
    assert CHAPTER.count("```") == 2 * len(BLOCKS)
    assert CHAPTER.count(">>>") == "".join(BLOCKS).count(">>>")


def test_each_number_of_the_text_is_one_that_a_block_computes() -> None:
    computed = set(NUMBER.findall("".join(BLOCKS)))
    prose = re.sub(r"```pycon\n.*?```|\]\([^)]*\)", "", TAUGHT, flags=re.DOTALL)
    numbers = set(NUMBER.findall(prose))
    assert {"3.4036", "0.0268", "127"} <= numbers
    assert numbers - computed - set(GIVEN) == set()


# What the text gives and no block computes: where each is shown.
GIVEN = {
    "16": "bits of a sum, a fact about processors",
    "32,767": "test_a_sum_of_two_products",
    "23": "the bound's exponent, in a block as 8 - 23 and in test_arithmetic.py",
    "3": "bits of the first picture",
    "4,000": "values of the second picture",
    "99": "per cent, of the second picture",
}


def test_a_sum_of_two_products_fits_into_sixteen_bits_with_seven_bits_of_weight() -> None:
    assert np.iinfo(np.int16).max == 32_767
    assert 2 * 255 * 63 <= 32_767 < 2 * 255 * 127


def test_the_worked_example_is_the_one_the_articles_use() -> None:
    assert "[-0.9, 1.2, 3.4, 0.2, -2.5]" in TAUGHT
    quantised, scale = symmetric([-0.9, 1.2, 3.4, 0.2, -2.5])
    assert f"{quantised.tolist()}" in TAUGHT
    assert f"'{scale:.4f}'" in TAUGHT


def test_each_technique_that_is_measured_has_a_row_for_both_networks() -> None:
    rows = re.findall(
        r"^\| ((?:fp32|dynamic|static, \w+, per \w+|weight-only, int\d)) \|.*%",
        MEASURED,
        re.MULTILINE,
    )
    assert len(rows) == 2 * len(set(rows)) == 2 * 10


@pytest.mark.parametrize("name", re.findall(r"\((images/[^)]*)\)", CHAPTER))
def test_each_picture_is_there(name: str) -> None:
    with Image.open(ROOT / "docs" / name) as picture:
        assert picture.width > 600
