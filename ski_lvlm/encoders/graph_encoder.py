"""The base of skeleton encoders whose blocks have widths of their own: Shift-GCN and ST-GCN."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.skeletons.layouts import Layout


class GraphEncoder(SkeletonEncoder):
    """A skeleton encoder of blocks, each with its own number of channels.

    Args:
        layout: joints and bones of the skeletons.
        widths: channels of each block. The last is F, the width of a token. Default: the published ones.
        strided: blocks (counted from 1) that halve the time steps.
        in_channels: channels of a joint (3 for metres in space, 2 for pixels, more for stacked streams).
        num_persons: persons that the first batch norm distinguishes.

    Raises:
        ValueError: there is no block.
    """

    sizes: ClassVar[tuple[str, ...]] = ("widths", "strided")
    published_widths: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        *,
        layout: Layout,
        widths: Sequence[int] | None = None,
        strided: Sequence[int] = (5, 8),
        in_channels: int = 3,
        num_persons: int = 2,
    ) -> None:
        widths = self.published_widths if widths is None else tuple(widths)
        if not widths:
            raise ValueError("widths is empty; expected one number of channels for each block, such as 16 16 32")
        super().__init__(
            layout=layout,
            width=widths[-1],
            depth=len(widths),
            strided=strided,
            in_channels=in_channels,
            num_persons=num_persons,
        )
        self.widths = widths
        sizes = zip((in_channels, *widths), widths, self.strides, strict=False)
        self.blocks = nn.ModuleList(
            self.block(before, width, stride=stride, number=number)
            for number, (before, width, stride) in enumerate(sizes, start=1)
        )

    @abstractmethod
    def block(self, before: int, width: int, *, stride: int, number: int) -> nn.Module:
        """Return a block by its widths before and behind it and its number, counted from 1."""

    @property
    def own_settings(self) -> dict[str, Any]:
        """Return the widths of the blocks."""
        return {"widths": list(self.widths)}
