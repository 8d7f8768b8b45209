"""A frozen video LLM of transformers with a skeleton projector: newer bases for SKI-LVLM."""
