"""Which rows train, which validate and which test: one file per way."""
