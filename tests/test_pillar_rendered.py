"""slsutil.renderer in pillar's templates: files beneath the roots, and no others."""

import pytest
from roots import TOP, Roots

import saltlite


def rendering(path, **options):
    words = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"x: {{{{ salt['slsutil.renderer']('{path}'{words})|json }}}}\n"


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_files_that_render_one_another_are_counted(tmp_path, more):
    many = saltlite.packed_leaf("pillars", "slsutil").MAX_NESTED + more
    root = tmp_path / "srv/pillar"
    files = {f"f{at}.x": rendering(root / f"f{at + 1}.x") for at in range(1, many)}
    files |= {f"f{many}.x": "y: 1\n", "top.sls": TOP, "a.sls": rendering(root / "f1.x")}
    assert ("_errors" in Roots(tmp_path, files).pillar()) is (more > 0)


def test_a_file_that_renders_itself_is_an_error(tmp_path, caplog):
    files = {"top.sls": TOP, "a.sls": rendering(tmp_path / "srv/pillar/a.sls")}
    assert "_errors" in Roots(tmp_path, files).pillar() and "is it a circle?" in caplog.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("@/srv/pillar/own/{{ grains.word }}", "takes no path with `..`"),
        ("/etc/hostname", "is not beneath pillar_roots"),
        ("@/srv/pillar/own", "there is no file"),
        ("salt://x.yaml", ""),
        ("salt://../x.yaml", "takes no path with `..`"),
        ("salt://nope", "is not beneath pillar_roots"),
    ],
)
def test_only_files_beneath_the_roots_are_rendered(tmp_path, caplog, path, said):
    files = {"own/a": "", "secret": "k: other's\n", "../salt/x.yaml": "n: {{ 1 + 1 }}\n"}
    path = f"'{path.replace('@', str(tmp_path))}'".replace("{{ grains.word }}'", "' ~ grains.word")
    call = f"x: {{{{ salt['slsutil.renderer']({path})|json }}}}\n"
    found = Roots(tmp_path, {"top.sls": TOP, "a.sls": call, **files}).pillar(grains={"word": "../secret"})
    assert found == {"x": {"n": 2}} if not said else "_errors" in found and said in caplog.text
