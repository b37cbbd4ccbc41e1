"""The wheel's own requirements, for those who install it: `uvx --from dist/*.whl … serve`."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", re.MULTILINE)


def stated(*paths: str) -> dict[str, str]:
    """Versions by name in requirement files."""
    texts = [(ROOT / path).read_text() for path in paths]
    return {canonicalize_name(n): v for text in texts for n, v in PINNED.findall(text)}


def test_the_wheel_requires_what_the_image_has() -> None:
    """Each package that serving needs, in a range with the version that is tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {
        canonicalize_name(requirement.name): requirement.specifier
        for requirement in map(Requirement, project["dependencies"])
    }
    direct = stated("layers/onnxruntime/requirements.in", "requirements/serve.in")
    assert direct.keys() | {"protobuf"} == required.keys()  # which onnxruntime brings too
    pinned = stated("layers/onnxruntime/requirements.txt", "requirements/serve.txt")
    assert [name for name, range_ in required.items() if pinned[name] not in range_] == []


def test_the_image_has_one_version_of_each_package() -> None:
    """Two files are installed into it, one after the other."""
    function = stated("layers/onnxruntime/requirements.txt")
    server = stated("requirements/serve.txt")
    shared = function.keys() & server.keys()
    assert {name: server[name] for name in shared} == {name: function[name] for name in shared}
