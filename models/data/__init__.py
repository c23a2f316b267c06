"""Training data: packs, teachers, augmentation."""
