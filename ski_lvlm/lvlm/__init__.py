"""SKI-LVLM: features, projectors, samples, model, inference."""
