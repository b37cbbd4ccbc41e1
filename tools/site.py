"""Assemble the sources of the documentation site, for MkDocs to build: README.md, docs/, reference.

    python -m tools.site [FOLDER]

FOLDER, build/docs by default, gets README.md as index.md, docs/, and the pages of tools.reference.
The links in README.md and docs/ are those that work on GitHub. In the site, a link to a page leads
to that page. A link to another file leads to the repository, if its address is known (variable
REPOSITORY_URL, which GitHub's workflow sets), and is text if not. A link to nothing is an error.
A page's translation is beside it: `tutorial.zh.md`.
"""

import os
import posixpath
import re
import shutil
import sys
from pathlib import Path

from tools import reference

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = PROJECT / "build" / "docs"
HOME = {"README.md": "index.md", "README.zh-CN.md": "index.zh.md"}

# A fenced block or code in a line, which is left as it is; or a link or picture, with its target.
_LINK = re.compile(
    r"^ *(?P<fence>```|~~~)[^\n]*\n.*?^ *(?P=fence)|`[^`\n]+`"
    r"|(?P<open>!?\[)(?P<text>(?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\((?P<target>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)

# A line break between Chinese characters, which HTML shows as a space.
_CHINESE_BREAK = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u4e00-\u9fff])")


def main(arguments: list[str]) -> int:
    """Write the sources of the site into a folder, whose previous content is removed."""
    folder = Path(arguments[0]) if arguments else FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    pages = page_paths()
    repository = os.environ.get("REPOSITORY_URL", "").rstrip("/")
    texts = {source: (PROJECT / source).read_text() for source in pages if source.endswith(".md")}
    texts |= {f"docs/reference/{name}": text for name, text in reference.pages().items()}
    pages |= {source: source.removeprefix("docs/") for source in texts if source not in pages}
    for source, page in pages.items():
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if source in texts:
            text = with_links_of_the_site(texts[source], source, pages, repository)
            target.write_text(_CHINESE_BREAK.sub("", text))
        else:
            shutil.copyfile(PROJECT / source, target)
    return 0


def page_paths() -> dict[str, str]:
    """Path in the site of each file that the site takes from the repository."""
    files = (path for path in (PROJECT / "docs").rglob("*") if path.is_file())
    sources = sorted(path.relative_to(PROJECT).as_posix() for path in files)
    return HOME | {source: source.removeprefix("docs/") for source in sources}


def with_links_of_the_site(
    markdown: str, source: str, pages: dict[str, str], repository: str = ""
) -> str:
    """Text of a page with its links as the site needs them.

    source: path of the page in the repository. pages: path in the site of each source. repository:
    the address that links to other files lead to, or "". Raises ValueError for a link to nothing.
    """

    def replaced(match: re.Match[str]) -> str:
        if match["target"] is None:
            return match[0]
        text = with_links_of_the_site(match["text"], source, pages, repository)
        link = _link(match["target"], source, pages, repository)
        if link is None or (match["text"] and not text):
            return ""
        if match["open"] == "![" and re.match(r"[a-z]+:", link):
            return ""  # a badge: the site shows nothing from elsewhere
        return f"{match['open']}{text}]({link})" if link else text

    return _LINK.sub(replaced, markdown)


def _link(address: str, source: str, pages: dict[str, str], repository: str) -> str | None:
    """Address in the site for a page's link; empty for a text without one, None for nothing."""
    if re.match(r"[a-z]+:|#", address):
        return address
    path, mark, anchor = address.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    page = pages.get(target, "")
    if page in _translations(pages[source]) or target.startswith("../../actions"):
        return None  # the site has a menu of languages; and no pages of GitHub's own
    if page:
        return posixpath.relpath(page, posixpath.dirname(pages[source]) or ".") + mark + anchor
    if not (PROJECT / target).exists():
        raise ValueError(f"{source} links to {address}, which does not exist")
    return f"{repository}/blob/HEAD/{target}{mark}{anchor}" if repository else ""


def _translations(page: str) -> set[str]:
    """Paths of a page in other languages."""
    stem = re.sub(r"(\.zh)?\.md$", "", page)
    return {f"{stem}.md", f"{stem}.zh.md"} - {page}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
