"""What tests/functions.py calls: a file for each daily module."""
