"""The networks a user may ask for."""

from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Fraction, Spec

Width = Annotated[int, Field(ge=1, le=16_384)]
Channels = Annotated[int, Field(ge=1, le=2_048)]
Activation = Annotated[Literal["relu", "gelu", "tanh"], Field(description="The function between two layers.")]


class TutorialCNN(Spec):
    """conv(1, 32, 3) - relu - pool - conv(32, 64, 3) - relu - pool - fc(64·7·7, 128) - relu - fc(128, 10).

    Both convolutions are padded by 1 and both pools are 2 x 2, so that a 28 x 28 image leaves as 64 x 7 x 7 = 3,136 features
    (unpadded convolutions without pools, as the tutorial printed them, leave 24 x 24 and do not fit). 421,642 parameters on
    Fashion-MNIST. Gives logits. Layers: `conv1`, `conv2`, `fc1`, `fc2`.
    """

    kind: Literal["tutorial_cnn"] = "tutorial_cnn"


class CNN(Spec):
    """Convolution blocks (convolution, norm, activation, max-pool, dropout), then hidden linear layers, then logits.

    Layers: `conv1` … `convN`, `norm1` … `normN` with `norm: batch`, `fc1` … `fcM`.
    """

    kind: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Channels, ...], Field(min_length=1, max_length=16, strict=False)] = (32, 64)
    """Output channels of each convolution."""
    kernel_size: Annotated[int, Field(ge=1, le=31)] = 3
    """Side of each filter, in pixels."""
    padding: Annotated[int, Field(ge=0, le=15)] | Literal["same"] = "same"
    """Zeros on each border; `same` keeps height and width (kernel_size odd)."""
    pool: Annotated[int, Field(ge=1, le=8)] = 2
    """Side and stride of the max-pool after each block; 1 pools nothing."""
    norm: Literal["none", "batch"] = "none"
    """`batch` normalises each channel over the rows of a step, behind each convolution."""
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    """Probability of zeroing a value after each block and each hidden layer, in training only."""
    hidden: Annotated[tuple[Width, ...], Field(max_length=16, strict=False)] = (128,)
    """Widths of the linear layers between the blocks and the logits."""


class Linear(Spec):
    """One linear map of the flattened sample: multinomial logistic regression, or least squares with `half_mse`. Layer: `fc1`."""

    kind: Literal["linear"] = "linear"
    bias: bool = True
    """Whether a constant is added to each output."""


class MLP(Spec):
    """Linear layers with an activation (and dropout) between them. Layers: `fc1` … `fcM`."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16, strict=False)] = (256,)
    """Widths of the hidden layers."""
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    """Probability of zeroing a value after each hidden layer, in training only."""


class ResNet18(Spec):
    """torchvision's resnet18 (He et al., CVPR 2016) with the stem for small images: a 3 x 3 convolution of stride 1 and no max-pool.

    Weights are drawn by the seed, none are downloaded. 11,173,962 parameters on 3 x 32 x 32 with 10 classes. Layers by torch's
    names: `conv1`, `bn1`, `layer1.0.conv1` … `layer4.1.bn2`, `fc`.
    """

    kind: Literal["resnet18"] = "resnet18"


Model = Annotated[TutorialCNN | CNN | Linear | MLP | ResNet18, Field(discriminator="kind")]
