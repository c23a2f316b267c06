"""``vipose search spaces``: the search spaces, their dimensions and how many networks they hold."""

from __future__ import annotations

from collections.abc import Sequence

from vipose.models.arguments import Parser
from vipose.models.search.spaces import SPACES

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Print every space, or one with all its choices."""
    parser = Parser(prog="vipose search spaces", description=__doc__)
    parser.add_argument("name", nargs="?", choices=SPACES, help="show the choices of one")
    args = parser.parse_args(argv)
    if args.name is None:
        width = max(map(len, SPACES))
        for name, space in SPACES.items():
            how = "" if space.elastic else "; no super-network: 'vipose search differentiable'"
            print(f"{name:<{width}}  {len(space.dimensions):>2} dimensions, {space.combinations:.1e} combinations{how}")
        return 0
    for dimension in SPACES[args.name]:
        print(f"{dimension.name:<16} {' '.join(map(str, dimension.choices))}")
    return 0
