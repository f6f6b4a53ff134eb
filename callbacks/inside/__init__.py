"""What happens inside a network while it is trained: activations, gradients, filters, where it looks."""
