"""What is installed: the version of vipose, and the files about it that travel with it."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distributions

__all__ = ["distribution", "version"]


def distribution() -> Distribution:
    """The installed vipose; raises PackageNotFoundError in a bare checkout.

    A checkout may hold the egg-info of an older build, which Python finds first when it runs from there; only what was
    really installed has METADATA.
    """
    found = list(distributions(name="vipose"))
    if not found:
        raise PackageNotFoundError("vipose")
    return next((one for one in found if one.read_text("METADATA")), found[0])


def version() -> str:
    """Of the installed vipose; raises PackageNotFoundError in a bare checkout."""
    return distribution().version
