"""How often people told real images from generated ones in the paper."""

PUBLISHED = {"mnist": 0.524, "cifar10": 0.787}
"""Share of correct votes by data set: Salimans et al. 2016, "Improved Techniques for Training GANs", §6.1 and §6.2.

MNIST: 2,000 votes on samples of the model with minibatch discrimination. CIFAR-10: votes from Mechanical Turk on half
real and half generated images; the authors themselves were right in more than 95 % of cases.
"""
