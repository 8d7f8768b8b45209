"""Costs of a training before it starts: memory by part, batch, operations, hours. No weights are needed."""
