"""What modules written for Salt use most of salt.utils, as far as it needs nothing else of Salt: each file whole."""
