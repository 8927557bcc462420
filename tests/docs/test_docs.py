"""README and docs stay true: commands and options exist, links resolve, examples run, tables equal what they are tables of."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
import pytest
import typer

from pyfl.apps.registry import BUILT_IN, load_app
from pyfl.cli.program import program
from pyfl.peer.__main__ import program as peer_program
from pyfl.peer.settings import PeerSettings
from pyfl.rounds.records import Deadlines

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WRITTEN_FOR_USERS = [page for page in PAGES if page.name != "CHANGELOG.md"]
# Named in order to say that they do not exist.
NOT_YET = {"recover"}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE_NAME = re.compile(r"# (\w+)\.py\n")


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


# Typer may bring its own copy of click, so its commands are known by what they have.
Command = Any


def commands() -> Command:
    return typer.main.get_command(program)


def inner(command: Command) -> dict[str, Command]:
    return getattr(command, "commands", {})


def invocations(page: Path) -> Iterator[str]:
    """Every `pyfl ...` and `python -m pyfl.peer ...` in code, blocks and spans alike."""
    text = page.read_text()
    lines = [line for language, block in FENCE.findall(text) if language in ("sh", "") for line in block.splitlines()]
    spans = CODE.findall(FENCE.sub("", text))
    for piece in [*lines, *spans]:
        for command in re.split(r"\||&&|;|&", piece.split(" #")[0]):
            words = command.strip()
            if re.match(r"(\.venv/bin/)?pyfl( |$)|(\S*python )-m pyfl\.peer", words):
                yield words


def options(command: Command) -> set[str]:
    given = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    return {name for parameter in given for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}


def check(words: list[str]) -> None:
    """Raise AssertionError when there is no such command or option."""
    if words[:3] == ["python", "-m", "pyfl.peer"]:
        command, rest = typer.main.get_command(peer_program), words[3:]
    else:
        command, rest = commands(), words[1:]
        while inner(command) and rest and not rest[0].startswith("-"):
            if (rest[0] in NOT_YET and rest[0] not in inner(command)) or not re.fullmatch(r"[a-z]+", rest[0]):
                return
            assert rest[0] in inner(command), f"there is no command {rest[0]!r}"
            command, rest = inner(command)[rest[0]], rest[1:]
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    assert set(given) <= options(command), f"no such option: {sorted(set(given) - options(command))}"


@pytest.mark.parametrize("page", WRITTEN_FOR_USERS, ids=ids)
def test_every_command_that_is_named_exists(page: Path) -> None:
    for words in invocations(page):
        try:
            check(shlex.split(words.replace("[", "").replace("]", "")))
        except AssertionError as error:
            raise AssertionError(f"{ids(page)}: `{words}`: {error}") from None


def test_commands_and_options_are_found_in_the_pages_at_all() -> None:
    found = [words for page in PAGES for words in invocations(page)]
    assert len(found) > 20
    assert any("--index" in words for words in found)
    with pytest.raises(AssertionError, match="no such option"):
        check(["pyfl", "peer", "--indexes", "1"])
    with pytest.raises(AssertionError, match="no command"):
        check(["pyfl", "peal"])


@pytest.mark.parametrize("page", WRITTEN_FOR_USERS, ids=ids)
def test_every_option_that_is_named_by_itself_exists(page: Path) -> None:
    known = set[str]().union(*(options(command) for command in _all_commands(commands())))
    spans = [word for code in CODE.findall(FENCE.sub("", page.read_text())) if code.startswith("--") for word in code.split()]
    named = {word.partition("=")[0] for word in spans if word.startswith("--")}
    assert named <= known, f"{ids(page)} names options that no command has: {sorted(named - known)}"


def _all_commands(command: Command) -> Iterator[Command]:
    yield command
    for below in inner(command).values():
        yield from _all_commands(below)


def test_every_command_is_told_in_use_md() -> None:
    text = (ROOT / "docs/use.md").read_text()
    for name in inner(commands()):
        assert f"`pyfl {name}" in text, f"docs/use.md says nothing of `pyfl {name}`"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{ids(page)} links to {target}, which does not exist"
        if anchor:
            assert anchor in _anchors(place), f"{ids(page)} links to {target}; {place.name} has {', '.join(sorted(_anchors(place)))}"


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_target_of_make_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    blocks = "\n".join(block for language, block in FENCE.findall(text) if language == "sh")
    named = re.findall(r"^make ([a-z-]+(?: [a-z-]+)*)", blocks, re.MULTILINE)
    named += re.findall(r"`make ([a-z-]+(?: [a-z-]+)*)[^`]*`", text)
    assert {word for words in named for word in words.split()} <= targets


def python_blocks() -> list[tuple[str, str]]:
    return [(ids(page), block) for page in PAGES for language, block in FENCE.findall(page.read_text()) if language == "python"]


@pytest.mark.parametrize(("page", "block"), python_blocks())
def test_python_in_the_pages_compiles(page: str, block: str) -> None:
    compile(textwrap.dedent(block), page, "exec")


@pytest.mark.parametrize(("page", "block"), python_blocks())
def test_python_that_is_no_file_of_its_own_is_quoted_from_an_example(page: str, block: str) -> None:
    if not FILE_NAME.match(block):
        examples = [path.read_text() for path in sorted((ROOT / "examples").glob("*.py"))]
        assert any(block in example for example in examples), f"{page} quotes what no example has:\n{block}"


@pytest.mark.real
def test_the_apps_of_the_pages_can_be_loaded_and_train(tmp_path: Path) -> None:
    apps = {found[1]: block for _, block in python_blocks() if (found := FILE_NAME.match(block))}
    assert set(apps) == {"iris", "mean"}
    for name, block in apps.items():
        (tmp_path / f"{name}.py").write_text(block)
    # In a process of its own: Keras brings a runtime with it, and the app's module must be found as a user's is.
    code = """
