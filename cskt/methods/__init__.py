"""The training methods, one file each, with one readable step."""
