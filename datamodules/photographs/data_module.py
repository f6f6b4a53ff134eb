"""Photographs of any folder as batches that keep an accelerator fed."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.counter_random import CounterRandom
from datamodules.image_data_module import ImageDataModule, divide
from datamodules.loader import ImageBatch
from datamodules.photographs.augmentation import add_color_noise, erase, mix
from datamodules.photographs.folder import shown, some
from datamodules.photographs.opened_folder import OpenedFolder, open_copy
from datamodules.photographs.reader import PreparedCopy, PreparedSplit
from datamodules.photographs.source import Decoding, PhotographSource
from datamodules.photographs.trivial_augment import trivial_augment
from datamodules.photographs.views import (
    CentralCrop,
    CentralSquareCrop,
    FixedTenCrops,
    RandomResizedCrop,
    ScaledCrop,
    TrainingView,
)

CropName = Literal["random_resized", "scaled", "central_square", "ten_fixed"]


class Photograph(NamedTuple):
    """What evaluation sees of a photograph.

    Attributes:
        name: Name of the published file.
        width: Pixels of the stored photograph.
        height: Likewise.
        view: Left, top, width and height, in its pixels, of the part that a network sees.
    """

    name: str
    width: int
    height: int
    view: tuple[float, float, float, float]


class PhotographDataModule(ImageDataModule):
    """Photographs in a prepared copy, here or at a URL, or in a folder with train/ and val/ as ImageFolder reads it.

    A data set gives its name. `test` measures on the validation photographs.

    Args:
        root: Folder of the photographs, or folder or URL of their prepared copy.
        image_size: Height and width of the images in pixels.
        training_size: Height and width of training images in pixels; null for image_size. Random crops enlarge objects,
            so smaller training images resemble those of the evaluation more (Touvron et al. 2019).
        crop_side: Length in pixels of the shorter side of a photograph in evaluation, before its center is cut out.
        training_crop: Part of a photograph that a training image shows. random_resized: a random rectangle, as for
            GoogLeNet; scaled: a random window of the photograph resized to training_sides, as for VGG and ResNet;
            central_square: a random window of the central square, as for AlexNet; ten_fixed: a corner or the center of
            that square, as for ZFNet.
        training_sides: Smallest and largest length in pixels of the shorter side, for training_crop scaled: [256, 512]
            for VGG, [256, 480] for ResNet.
        crop_area: Smallest and largest share of a photograph's area, for training_crop random_resized.
        crop_aspect: Smallest and largest ratio of width to height, for training_crop random_resized.
        offsets: Number of places of the window in each direction, for training_crop central_square. paper: 32, as
            AlexNet's paper counts; code: 33, as its authors' code draws.
        horizontal_flip: Whether to mirror half of the training images.
        color_noise: Noise along the principal colors of the pixels, as in AlexNet (§4.1). eigenvalue: with the scale
            that the paper prints; standard_deviation: with the scale of the authors' code; null: none.
        color_noise_epochs: Number of epochs with color noise, from the first on; null for all.
        trivial_augment: Whether to change each training image by one random operation (Müller and Hutter 2021).
        random_erasing: Share of the training images in which a random rectangle is erased (Zhong et al. 2017).
        mixup: Parameter alpha of mixup (Zhang et al. 2018); 0 for none.
        cutmix: Parameter alpha of CutMix (Yun et al. 2019); 0 for none. With both, each image gets one of the two.
        repetitions: Number of times that an image is in a batch, each time augmented differently (Hoffer et al. 2020).
        exact: Whether to decode and resize training images exactly as PIL does, like those of the evaluation, instead
            of the fastest way.
        broken: Reaction to a photograph that cannot be decoded. error: end the run; skip: leave it out, with a warning.
        verify: Whether to compare the checksum of each photograph whenever it is read.
        threads: Number of decoding threads of each process; null divides the processors of a host among its processes.
        batch_size: Number of images in a training batch on each device.
        eval_batch_size: Number of images in a validation or test batch on each device.
        kwargs: Arguments of every data set.

    Raises:
        ValueError: An argument is out of its range, or there is no copy at `root`.
    """

    in_channels = 3
    has_all_classes = False  # whether a class that a split lacks is a mistake
    # Of ImageNet's training photographs (facebook/fb.resnet.torch, datasets/imagenet.lua), for which published weights
    # are made. These deviations are means of those of single photographs; that of all pixels is a fifth larger.
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    _splits: Mapping[str, PhotographSource]

    def __init__(
        self,
        *,
        root: str,
        image_size: int = 224,
        training_size: int | None = None,
        crop_side: int = 256,
        training_crop: CropName = "random_resized",
        training_sides: tuple[int, int] = (256, 480),
        crop_area: tuple[float, float] = (0.08, 1.0),
        crop_aspect: tuple[float, float] = (3 / 4, 4 / 3),
        offsets: Literal["paper", "code"] = "paper",
        horizontal_flip: bool = True,
        color_noise: Literal["eigenvalue", "standard_deviation"] | None = None,
        color_noise_epochs: int | None = None,
        trivial_augment: bool = False,
        random_erasing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        repetitions: int = 1,
        exact: bool = False,
        broken: Literal["error", "skip"] = "error",
        verify: bool = True,
        threads: int | None = None,
        batch_size: int = 256,
        eval_batch_size: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, eval_batch_size=eval_batch_size, **kwargs)
        self.check_at_least({"repetitions": (repetitions, 1), "threads": (1 if threads is None else threads, 1)})
        self.check_at_least({"image_size": (image_size, 1), "training_size": (training_size or 1, 1)})
        if not 0 <= random_erasing <= 1:
            raise ValueError(f"random_erasing={random_erasing} must be a share of the images, from 0 to 1.")
        if crop_side < image_size:
            raise ValueError(
                f"A photograph with a shorter side of {crop_side} pixels has no center of {image_size}: raise "
                "--data.crop_side."
            )
        if min(mixup, cutmix) < 0:
            raise ValueError(f"mixup={mixup} and cutmix={cutmix} must not be negative; 0 switches them off.")
        self.root = root
        self.image_size = image_size
        self.training_size = image_size if training_size is None else training_size
        self.crop_side = crop_side
        self.evaluation_sides: tuple[int, ...] = ()  # set by test-time augmentation that wants whole images
        self.horizontal_flip = horizontal_flip
        self.color_noise = color_noise
        self.color_noise_epochs = color_noise_epochs
        self.trivial_augment = trivial_augment
        self.random_erasing = random_erasing
        self.mixup = mixup
        self.cutmix = cutmix
        self.repetitions = repetitions
        self.exact = exact
        self.broken = broken
        self.verify = verify
        self.threads = threads
        self.evaluation_view = CentralCrop(crop_side, image_size)
        views: dict[str, Callable[[], TrainingView]] = {
            "random_resized": lambda: RandomResizedCrop(crop_area, crop_aspect),
            "scaled": lambda: ScaledCrop(training_sides),
            "central_square": lambda: CentralSquareCrop(crop_side, offsets),
            "ten_fixed": lambda: FixedTenCrops(crop_side),
        }
        self.training_view = views[training_crop]()
        self._executor: ThreadPoolExecutor | None = None
        self.copy = self.open_copy(root)
        classes = self.copy.manifest.classes
        self.num_classes = len(classes)
        self.class_names = tuple(entry.names[0] if entry.names else entry.wnid for entry in classes)

    def open_copy(self, root: str) -> PreparedCopy | OpenedFolder:
        """Open what is at `root`, and refuse what this data set cannot be read from."""
        copy = open_copy(root, self.has_all_classes)
        if isinstance(copy, OpenedFolder):
            self._check_broken(copy)
        return copy

    def open_splits(self) -> Mapping[str, PhotographSource]:
        """Open the index of each split, and hold out training photographs if asked to."""
        self._verified = self.copy.manifest.verified
        val = self.open_split("val")
        if "train" not in self.copy.manifest.splits:  # enough to evaluate
            return {"val": val, "test": val}
        train = selection = self.open_split("train")
        if self.val_size:
            rows, held_out = divide(train.size, self.val_size, self.split_seed)
            train, selection = (self._source(train.split, train.rows_of(part)) for part in (rows, held_out))
        self.check_classes_present(train)
        return {"train": train, "val": selection if self.val_size else val, "test": val}

    def open_split(self, name: str) -> PhotographSource:
        """A split as a source; photographs of a folder that cannot be read are left out."""
        split = self.copy.split(name, self.verify)
        unreadable = split.records["width"] == 0
        return self._source(split, np.flatnonzero(~unreadable) if unreadable.any() else None)

    def check_classes_present(self, train: PhotographSource) -> None:
        """Refuse a class without a training photograph, which would never be learned, and nothing else would say so.

        Raises:
            ValueError: There is one.
        """
        labels = train.split.records["label"]
        counts = np.bincount(labels if train.rows is None else labels[train.rows], minlength=self.num_classes)
        if not counts.all():
            missing = some([self.copy.manifest.classes[label].wnid for label in np.flatnonzero(counts == 0)])
            remedy = "add some" if isinstance(self.copy, OpenedFolder) else f"prepare {self.root} again"
            raise ValueError(f"There are no training photographs of {missing}: {remedy}.")

    def _check_broken(self, copy: OpenedFolder) -> None:
        """Refuse files that cannot be read as images, or say which are left out."""
        broken = [
            split.file(int(row))
            for split in map(copy.split, copy.manifest.splits)
            for row in np.flatnonzero(split.records["width"] == 0)
        ]
        if not broken:
            return
        first = shown(os.path.join(self.root, broken[0]))
        if self.broken == "error":
            more = f", and {len(broken) - 1:,} more are none ({some(broken[1:])})" if len(broken) > 1 else ""
            raise ValueError(
                f"{first} is no image{more}: restore what is damaged or take it out, or leave such files out with "
                "--data.broken=skip."
            )
        rank_zero_info(f"{len(broken):,} files of {self.root} are no images and are left out ({some(broken)}).")

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        """Augment a training batch further and normalize any batch, on the device."""
        if isinstance(batch.images, Mapping):
            whole = {side: [self.normalized(image) for image in images] for side, images in batch.images.items()}
            return batch._replace(images=whole)
        if batch.epoch is None:
            return batch._replace(images=self.normalized(batch.images))
        images, random = batch.images, CounterRandom(self.seed, batch.epoch, batch.indices)
        if self.color_noise and (self.color_noise_epochs is None or batch.epoch < self.color_noise_epochs):
            images = add_color_noise(images, random, reading=self.color_noise, mean=self.mean)
        # Noise is in levels of the pixels; erasing fills with 0, which is the mean only once images are normalized.
        images = self.normalized(images)
        if self.random_erasing:
            images = erase(images, random, probability=self.random_erasing)
        if not (self.mixup or self.cutmix):
            return batch._replace(images=images)
        images, targets = mix(
            images,
            batch.labels,
            random,
            num_classes=self.num_classes,
            mixup_alpha=self.mixup,
            cutmix_alpha=self.cutmix,
        )
        return batch._replace(images=images, targets=targets)

    def photographs(self, indices: Tensor) -> list[Photograph]:
        """What evaluation sees of the validation photographs with these indices."""
        source = self._splits["test"]
        records = source.split.records[source.rows_of(indices.cpu())]
        boxes = self.evaluation_view.boxes(records["width"], records["height"]).tolist()
        return [
            Photograph(shown(record["name"]), int(record["width"]), int(record["height"]), tuple(box))
            for record, box in zip(records, boxes, strict=True)
        ]

    def files(self, indices: Tensor) -> list[str]:
        """Files of the test photographs with these indices, within the root."""
        source = self._splits["test"]
        return [source.split.file(int(row)) for row in source.rows_of(indices)]

    def description(self) -> dict[str, Any]:
        """Describe the data for a run's record."""
        manifest = self.copy.manifest
        return {**super().description(), "layout": manifest.layout, "encoding": manifest.encoding}

    def teardown(self, stage: str) -> None:
        """Let go of the threads."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None

    def _source(self, split: PreparedSplit, rows: np.ndarray | None = None) -> PhotographSource:
        decoding = Decoding(
            training_view=self.training_view,
            training_size=self.training_size,
            evaluation_view=self.evaluation_view,
            seed=self.seed,
            mirror=self.horizontal_flip,
            exact=self.exact,
            broken=self.broken,
            augment=trivial_augment if self.trivial_augment else None,
        )
        return PhotographSource(split, rows, decoding, self._threads, sides=lambda: self.evaluation_sides)

    def _threads(self) -> ThreadPoolExecutor:
        if self._executor is None:
            count = self.threads or max(1, len(os.sched_getaffinity(0)) // self._processes_of_this_host())
            self._executor = ThreadPoolExecutor(count, thread_name_prefix="decode")
        return self._executor

    def _processes_of_this_host(self) -> int:
        if "LOCAL_WORLD_SIZE" in os.environ:
            return int(os.environ["LOCAL_WORLD_SIZE"])
        return 1 if self.trainer is None else self.trainer.num_devices
