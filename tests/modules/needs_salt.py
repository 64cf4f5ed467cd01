"""Written with the library of Salt."""

# mypy: ignore-errors

import salt.utils.files


def head(path):
    with salt.utils.files.fopen(path) as file:
        return file.readline()
