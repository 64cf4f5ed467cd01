"""What Salt 3008 has in salt._compat for the Pythons that it runs on."""

import ipaddress as ipaddress
from importlib import metadata

importlib_metadata = metadata
