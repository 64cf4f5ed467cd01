"""Unpacks pip to the directory given: from $PIP_WHEEL, ensurepip, the distribution or the package index."""

import glob
import hashlib
import io
import os
import re
import sys
import sysconfig
import urllib.parse
import urllib.request
import zipfile


def download(name: str, sha256: str) -> bytes:
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    page = urllib.request.urlopen(index, timeout=60).read().decode()
    link = re.search(rf'href="([^"#]*{re.escape(name)})[#"]', page)
    if not link:
        sys.exit(f"{index} has no {name}")
    data: bytes = urllib.request.urlopen(urllib.parse.urljoin(index, link[1]), timeout=60).read()
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"{link[1]} has not the sha256 {sha256}")
    return data


def main(directory: str, name: str, sha256: str) -> None:
    bundled = glob.glob(sysconfig.get_path("stdlib") + "/ensurepip/_bundled/pip-*.whl")
    wheels = [os.environ.get("PIP_WHEEL"), *bundled, *sorted(glob.glob("/usr/share/python-wheels/pip-*.whl"))]
    path = next(filter(None, wheels), None)
    data = open(path, "rb").read() if path else download(name, sha256)
    temporary = f"{directory}.{os.getpid()}"
    zipfile.ZipFile(io.BytesIO(data)).extractall(temporary)
    os.rename(temporary, directory)


main(*sys.argv[1:])
