"""The pictures of the docs can be drawn, of any photograph."""

from pathlib import Path

from PIL import Image

from docs.draw_views import main


def test_pictures_are_drawn(tmp_path: Path) -> None:
    Image.effect_noise((300, 200), 60).save(tmp_path / "gray.png")
    main([str(tmp_path / "docs"), "--photograph", str(tmp_path / "gray.png")])
    for name in ("views", "augmentation"):
        with Image.open(tmp_path / "docs" / f"imagenet_{name}.jpg") as picture:
            assert min(picture.size) > 500
            assert len(set(picture.convert("L").get_flattened_data())) > 100
