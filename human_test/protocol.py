"""What a page and the scoring of its results agree on: the id of a test, the paper's figures."""

import hashlib

PUBLISHED = {"mnist": 0.524, "cifar10": 0.787}
"""Share of correct votes by data set: Salimans et al. 2016, "Improved Techniques for Training GANs", §6.1 and §6.2.

MNIST: 2,000 votes on samples of the model with minibatch discrimination. CIFAR-10: votes from Mechanical Turk on half
real and half generated images; the authors themselves were right in more than 95 % of cases.
"""

FNV_OFFSET, FNV_PRIME = 0x811C9DC5, 0x01000193


def id_of_test(images: str, truth: str, feedback: bool) -> str:
    """The id of a test: another image, answer or rule gives another one.

    Args:
        images: SHA-256 in hex of all image files, one after the other.
        truth: For each image, 1 if it is real and 0 if it is generated.
        feedback: Whether people are told after each vote, which makes them better (Salimans et al. 2016, §4).

    Returns:
        16 hexadecimal digits.
    """
    return hashlib.sha256(f"{images}:{truth}:{feedback}".encode()).hexdigest()[:16]


def masked(bits: str, key: str) -> str:
    """Flip some of the bits by a rule that the key fixes; the same call takes it back.

    This hides the answers from someone who glances at the page's source. It is no secret: the page holds all that takes
    it back (`masked` in page.js).

    Args:
        bits: A string of 0 and 1.
        key: The test's id.
    """
    state, flipped = FNV_OFFSET, []
    for position, bit in enumerate(bits):
        for byte in f"{key}:{position}".encode():
            state = ((state ^ byte) * FNV_PRIME) & 0xFFFFFFFF
        # Not the lowest bit, which is but the parity of what was hashed.
        flipped.append(str(int(bit) ^ (state >> 15 & 1)))
    return "".join(flipped)
