"""Real data sets by name: one file each, found in a cache, in folders, in package registries, or at their address."""
