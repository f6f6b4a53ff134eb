"""How much does the seed matter? Means and deviations of the GANs that differ in nothing else."""

from comparison.gan_table import OVER_SEEDS, seed_table
from comparison.questions import Answer, Section
from comparison.questions.sample_quality import table_of_blocks

QUESTION = "How much does the seed matter?"


def answer(section: Section) -> Answer | None:
    """A table of the experiments that have several seeds."""
    labels, blocks = seed_table(section.gans)
    if not labels:
        return None
    name = f"Means over the seeds, GANs on {section.data_set}"
    return Answer(html=table_of_blocks(name, labels, blocks, OVER_SEEDS))
