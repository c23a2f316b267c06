"""How far a training is, which learning rate that means, whether it is done, and what of that a checkpoint keeps.

Two clocks share one interface. :class:`Budget` follows the wall clock: on a shared machine a run ends when its minutes
do, with its learning rate near zero, however fast the machine happened to be. :class:`Epochs` counts steps and follows a
published :class:`Plan`.
"""

from __future__ import annotations

import argparse
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vipose.runtime.errors import UsageError

__all__ = [
    "EFFICIENTPOSE_COCO",
    "EFFICIENTPOSE_MPII",
    "MMPOSE",
    "POSENAS_ALL",
    "VIPNAS_S_SUPER",
    "VIPNAS_S_TUNING",
    "VIPNAS_T_SUPER",
    "Budget",
    "Epochs",
    "Length",
    "Plan",
    "Schedule",
    "add_length",
    "length_of",
]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A learning rate over epochs.

    Attributes:
        rate: the largest learning rate, for trainings that have no own.
        epochs: length.
        milestones: epochs from which on the rate is multiplied by ``factor`` once more.
        cosine: from the rate down to zero over all steps instead of milestones.
        warm_up_steps: the rate grows linearly from ``warm_up_from`` times itself over so many steps.
    """

    rate: float
    epochs: float
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    cosine: bool = False
    warm_up_steps: int = 0
    warm_up_from: float = 0.001

    def over(self, epochs: float) -> Plan:
        """The same plan stretched to another length, milestones included; warm-up steps stay."""
        return replace(self, epochs=epochs, milestones=tuple(m * epochs / self.epochs for m in self.milestones))

    def share(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step (from 0) as a share of the largest."""
        share = self.warm_up_from + (1 - self.warm_up_from) * self._warmth(step)
        if self.cosine:
            steps = self.epochs * steps_per_epoch  # 0 where a stage is skipped
            return share * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps if steps else 1.0)))
        # Rounded: 200 of 250 epochs stretched to 7 must not fall one step late by the last bit of a float.
        passed = sum(step >= round(milestone * steps_per_epoch, 6) for milestone in self.milestones)
        return share * self.factor**passed

    def _warmth(self, step: int) -> float:
        """0..1. The last warm-up step has the full rate, as mmengine's LinearLR has it."""
        return 1.0 if step >= self.warm_up_steps - 1 else step / (self.warm_up_steps - 1)


VIPNAS_S_SUPER = Plan(rate=1e-3, epochs=250, milestones=(200, 230))
"""Spatial super-network (ViPNAS, Xu et al. 2021, section 4.2)."""
VIPNAS_S_TUNING = Plan(rate=1e-4, epochs=20, milestones=(10, 15))
"""Fine-tuning of the spatial network that the search found (same section)."""
VIPNAS_T_SUPER = Plan(rate=1e-3, epochs=60, cosine=True)
"""Temporal super-network (same section)."""
MMPOSE = Plan(rate=5e-4, epochs=210, milestones=(170, 200), warm_up_steps=500, warm_up_from=0.001)
"""The published S-ViPNAS networks as mmpose trains them, with Adam and without weight decay."""
_COCO_STEPS = 149_813 / 128
"""Steps of an epoch: labelled people of COCO train2017, 128 a step."""
EFFICIENTPOSE_COCO = Plan(
    rate=1e-3, epochs=240, milestones=(200_000 / _COCO_STEPS, 240_000 / _COCO_STEPS), warm_up_steps=500, warm_up_from=0.002
)
"""EfficientPose (Zhang et al. 2020) on COCO: its code counts steps, 200 000 and 240 000 of 280 900; they are epochs 171 and 205."""
EFFICIENTPOSE_MPII = Plan(rate=1e-3, epochs=200, milestones=(150, 170))
"""EfficientPose on MPII."""
POSENAS_ALL = Plan(rate=1e-3, epochs=210, milestones=(170, 200))
"""PoseNAS (Bao et al. 2020), on COCO and on MPII."""


class Schedule(ABC):
    """What a training loop asks, once before each step; it calls :meth:`advance` once after."""

    @property
    @abstractmethod
    def seconds(self) -> float:
        """Training time so far, that of earlier sessions of the run included."""

    @property
    @abstractmethod
    def progress(self) -> float:
        """0..1."""

    @abstractmethod
    def rate(self, peak: float) -> float:
        """Learning rate now, where ``peak`` is the largest."""

    @property
    def done(self) -> bool:
        return self.progress >= 1

    def advance(self) -> None:  # noqa: B027, a clock on the wall has nothing to do here
        """A step was made."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint; :meth:`Length.schedule` goes on from them."""

    def facts(self) -> dict[str, float]:
        """What a line of the log says about time."""
        return {"progress": self.progress, "minutes": self.seconds / 60}


