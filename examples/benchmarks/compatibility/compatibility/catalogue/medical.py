"""Medical images: MONAI's networks in two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from compatibility.entry import Entry

KIND = "Medical images"
SQUARE, CUBE = (1, 32, 32), (1, 16, 16, 16)
CHANNELS = {"in_channels": 1, "out_channels": 2}


def entries() -> list[Entry]:
    """List what MONAI has."""
    layers: dict[str, Any] = {"channels": (4, 8, 16), "strides": (2, 2), **CHANNELS}
    return [
        _entry("UNet, 2D", "UNet", SQUARE, spatial_dims=2, **layers),
        _entry("UNet, 3D", "UNet", CUBE, spatial_dims=3, **layers),
        _entry(
            "UNet, 3D, batch norm", "UNet", CUBE, spatial_dims=3, norm="batch", **layers
        ),
        _entry(
            "BasicUNet",
            "BasicUNet",
            SQUARE,
            spatial_dims=2,
            features=(4, 4, 8, 8, 16, 4),
            **CHANNELS,
        ),
        _entry("AttentionUnet", "AttentionUnet", SQUARE, spatial_dims=2, **layers),
        _entry("SegResNet", "SegResNet", CUBE, init_filters=8, **CHANNELS),
        _entry(
            "DynUNet, deep supervision",
            "DynUNet",
            CUBE,
            spatial_dims=3,
            kernel_size=(3, 3, 3, 3),
            strides=(1, 2, 2, 2),
            upsample_kernel_size=(2, 2, 2),
            filters=(4, 8, 16, 16),
            deep_supervision=True,
            **CHANNELS,
        ),
        _entry(
            "UNETR",
            "UNETR",
            CUBE,
            img_size=16,
            feature_size=4,
            hidden_size=48,
            mlp_dim=64,
            num_heads=4,
            **CHANNELS,
        ),
        _entry(
            "SwinUNETR, 2D",
            "SwinUNETR",
            (1, 64, 64),
            spatial_dims=2,
            feature_size=12,
            depths=(1, 1, 1, 1),
            **CHANNELS,
        ),
        _entry(
            "DenseNet, 3D",
            "DenseNet",
            (1, 32, 32, 32),
            spatial_dims=3,
            init_features=16,
            growth_rate=8,
            block_config=(2, 2, 2, 2),
            **CHANNELS,
        ),
        _entry(
            "VarAutoEncoder",
            "VarAutoEncoder",
            SQUARE,
            spatial_dims=2,
            in_shape=SQUARE,
            out_channels=1,
            latent_size=4,
            channels=(4, 8),
            strides=(2, 2),
        ),
    ]


def _entry(name: str, network: str, shape: tuple[int, ...], **options: Any) -> Entry:
    return Entry(
        KIND,
        name,
        "monai",
        partial(monai_network, network, **options),
        {"input_shape": shape},
    )


def monai_network(name: str, **options: Any) -> nn.Module:
    """Build a network of MONAI."""
    from monai.networks import nets

    make: Callable[..., nn.Module] = getattr(nets, name)
    return make(**options)
