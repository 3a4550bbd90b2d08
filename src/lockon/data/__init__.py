"""Training data: sources, pairs, augmentation."""
