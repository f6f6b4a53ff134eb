"""The stop watch counts training, and only that."""

import torch

from callbacks.throughput import StopWatch, Throughput, peak_memory_gib


def test_speed_is_images_over_seconds_between_laps() -> None:
    watch = StopWatch()
    assert watch.images_per_second == 0
    for now in (10.0, 10.5, 11.0):
        watch.lap(32, now)
    assert watch.images_per_second == 64


def test_a_pause_does_not_count() -> None:
    watch = StopWatch()
    for now in (0.0, 1.0):
        watch.lap(10, now)
    watch.pause()
    for now in (100.0, 101.0):
        watch.lap(10, now)
    assert watch.images_per_second == 10


def test_large_counts_are_exact() -> None:
    assert int(Throughput._exactly(115_304_961)) == 115_304_961


def test_peak_memory_counts_what_is_held_and_does_not_fall() -> None:
    processor = torch.device("cpu")
    before = peak_memory_gib(processor)
    held = torch.ones(2**27)  # 0.5 GiB
    peak = peak_memory_gib(processor)
    assert 0.5 < peak < 64
    assert peak >= before
    del held
    assert peak_memory_gib(processor) >= peak
