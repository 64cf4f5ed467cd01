"""What state.apply returns, state by state, as Salt prints it: {id: {"module_|-id_|-name_|-function": {result, comment,
changes …}}}, or a list of errors, or a text in place of the states."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from saltlite import packed_leaf

terminal = packed_leaf("terminal", "text")
colors, no_escape, one_line, outputter = terminal.colors, terminal.no_escape, terminal.one_line, terminal.outputter


COLORED = True


def warnings_of(state: dict[str, Any]) -> str:
    return no_escape("\n".join(state["warnings"]))


def terse_state(state: dict[str, Any], parts: list[str], name: str, shade: str, color: Mapping[str, str]) -> str:
    words = {False: "Failed", None: "Differs"}
    result = words.get(state["result"], "Changed" if state["changes"] else "Clean")
    told = warnings_of(state).replace("\n", "\n    ") if "warnings" in state else ""
    warned = f"{color['LIGHT_RED']}Warnings:\n    {told}{color['END']}" if "warnings" in state else ""
    text = f"{warned} {shade} Name: {name} - Function: {parts[0]}.{parts[-1]} - Result: {result}"
    if "start_time" in state:
        text += one_line(f" - Started: {state['start_time']} - Duration: {state['duration']} ms")
    return text + color["END"]


def full_state(
    state: dict[str, Any], parts: list[str], name: str, shade: str, opts: Mapping[str, Any]
) -> Iterator[str]:
    """A state as a block of `Word: value` lines."""
    color = colors(opts)
    rows = {"ID": parts[1], "Function": f"{parts[0]}.{parts[3]}", "Result": state["result"]}
    if name != parts[1]:
        rows = {"ID": parts[1], "Function": rows["Function"], "Name": name, "Result": state["result"]}
    rows["Comment"] = str(state["comment"]).strip().replace("\n", "\n" + " " * 14)
    more = state.get("data", [])
    for item in more if isinstance(more, list) else [] if isinstance(more, dict) else [more]:
        rows["Comment"] += f" {item}"
    for key, value in more.items() if isinstance(more, dict) else ():
        rows["Comment"] += f"\n\t\t{key}: {value}"
    if "start_time" in state:
        duration = state.get("duration", "")
        rows |= {"Started": state["start_time"], "Duration": duration if duration == "" else f"{duration} ms"}
    yield f"{shade}----------{color['END']}"
    for word, value in rows.items():
        text = one_line(value) if word != "Comment" else re.sub(r"\n(?![ \t])", "\n" + " " * 14, no_escape(value))
        yield f"    {shade}{word:>8}: {text}{color['END']}"
    changes, text = state["changes"], ""
    if changes and isinstance(changes, dict):
        text = "\n" + outputter("nested")(changes, {"color": opts.get("color"), "nested_indent": 14}).rstrip()
    elif changes:
        text = one_line(f"Invalid Changes data: {changes}")
    yield f"{shade}     Changes:   {text}{color['END']}"
    if "warnings" in state:
        filled = textwrap.fill(warnings_of(state), 80, initial_indent=" " * 14, subsequent_indent=" " * 14)
        yield f"   {color['LIGHT_RED']} Warnings: {filled.lstrip()}{color['END']}"


def compressed(states: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The states of one ID, SLS file and result as one, with their number behind the ID: its start is the first of
    theirs, its duration all of theirs, its changes theirs by name. KeyError or TypeError for what is no such state."""
    groups: dict[tuple[str, ...], list[tuple[str, dict[str, Any]]]] = {}
    for tag, state in states.items():
        kind, own = tag.split("_|-")[0], (str(state["__sls__"]), str(state["__id__"]), str(state["result"]))
        groups.setdefault((kind, *own, tag.split("_|-")[-1]), []).append((tag, state))
    found: dict[str, dict[str, Any]] = {}
    for (kind, sls, own_id, result, function), group in groups.items():
        if len(group) == 1:
            found[group[0][0]] = group[0][1]
            continue
        one = dict(group[0][1])
        changes = {state["name"]: state["changes"] for _, state in group if state["changes"]}
        if changes and (len(changes) > 1 or not one["changes"]):
            one["changes"] = {"compressed changes": changes}
        for word, of in (("__run_num__", min), ("start_time", min), ("duration", sum)):
            one[word] = of(state[word] for _, state in group)
        one["duration"], one["__count__"] = round(one["duration"], 3), len(group)
        name = f"state_compressed_{sls}_{own_id}_{result}"
        found["_|-".join((kind, f"{own_id} ({len(group)})", name, function))] = one
    return found


