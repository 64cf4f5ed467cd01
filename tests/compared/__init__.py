"""What is called with real Salt and with saltlite: a file for each daily module. See tests/functions.py."""
