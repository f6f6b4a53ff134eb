"""What an evaluation gets wrong: errors by class, and the localization of objects."""
