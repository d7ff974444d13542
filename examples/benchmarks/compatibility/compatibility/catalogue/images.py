"""Images: torchvision's classifiers, segmentation and detection."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from compatibility.entry import Entry, Samples

KIND = "Images"
SHAPE = (3, 32, 32)


def entries() -> list[Entry]:
    """List what torchvision has."""
    classifier = partial(Entry, KIND, library="torchvision")
    return [
        *(
            classifier(name, build=partial(_classifier, name), writes=_of(SHAPE))
            for name in (
                "resnet18",
                "mobilenet_v3_small",
                "efficientnet_b0",
                "shufflenet_v2_x0_5",
            )
        ),
        classifier(
            "googlenet, auxiliary outputs",
            build=partial(
                _classifier, "googlenet", aux_logits=True, init_weights=False
            ),
            writes=_of(SHAPE),
        ),
        classifier("DenseNet", build=densenet, writes=_of(SHAPE)),
        classifier("ConvNeXt", build=convnext, writes=_of(SHAPE)),
        classifier("VisionTransformer", build=vision_transformer, writes=_of(SHAPE)),
        classifier("SwinTransformer", build=swin_transformer, writes=_of(SHAPE)),
        classifier(
            "deeplabv3, auxiliary output",
            build=partial(_segmenter, "deeplabv3_mobilenet_v3_large", aux_loss=True),
            writes=_of(SHAPE),
        ),
        classifier(
            "ssdlite320, detection",
            build=partial(_detector, "ssdlite320_mobilenet_v3_large"),
            writes=_of(SHAPE),
            loss=detection_loss,
        ),
        classifier(
            "FasterRCNN, detection",
            build=faster_rcnn,
            writes={**_of(SHAPE), "head": "rpn.head.cls_logits"},
            loss=detection_loss,
        ),
    ]


def _of(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"input_shape": shape}


def _classifier(name: str, **options: Any) -> nn.Module:
    from torchvision.models import get_model

    return get_model(name, weights=None, num_classes=8, **options)


def densenet() -> nn.Module:
    """Build a small one of torchvision's."""
    from torchvision.models import DenseNet

    return DenseNet(8, (2, 2, 2, 2), 16, num_classes=8)


def convnext() -> nn.Module:
    """Build a small one of torchvision's."""
    from torchvision.models import ConvNeXt
    from torchvision.models.convnext import CNBlockConfig

    blocks = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)]
    return ConvNeXt(blocks, num_classes=8)


def vision_transformer() -> nn.Module:
    """Build a small one of torchvision's."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=8)


def swin_transformer() -> nn.Module:
    """Build a small one of torchvision's."""
    from torchvision.models import SwinTransformer

    return SwinTransformer([4, 4], 24, [1, 1], [2, 2], [4, 4], num_classes=8)


def _segmenter(name: str, **options: Any) -> nn.Module:
    from torchvision.models import get_model

    return get_model(
        name, weights=None, weights_backbone=None, num_classes=2, **options
    )


def _detector(name: str, **options: Any) -> nn.Module:
    from torchvision.models import get_model

    return get_model(
        name, weights=None, weights_backbone=None, num_classes=3, **options
    )


def faster_rcnn() -> nn.Module:
    """Build a small one of torchvision's, around two convolutions."""
    from torchvision.models.detection import FasterRCNN, faster_rcnn
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
    )
    backbone.out_channels = 16
    return FasterRCNN(
        backbone,
        min_size=32,
        max_size=32,
        rpn_anchor_generator=AnchorGenerator(((8, 16),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 4, 2),
        box_head=faster_rcnn.TwoMLPHead(16 * 4 * 4, 32),
        box_predictor=faster_rcnn.FastRCNNPredictor(32, 3),
    )


def detection_loss(model: nn.Module, images: Samples) -> Tensor:
    """Teach a detector that there is one object in the middle of each image."""
    box = torch.tensor([[8.0, 8.0, 24.0, 24.0]])
    target = {"boxes": box, "labels": torch.tensor([1])}
    losses = model(list(images), [target] * len(images))
    return torch.stack(list(losses.values())).sum()
