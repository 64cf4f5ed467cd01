"""A service of our own, driven by its script."""

# mypy: ignore-errors


def status(script, *words):
    """What the script says, in a map."""
    result = __salt__["cmd.run_all"](" ".join([script, "status", *words]), python_shell=True, ignore_retcode=True)
    return {"running": result["retcode"] == 0, "says": result["stdout"], "warnings": result["stderr"].splitlines()}


def running(script):
    return status(script)["running"]
