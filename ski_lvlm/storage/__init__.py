"""Files, digests, shards and names of clips on disk."""
