"""Models that put clips and class texts into one space: SkeletonCLIP and the video students."""
