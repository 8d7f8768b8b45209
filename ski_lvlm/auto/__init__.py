"""Types of models for transformers' AutoConfig and AutoModel, registered by `import ski_lvlm`."""
