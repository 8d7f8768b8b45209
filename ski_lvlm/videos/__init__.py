"""Videos: decoding, frames on disk, augmentation."""
