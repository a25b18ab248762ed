"""What this project calls of DistillMOS, which declares no types."""

from torch import Tensor, nn

class ConvTransformerSQAModel(nn.Module):
    def __init__(self, load_weights: bool = True, segmenting_in_forward: bool = True) -> None: ...
    def __call__(self, x: Tensor) -> Tensor: ...
