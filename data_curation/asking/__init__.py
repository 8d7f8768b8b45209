"""Language models on servers: what was asked is never asked again, and never for more than there is."""
