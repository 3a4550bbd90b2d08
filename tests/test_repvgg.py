"""RepVGG's blocks where PyTorch's kernels are at fault."""

import os
import subprocess
import sys

STEPS = """
import torch
from lockon.nn.repvgg import RepVGGBlock

torch.manual_seed(0)
block = RepVGGBlock(3, 8, stride=2).train()
image = torch.rand(2, 3, 64, 64)
gradients = []
for layout in [torch.contiguous_format] + 100 * [torch.channels_last]:
    block.zero_grad()
    block(image.to(memory_format=layout)).square().sum().backward()
    gradients.append(block.rbr_1x1.conv.weight.grad.clone())
for gradient in gradients[1:]:
    torch.testing.assert_close(gradient, gradients[0], rtol=1e-3, atol=1e-3)
print("fine")
"""


def test_few_channels_with_a_stride_are_trained_on_processors_with_avx2() -> None:
    """In a process of its own, which the fault would end."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "MALLOC_CHECK_": "3"}
    ran = subprocess.run([sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "fine\n"), ran.stderr
