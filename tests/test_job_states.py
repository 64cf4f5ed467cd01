"""The two machines of a job, each pair of state and event: in the table, or an error of ours."""

import itertools
import os

import pytest
from in_memory import JID, KEYS

import saltlite
from saltlite import JOB_STATES, OPEN, PARTS, Job, Jobs, StateError

JOB_EVENTS = sorted({event for row in JOB_STATES.values() for event in row})
PART_EVENTS = sorted({event for row in PARTS.values() for event in row})
HEADER = {"jid": JID, "minions": ["m"], "timeout": 5, "time": 0}


@pytest.mark.parametrize("state, event", list(itertools.product(JOB_STATES, JOB_EVENTS)))
def test_a_job_goes_where_the_table_says_or_nowhere(site, state, event):
    done = []
    site.jobs = type("Told", (Jobs,), {act: lambda self, job, now, act=act: done.append(act) for act in ACTS})(
        site.tree, site.opts, lambda minion_id: 0.0
    )
    job = Job(dict(HEADER), 0)
    job.state = state
    if event in JOB_STATES[state]:
        site.jobs._happened(job, event, 0)
        assert (job.state, *done) == JOB_STATES[state][event]
    else:
        with pytest.raises(StateError, match=event):
            site.jobs._happened(job, event, 0)
        assert job.state == state and not done


ACTS = {act for row in JOB_STATES.values() for _, act in row.values()}


def test_every_act_of_the_table_is_a_method_and_every_state_a_row():
    assert all(callable(getattr(Jobs, act)) for act in ACTS)
    assert {after for row in JOB_STATES.values() for after, _ in row.values()} <= JOB_STATES.keys()
    assert {after for row in PARTS.values() for after in row.values()} <= PARTS.keys() and OPEN < PARTS.keys()


@pytest.mark.parametrize("state, event", list(itertools.product(PARTS, PART_EVENTS)))
def test_a_minion_goes_where_the_table_says_or_nowhere(state, event):
    job = Job(dict(HEADER), 0)
    job.parts["m"] = state
    job.counts.clear()
    job.counts[state] = 1
    if event in PARTS[state]:
        assert job.step("m", event) == state
        assert job.parts["m"] == PARTS[state][event]
    else:
        with pytest.raises(StateError, match=event):
            job.step("m", event)
        assert job.parts["m"] == state
    assert job.all_in() == (job.parts["m"] not in OPEN)
    assert +job.counts == {job.parts["m"]: 1}


def test_who_was_not_foreseen_counts_when_he_answers_and_is_waited_for_by_nobody():
    job = Job(dict(HEADER), 0)
    job.step("m", saltlite.RETURN)
    assert job.all_in()
    job.step("other", saltlite.RETURN)
    assert job.all_in() and job.counts[saltlite.RETURNED] == 2


def test_a_return_that_could_not_be_written_is_waited_for_again(site):
    m = site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    os.unlink(site.jobs.path(JID, "kept"))
    os.mkdir(site.jobs.path(JID, "kept"))  # nothing can be written there
    reply = site.master.receive(b"e", m.request({"cmd": "_return", "jid": JID, "return": 1}, site.now), site.now)
    job = site.jobs.active[JID]
    assert job.all_in() and reply.jid == JID
    assert site.jobs.flush() == {JID}
    assert not job.all_in() and job.parts == {"m": saltlite.EXPECTED}


def test_what_is_rejected_in_open_mode_is_refused_from_the_moment_that_it_ends(site):
    """One answer for everyone who asks whether an id is accepted, whatever SIGHUP has changed."""
    site.opts["open_mode"] = True
    m = site.joined("m")
    site.tree.put_key(saltlite.REJECTED, "m", KEYS[0].public.pem)
    assert site.ask(m, {"cmd": "_file_envs"}) == ["base"]
    assert site.tree.stored_key("m")[0] == saltlite.ACCEPTED and site.tree.key_stat("m")
    site.opts["open_mode"] = False
    assert site.tree.stored_key("m")[0] == saltlite.REJECTED and site.tree.key_stat("m") is None
    with pytest.raises(saltlite.AuthError):
        site.ask(m, {"cmd": "_file_envs"})
