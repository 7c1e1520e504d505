"""The README and the docs against the program: what they tell people to type has to work."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcompress import errors
from tests import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
LINKED = (
    *PAGES,
    *sorted((ROOT / "reports").glob("*.md")),
    ROOT / "CHANGELOG.md",
    ROOT / "hcompress" / "models" / "README.md",
)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield block


def _typed() -> list[tuple[str, list[str]]]:
    """Every command of a console or bash block, with its page."""
    found = []
    for page in PAGES:
        for block in _blocks(page, "console", "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    words = shlex.split(line[2:], comments=True)
                    words = list(itertools.takewhile(lambda word: word not in "|>", words))
                    found.append((page.name, words))
    return found


COMMANDS = [
    (page, words[words.index("hcompress") + 1 :])
    for page, words in _typed()
    if "hcompress" in words
]


@pytest.fixture(scope="module")
def program() -> Any:
    import typer.main

    from hcompress.cli.app import build_app
    from hcompress.stages import STAGES

    return typer.main.get_command(build_app(STAGES))


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 5
    assert {page for page, _ in COMMANDS} >= {"README.md"}


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[" ".join(words) for _, words in COMMANDS]
)
def test_a_documented_command_parses(page: str, words: list[str], program: Any) -> None:
    name, *arguments = words
    assert name in program.commands, f"{page}: hcompress {name}"
    program.commands[name].make_context(name, list(arguments))  # parses; runs nothing


def test_the_readme_names_every_command(program: Any) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in program.commands if f"`{name}`" not in text]
    assert missing == []


def test_documented_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    used = {words[1] for _, words in _typed() if words[0] == "make"}
    used |= {
        target
        for page in PAGES
        for target in re.findall(r"`make ([a-z0-9-]+)", page.read_text(encoding="utf-8"))
    }
    assert {"shrink", "test"} <= used <= targets


def test_every_make_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = " ".join(re.findall(r"^\.PHONY: (\w.*)$", makefile, re.MULTILINE)).split()
    assert {"shrink", "teacher-regrown"} <= set(phony)
    for target in phony:
        assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        place = page.parent / file if file else page
        assert place.exists(), target
        assert not anchor or anchor in _anchors(place), target


def _anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def test_the_readme_links_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name}" not in text] == []


def test_the_architecture_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.split("```")[1]
    package = ROOT / "hcompress"
    rooms = {path.parent.relative_to(package) for path in package.rglob("*/__init__.py")}
    assert [str(room) for room in sorted(rooms) if not re.search(rf"\b{room.name}/", tree)] == []
    named = set(re.findall(r"^  (\w+)/", tree, re.MULTILINE))
    assert named <= {room.name for room in rooms}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Makefile", ROOT / "CHANGELOG.md"], ids=str)
def test_no_page_names_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:work|root|opt|home|tmp|Users|mnt)/", text)


def test_the_exit_codes_are_the_error_trees() -> None:
    page = ROOT / "docs" / "reference.md"
    text = page.read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    for kind in errors.HcompressError.__subclasses__():
        assert kind.exit_code in listed, (page.name, kind.__name__)
    assert {0, errors.HcompressError.exit_code} <= listed


def test_stages_page_is_what_the_stages_say() -> None:
    from hcompress.cli.stage_page import stages_markdown
    from hcompress.stages import STAGES

    page = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    assert page == stages_markdown(STAGES.values()), "write it again: make docs"


def test_documented_recipes_are_recipes() -> None:
    from hcompress.runs.recipe import parse_recipe
    from hcompress.stages import STAGES

    examples = [block for page in PAGES for block in _blocks(page, "toml") if "[[stages]]" in block]
    assert examples
    for block in examples:
        parse_recipe(tomllib.loads(block), STAGES, "docs", ROOT / "recipes")


def test_every_packaged_recipe_is_documented() -> None:
    from hcompress.runs.recipe import packaged_recipes

    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert [name for name in packaged_recipes() if f"`{name}`" not in page] == []


def test_documented_specs_are_specs() -> None:
    from hcompress.data.render.spec import make_spec

    examples = [block for page in PAGES for block in _blocks(page, "toml") if "mode = " in block]
    assert examples
    for block in examples:
        make_spec(tomllib.loads(block), ROOT)


def test_every_package_of_the_tree_is_distributed() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    listed = set(tool["setuptools"]["packages"]) - {"hcompress.recipes"}
    inits = (ROOT / "hcompress").rglob("__init__.py")
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in inits}
    assert listed == found


def _names(requirements: list[str]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in requirements)
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = _names(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted |= _names(extra) - {"hcompress"}
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in pins if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in pinned)
    assert wanted - _names(pinned) == set()
