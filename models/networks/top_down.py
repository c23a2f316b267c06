"""A head for features of four strides: lateral 1x1 convolutions and nearest up-sampling from stride 32 back to stride 4."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.base import PoseNetwork, conv_bn

__all__ = ["TopDownPoseNet"]


class TopDownPoseNet(PoseNetwork):
    """A pose network whose encoder gives features of strides 4, 8, 16 and 32 (Lin et al. 2017, with sums at every level)."""

    def add_head(self, widths: Sequence[int], head: int) -> None:
        """Add the head, and the fusion module where there is one; called at the end of a family's ``__init__``.

        Args:
            widths: channels of the features.
            head: channels of the head at strides 32, 16, 8; half of them at stride 4.
        """
        self._widths = tuple(widths)
        outputs = (head // 2, head, head, head)
        self.laterals = nn.ModuleList(conv_bn(w, h, 1, relu=False) for w, h in zip(widths, outputs, strict=True))
        self.smooth = nn.ModuleList(conv_bn(h, h) for h in outputs[:3])
        self.narrow = conv_bn(head, head // 2, 1, relu=False)
        self.final = nn.Conv2d(head // 2, self.arch.joints, 1)
        if not self.final.weight.is_meta:  # drawing on the meta device imports half of PyTorch's compiler
            nn.init.normal_(self.final.weight, std=0.01)
        self.set_fusion()

    def fusion_site(self, stage: int) -> tuple[int, int]:
        return self._widths[stage - 1], 2 ** (stage - 1)

    def head_parts(self) -> list[tuple[str, nn.Module]]:
        """The head's share of :meth:`parts`, and the fusion module where there is one."""
        named = [(f"{n}.{i}", m) for n in ("laterals", "smooth") for i, m in enumerate(getattr(self, n))]
        named += [("narrow", self.narrow), ("final", self.final)]
        return named + ([("fusion", self.fusion)] if self.fusion is not None else [])

    def top_down(self, features: Sequence[Tensor]) -> Tensor:
        """Features of strides 4, 8, 16, 32 to [N, K, H / 4, W / 4]."""
        top = functional.relu(self.laterals[3](features[3]))
        for level in (2, 1, 0):
            # The 1x1 convolution comes before the up-sampling: the same map for a quarter of the MACs.
            coarse = self.narrow(top) if level == 0 else top
            up = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
            top = self.smooth[level](functional.relu(self.laterals[level](features[level]) + up))
        out: Tensor = self.final(top)
        return out
