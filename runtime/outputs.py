"""Where the outputs of each source go: names that never collide, never overwrite an input, and folders that can be written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vipose.runtime.errors import OutputError, UsageError
from vipose.runtime.report import read_report

__all__ = ["DEFAULT_FOLDER", "OutputNames", "Targets", "Wanted", "check_writable", "plan_targets"]

DEFAULT_FOLDER = "vipose-out"
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".m4v")
_LEAST_FREE = 32e6  # bytes; a run that starts with less would end in the middle of its first file


@dataclass(frozen=True)
class Wanted:
    """A source, as far as naming its outputs goes.

    Attributes:
        name: what its outputs are called, without suffix.
        path: its file or folder, None for cameras and URLs.
        kind: ``folder`` of pictures and single ``picture`` get annotated pictures unless ``-o`` names a video file.
    """

    name: str
    path: Path | None = None
    kind: Literal["video", "folder", "picture"] = "video"


@dataclass(frozen=True)
class Targets:
    """Outputs of one source.

    Attributes:
        base: path without suffix; results are ``base`` + ``.jsonl`` and so on.
        video: annotated video, None where none is written.
        picture: annotated picture, None where none is written.
        folder: folder of annotated pictures, None where none are written.
    """

    base: Path
    video: Path | None = None
    picture: Path | None = None
    folder: Path | None = None

    @property
    def report(self) -> Path:
        """JSON file that says how the run ended; resume reads it."""
        return _beside(self.base, ".run.json")


def plan_targets(sources: Sequence[Wanted], output: str | None, *, video: bool) -> list[Targets]:
    """Name the outputs of all sources.

    Args:
        sources: in order.
        output: the user's ``-o``: a video file for one source, a folder, or None for ``vipose-out``.
        video: whether annotated video or pictures are written.

    Raises:
        UsageError: one file is asked for but there are several sources, the file type is unknown, or an input would be
            overwritten.
    """
    if output == "":
        raise UsageError("--output: '' is no name; give a file or a folder, or leave it out")
    if output is not None and _is_file(output):
        return [_one_file(sources, Path(output), video)]
    folder = Path(output or DEFAULT_FOLDER)
    names = OutputNames()
    for source in sources:
        names.protect(source)
    return [names.plan(at, source, folder, video=video) for at, source in enumerate(sources)]


class OutputNames:
    """Names of outputs that are given one by one, for a queue that grows: no two owners ever get the same.

    Who asks again for the same folder, to be done once more, gets the name that it had. Names under which an earlier run has left the
    outputs of another source are taken too, as long as that source is there.
    """

    def __init__(self) -> None:
        self._owners: dict[str, Hashable] = {}  # key of a path without suffix -> whose it is
        self._inputs: set[str] = set()

    def protect(self, source: Wanted) -> None:
        """No output that is named from now on overwrites this source."""
        if source.path is not None:
            self._inputs.add(_key(source.path))

    def plan(self, owner: Hashable, source: Wanted, folder: Path, *, video: bool) -> Targets:
        """Name the outputs of one source.

        Args:
            owner: of the name: what tells this source from all others.
            source: what is to be named.
            folder: where its outputs go.
            video: whether annotated video or pictures are written.

        Raises:
            UsageError: there is no free name.
        """
        for name in _names(source):
            # Beside its input the video of a.mp4 would be a.mp4 again.
            if {_key(_beside(folder / name, suffix)) for suffix in ("", ".mp4", ".jpg")} & self._inputs:
                name = f"{name}_vipose"
            base = folder / name
            if _belongs_to_another(Targets(base).report, source.path):
                continue
            if self._owners.setdefault(_key(base), owner) == owner:
                return _targets(base, source.kind) if video else Targets(base)
        raise UsageError(f"no free name for the outputs of '{source.name}' in '{folder}'; give another folder")


def _belongs_to_another(record: Path, source: Path | None) -> bool:
    """Whether the record of an earlier run is of another source that still exists: its outputs are not to be replaced."""
    said = read_report(record).get("path")
    if not isinstance(said, str) or not said:
        return False
    return (source is None or _key(source) != _key(Path(said))) and Path(said).exists()


def _is_file(output: str) -> bool:
    """Whether ``-o`` names a file; a name with a suffix that no video has is a mistake rather than a folder."""
    path = Path(output)
    try:
        folder = output.endswith(("/", "\\")) or path.is_dir()
    except OSError as error:
        raise UsageError(f"--output: '{output}' cannot be a name here ({error.strerror}); give another one") from error
    if folder:
        return False
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    if suffix in (".avi", ".webm", ".wmv", ".gif", ".jsonl", ".json", ".csv", ".trc", ".txt", ".parquet", ".jpg", ".png"):
        raise UsageError(
            f"--output: '{output}' is no video file that can be written ({', '.join(VIDEO_SUFFIXES)}); "
            "give such a name or a folder, and choose results with --save"
        )
    return False


def _one_file(sources: Sequence[Wanted], path: Path, video: bool) -> Targets:
    if len(sources) != 1:
        raise UsageError(f"--output: '{path}' is one file but there are {len(sources)} sources; give a folder")
    source = sources[0]
    if source.path is not None and _key(path) == _key(source.path):
        raise UsageError(f"--output: '{path}' is the input itself; give another name")
    return Targets(path.with_suffix(""), path if video else None)


def _targets(base: Path, kind: Literal["video", "folder", "picture"]) -> Targets:
    if kind == "folder":
        return Targets(base, folder=base)
    if kind == "picture":
        return Targets(base, picture=_beside(base, ".jpg"))
    return Targets(base, _beside(base, ".mp4"))


def _beside(base: Path, suffix: str) -> Path:
    return base.with_name(base.name + suffix)  # with_suffix would cut a name like "take.2"


def _names(source: Wanted) -> Iterator[str]:
    """The source's own name, then with its suffix, then with its folder, then with a number."""
    yield source.name
    if source.path is not None:
        if source.path.suffix:
            yield f"{source.name}_{source.path.suffix[1:]}"
        yield f"{source.path.resolve().parent.name}_{source.name}"
    yield from (f"{source.name}_{number}" for number in range(2, 100_002))


def _key(path: Path) -> str:
    """The same for two spellings of one file, on file systems with and without case."""
    return str(path.resolve()).casefold()


def check_writable(targets: Targets) -> None:
    """Make the folder and try it, before anything is computed; raises OutputError."""
    folder = targets.base.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if targets.folder is not None:
            targets.folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"vipose")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(f"folder '{folder}' cannot be written ({error.strerror}); choose another output folder") from error
    if free < _LEAST_FREE:
        raise OutputError(f"folder '{folder}' has only {free / 1e6:.0f} MB left; free some space or choose another output folder")
