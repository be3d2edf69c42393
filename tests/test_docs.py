"""What the documentation promises: names, links and code that exist, an example for each object."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import noisyfit

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "changelog.d" / "README.md"]
)
# For authors of methods, or of files; docs/architecture.md says what they are for.
MACHINERY = {"base", "data", "persistence", "training"}
# Modules that are to become part of a folder.
FLAT_MACHINERY = {
    *("device", "engine", "fit_task", "inputs", "meta_gradient", "meta_net", "net_maker", "probe"),
    *("progress", "threshold_net"),
}


def public_objects():
    """Name every class and function that a user may import, by the module that has it."""
    for info in pkgutil.walk_packages(noisyfit.__path__, "noisyfit."):
        parts = info.name.split(".")[1:]
        is_private = any(part.startswith("_") for part in parts)
        if is_private or parts[0] in MACHINERY | FLAT_MACHINERY:
            continue
        module = importlib.import_module(info.name)
        own = [
            key
            for key, value in vars(module).items()
            if not key.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == module.__name__
        ]
        for key in getattr(module, "__all__", own):
            yield f"{'.'.join(parts)}.{key}"


def documented_names():
    """List the names in the reference as ``module.object``."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"^   ([\w.]+)$", text, flags=re.M):
        if "." in name:
            yield name
        else:
            module = getattr(noisyfit, name).__module__.split(".")[1:]
            yield ".".join([*(part for part in module if not part.startswith("_")), name])


def code_blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page; indentation inside of lists is taken off."""
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```", page.read_text("utf-8"), flags=re.M | re.S)
    return [re.sub(f"^{indent}", "", code, flags=re.M) for indent, code in blocks]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and MyST make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")
        for heading in headings
    }


def test_the_reference_lists_every_public_object():
    documented, public = set(documented_names()), set(public_objects())
    assert public <= documented
    elsewhere = {name.partition(".")[0] for name in documented - public}
    assert elsewhere <= MACHINERY | set(noisyfit.__all__)


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_a_public_object_has_an_example(name):
    module, _, key = name.rpartition(".")
    value = getattr(importlib.import_module(f"noisyfit.{module}"), key)
    text = inspect.getdoc(value)
    assert text
    assert ">>>" in text, f"{name} needs an example; --doctest-modules runs it"
    is_result = inspect.isclass(value) and issubclass(value, tuple)  # made by a function
    assert is_result or key in text.partition(">>>")[2], f"the example of {name} does not use it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http", "gallery/")):  # the gallery is made with the pages
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"
    for name in re.findall(r"`((?:examples|noisyfit|tests)/[\w/]+\.\w+)", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_on_a_page_is_valid_and_its_imports_work(page):
    for code in code_blocks(page):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("noisyfit"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    known = hasattr(module, alias.name)
                    assert known or importlib.import_module(f"{node.module}.{alias.name}")


def test_the_first_hour_runs(capsys):
    namespace = {}
    for code in code_blocks(ROOT / "docs" / "first_hour.md"):
        exec(compile(code, "first_hour.md", "exec"), namespace)
    plt.close("all")
    assert "DynamicsLSTMDetector on 600 labels of 2 classes" in capsys.readouterr().out
    assert namespace["est_texts"].noise_scores_.argmax() == 0
    worst = namespace["est_images"].noise_scores_.argsort()[::-1][:10]
    files = [Path(namespace["images"].samples[row][0]) for row in worst]
    assert sorted(path.stem for path in files) == sorted([*"01234"] * 2)


@pytest.mark.slow
def test_the_documentation_builds_without_warnings(tmp_path):
    pytest.importorskip("sphinx", reason="the docs extra is not installed")
    pytest.importorskip("sphinx_gallery", reason="the docs extra is not installed")
    command = [sys.executable, "-m", "sphinx", "-W", "-b", "html", "-D", "plot_gallery=0"]
    build = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr[-3000:]
    assert (tmp_path / "html" / "first_hour.html").exists()
