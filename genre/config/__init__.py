"""The configuration: Hydra composes it, and it becomes typed settings once, before any music is read."""
