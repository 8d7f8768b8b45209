"""Clients for chat servers: Ollama and OpenAI-compatible APIs."""
