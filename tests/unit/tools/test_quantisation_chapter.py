"""docs/quantisation.md describes what the code does: its blocks are run."""

import doctest
import re

from tests.support import ROOT

CHAPTER = (ROOT / "docs/quantisation.md").read_text()
BLOCKS = re.findall(r"```pycon\n(.*?)```", CHAPTER, re.DOTALL)


def test_each_block_gives_what_the_chapter_prints() -> None:
    session = doctest.DocTestParser().get_doctest("\n".join(BLOCKS), {}, "chapter", None, 0)
    said: list[str] = []
    found = doctest.DocTestRunner().run(session, out=said.append)
    assert found.attempted > 20
    assert found.failed == 0, "".join(said)


# What the text gives and no block computes: where each is shown.
