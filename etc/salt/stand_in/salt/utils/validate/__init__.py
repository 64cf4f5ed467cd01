"""Whether texts are what they should be."""
