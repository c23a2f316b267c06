"""Lists the packages, so that a new sub-package cannot be forgotten; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

ROOMS = ("app", "models", "runtime", "exported", "assets")
setup(packages=[f"vipose.{room}" for room in ROOMS] + [f"vipose.{r}.{p}" for r in ROOMS for p in find_packages(r)])
