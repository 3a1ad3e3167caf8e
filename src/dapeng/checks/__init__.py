"""What spoils models, found in the data before training: one file per kind of finding."""
