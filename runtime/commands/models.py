"""``vipose models``: list graphs and modes, show one, verify them, and add or remove your own.

  vipose models list
  vipose models info s-vipnas
  vipose models verify [NAME|GRAPH.onnx ...]
  vipose models import vipnas_res50.pth              runs as --mode s-vipnas-res50 from then on
  vipose models import net.onnx -o net-vipose.onnx --normalise imagenet
  vipose models import yolo11n.onnx -o persons.onnx
  vipose models remove s-vipnas-res50

Your graphs lie in the system's folder for user data, or where the environment variable VIPOSE_MODELS says. Names of graphs that
ship are taken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from vipose.runtime.commands import models_import
from vipose.runtime.errors import EXIT_OK, EXIT_SOME_FAILED, ModelError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the five actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|info|verify|import|remove")
    listing = actions.add_parser("list", help="graphs and modes, those that ship and yours", allow_abbrev=False)
    info = actions.add_parser("info", help="card and metadata of one", allow_abbrev=False)
    info.add_argument("name", metavar="NAME|GRAPH.onnx", help="a mode, a graph by name or the path of one")
    verify = actions.add_parser("verify", help="check files, weights and a run", allow_abbrev=False)
    verify.add_argument("names", nargs="*", metavar="NAME|GRAPH.onnx", help="default: all that ship and all of yours")
    remove = actions.add_parser("remove", help="delete one of your graphs", allow_abbrev=False)
    remove.add_argument("name", metavar="NAME", help="as 'vipose models list' names it")
    for action in (listing, info, verify, remove):
        action.add_argument("--json", action="store_true", help="print JSON")
    models_import.add_arguments(
        actions.add_parser("import", help="make an ONNX graph or checkpoint one of vipose's", allow_abbrev=False)
    )


def run(args: argparse.Namespace) -> int:
    """Do one action."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list,
        "info": _info,
        "verify": _verify,
        "import": models_import.run,
        "remove": _remove,
    }
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from vipose.runtime.catalogue import list_graphs, list_modes
    from vipose.runtime.library import own_folder

    graphs, modes = list_graphs(), list_modes()
    if args.json:
        _print_json({"graphs": graphs, "modes": modes, "own_folder": str(own_folder())})
        return EXIT_OK
    _table(["graph", "where", "task", "input", "params", "MB", "figures"], [_graph_row(graph) for graph in graphs])
    print()
    _table(["mode", "where", "graphs", ""], [[m["name"], m["where"] or "-", *_graphs_of(m)] for m in modes])
    print(f"\nyour graphs: {own_folder()}")
    return EXIT_OK


def _graph_row(graph: dict[str, Any]) -> list[str]:
    row = [graph["name"], graph["where"]]
    if graph["fault"]:
        return [*row, "-", "-", "-", _sizes(graph["files"]), graph["fault"]]
    return [*row, graph["task"], graph["size"], f"{graph['parameters'] / 1e6:.2f} M", _sizes(graph["files"]), _figures(graph["figures"])]


def _graphs_of(mode: dict[str, Any]) -> tuple[str, str]:
    """What a mode runs and is; for one that lacks graphs how they are added."""
    if mode["missing"]:
        return "missing", f"{mode['summary']}: {mode['add']}"
    return " ".join(mode["graphs"]), mode["summary"]


def _info(args: argparse.Namespace) -> int:
    from vipose.runtime.catalogue import describe

    found = describe(args.name)
    if args.json:
        _print_json(found)
        return EXIT_OK
    for key, value in found.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, text in value.items():
                print(f"  {inner}: {_inline(text)}")
        else:
            print(f"{key}: {_inline(value)}")
    return EXIT_OK


def _verify(args: argparse.Namespace) -> int:
    from vipose.runtime.catalogue import verify

    results = verify(args.names)
    if not results:
        raise ModelError("there is no graph to verify; install vipose again, or give the path of one")
    failed = sum(not result.good for result in results)
    if args.json:
        _print_json([{**asdict(result), "good": result.good} for result in results])
    else:
        _table(
            ["graph", "file", "weights", "run", ""],
            [[r.name, r.file, r.weights, r.run, r.fault] for r in results],
        )
        print(f"{len(results) - failed} good, {failed} bad")
    return EXIT_SOME_FAILED if failed else EXIT_OK


def _remove(args: argparse.Namespace) -> int:
    from vipose.runtime.library import remove_graph

    gone = [str(path) for path in remove_graph(args.name)]
    if args.json:
        _print_json({"removed": gone})
    else:
        print(f"removed {', '.join(gone)}")
    return EXIT_OK


def _sizes(files: dict[str, int]) -> str:
    return " ".join(f"{size / 1e6:.1f} ({precision})" for precision, size in files.items())


def _figures(figures: dict[str, Any]) -> str:
    numbers = [(k, v) for k, v in figures.items() if isinstance(v, int | float) and not isinstance(v, bool)]
    return ", ".join(f"{key} {value:.3g}" for key, value in numbers[:3]) or "-"


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, aligned lines that never wrap elsewhere."""
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        for row in (titles, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
