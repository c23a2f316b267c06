"""One run of a live session: opening, processing the newest frame again and again, reconnecting, and freeing everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from vipose.app.core.background import Background
from vipose.app.core.heatmaps import heat_patches
from vipose.app.core.networks import fitting, load, same_networks, set_threshold
from vipose.app.core.pacing import Paced
from vipose.app.core.phases import Phase
from vipose.app.core.screen import ScreenPicture
from vipose.app.core.shown import Shown
from vipose.app.core.snapshot import Moment, Recent
from vipose.runtime.drivers.capture import Capture
from vipose.runtime.errors import DeviceError, InputError, ViposeError
from vipose.runtime.job import open_chosen, pipeline_config
from vipose.runtime.media.base import Source
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.modes import Mode
from vipose.runtime.options import RunOptions
from vipose.runtime.pipeline import Pipeline
from vipose.runtime.progress import Rate
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult

if TYPE_CHECKING:
    from vipose.app.core.session import LiveSession

__all__ = ["Run", "Sink"]

Sink = Callable[[Frame, FrameResult, Skeleton, float], None]
"""Frame (heads not blurred), result, skeleton and age in seconds; called in the session's thread."""

Value = TypeVar("Value")
_LOOK_S = 0.02  # a run without new frames still obeys this often
_RETRY_S = 1.0
_CAPTURE_S = 0.3  # longer than this nobody waits for a camera that hangs


class _Stopped(Exception):
    """The user has stopped the run."""


