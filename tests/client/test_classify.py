"""The network written in numpy is the tutorial's network, to torch's own judgement."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from client import classify


@pytest.fixture
def weights() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = {"conv1": (32, 1, 3, 3), "conv2": (64, 32, 3, 3), "fc1": (128, 3136), "fc2": (10, 128)}
    drawn = {}
    for name, shape in shapes.items():
        drawn[f"{name}.weight"] = torch.randn(shape, generator=draw) * 0.1
        drawn[f"{name}.bias"] = torch.randn(shape[0], generator=draw) * 0.1
    return drawn


def by_torch(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    values = F.max_pool2d(F.relu(F.conv2d(images, weights["conv1.weight"], weights["conv1.bias"], padding=1)), 2)
    values = F.max_pool2d(F.relu(F.conv2d(values, weights["conv2.weight"], weights["conv2.bias"], padding=1)), 2)
    values = F.relu(F.linear(values.flatten(1), weights["fc1.weight"], weights["fc1.bias"]))
    return F.linear(values, weights["fc2.weight"], weights["fc2.bias"])


def test_the_logits_are_those_of_torch(weights: dict[str, Tensor]) -> None:
    images = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    found = classify.forward({name: value.numpy() for name, value in weights.items()}, images.numpy())
    np.testing.assert_allclose(found, by_torch(weights, images).numpy(), rtol=1e-4, atol=1e-4)


def test_a_checkpoint_that_says_how_pixels_were_standardised_is_believed(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "model.safetensors", metadata={"normalization": json.dumps({"mean": [70.0], "std": [90.0]})})
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    classes, probabilities = classify.classify(tmp_path / "model.safetensors", images, "nowhere")
    expected = by_torch(weights, (torch.tensor(images, dtype=torch.float32)[:, None] - 70) / 90).softmax(1).max(1)
    assert classes.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(probabilities, expected.values.numpy(), rtol=1e-4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_images_are_read_plain_and_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: object) -> None:
    assert callable(pack)
    images = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    suffix = "" if pack is bytes else ".gz"
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in images.shape)
    (folder / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(header + images.tobytes()))
    (folder / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(b"\0\0\x08\x01\0\0\0\x02\x07\x09"))
    monkeypatch.setenv("RIDGELINE_DATA_FOLDER", str(tmp_path))
    found, labels = classify.test_images("data_folder", 2)
    assert (found == images).all()
    assert labels.tolist() == [7, 9]


def test_a_file_that_is_no_idx_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PK")
    with pytest.raises(ValueError, match="x is no IDX file of bytes"):
        classify.read_idx(tmp_path / "x")