def summary(
    minion_id: str,
    states: Mapping[str, dict[str, Any]],
    counts: dict[Any, int],
    color: Mapping[str, str],
    pct: bool = False,
) -> Iterator[str]:
    """How many states did what, with `pct` also of a hundred, and how long they took; those that ran in parallel as
    long as the longest."""
    changed, warned = counts.pop("changed", 0), counts.pop("warnings", 0)
    width = 11 + max((len(str(count)) for count in [*counts.values(), *[warned] * bool(warned)]), default=0)

    def count(word: str, number: float) -> str:
        return f"{word}: {number:>{width - len(word) - 2}}"

    failed, dry = counts.get(False, 0), counts.get(None, 0)
    notes = [f"{color['LIGHT_YELLOW']}unchanged={dry}{color['END']}"] if dry else []
    notes += [f"{color['GREEN']}changed={changed}{color['END']}"] if changed else []
    yield f"{color['CYAN']}\nSummary for {minion_id}\n{'-' * width}{color['END']}"
    yield f"{color['GREEN']}{count('Succeeded', counts.get(True, 0) + dry)}{color['END']}" + (
        f" ({', '.join(notes)})" if notes else ""
    )
    yield f"{color['RED' if failed else 'CYAN']}{count('Failed', failed)}{color['END']}"
    if pct and (total := sum(counts.values())):
        yield f"{color['GREEN']}{count('Success %', round((counts.get(True, 0) + dry) / total * 100, 2))}{color['END']}"
        yield f"{color['RED' if failed else 'CYAN']}{count('Failure %', round(failed / total * 100, 2))}{color['END']}"
    if warned:
        yield f"{color['LIGHT_RED']}{count('Warnings', warned)}{color['END']}"
    yield f"{color['CYAN']}{'-' * width}\nTotal states run: {sum(counts.values()):>{width - 7}}{color['END']}"
    took: dict[bool, list[float]] = {True: [0.0], False: []}
    for state in states.values():
        took["__parallel__" in state].append(float(str(state.get("duration", 0)).removesuffix(" ms") or 0))
    seconds = sum(took[False]) + max(took[True])
    run_time = f"{seconds / 1000 if seconds > 999 else seconds:.3f}"
    yield f"{color['CYAN']}Total run time: {run_time:>{width - 5}} {'s' if seconds > 999 else 'ms'}{color['END']}"


def highstate(minion_id: str, data: Any, opts: Mapping[str, Any]) -> str:
    """The states of one minion in their order, and the summary."""
    color = colors(opts)
    shade, lines = color["CYAN"], []
    if isinstance(data, int | str):
        lines = [f"{color['GREEN']}    {no_escape(line)}{color['END']}" for line in str(data).splitlines()]
    elif isinstance(data, list):
        shade = color["LIGHT_RED"]
        lines = [f"    {shade}Data failed to compile:{color['END']}"]
        indented = (no_escape(error).replace("\n", "\n    ") for error in data)
        lines += [f"{shade}----------\n    {error}{color['END']}" for error in indented]
    else:
        shade = color["GREEN"]
        states = {tag: state for tag, state in (data or {}).items() if isinstance(state, dict) and "result" in state}
        if any("__run_num__" not in state for state in states.values()):
            raise ValueError("these are no states")
        if opts.get("state_compress_ids"):
            with contextlib.suppress(KeyError, TypeError):  # then they are shown as they are
                states = compressed(states)
        counts: dict[Any, int] = {}
        for tag, state in sorted(states.items(), key=lambda item: item[1]["__run_num__"]):
            result, changes = state["result"], state["changes"]
            counts[result] = counts.get(result, 0) + state.get("__count__", 1)
            many = len(changes.get("compressed changes", [0])) if "__count__" in state and changes else bool(changes)
            counts["changed"] = counts.get("changed", 0) + many
            if result and not changes and not opts.get("state_verbose", True):
                continue
            own = color[{False: "RED", None: "LIGHT_YELLOW"}.get(result, "CYAN" if changes else "GREEN")]
            shade = shade if result else own
            mode, _, by_id = opts.get("state_output", "full").partition("_")
            parts = [one_line(part) for part in tag.split("_|-")]
            name = parts[1] if by_id else parts[2]
            terse = {"terse": True, "mixed": result is not False, "changes": result and not changes}
            if terse.get(mode):
                lines.append(terse_state(state, parts, name, own, color))
            else:
                counts["warnings"] = counts.get("warnings", 0) + ("warnings" in state)
                lines += full_state(state, parts, name, own, opts)
        lines += summary(minion_id, states, counts, color, bool(opts.get("state_output_pct")))
    return "\n".join([f"{shade}{minion_id}:{color['END']}", *lines])


def output(data: Any, opts: Mapping[str, Any]) -> str:
    """{id: what state.apply returns}: {"module_|-id_|-name_|-function": {result, comment, changes …}}, or a list of
    errors, or a text. Of `opts` also state_output and state_verbose. ValueError if a state lacks its number."""
    return "\n".join(highstate(no_escape(minion_id), found, opts) for minion_id, found in data.items())
