"""Where Salt is not installed, what modules written for Salt import of it.

A module here is complete or absent, so that what a site's file misses it misses when it is read, and says so. Salt's
own library comes first on the path wherever it is installed."""
