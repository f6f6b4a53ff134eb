import pytest

from lightning_modules.gan.draws import Purpose, _source


@pytest.mark.parametrize(
    ("purpose", "seed"),
    [
        (Purpose.LATENTS, 7032039567397572200),
        (Purpose.CLASSES, 5131248623049108786),
        (Purpose.MIX, 5178331400326588612),
        (Purpose.NOISE, 5057780921749485182),
        (Purpose.LABELLED_IMAGES, 3708118066281995105),
    ],
)
def test_the_seeds_of_a_purpose_stay_as_they_are(purpose: Purpose, seed: int) -> None:
    # A renamed purpose would train every GAN otherwise than the results that are committed.
    assert _source(42, purpose, 0, 7).initial_seed() == seed
