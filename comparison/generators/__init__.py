"""GANs among the runs: their samples and measures, which no accuracy stands for."""
