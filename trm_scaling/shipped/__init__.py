"""A trained model as one small file: the format, and the files that come with the package."""
