"""What a generator makes in the course of its training, between two latents, and how near that is to what it saw."""

import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid
from tqdm import tqdm

from callbacks.pictures import is_time_for_a_picture, publish, side_by_side
from records.files import whole_file
from records.layout import PICTURES

SIDE = 640  # pixels of a picture, about
FRAMES = "samples"
MOST_FRAMES = 200
MILLISECONDS = 120


@runtime_checkable
class MakesImages(Protocol):
    """A module with a generator, as GAN has it."""

    generator: Any

    def images_of(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latents (N, latent_size)."""


class SamplePictures(Callback):
    """Draws samples of fixed latents after each epoch, and more at the end.

    | picture | shows |
    |---|---|
    | `samples.png` | the same latents after 1, 2, 4, 8, … epochs and at the end |
    | `samples.gif` | the same after each epoch, at the end |
    | `interpolation.png` | in each row the way from one latent to another, at the end |
    | `nearest.png` | samples beside their nearest training images, at the end, which show whether it memorized them |

    Args:
        side: Number of samples in each row and in each column of a picture.
        neighbors: Number of samples to draw beside their nearest training images; 0 for none.
        seed: Seed of the samples' latents.

    Raises:
        ValueError: An argument is out of its range; in `setup`: the module makes no images.
    """

    def __init__(self, side: int = 10, neighbors: int = 8, seed: int = 0) -> None:
        if side < 1 or neighbors < 0:
            raise ValueError("SamplePictures.side must be at least 1, and neighbors at least 0.")
        self.side = side
        self.neighbors = neighbors
        self.seed = seed

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what makes no images."""
        if not isinstance(pl_module, MakesImages):
            raise ValueError(
                f"SamplePictures draws what a generator makes, and {type(pl_module).__name__} has none: leave it out."
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the fixed latents; on rank 0, for sampling exchanges nothing."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        epoch = trainer.current_epoch
        picture = grid(self._samples(pl_module), self.side)
        every = max(1, math.ceil((trainer.max_epochs or 0) / MOST_FRAMES))
        if epoch % every == 0:
            folder = Path(trainer.default_root_dir) / PICTURES / FRAMES
            with whole_file(folder / f"epoch-{epoch + 1:05d}.png") as file:
                picture.save(file, format="PNG", optimize=True)
        if is_time_for_a_picture(epoch):
            publish(trainer, "samples", picture)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what came out."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        samples = self._samples(pl_module)
        publish(trainer, "samples", grid(samples, self.side))
        publish(trainer, "interpolation", grid(pl_module.images_of(self._ways(pl_module)), self.side))  # type: ignore[operator]
        animate(Path(trainer.default_root_dir) / PICTURES)
        data = getattr(trainer, "datamodule", None)
        if self.neighbors and hasattr(data, "plain_training_loader"):
            found = nearest(samples[: self.neighbors], self._training_images(data, samples.device))
            publish(trainer, "nearest", beside_neighbors(samples[: self.neighbors], found))

    def _samples(self, module: Any) -> Tensor:
        source = torch.Generator().manual_seed(self.seed)
        return module.images_of(module.generator.draw_latents(self.side**2, source))

    def _ways(self, module: Any) -> Tensor:
        source = torch.Generator().manual_seed(self.seed + 1)
        starts, ends = module.generator.draw_latents(2 * self.side, source).chunk(2)
        return torch.cat([between(start, end, self.side) for start, end in zip(starts, ends, strict=True)])

    @staticmethod
    def _training_images(data: Any, device: torch.device) -> Any:
        for batch in tqdm(data.plain_training_loader(), desc="nearest training images", leave=False):
            batch = batch._replace(images=batch.images.to(device))  # noqa: PLW2901
            yield data.on_after_batch_transfer(batch, 0).images[batch.labels.to(device) >= 0]


def grid(images: Tensor, in_a_row: int, image_side: int | None = None) -> Image.Image:
    """Images (N, C, H, W) in [-1, 1] as large as fits, or `image_side` pixels, in whole multiples of their own."""
    images = images.float().cpu().clamp(-1, 1) / 2 + 0.5
    enlarge = max(1, (image_side or SIDE // in_a_row) // images.shape[-1])
    images = images.repeat_interleave(enlarge, 2).repeat_interleave(enlarge, 3)
    return to_pil_image(make_grid(images, nrow=in_a_row, padding=2, pad_value=1.0))


def between(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Latents (count, L) on the way from one (L,) to another, both included: along the arc, as their lengths are alike.

    White 2016, Sampling Generative Networks, §3: on the straight line between two normal latents lie lengths that the
    generator has never seen.
    """
    share = torch.linspace(0, 1, count).unsqueeze(1)
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if float(angle) < 1e-4:
        return torch.lerp(start, end, share)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)


def nearest(samples: Tensor, training_images: Any, count: int = 3) -> Tensor:
    """For each sample the training images at the least Euclidean distance of pixels.

    Args:
        samples: Shape (N, C, H, W).
        training_images: Batches of shape (B, C, H, W).
        count: How many for each sample.

    Returns:
        Nearest first. Shape (N, count, C, H, W).
    """
    best = torch.full((len(samples), count), torch.inf, device=samples.device)
    found = samples.new_zeros(len(samples), count, *samples.shape[1:])
    rows = torch.arange(len(samples), device=samples.device).unsqueeze(1)
    for images in training_images:
        distances = torch.cdist(samples.flatten(1).float(), images.flatten(1).float())
        near, places = distances.topk(min(count, len(images)), largest=False)
        candidates = torch.cat((found, images[places].to(found.dtype)), dim=1)
        best, ranks = torch.cat((best, near), dim=1).topk(count, largest=False)
        found = candidates[rows, ranks]
    return found


def beside_neighbors(samples: Tensor, found: Tensor) -> Image.Image:
    """A row for each sample: it, and its neighbors (N, count, C, H, W)."""
    rows = torch.cat((samples.unsqueeze(1), found), dim=1)
    columns = rows.transpose(0, 1).contiguous()
    titles = ["sample", *(f"neighbor {number}" for number in range(1, len(columns)))]
    return side_by_side(
        [(title, grid(column, 1, image_side=64)) for title, column in zip(titles, columns, strict=True)]
    )


def animate(folder: Path) -> None:
    """Make `samples.gif` of the frames that lie in the folder's `samples`."""
    paths = sorted((folder / FRAMES).glob("*.png"))
    every = max(1, math.ceil(len(paths) / MOST_FRAMES))  # more than that, where max_steps ends the run
    paths = paths[::-every][::-1]
    frames = [Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE) for path in paths]
    if not frames:
        return
    path = folder / "samples.gif"
    options = {"save_all": True, "append_images": frames[1:], "duration": MILLISECONDS, "loop": 0, "optimize": True}
    with whole_file(path) as file:
        frames[0].save(file, format="GIF", **options)
    rank_zero_info(f"Samples during the training: {path}")