import time
import numpy as np
from pyfl.apps.registry import load_app
from pyfl.training.trainer import RoundInfo
for name in ("mean:app", "iris:app"):
    trainer = load_app(name).build(0, 2, seed=1)
    base = np.zeros(trainer.layout.size, np.float32)
    trainer.initial(base)
    out = np.empty_like(base)
    outcome = trainer.train(base, out, RoundInfo(1, 2, 0, 1, None, "0" * 32), lambda: False)
    assert outcome.samples >= 1 and np.isfinite(out).all(), name
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}


def table(page: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    lines = (ROOT / page).read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def test_the_table_of_settings_is_the_settings() -> None:
    told = {row[0]: row[2] for row in table("docs/use.md", "Name")}
    defaults = msgspec.to_builtins(PeerSettings())
    real = {name: "table below" if name == "deadlines" else json.dumps(value) for name, value in defaults.items()}
    assert told == real


def test_the_flags_in_the_table_of_settings_are_those_of_pyfl_peer() -> None:
    told = {flag for row in table("docs/use.md", "Name") for flag in re.findall(r"--[a-z-]+", row[1])}
    about_output = {"--json", "--quiet", "-q", "--help", "-h", "--config"}
    assert told == options(inner(commands())["peer"]) - about_output


def test_the_table_of_deadlines_is_the_deadlines() -> None:
    told = {row[0]: float(row[1]) for row in table("docs/use.md", "Deadline")}
    assert told == msgspec.to_builtins(Deadlines())


def test_the_example_of_a_settings_file_can_be_read(tmp_path: Path) -> None:
    from pyfl.cli.settings import peer_settings

    [block] = [block for language, block in FENCE.findall((ROOT / "docs/use.md").read_text()) if language == "toml"]
    (tmp_path / "pyfl.toml").write_text(block)
    settings = peer_settings({}, {}, tmp_path / "pyfl.toml")
    assert set(tomllib.loads(block)) <= set(settings.__struct_fields__)
    assert settings.rounds == tomllib.loads(block)["rounds"]


def test_every_built_in_app_is_told() -> None:
    told = {name for row in table("docs/use.md", "App") for name in re.findall(r"[a-z0-9]+", row[0])}
    assert set(BUILT_IN) <= told


@pytest.mark.parametrize("text", sorted(set(re.findall(r"--app ([a-z]+:\S*[^`\s)])", (ROOT / "README.md").read_text()))))
def test_the_apps_on_the_command_lines_are_understood(text: str) -> None:
    if text.partition(":")[0] in BUILT_IN:
        load_app(text)
    else:
        assert f"# {text.partition(':')[0]}.py" in (ROOT / "README.md").read_text()


def test_every_exit_code_of_an_error_is_told() -> None:
    from pyfl import errors

    told = {int(code) for row in table("docs/use.md", "Code") for code in row[0].split(",")}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PyflError)]
    assert {kind.exit_code for kind in kinds} <= told


def test_every_file_of_the_repository_that_a_page_names_exists() -> None:
    for page in PAGES:
        for code in CODE.findall(FENCE.sub("", page.read_text())):
            if re.fullmatch(r"(pyfl|gocore|bindings|tests|requirements|docs)/[\w./-]+", code):
                assert (ROOT / code).exists(), f"{ids(page)} names {code}, which does not exist"


def waiting_messages() -> set[str]:
    """The longest fixed piece of every sentence that a peer says while it waits."""
    found: set[str] = set()
    for file in ("machine", "member_waits", "coordinator"):
        for function in ast.walk(ast.parse((ROOT / f"pyfl/rounds/{file}.py").read_text())):
            if not isinstance(function, ast.FunctionDef) or function.name not in ("wait", "_wait_for_the_last", "_what"):
                continue
            values = [node.value for node in ast.walk(function) if _tells_what(node, function.name) and node.value]
            returned = [part for value in values for part in ast.walk(value)]
            sentences = [part for part in returned if isinstance(part, ast.JoinedStr)]
            inside = {id(part) for sentence in sentences for part in ast.walk(sentence)}
            alone = [part.value for part in returned if isinstance(part, ast.Constant) and id(part) not in inside]
            pieces = [[p.value for p in sentence.values if isinstance(p, ast.Constant)] for sentence in sentences]
            found |= {max(map(str, piece), key=len).strip(" ,;") for piece in [*pieces, alone] if piece}
            found |= {text for text in alone if isinstance(text, str) and len(text) > 10}
    return found


def _tells_what(node: ast.AST, function: str) -> TypeGuard[ast.Return | ast.Assign]:
    """What `_what` returns, and what the others call `what`; what they return has the time in it, too."""
    if function == "_what":
        return isinstance(node, ast.Return)
    return isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "what" for target in node.targets)


def test_every_sentence_of_a_waiting_peer_is_explained() -> None:
    told = " ".join(row[0] for row in table("docs/operate.md", "Message"))
    sentences = waiting_messages()
    assert len(sentences) > 8
    assert [sentence for sentence in sorted(sentences) if sentence not in told] == []
