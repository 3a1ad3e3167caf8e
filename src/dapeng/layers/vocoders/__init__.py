"""What makes samples of mel bands: one file each."""
