"""Recording a live session: each frame it has processed is drawn, encoded and written in a thread of its own.

A recording is the session's sink. It writes through the recorder of the command line, so that the files are the same. Frames
wait in a bounded queue; when that is full the session waits too, and the camera's frames are dropped and counted as ever.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vipose.app.core.recording_names import free_base, recording_name
from vipose.app.core.recording_status import RecordingPhase, RecordingStatus, may_follow
from vipose.app.core.timeline import Timeline
from vipose.runtime.drivers.common import close_recorder
from vipose.runtime.drivers.queues import BoundedQueue, Cancelled, naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.job import artist_for
from vipose.runtime.media.sources import without_password
from vipose.runtime.options import RunOptions
from vipose.runtime.outputs import Targets, check_writable
from vipose.runtime.privacy import BlurConfig
from vipose.runtime.progress import Rate
from vipose.runtime.providers import ProviderReport
from vipose.runtime.recording import Artist, FrameRecorder, open_recorder
from vipose.runtime.results.formats import output_path
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult, SourceInfo

__all__ = ["Recording", "RecordingPhase", "RecordingPlan", "RecordingStatus"]

_TELL_S = 0.2  # between two calls of on_change while nothing but numbers changes
_MEASURE_S = 0.5
_WAIT_S = 0.05  # a session that waited longer than this for room was held up
_SLOW_S = 2.0  # for so long after that it is said
_HURRY = 0.25  # share of the time for closing in which what still waits is given up
_LOOKS = ("head_blur", "max_lost", "black_background", "mirror", "joint_threshold")
_OPENING = threading.Lock()  # two recordings of the same second must not choose the same name


@dataclass(frozen=True)
class RecordingPlan:
    """What is recorded, and where it goes.

    Attributes:
        folder: made where it is missing.
        source: of the frames, as it was opened.
        options: of the run; decide how pictures look. Later ones come by :meth:`Recording.apply`.
        formats: of the results.
        graphs: SHA-256 of the graphs in use, by name.
        provider: what runs them; why it fell back stays on the picture. None where unknown.
        before: the session's last results, oldest first: heads on them stay hidden at the beginning, too.
    """

    folder: Path
    source: SourceInfo
    options: RunOptions = field(default_factory=RunOptions)
    formats: tuple[str, ...] = ("native",)
    graphs: Mapping[str, str] = field(default_factory=dict)
    provider: ProviderReport | None = None
    before: tuple[FrameResult, ...] = ()


@dataclass(frozen=True)
class _Item:
    frame: Frame
    result: FrameResult
    skeleton: Skeleton
    age_s: float
    arrived_s: float
    options: RunOptions


class Recording:
    """Records from the first frame it is called with until :meth:`finish`, or until something ends it.

    It ends by itself, with valid files, when the size of the picture or the skeleton changes, when a file that is played
    begins again, and when the disk is full. Sound is not recorded. Methods may be called from any thread.

    Args:
        plan: what and where.
        on_change: called from worker threads when ``status`` has changed; must return at once.
        now: the clock on the wall, for the name.
    """

    def __init__(
        self,
        plan: RecordingPlan,
        on_change: Callable[[], None] = lambda: None,
        *,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._plan, self._on_change, self._now = plan, on_change, now
        self._options = plan.options
        self._lock = threading.Lock()
        self._status = RecordingStatus()
        self._over = threading.Event()
        self._stop = threading.Event()
        self._queue = BoundedQueue[_Item](self._stop, plan.options.queue_frames, plan.options.queue_mb * 1e6)
        self._rate, self._came = Rate(), 0
        self._slow_until_s = 0.0
        self._putting_s = math.inf  # since when the session waits for room
        # From here on: the recording's own thread only.
        self._timeline = Timeline(own=plan.source.kind in ("camera", "stream"))
        self._recorder: FrameRecorder | None = None
        self._targets: Targets | None = None
        self._artist: Artist | None = None
        self._look: tuple[Any, ...] = ()
        self._skeleton: Skeleton | None = None
        self._size = (0, 0)
        self._recent: deque[FrameResult] = deque()
        self._keep_s = BlurConfig.keep_s
        self._began_s = 0.0
        self._ending = ""
        self._told_s = self._measured_s = 0.0
        self._thread = threading.Thread(target=self._run, name="vipose-recording", daemon=True)
        self._thread.start()

    def __call__(self, frame: Frame, result: FrameResult, skeleton: Skeleton, age_s: float) -> None:
        """Take a frame: the session's sink. Waits while the queue is full; does nothing once the recording is over.

        Args:
            frame: heads not blurred; its picture is read-only.
            result: of this frame.
            skeleton: of the result.
            age_s: seconds since the frame was captured.
        """
        if self._over.is_set():
            return
        self._came += 1
        self._rate.update(self._came)
        arrived_s = self._putting_s = time.monotonic()
        try:
            self._queue.put(_Item(frame, result, skeleton, age_s, arrived_s, self._options), frame.image.nbytes)
        except Cancelled:
            return  # why it ended is in the status
        finally:
            self._putting_s = math.inf
        now_s = time.monotonic()
        if now_s - arrived_s > _WAIT_S:
            self._slow_until_s = now_s + _SLOW_S
            self._on_change()

    @property
    def status(self) -> RecordingStatus:
        """The present status."""
        with self._lock:
            status = self._status
        if status.phase is not RecordingPhase.RECORDING:
            return status
        now_s = time.monotonic()
        slow = now_s < self._slow_until_s or now_s - self._putting_s > _WAIT_S
        return replace(status, waiting=len(self._queue), slow=slow)

    def apply(self, options: RunOptions) -> None:
        """Other options: pictures look so from the next frame on."""
        self._options = options

    def finish(self) -> None:
        """Take no more frames; what waits is written and the files are closed in the thread. Returns at once."""
        if self._over.is_set():
            return
        self._over.set()
        self._queue.close()
        self._enter(RecordingPhase.FINISHING)

    def close(self, timeout_s: float = 1.9) -> None:
        """Finish, and wait for it at most so long. A disk too slow for that loses frames which wait; files stay valid."""
        self.finish()
        self._thread.join(timeout_s * (1 - _HURRY))
        if not self._thread.is_alive():
            return
        self._stop.set()
        recorder = self._recorder
        if recorder is not None:
            recorder.hurry()
        self._thread.join(timeout_s * _HURRY)

    # The recording's own thread

    def _run(self) -> None:
        failed: ViposeError | None = None
        try:
            with naming("recording"):
                for item in self._queue:
                    if not self._record(item):
                        break
        except ViposeError as error:
            failed = error
        self._over.set()
        left = len(self._queue)
        self._queue.leave()
        self._complete(failed, left)

    def _record(self, item: _Item) -> bool:
        """Write a frame; False where it cannot belong to this recording any more."""
        if self._recorder is not None and (reason := self._misfit(item)):
            self._ending = reason
            return False
        result = self._timeline.place(item.result, item.arrived_s)
        if result is None:
            self._ending = "The file began again, so the recording ended."
            return False
        recorder = self._recorder or self._open(item, result)
        picture = self._drawn_by(item)(item.frame, result, item.age_s)
        self._remember(result)
        recorder.write(picture, result)
        self._progress(result)
        return True

    def _misfit(self, item: _Item) -> str:
        if item.result.size != self._size:
            (width, height), (wide, high) = self._size, item.result.size
            return f"The picture changed from {width}x{height} to {wide}x{high}, so the recording ended."
        if item.skeleton != self._skeleton:
            return "Other networks find other joints, so the recording ended."
        return ""

    def _open(self, item: _Item, result: FrameResult) -> FrameRecorder:
        """Name and open the outputs, now that size and time are known."""
        plan = self._plan
        self._began_s = result.time_s
        self._size, self._skeleton = result.size, item.skeleton
        check_writable(Targets(plan.folder / "recording"))
        with _OPENING:
            base = free_base(plan.folder, recording_name(plan.source, self._now()))
            self._targets = Targets(base, base.with_name(f"{base.name}.mp4"))
            self._recorder = open_recorder(
                self._targets, self._header(item), plan.formats, start_s=result.time_s, timings=plan.options.timings
            )
        shift_s = self._timeline.shift_s
        self._recent.extend(replace(r, time_s=r.time_s + shift_s) for r in plan.before)
        self._enter(RecordingPhase.RECORDING, path=self._targets.video)
        return self._recorder

    def _header(self, item: _Item) -> ResultHeader:
        plan = self._plan
        source = replace(
            plan.source, name=without_password(plan.source.name), size=item.result.size, frames=None, audio=False
        )
        began = {"index": item.result.index, "time_s": round(item.result.time_s, 6)}  # where the source was
        return ResultHeader(
            source=source,
            skeleton=item.skeleton.name,
            graphs=plan.graphs,
            settings=replace(item.options, save=plan.formats).shaping() | {"recorded_from": began},
            provider=item.result.provider,
        )

    def _drawn_by(self, item: _Item) -> Artist:
        """The artist for the options of this frame; a new one knows which heads were seen last."""
        look = tuple(getattr(item.options, name) for name in _LOOKS)
        if self._artist is None or look != self._look:
            plan = self._plan
            notice = "" if plan.provider is None else plan.provider.reason
            self._artist = artist_for(item.options, item.skeleton, self._rate, live=plan.source.live, notice=notice)
            self._artist.remember(self._recent)
            self._look, self._keep_s = look, max(BlurConfig.keep_s, item.options.max_lost)
        return self._artist

    def _remember(self, result: FrameResult) -> None:
        """Keep results for as long as a head may have to stay hidden that was seen on them."""
        self._recent.append(result)
        while result.time_s - self._recent[0].time_s > self._keep_s:
            self._recent.popleft()

    def _progress(self, result: FrameResult) -> None:
        now_s = time.monotonic()
        status = self.status
        size = status.size_bytes
        if now_s - self._measured_s >= _MEASURE_S:
            self._measured_s, size = now_s, self._written_bytes()
        self._change(
            seconds=result.time_s - self._began_s,
            frames=status.frames + 1,
            size_bytes=size,
        )
        if now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            self._on_change()

    def _written_bytes(self) -> int:
        """Bytes in the files as far as their names are known; formats with a file a person count when they are complete."""
        if self._targets is None or self._targets.video is None:
            return 0
        paths = [self._targets.video, *(output_path(name, self._targets.base) for name in self._plan.formats)]
        return sum(_size(path.with_name(path.name + ".part")) or _size(path) for path in paths)

    def _complete(self, failed: ViposeError | None, left: int) -> None:
        """Close the files and say how it ended; ``left`` frames still waited."""
        self._enter(RecordingPhase.FINISHING)
        recorder = self._recorder
        error = close_recorder(recorder, failed, whole=True)
        outputs = () if recorder is None else recorder.outputs()
        lines = [str(error)] if error is not None else [self._ending] if self._ending else []
        if left and self._stop.is_set():
            lines.append(f"The last {left} frames were not written: there was no time for them.")
        if recorder is None and error is None:
            lines.append("Nothing was recorded: no frame came.")
        if recorder is not None and error is None:
            lines += recorder.warnings
        video = None if self._targets is None else self._targets.video
        self._enter(
            RecordingPhase.DONE if error is None else RecordingPhase.FAILED,
            outputs=outputs,
            size_bytes=sum(map(_size, outputs)),
            path=video if video in outputs else None,
            message=" ".join(lines),
        )

    def _enter(self, phase: RecordingPhase, **changes: Any) -> None:
        """Go to a phase where it may follow the present one, and tell about it."""
        with self._lock:
            if phase is not self._status.phase and may_follow(self._status.phase, phase):
                changes["phase"] = phase
            self._status = replace(self._status, **changes)
        self._on_change()

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._status = replace(self._status, **changes)


def _size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; 0 where there is none."""
    try:
        if path.is_dir():
            return sum(entry.stat().st_size for entry in path.iterdir())
        return path.stat().st_size
    except OSError:
        return 0
