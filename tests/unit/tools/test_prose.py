"""tools/prose.py: what counts as prose in a file, and which phrases are reported."""

from pathlib import Path

import pytest

from tools.prose import main

CODE = '''"""A format that is not taken."""

taken = "is none"  # {comment}
one_label_a_line = 1
'''


@pytest.mark.parametrize(
    ("name", "text", "reported"),
    [
        ("docstring.py", CODE.format(comment="fine"), [":1:"]),
        ("comment.py", CODE.format(comment="a name is none"), [":1:", ":3:"]),
        ("page.md", "One environment a purpose.\n\n```\nis not taken\n```\n`is none`\n", [":1:"]),
        ("broken.md", "It is not\ntaken.\n", [":1:"]),
        ("plain.md", "One environment per purpose; it is no longer needed.\n", []),
    ],
)
def test_phrases_are_reported_by_line_in_prose_alone(
    name: str, text: str, reported: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code, short strings and code blocks are left alone."""
    path = tmp_path / name
    path.write_text(text)
    assert main([str(path)]) == (1 if reported else 0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(reported)
    assert all(place in line for place, line in zip(reported, lines, strict=True))
