"""Several processes of one command: launchers, shards, progress, partitioned weights."""
