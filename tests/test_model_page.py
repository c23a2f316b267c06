"""docs/models.md says what the cards say, shows what is there, and names commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.model_page import PAGE, graph_table, with_table
from vipose.models.commands.train import RECIPES
from vipose.runtime.cli import COMMANDS
from vipose.runtime.shipped import shipped_graphs

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / PAGE).read_text(encoding="utf-8")


def test_its_tables_are_those_of_the_cards() -> None:
    assert with_table(TEXT) == TEXT, "run 'python -m tests.model_page docs'"
    named = {graph.name for graph in shipped_graphs()}
    assert named <= set(re.findall(r"`([a-z0-9-]+)`", graph_table()))


def test_its_pictures_are_there() -> None:
    pictures = re.findall(r"\]\(([^)#]+\.(?:png|jpg))\)", TEXT)
    assert len(pictures) >= 3 and all((DOCS / name).is_file() for name in pictures)


def test_its_commands_exist() -> None:
    named = re.findall(r"\bvipose ([a-z]+)(?: ([a-z-]+))?", "\n".join(re.findall(r"`[^`]+`|^    .*$", TEXT, re.MULTILINE)))
    assert {"train", "evaluate", "bench", "export"} <= {command for command, _ in named} <= set(COMMANDS)
    assert all(recipe in RECIPES for command, recipe in named if command == "train")
