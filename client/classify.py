"""What a downloaded checkpoint of the tutorial's network says of images, computed with numpy alone.

Neither torch nor Ridgeline's training is used: the file is plain safetensors in torch's names, and the network is the function
written here. Images are read from the same files that the job's lineage names.
"""

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# numpy comes with the `worker` extra; the rest of the client does without, so it is imported where it is used.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]

CLASSES: Final = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""Of Fashion-MNIST, by label (Xiao, Rasul, Vollgraf, arXiv 1708.07747)."""
_SHIPPED: Final = Path(__file__).resolve().parent.parent / "worker" / "training" / "data"


def classify(checkpoint: Path, images_NHW: "Bytes", source: str) -> "tuple[NDArray[np.int64], Floats]":
    """The class of each image and its probability, by the network in `checkpoint`. `source` is the job's `dataset.source`."""
    import numpy as np
    from safetensors import safe_open

    with safe_open(checkpoint, framework="numpy") as file:
        weights = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118 - it is no dict
        mean, std = _moments(file.metadata() or {}, source)
    logits = forward(weights, ((images_NHW.astype(np.float32) - mean) / std)[:, None])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return logits.argmax(axis=1), probabilities.max(axis=1)


def forward(weights: "dict[str, Floats]", images_NCHW: "Floats") -> "Floats":
    """The tutorial's network: conv - relu - pool - conv - relu - pool - fc - relu - fc. Gives logits [n, 10]."""
    values = _pool(_relu(_convolve(images_NCHW, weights["conv1.weight"], weights["conv1.bias"])))
    values = _pool(_relu(_convolve(values, weights["conv2.weight"], weights["conv2.bias"])))
    values = _relu(values.reshape(len(values), -1) @ weights["fc1.weight"].T + weights["fc1.bias"])
    return values @ weights["fc2.weight"].T + weights["fc2.bias"]


def test_images(source: str, count: int) -> "tuple[Bytes, Bytes]":
    """The first `count` test images [n, 28, 28] and their labels [n]."""
    return _read(source, "t10k-images-idx3-ubyte")[:count], _read(source, "t10k-labels-idx1-ubyte")[:count]


def folder(source: str) -> Path:
    """Where this machine keeps Fashion-MNIST under that name of a source, as the trainer looked for it."""
    match source:
        case "data_folder":
            return Path(os.environ["RIDGELINE_DATA_FOLDER"]) / "fashion_mnist"
        case "system_package":
            found = [Path("/usr/share/datasets") / name for name in ("fashion-mnist", "fashion_mnist")]
            return next((path for path in found if path.is_dir()), found[0])
    return _SHIPPED / "fashion_mnist"


def read_idx(path: Path) -> "Bytes":
    """The values of an IDX file of bytes, plain or gzip (LeCun's format: two zeros, type 8, rank, sizes, values)."""
    import numpy as np

    content = path.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is no IDX file of bytes; replace it")
    rank = content[3]
    sizes: Sequence[int] = np.frombuffer(content, ">u4", rank, offset=4).tolist()
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def _moments(metadata: dict[str, Any], source: str) -> tuple[float, float]:
    """Mean and standard deviation of the training pixels in [0, 255], by which the network's inputs were standardised."""
    if stored := metadata.get("normalization"):
        told = json.loads(stored)
        return float(told["mean"][0]), float(told["std"][0])
    # Of all training rows: the job's own, less the held-out ones, differ from these in the fourth digit.
    images = _read(source, "train-images-idx3-ubyte")
    return float(images.mean()), float(images.std())


def _read(source: str, name: str) -> "Bytes":
    plain = folder(source) / name
    return read_idx(plain if plain.exists() else plain.with_name(f"{name}.gz"))


def _convolve(images_NCHW: "Floats", weight_OIHW: "Floats", bias: "Floats") -> "Floats":
    """A 3 x 3 convolution, padded by 1."""
    import numpy as np

    padded = np.pad(images_NCHW, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))  # [n, I, H, W, 3, 3]
    out = np.tensordot(windows, weight_OIHW, axes=((1, 4, 5), (1, 2, 3)))  # [n, H, W, O]
    return (out + bias).transpose(0, 3, 1, 2)


def _pool(images_NCHW: "Floats") -> "Floats":
    n, channels, height, width = images_NCHW.shape
    pooled: Floats = images_NCHW.reshape(n, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    return pooled


def _relu(values: "Floats") -> "Floats":
    return values.clip(min=0)
