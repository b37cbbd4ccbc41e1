"""Lint the project's prose: Markdown, docstrings, comments, messages and help texts.

    python -m tools.prose [FILE ...]

Runs proselint's checks and a vocabulary of phrases that this project avoids. Without arguments it
reads every file under version control. Exit code 1 if there is something to reword.
"""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

from proselint import checks
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, engine, types
from proselint.tools import LintFile

PROJECT = Path(__file__).resolve().parent.parent
SUFFIXES = {".md", ".py", ".yaml"}
SKIPPED = {"tools/prose.py", "tests/unit/tools/test_prose.py"}  # they quote the phrases
DISABLED = (  # wrong on code, tables and British spelling
    "lexical_illusions",
    "misc.phrasal_adjectives",
    "spelling",
    "typography",
    "uncomparables",
    "weasel_words",
)

# A phrase, as a regular expression, and what to write instead.
VOCABULARY = {
    r"(is|are|was|were) (not|never) taken(?! (as|from|into|for|over|by|to|out|up))": "unsupported",
    r"(?<!there.)(is|are|was|were) none": "there is no …",
    r"(?<!there.)(?<!that.)is no (?!longer|more|less|fewer|better|worse|larger|one)": "is not a …",
    r"(go|goes|going|went) round": "bypass",
    r"(a|one|another) \w+ a (purpose|label|line|class|digit|image|use|error|row|file)": "per …",
    r"(gives?|gave) [1-5]\d\d\b": "returns …",
    r"(is|are|was) answered(?! by)": "returns …",
    r"no (node|line|word|file|step|byte) more": "without another …",
    r"in the place of": "instead of",
    r"(built|read|measured|made) anew": "again",
    r"somebody": "someone",
}


CheckRegistry().register_many(checks.__register__)
CheckRegistry().register(
    Check(
        check_type=types.PreferredForms(
            items={phrase.replace(" ", r"\s+"): better for phrase, better in VOCABULARY.items()}
        ),
        engine=engine.Fancy(),
        path="vocabulary",
        message='write "{}" instead of "{}"',
    )
)


def main(arguments: list[str]) -> int:
    """Print one line per phrase to reword; return 1 if there are any."""
    disabled = dict.fromkeys(DISABLED, False)
    enabled = {**disabled, "vocabulary": True, **DEFAULT["checks"], **disabled}
    findings = 0
    for path in [Path(argument) for argument in arguments] or tracked():
        text = LintFile(str(path), prose(path) or "\n")
        for result in text.lint({"max_errors": 999, "checks": enabled}):
            line, column = result.pos
            print(f"{path}:{line}:{column}: {' '.join(result.check_result.message.split())}")
            findings += 1
    return 1 if findings else 0


def tracked() -> list[Path]:
    """Files under version control that hold prose."""
    command = ["git", "ls-files"]
    listing = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    paths = map(Path, listing.stdout.splitlines())
    return [path for path in paths if path.suffix in SUFFIXES and str(path) not in SKIPPED]


def prose(path: Path) -> str:
    """Text of a file with everything but prose blanked out; positions are unchanged."""
    text = path.read_text()
    if path.suffix == ".py":
        return _sentences(text)
    if path.suffix == ".md":
        text = re.sub(r"^( *```).*?^\1", _blank, text, flags=re.MULTILINE | re.DOTALL)
        return re.sub(r"`[^`\n]*`|\]\([^)\n]*\)", _blank, text)
    return text


def _sentences(code: str) -> str:
    """Comments and strings of more than two words, at their positions."""
    lines = [" " * len(line) for line in code.split("\n")]
    kinds = (tokenize.STRING, tokenize.COMMENT, tokenize.FSTRING_MIDDLE)
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type not in kinds or len(token.string.split()) < 3:
            continue
        # Without quotation marks: proselint skips quotations.
        (row, column), parts = token.start, re.sub(r"[\"']", " ", token.string).split("\n")
        for number, part in enumerate(parts):
            line, start = lines[row - 1 + number], column if number == 0 else 0
            lines[row - 1 + number] = line[:start] + part + line[start + len(part) :]
    return "\n".join(lines)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
