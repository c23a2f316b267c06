"""People over time: ids that are never reused, a lost-track buffer in seconds, merging of tracks that fell on one person.

A track is fed by detections (now and then) and by its own keypoints (every frame). Both are measurements of its box for one
Kalman filter, which thereby blends them with its prediction. A detection becomes a person when the pose network agrees: a
detector that is small enough for every frame is unsure of many people and finds some in trees. Nothing depends on the order
of detections.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vipose.runtime.associate import box_areas, match, similarity
from vipose.runtime.geometry import FloatArray, keypoints_box
from vipose.runtime.kalman import BoxKalman
from vipose.runtime.oks import BODY_AREA
from vipose.runtime.skeleton import COCO17, Skeleton
from vipose.runtime.trackstate import KalmanState, Track, TrackConfig, pose_quality

__all__ = ["Track", "TrackConfig", "Tracker", "pose_quality"]


class Tracker:
    """For each frame: :meth:`advance`, :meth:`update` where the detector ran, and :meth:`observe` with the poses of everybody
    who is :attr:`watched`; then :attr:`shown` are the people of this frame.

    Args:
        config: thresholds and times.
        skeleton: of the poses.
    """

    def __init__(self, config: TrackConfig | None = None, skeleton: Skeleton = COCO17) -> None:
        self.config = config or TrackConfig()
        self._variances = skeleton.variances()
        self._joints = len(skeleton)
        self._tracks: list[Track] = []
        self._clock = 0.0
        self._time: float | None = None
        self._size = (0, 0)
        self._born = self._named = 0
        self._collapsed: dict[tuple[int, int], tuple[float, KalmanState | None]] = {}

    def reconfigure(self, config: TrackConfig) -> None:
        """Other thresholds and times from the next frame on; with less room those who count least are lost first."""
        self.config = config
        shown = sorted(self.shown, key=_order)
        for track in shown[: max(len(shown) - config.max_people, 0)]:
            track.state = "lost"

    @property
    def shown(self) -> list[Track]:
        """Confirmed tracks, ids ascending."""
        return sorted((t for t in self._tracks if t.state == "confirmed"), key=lambda t: t.id)

    @property
    def watched(self) -> list[Track]:
        """Whose pose is wanted on this frame: who is shown, and who was just detected and may be, in order of birth."""
        shown = self.shown
        fresh = [t for t in self._tracks if t.state != "confirmed" and self._just_detected(t)]
        fresh.sort(key=lambda t: (-_rank(t), t.serial))
        free = self.config.max_people - len(shown)
        worth = fresh[:free] if free > 0 else [t for t in fresh[:1] if self._beats(t, shown)]
        return sorted(shown + worth, key=lambda t: t.serial)

    @property
    def tracks(self) -> list[Track]:
        """All of them, lost and tentative too, in order of birth."""
        return list(self._tracks)

    @property
    def doubtful(self) -> bool:
        """Whether a look by the detector would settle something soon."""
        return any(self._in_doubt(t) for t in self._tracks)

    def advance(self, time_s: float, size: tuple[int, int]) -> tuple[float, bool]:
        """Predict everybody to the time of a frame of ``size`` (width, height).

        Returns:
            Seconds since the last frame, at least a millisecond and at most ``max_gap_s``, and whether there was a gap.
            Repeated and backward time stamps are taken as a tiny step.
        """
        step = 0.0 if self._time is None else time_s - self._time
        first, self._time, self._size = self._time is None, time_s, size
        gap = abs(step) > self.config.max_gap_s
        dt = float(np.clip(step, 1e-3, max(self.config.max_gap_s, 1e-3)))
        self._clock += 0.0 if first else max(step, 1e-3)
        for track in self._tracks:
            if gap:
                track.kalman.still()
            unsure = track.state == "lost" or track.misses > 0 or track.quality < self.config.fair
            track.kalman.predict(dt, coasting=unsure)
        self._tracks = [t for t in self._tracks if t.state != "lost" or self._unseen(t) <= self.config.max_lost_s]
        return dt, gap

    def update(self, detections: FloatArray, *, cut: bool = False) -> None:
        """Take what the detector found on this frame.

        Args:
            detections: [N, 5] x0, y0, x1, y1, score in frame pixels, any order.
            cut: a new scene: only what is nearly where it was goes on, everybody else ends.
        """
        if cut:
            for track in self._tracks:
                track.kalman.still()
        found = self._sorted(detections)
        matched = dict(self._associate(found, cut))
        for row, track in enumerate(self._tracks):
            if row in matched:
                self._hit(track, found[matched[row]])
            else:
                track.misses += 1
        keep = [r in matched or (t.state != "tentative" and not cut) for r, t in enumerate(self._tracks)]
        self._tracks = [t for t, stays in zip(self._tracks, keep, strict=True) if stays]
        taken = set(matched.values())
        for column, detection in enumerate(found):
            if column not in taken and detection[4] >= self.config.score_threshold:
                self._begin(detection)

    def observe(self, poses: Mapping[int, FloatArray]) -> None:
        """Take the poses of this frame: serial -> [K, 3]. People may begin, be lost or merge; see :attr:`shown` afterwards."""
        watched = [t for t in self.watched if t.serial in poses]
        candidates = [t for t in watched if t.state != "confirmed"]
        for track in watched:
            self._pose(track, np.asarray(poses[track.serial], np.float64))
        for track in self.shown:
            self._judge(track)
        self._merge()
        for track in candidates:
            self._promote(track)

    # Detections

    def _sorted(self, detections: FloatArray) -> npt.NDArray[np.float64]:
        """Detections worth a look, best first; the order they came in is forgotten."""
        found = np.asarray(detections, np.float64).reshape(-1, 5)
        good = np.isfinite(found).all(1) & (found[:, 4] >= self.config.score_threshold / 2)
        found = found[good]
        return found[np.lexsort((*found[:, 3::-1].T, -found[:, 4]))]

    def _associate(self, found: FloatArray, cut: bool) -> list[tuple[int, int]]:
        """Pairs (row of ``_tracks``, detection).

        People who are shown choose first, then those who are lost or not proven; what is left of the shown ones may take a
        doubtful detection.
        """
        if not self._tracks or not len(found):
            return []
        config = self.config
        boxes = np.stack([t.box for t in self._tracks])
        keypoints = np.stack([t.predicted(self._joints) for t in self._tracks])
        keypoints[..., 2] = np.where(keypoints[..., 2] >= config.joint_score, keypoints[..., 2], 0.0)
        # Detected boxes are less exact than joints, and whoever is out of sight may be anywhere near.
        growth = np.array([2 + 4 * self._unseen(t) for t in self._tracks])
        alike = similarity(boxes, keypoints, found[:, :4], self._variances, growth)
        shown = np.array([t.state == "confirmed" for t in self._tracks])
        sure = found[:, 4] >= config.score_threshold
        pairs: list[tuple[int, int]] = []
        for rows, columns, least in (
            (shown, sure, config.match), (~shown, sure, config.match_lost), (shown, ~sure, config.match),
        ):  # fmt: skip
            r = np.array([i for i in np.flatnonzero(rows) if i not in {p[0] for p in pairs}], np.intp)
            c = np.array([i for i in np.flatnonzero(columns) if i not in {p[1] for p in pairs}], np.intp)
            least = config.match_cut if cut else least
            pairs += [(int(r[a]), int(c[b])) for a, b in match(alike[np.ix_(r, c)], least, 0.5 + found[c, 4])]
        return pairs

    def _hit(self, track: Track, detection: FloatArray) -> None:
        before = track.box
        size = track.kalman.size
        change = np.concatenate([
            (detection[:2] + detection[2:4] - before[:2] - before[2:]) / (2 * size),
            np.log(np.maximum(detection[2:4] - detection[:2], 1) / np.maximum(before[2:] - before[:2], 1)),
        ])  # fmt: skip
        track.jumped = bool(np.abs(change).max() > 0.4)
        if track.state == "lost":  # wherever it was coasting to, it is here
            track.kalman = BoxKalman(detection[:4], self.config.kalman)
        else:
            # A sure pose knows better where its person is than a small detector does.
            trust = min(1.0, float(detection[4]) / self.config.confident)
            track.kalman.update(detection[:4], trust=trust * (0.5 if track.quality >= self.config.good else 1.0))
        track.score = (track.score + float(detection[4])) / 2
        track.seen_s = track.detected_s = self._clock
        track.misses = 0

    def _begin(self, detection: FloatArray) -> None:
        self._born += 1
        score, now = float(detection[4]), self._clock
        self._tracks.append(Track(self._born, BoxKalman(detection[:4], self.config.kalman), score, now, now))

    def _just_detected(self, track: Track) -> bool:
        return track.misses == 0 and track.detected_s == self._clock

    # Poses

    def _pose(self, track: Track, keypoints: npt.NDArray[np.float64]) -> None:
        track.before = track.kalman.state()
        track.quality = pose_quality(keypoints)
        track.usual = track.quality if not track.usual else 0.9 * track.usual + 0.1 * track.quality
        if track.quality >= self.config.fair:
            track.seen_s = self._clock
        box = self._measured(track, keypoints)
        if box is not None:
            share = float((keypoints[:, 2] >= self.config.joint_score).mean())
            track.kalman.update(box, trust=share)
        track.keypoints, track.keypoints_box = keypoints, track.box

    def _measured(self, track: Track, keypoints: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """The box that keypoints measure, None where too few are sure.

        Few sure joints do not measure a size: a box around them cuts the others out of the next crop, and so on, until only a
        hand is left. They move the box, and widen it, but do not make it smaller.
        """
        sure = keypoints[:, 2] >= self.config.joint_score
        tight = keypoints_box(keypoints, self.config.joint_score)
        if tight is None or sure.mean() < 0.2:
            return None
        margin = self.config.margin * max(tight[2] - tight[0], tight[3] - tight[1])
        box = np.asarray(tight + margin * np.array([-1, -1, 1, 1]), np.float64)
        if sure.mean() >= self.config.whole:
            return box
        kept = track.box
        if track.keypoints is not None:
            expected = track.predicted(self._joints)
            both = sure & (expected[:, 2] >= self.config.joint_score)
            if np.count_nonzero(both) >= 3:
                kept = kept + np.tile(np.median(keypoints[both, :2] - expected[both, :2], 0), 2)
        return np.concatenate([np.minimum(box[:2], kept[:2]), np.maximum(box[2:], kept[2:])])

    def _promote(self, track: Track) -> None:
        """Show a tentative or lost track that was just detected, if its pose agrees, nobody else has it and there is room."""
        config = self.config
        owner = self._owner(track)
        if owner is not None:
            if owner.misses > 0 and track.quality > owner.quality:
                self._take_over(owner, track)
            return
        confident = track.score >= config.confident and track.quality >= config.fair
        if track.quality < config.good and not (confident and track.score * track.quality >= config.belief):
            return
        shown = self.shown
        if len(shown) >= config.max_people:
            if not self._beats(track, shown):
                return
            min(shown, key=_order).state = "lost"
        if not track.id:
            self._named += 1
            track.id = self._named
        track.state = "confirmed"

    def _beats(self, newcomer: Track, shown: list[Track]) -> bool:
        """Clearly better than the least of those who are shown: places do not change hands over trifles."""
        return _rank(newcomer) > 1.25 * _rank(min(shown, key=_order))

    def _owner(self, track: Track) -> Track | None:
        """Who is shown with this very pose: a part of a person was detected, or the one in front. The oldest of several."""
        others = sorted((t for t in self.shown if t.keypoints is not None), key=lambda t: t.serial)
        if not others:
            return None
        close = np.flatnonzero(self._close([track, *others])[0, 1:])
        return others[close[0]] if len(close) else None

    def _take_over(self, owner: Track, found: Track) -> None:
        """The detection that somebody is missed by lies on that very person: the person goes on in its box."""
        owner.kalman, owner.score = found.kalman, found.score
        owner.keypoints, owner.keypoints_box = found.keypoints, found.keypoints_box
        owner.quality, owner.misses, owner.jumped = found.quality, 0, True
        owner.seen_s = owner.detected_s = self._clock
        self._tracks.remove(found)

    def _judge(self, track: Track) -> None:
        """Whether a shown track is lost: out of the picture, seen by nobody any more, or never more than half believed."""
        config = self.config
        gone = _inside(track.box, self._size) < 0.1
        unseen = track.misses > 0 and self._unseen(track) > config.hold_s
        patience = config.max_undetected_s * (3 if track.usual >= config.good else 1)
        undetected = track.misses > 1 and self._clock - track.detected_s > patience
        doubted = track.usual < config.good and track.score * track.usual < 0.85 * config.belief
        if gone or unseen or undetected or doubted:
            track.state = "lost"

    def _merge(self) -> None:
        """Two people do not share one body: after a moment of it the younger track is lost, from where it was before."""
        shown = sorted((t for t in self.shown if t.keypoints is not None), key=lambda t: t.serial)
        close: dict[tuple[int, int], tuple[float, KalmanState | None]] = {}
        pairs = zip(*np.nonzero(np.triu(self._close(shown), 1)), strict=True) if len(shown) > 1 else ()
        for i, j in pairs:
            older, younger = shown[i], shown[j]
            pair = (older.serial, younger.serial)
            since, before = self._collapsed.get(pair) or (self._clock, younger.before)
            close[pair] = since, before
            if self._clock - since >= self.config.merge_s and older.state == younger.state == "confirmed":
                younger.state = "lost"
                if before is not None:
                    younger.kalman.restore(before)
        self._collapsed = close

    def _close(self, tracks: list[Track]) -> npt.NDArray[np.bool_]:
        """[N, N]: who shares joints with whom. Parts of a person share some with the whole; two people share hardly any."""
        keypoints = np.stack([t.keypoints for t in tracks if t.keypoints is not None])
        sure = keypoints[..., 2] >= self.config.joint_score
        both = sure[:, None] & sure[None]
        areas = BODY_AREA * box_areas(np.stack([t.box for t in tracks]))
        scale = 2 * np.maximum(areas[:, None], areas)[..., None] * self._variances
        gap = np.square(keypoints[:, None, :, :2] - keypoints[None, :, :, :2]).sum(-1)
        shared = (both & (np.exp(-gap / scale) > 0.5)).sum(-1)
        return np.asarray((shared >= 5) & (shared >= self.config.merge_share * both.sum(-1)))

    # Doubt

    def _unseen(self, track: Track) -> float:
        return self._clock - track.seen_s

    def _in_doubt(self, track: Track) -> bool:
        if track.state == "tentative":
            return track.quality >= self.config.fair and track.misses == 0
        if track.state == "lost":
            return self._unseen(track) < 0.5 and track.usual >= self.config.fair
        return track.misses > 0 or track.quality < max(self.config.fair, 0.6 * track.usual)


def _rank(track: Track) -> float:
    """Who is worth following: sure and large."""
    return track.carried * math.sqrt(track.kalman.size)


def _order(track: Track) -> tuple[float, int]:
    return _rank(track), -track.serial


def _inside(box: FloatArray, size: tuple[int, int]) -> float:
    """Share of a box that lies in a frame of ``size`` (width, height)."""
    low, high = np.maximum(box[:2], 0), np.minimum(box[2:], size)
    whole = float((box[2:] - box[:2]).clip(0).prod())
    shared = float((high - low).clip(0).prod())
    return shared / max(whole, 1e-9)