@dataclass
class Budget(Schedule):
    """Progress through a run of ``minutes``; ``spent_s`` survives in the checkpoint."""

    minutes: float
    spent_s: float = 0.0

    def __post_init__(self) -> None:
        self._start = time.monotonic() - self.spent_s

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    @property
    def progress(self) -> float:
        """0..1."""
        return min(1.0, self.seconds / (60 * self.minutes)) if self.minutes > 0 else 1.0

    def rate(self, peak: float, warm: float = 0.02, floor: float = 0.01) -> float:
        """Learning rate now: linear warm-up over the share ``warm``, then a cosine down to ``floor`` x peak."""
        p = self.progress
        if p < warm:
            return peak * max(p / warm, 0.01)
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (p - warm) / (1 - warm))))

    def state(self) -> dict[str, Any]:
        return {"unit": "minutes", "spent_s": self.seconds, "progress": self.progress}


@dataclass
class Epochs(Schedule):
    """Progress through a plan by counting steps; ``step`` and ``spent_s`` survive in the checkpoint."""

    plan: Plan
    steps_per_epoch: int
    step: int = 0
    spent_s: float = 0.0
    _start: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._start = time.monotonic() - self.spent_s

    @property
    def steps(self) -> int:
        """Of the whole plan."""
        return round(self.plan.epochs * self.steps_per_epoch)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    @property
    def progress(self) -> float:
        return min(1.0, self.step / self.steps) if self.steps else 1.0

    def rate(self, peak: float) -> float:
        return peak * self.plan.share(self.step, self.steps_per_epoch)

    def advance(self) -> None:
        self.step += 1

    def state(self) -> dict[str, Any]:
        counted = {"step": self.step, "steps_per_epoch": self.steps_per_epoch}
        return {"unit": "epochs", "spent_s": self.seconds, "progress": self.progress, **counted}

    def facts(self) -> dict[str, float]:
        return {**super().facts(), "epoch": self.step / self.steps_per_epoch}


@dataclass(frozen=True)
class Length:
    """How long a training runs, one amount a stage. Part of a recipe: plain values."""

    unit: Literal["minutes", "epochs"]
    amounts: tuple[float, ...]

    def schedule(
        self, stage: int, plan: Plan, steps_per_epoch: int, saved: Mapping[str, Any] | None = None
    ) -> Schedule:
        """The schedule of a stage, from its start or from where a checkpoint left it.

        Args:
            stage: from 0.
            plan: shape of the learning rate over epochs, stretched to the stage's amount; minutes have a shape of their own.
            steps_per_epoch: what an epoch is, for all processes together.
            saved: :meth:`Schedule.state` of a checkpoint, of either unit and of any batch size: progress is kept where
                the unit changed, epochs where the steps of one did. ``{"spent_s": ...}`` alone is minutes.
        """
        amount, saved = self.amounts[stage], saved or {}
        same = saved.get("unit", "minutes") == self.unit
        spent_s, progress = float(saved.get("spent_s", 0.0)), float(saved.get("progress", 0.0))
        if self.unit == "minutes":
            return Budget(amount, spent_s if same else progress * amount * 60)
        schedule = Epochs(plan.over(amount), steps_per_epoch, spent_s=spent_s)
        if same:
            schedule.step = round(saved["step"] * steps_per_epoch / saved["steps_per_epoch"])
        else:
            schedule.step = round(progress * schedule.steps)
        return schedule


def add_length(parser: argparse.ArgumentParser, default: Length, about: str = "") -> None:
    """Add ``--minutes`` and ``--epochs``, of which a command line has at most one; 0 skips a stage of several.

    Args:
        parser: of a training.
        default: what holds without either; it also says how many stages there are.
        about: goes into the help, for example "per size".
    """
    count: int | None = len(default.amounts) if len(default.amounts) > 1 else None
    shown = " ".join(f"{amount:g}" for amount in default.amounts)
    either = parser.add_mutually_exclusive_group()
    for unit, what in (("minutes", "wall clock"), ("epochs", "passes over the data")):
        suffix = f"; {shown} without either option" if unit == default.unit else ""
        text = ", ".join(filter(None, (what, about))) + suffix
        either.add_argument(f"--{unit}", type=_amount, nargs=count, metavar="N", help=text)
    parser.set_defaults(default_length=default)


def length_of(args: argparse.Namespace) -> Length:
    """The length that a parsed command line of :func:`add_length` asks for.

    Raises:
        UsageError: it asks for none at all.
    """
    for unit in ("minutes", "epochs"):
        amounts = getattr(args, unit)
        if amounts is not None:
            amounts = tuple(amounts) if isinstance(amounts, list) else (amounts,)
            if not any(amounts):
                raise UsageError(f"--{unit} 0 leaves nothing to train; give more")
            return Length(unit, amounts)  # type: ignore[arg-type]
    default: Length = args.default_length
    return default


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value >= 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"'{text}' is no length")
    return value
