"""What a call gives in torchvision 0.6.0, which goes with the notes' PyTorch 1.5.0, and what it gives in 0.26.0.

    python labs/torchvision/then_and_now.py     run every call again with the torchvision of this python, and keep it

Run it once with each of the two. The file then_and_now.json is what they gave; a test runs every row again.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # its own folder is called as the library

import torchvision

from labkit.runs.then_and_now import renew
from labs.torchvision.steps import SETUP

VERSIONS = ("0.6.0", "0.26.0")
FILE = Path(__file__).with_name("then_and_now.json")

X = "x = torch.arange(12.0).view(3, 2, 2); "
U = "x = torch.zeros(3, 9, 9, dtype=torch.uint8); "

CALLS = (
    # datasets
    "len([name for name in datasets.__all__ if isinstance(getattr(datasets, name), type)])",
    "raw = write_mnist(folder); len(datasets.MNIST(folder))",
    "datasets.FakeData(1)[0][1]",
    # models
    "models.resnet18(weights=None).fc.out_features",
    "models.list_models()[:2]",
    "size_of(models.mobilenet_v3_small())",
    "models.vit_b_16.__name__",
    "from torchvision.models.feature_extraction import create_feature_extractor; create_feature_extractor.__name__",
    "models.ResNet18_Weights.DEFAULT.meta['num_params']",
    # transforms
    X + "transforms.RandomCrop(2)(x).shape",
    X + "transforms.Resize(4)(x).shape",
    X + "transforms.functional.hflip(x)[0]",
    "transforms.ColorJitter(0.5)(torch.ones(3, 4, 4)).shape",
    "import torchvision.transforms.v2; torchvision.transforms.v2.__name__",
    "hasattr(transforms, 'RandAugment')",
    "hasattr(transforms, 'AugMix')",
    "hasattr(transforms, 'GaussianBlur')",
    "transforms.RandomRotation(10)",
    "transforms.Resize(8, Image.BILINEAR)",
    "transforms.Resize(8, transforms.InterpolationMode.BILINEAR)",
    "transforms.Scale(8)",
    "transforms.RandomSizedCrop(8)",
    "torch.manual_seed(3); a = transforms.RandomCrop(4)(picture); torch.manual_seed(3); "
    "np.array_equal(a, transforms.RandomCrop(4)(picture))",
    "random.seed(3); a = transforms.RandomCrop(4)(picture); random.seed(3); "
    "np.array_equal(a, transforms.RandomCrop(4)(picture))",
    "transforms.functional.resize(picture, 10, max_size=12).size",
    "transforms.functional.get_image_size(picture)",
    # utils and io
    "utils.make_grid(torch.ones(2, 3, 4, 4), range=(0, 1)).shape",
    "utils.make_grid(torch.ones(2, 3, 4, 4), value_range=(0, 1)).shape",
    U + "utils.draw_bounding_boxes(x, torch.tensor([[1, 1, 5, 5]])).shape",
    U + "utils.draw_segmentation_masks(x, x[0] > 0).shape",
    "utils.flow_to_image(torch.zeros(2, 4, 4)).shape",
    U + "io.encode_png(x).dtype",
    "picture.save(os.path.join(folder, 'x.png')); io.read_image(os.path.join(folder, 'x.png')).shape",
    "io.read_video.__name__",
    "io.write_video.__name__",
    # ops
    "ops.masks_to_boxes(torch.ones(1, 3, 4))",
    "ops.generalized_box_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[3.0, 0, 5, 2]]))",
    "ops.box_convert(torch.tensor([[1.0, 2, 3, 4]]), 'xywh', 'xyxy')",
    "ops.sigmoid_focal_loss(torch.zeros(1), torch.ones(1))",
    "ops.box_area(torch.tensor([[0.0, 0, 2, 3]]))",
    "ops.deform_conv2d(torch.ones(1, 1, 3, 3), torch.zeros(1, 2, 3, 3), torch.ones(1, 1, 1, 1), "
    "mask=torch.full((1, 1, 3, 3), 0.5))[0, 0, 0]",
    "ops.stochastic_depth(torch.ones(2), 0.0, 'row')",
)

if __name__ == "__main__":
    renew(FILE, CALLS, SETUP, torchvision.__version__.partition("+")[0])
