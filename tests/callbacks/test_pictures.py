"""Pictures lie in the run's directory and go to W&B; they are drawn seldom enough to cost little."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from callbacks.pictures import below_one_another, is_time_for_a_picture, publish, side_by_side


class Page(WandbLogger):
    """Notes what a W&B page would get."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def log_image(self, key: str, images: list[Any], *_: Any, **__: Any) -> None:
        self.keys.append(key)


def test_pictures_are_drawn_after_powers_of_two() -> None:
    assert [epoch + 1 for epoch in range(20) if is_time_for_a_picture(epoch)] == [1, 2, 4, 8, 16]


def test_a_picture_replaces_the_earlier_one_and_goes_to_the_page(tmp_path: Path) -> None:
    page = Page()
    trainer: Any = SimpleNamespace(is_global_zero=True, fast_dev_run=0, default_root_dir=tmp_path, loggers=[page])
    for width in (10, 20):
        publish(trainer, "filters", Image.new("RGB", (width, 5)))
    assert Image.open(tmp_path / "pictures" / "filters.png").width == 20
    assert page.keys == ["pictures/filters"] * 2
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    trainer.is_global_zero = False
    publish(trainer, "other", Image.new("RGB", (5, 5)))
    assert not (tmp_path / "pictures" / "other.png").exists()


def test_pictures_stand_side_by_side_under_their_text() -> None:
    red, blue = Image.new("RGB", (30, 10), "red"), Image.new("RGB", (30, 20), "blue")
    whole = side_by_side([("one", red), ("two", blue)], gap=4)
    assert whole.width == 2 * 30 + 3 * 4
    assert {whole.getpixel((10, 26)), whole.getpixel((44, 40))} == {(255, 0, 0), (0, 0, 255)}


def test_pictures_stand_below_one_another_at_their_left_edge() -> None:
    red, blue = Image.new("RGB", (30, 10), "red"), Image.new("RGB", (20, 20), "blue")
    whole = below_one_another([red, blue])
    assert whole.size == (30, 30)
    assert {whole.getpixel((29, 9)), whole.getpixel((0, 10))} == {(255, 0, 0), (0, 0, 255)}
