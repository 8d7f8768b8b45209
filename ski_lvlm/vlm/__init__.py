"""Training stages of SKI-VLM: SkeletonCLIP, students, SCD."""