class Run:
    """See the module. Commands come from the screen's thread, everything else happens in the run's own.

    Args:
        session: told about everything.
        spec: the source.
        options: to begin with.
        heat: as in :meth:`LiveSession.show_heat`.
        before: a run that still ends; it is waited for, since it may hold the same camera.
    """

    def __init__(
        self, session: LiveSession, spec: SourceSpec, options: RunOptions, heat: str, before: Run | None
    ) -> None:
        self._session, self._spec, self._before = session, spec, before
        self._wanted, self._heat = options, heat
        self._sink: Sink | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()  # set by every command, and by work that is done in the background
        self._paused = False
        self._thread = threading.Thread(target=self._main, name="vipose-session", daemon=True)
        # From here on: the run's own thread only.
        self._options = options
        self._shown_heat = heat
        self._source: Source | None = None
        self._paced: Paced | None = None
        self._capture: Capture | None = None
        self._mode: Mode | None = None
        self._loaded = options  # what the networks in use were loaded for
        self._loading: tuple[RunOptions, Background[Mode]] | None = None
        self._pipeline: Pipeline | None = None
        self._screen = ScreenPicture()
        self._rate, self._processed, self._dropped = Rate(), 0, 0
        self._last: tuple[Frame, FrameResult, float] | None = None
        self._recent = Recent()

    # Commands

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, at most so long."""
        self._thread.join(timeout_s)

    def stop(self) -> None:
        """End soon."""
        self._stop.set()
        self._wake.set()

    def pause(self, on: bool) -> None:
        """Hold the picture or go on."""
        self._paused = on
        self._wake.set()

    def apply(self, options: RunOptions) -> None:
        """Other options."""
        self._wanted = options
        self._wake.set()

    def show_heat(self, heat: str) -> None:
        """Other heatmaps."""
        self._heat = heat
        self._wake.set()

    def tap(self, sink: Sink | None) -> None:
        """Another sink."""
        self._sink = sink

    @property
    def moment(self) -> Moment | None:
        """The newest frame as it was processed, and the results of the seconds before it; None before the first one."""
        return self._recent.moment()

    # The run's own thread

    def _main(self) -> None:
        if self._before is not None:
            self._before.join(60.0)
            self._before = None
        phase, error = Phase.ENDED, None
        try:
            self._open()
            self._loop()
        except _Stopped:
            phase = Phase.STOPPING
        except ViposeError as failure:
            phase, error = Phase.FAILED, failure
        except Exception as fault:  # noqa: BLE001  reported: a thread that dies silently leaves a dead picture
            said = f"{type(fault).__name__}: {fault}".replace("\n", " ")
            error = ViposeError(f"the session failed ({said}); this is a fault of vipose, please report it")
            error.__cause__, phase = fault, Phase.FAILED
        self._sink = None
        self._free()
        if phase is not Phase.STOPPING and not self._stop.is_set():
            self._session.report(self, phase, error=error, message=str(error or ""), tapped=False, loading=False)
        self._session.ended(self)

    def _open(self) -> None:
        """Source and networks side by side: both take their time, and neither needs the other."""
        source = self._begin(lambda: open_chosen(self._spec, self._options), lambda s: s.close(), "vipose-opening")
        try:
            mode = self._session.take_networks(self._options)
            if mode is None:
                loading = self._begin(lambda: load(self._options), lambda m: m.close(), "vipose-loading")
                mode = self._wait(loading)
            self._use(mode, self._options)
        except BaseException:
            source.abandon()
            raise
        self._attach(self._wait(source))

    def _begin(self, work: Callable[[], Value], dispose: Callable[[Value], None], name: str) -> Background[Value]:
        return Background(work, dispose, self._wake.set, name)

    def _wait(self, job: Background[Value]) -> Value:
        """The outcome of work in the background, unless the user has enough of waiting."""
        while not job.finished:
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            if self._stop.is_set():
                job.abandon()
                raise _Stopped
        return job.result()

    def _use(self, mode: Mode, options: RunOptions) -> None:
        """Run these networks from now on."""
        before, self._mode, self._loaded = self._mode, mode, options
        set_threshold(mode, options)
        if self._pipeline is not None and before is not None and before.skeleton == mode.skeleton:
            self._pipeline.reconfigure(replace(self._pipeline.config, period=None))  # which any mode can keep
            self._pipeline.exchange(mode)
            self._configure(self._options)
        elif self._source is not None:
            self._begin_pipeline()
        if before is not None:
            before.close()
        self._session.report(
            self, mode=mode.name, graphs=tuple(mode.graphs.items()), provider=mode.provider, loading=False
        )

    def _attach(self, source: Source) -> None:
        """Read this source from now on; people are new people."""
        self._source = source
        self._paced = None if source.info.live else Paced(source)
        self._capture = Capture(self._paced or source)
        self._last = None
        self._recent.clear()
        self._begin_pipeline()
        self._hold(self._paused)
        self._capture.start()
        phase = Phase.PAUSED if self._paused else Phase.RUNNING
        self._session.report(self, phase, source=source.info, message="")

    def _begin_pipeline(self) -> None:
        mode = self._networks()
        self._pipeline = Pipeline(mode, pipeline_config(fitting(self._options, mode), live=True))
        self._screen.begin(mode.skeleton, self._options)
        self._recent.keep(self._options.max_lost)

    def _networks(self) -> Mode:
        assert self._mode is not None  # _open sets it before anything else
        return self._mode

    def _loop(self) -> None:
        held = self._paused
        while True:
            self._obey()
            if held != self._paused:
                held = self._paused
                self._hold(held)
            if held:
                self._wake.wait()
                self._wake.clear()
                continue
            assert self._capture is not None and self._source is not None  # _attach has set them
            try:
                item = self._capture.take(_LOOK_S)
            except InputError as error:
                if not self._source.info.live:
                    raise
                self._reconnect(error)
                continue
            if item is not None:
                self._one(*item)
            elif self._capture.ended:
                return

    def _hold(self, on: bool) -> None:
        """A file waits for us, a camera is read on, so that it is there at once when we go on."""
        self._rate, self._processed = Rate(), 0
        if self._paced is not None:
            self._paced.pause() if on else self._paced.resume()
        elif self._capture is not None:
            self._capture.hold(on)

    def _obey(self) -> None:
        """Do what was asked for since the last frame."""
        if self._stop.is_set():
            raise _Stopped
        wanted, heat = self._wanted, self._heat
        if wanted is not self._options:
            self._options = wanted
            self._configure(wanted)
            self._load_others(wanted)
        if self._loading is not None and self._loading[1].finished:
            self._take_loaded()
        if heat != self._shown_heat or self._screen.stale:
            self._shown_heat = heat
            if self._last is not None:
                self._publish(*self._last)  # a picture that is paused follows too

    def _configure(self, options: RunOptions) -> None:
        mode = self._networks()
        set_threshold(mode, options)
        self._screen.configure(options)
        self._recent.keep(options.max_lost)
        if self._pipeline is not None:
            self._pipeline.reconfigure(pipeline_config(fitting(options, mode), live=True))

    def _load_others(self, wanted: RunOptions) -> None:
        """Begin to load other networks where the options name some; the ones in use go on meanwhile."""
        if self._loading is not None and not same_networks(self._loading[0], wanted):
            self._loading[1].abandon()
            self._loading = None
        if self._loading is None and not same_networks(self._loaded, wanted):
            self._loading = wanted, self._begin(lambda: load(wanted), lambda m: m.close(), "vipose-loading")
        self._session.report(self, loading=self._loading is not None)

    def _take_loaded(self) -> None:
        assert self._loading is not None
        (options, job), self._loading = self._loading, None
        try:
            self._use(job.result(), options)
        except ViposeError as error:
            self._session.report(self, loading=False)
            self._session.problem(self, error)

    def _one(self, frame: Frame, captured_s: float) -> None:
        assert self._pipeline is not None and self._capture is not None
        result = self._pipeline.process(frame)
        dropped = self._dropped + self._capture.dropped
        result = replace(result, counters=replace(result.counters, dropped=dropped))
        self._processed += 1
        self._rate.update(self._processed)
        self._give(frame, result, captured_s)
        self._last = frame, result, captured_s
        self._recent(frame, result, self._networks().skeleton, time.monotonic() - captured_s)
        self._publish(frame, result, captured_s)
        if dropped != self._session.status.dropped:
            self._session.report(self, dropped=dropped)

    def _give(self, frame: Frame, result: FrameResult, captured_s: float) -> None:
        """To the sink; one that fails is let go, the picture goes on."""
        sink = self._sink
        if sink is None:
            return
        try:
            sink(frame, result, self._networks().skeleton, time.monotonic() - captured_s)
        except ViposeError as error:
            self._let_go()
            self._session.problem(self, error)

    def _let_go(self) -> None:
        self._sink = None
        self._session.report(self, tapped=False)

    def _publish(self, frame: Frame, result: FrameResult, captured_s: float) -> None:
        mode = self._networks()
        assert self._pipeline is not None
        heat = heat_patches(self._pipeline, result, mode.spatial.metadata, self._shown_heat) if self._shown_heat else ()
        picture = self._screen.picture(frame, result)
        self._session.publish(
            self, Shown(picture, result, mode.skeleton, captured_s, self._rate.fps, heat, mode.name)
        )

    def _reconnect(self, error: InputError) -> None:
        """The camera or stream went away: try again and again, until it is back or the user has had enough."""
        self._let_go()
        self._close_source()
        self._session.report(self, Phase.RECONNECTING, message=str(error))
        while True:
            if self._stop.wait(_RETRY_S):
                raise _Stopped
            job = self._begin(lambda: open_chosen(self._spec, self._options), lambda s: s.close(), "vipose-opening")
            try:
                source = self._wait(job)
            except (InputError, DeviceError):
                continue  # still away; the message says what we wait for
            self._attach(source)
            return

    def _close_source(self) -> None:
        capture, self._capture = self._capture, None
        source, self._source = self._source, None
        if self._paced is not None:
            self._paced.close()
        if source is not None:
            source.close()
        if capture is not None:
            capture.close(_CAPTURE_S)
            self._dropped += capture.dropped

    def _free(self) -> None:
        self._close_source()
        if self._loading is not None:
            self._loading[1].abandon()
        if self._mode is not None:
            self._session.keep_networks(self._loaded, self._mode)
            self._mode = None
