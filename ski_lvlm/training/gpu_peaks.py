"""Peak arithmetic of well-known GPUs, against which a run's utilisation is measured."""

from typing import NamedTuple


class Gpu(NamedTuple):
    """A GPU as its maker's data sheet states it: a part of its name, dense bf16 peak, memory."""

    name: str
    tflops: float  # TFLOP/s, bf16 with fp32 accumulation, without sparsity
    memory_gb: float  # 10^9 bytes


# Source: data sheets of NVIDIA and AMD. Figures with sparsity are halved. The longest part of a device's name counts.
GPUS = (
    Gpu("B200", 2250.0, 180.0),
    Gpu("GH200", 989.0, 96.0),
    Gpu("H200", 989.0, 141.0),
    Gpu("H100", 989.0, 80.0),
    Gpu("H100 NVL", 835.0, 94.0),
    Gpu("H100 PCIe", 756.0, 80.0),
    Gpu("A100", 312.0, 80.0),
    Gpu("A100-SXM4-40GB", 312.0, 40.0),
    Gpu("A100-PCIE-40GB", 312.0, 40.0),
    Gpu("L40S", 362.0, 48.0),
    Gpu("L40", 181.0, 48.0),
    Gpu("L4", 121.0, 24.0),
    Gpu("A40", 149.7, 48.0),
    Gpu("A10", 125.0, 24.0),
    Gpu("A30", 165.0, 24.0),
    Gpu("RTX A6000", 154.8, 48.0),
    Gpu("RTX 6000 Ada", 364.2, 48.0),
    Gpu("RTX 5090", 209.5, 32.0),
    Gpu("RTX 4090", 165.2, 24.0),
    Gpu("RTX 3090", 71.0, 24.0),
    Gpu("MI300X", 1307.4, 192.0),
)


def gpu_of(device_name: str) -> Gpu | None:
    """Return the GPU of a name as PyTorch reports it, None where the table has none.

    >>> gpu_of("NVIDIA H100 PCIe").tflops, gpu_of("NVIDIA L40S").tflops, gpu_of("NVIDIA T4")
    (756.0, 362.0, None)
    """
    words = f" {device_name} "
    matches = [gpu for gpu in GPUS if f" {gpu.name} " in words or f" {gpu.name}-" in words]
    return max(matches, default=None, key=lambda gpu: len(gpu.name))
