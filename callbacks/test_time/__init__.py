"""Predictions averaged over several views of an image."""
