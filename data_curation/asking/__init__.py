"""Requests to language models on servers, each sent once and within a budget."""
