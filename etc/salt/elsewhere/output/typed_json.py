"""An outputter for Salt: returns as the JSON that saltlite reads, in which maps keep keys that are no texts, and bytes
stay bytes. It is put beside the configuration of a salt-call, whose interpreter has nothing of saltlite."""

import base64
import json

MARKS = ("__bytes__", "__map__")
KEYS = (str, int, float, bool, bytes, type(None))


def marked(value):
    """Data with what JSON has no word for under a mark."""
    if isinstance(value, dict):
        pairs = [(key if isinstance(key, KEYS) else str(key), marked(item)) for key, item in value.items()]
        kept = all(isinstance(key, str) for key, _ in pairs) and not (len(pairs) == 1 and pairs[0][0] in MARKS)
        return dict(pairs) if kept else {"__map__": [[marked(key), item] for key, item in pairs]}
    if isinstance(value, (list, tuple)):
        return [marked(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [marked(item) for item in sorted(value, key=str)]
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def output(data, **kwargs):
    """What salt-call prints."""
    return json.dumps(marked(data))
