"""What this project promises of strangers, minions, the path and local users, and which tests say so.

A row: who is meant, the promise, the tests (FILE::NAME, all their parameters). At the end of a run of the tests the
table is printed with what came of each row; test_promises.py sees to it that every test named here is there."""

from __future__ import annotations

from typing import Any

STRANGER, MINION, PATH, USER = "a stranger", "an accepted minion", "who is in the path", "a local user"

PROMISES: list[tuple[str, str, tuple[str, ...]]] = [
    (
        STRANGER,
        "what is no ZMTP 3 is hung up on at its first wrong byte",
        (
            "test_listener::test_whoever_does_not_speak_the_wire_is_hung_up_on",
            "test_zmtp::test_whoever_speaks_something_else_is_known_by_the_first_byte_that_differs",
        ),
    ),
    (
        STRANGER,
        "greeting and READY come within 2 s, or the connection goes",
        ("test_listener::test_who_has_not_greeted_in_time_is_hung_up_on",),
    ),
    (
        STRANGER,
        "frames, envelope, message, command and topic are bounded",
        (
            "test_zmtp::test_frames_of_a_request",
            "test_zmtp::test_bytes_of_an_envelope",
            "test_zmtp::test_bytes_of_a_message",
            "test_zmtp::test_bytes_of_a_command",
            "test_zmtp::test_bytes_of_a_topic",
        ),
    ),
    (
        STRANGER,
        "what is too large is refused before it is there",
        ("test_zmtp::test_what_is_too_large_is_refused_before_any_of_it_is_there",),
    ),
    (
        STRANGER,
        "all that strangers are sending is bounded, and no minion waits for it",
        ("test_listener::test_what_strangers_are_sending_is_bounded_and_minions_are_not_in_their_way",),
    ),
    (
        STRANGER,
        "a message that does not grow ends its connection",
        ("test_listener::test_a_message_that_does_not_grow_ends_its_connection",),
    ),
    (
        STRANGER,
        "half a million subscriptions are not kept",
        (
            "test_listener::test_many_subscriptions_are_not_kept",
            "test_listener::test_topics_of_a_subscriber",
        ),
    ),
    (
        STRANGER,
        "a reply goes to the connection that asked, whatever name another claims",
        ("test_listener::test_a_reply_goes_to_who_has_asked_whatever_he_calls_himself",),
    ),
    (
        STRANGER,
        "with few descriptors the master works on",
        ("test_listener::test_a_master_that_may_open_few_files_works_on_among_many_strangers",),
    ),
    (
        STRANGER,
        "the unproven go first, and of one address there are not too many",
        (
            "test_listener::test_where_there_is_no_room_the_unproven_go_and_the_oldest_first",
            "test_listener::test_the_unproven_of_one_address_have_a_share",
        ),
    ),
    (
        STRANGER,
        "thousands keep nobody waiting: who is late goes in steps, whose place is taken is known, the proven are first",
        (
            "test_listener_crowds::test_who_is_late_is_hung_up_on_in_steps",
            "test_listener_crowds::test_whose_place_is_taken_is_found_without_a_search",
            "test_listener_crowds::test_the_block_that_has_most_is_known",
            "test_listener_crowds::test_what_the_proven_say_does_not_wait_for_a_crowd",
        ),
    ),
    (
        STRANGER,
        "no bytes do anything else than events or an end",
        ("test_zmtp::test_no_bytes_do_anything_else_than_events_or_wrong",),
    ),
    (
        STRANGER,
        "a key that could never be answered is refused at once",
        ("test_promises::test_a_key_that_could_never_be_answered_is_refused_at_once",),
    ),
    (
        STRANGER,
        "who cannot join is named in the log",
        ("test_promises::test_who_cannot_join_is_named_in_the_log",),
    ),
    (
        STRANGER,
        "newcomers are bounded for each address",
        ("test_promises::test_half_of_the_keys_that_wait_may_come_from_one_address",),
    ),
    (
        MINION,
        "one that reads no answers costs little",
        (
            "test_listener::test_a_minion_that_reads_no_answers_costs_the_master_little",
            "test_listener::test_whoever_does_not_take_answers_is_not_read",
        ),
    ),
    (
        MINION,
        "a subscriber that takes nothing is dropped, and nobody waits for it",
        ("test_listener::test_a_subscriber_that_takes_nothing_is_dropped_and_nobody_waits_for_it",),
    ),
    (
        MINION,
        "large messages wait their turn",
        ("test_listener::test_large_messages_of_minions_wait_their_turn",),
    ),
    (
        MINION,
        "no expression of it runs on the master",
        (
            "test_target::test_an_expensive_expression_does_not_run_on_the_master",
            "test_target::test_no_expression_is_slow_on_the_master",
        ),
    ),
    (
        MINION,
        "globs are matched without re, and quickly",
        (
            "test_target::test_globs_mean_what_they_mean_to_python",
            "test_target::test_no_glob_is_slow",
        ),
    ),
    (
        MINION,
        "keys of maps are texts and whole numbers; extensions but the date are refused",
        (
            "test_promises::test_keys_of_maps_are_texts_and_whole_numbers_and_nothing_else",
            "test_promises::test_extensions_but_salts_date_are_refused",
            "test_promises::test_a_message_of_chosen_keys_costs_next_to_nothing",
        ),
    ),
    (
        MINION,
        "grains add nothing to a pillar file",
        (
            "test_pillar::test_grains_are_never_source",
            "test_pillar::test_a_grain_adds_neither_a_key_nor_an_include",
            "test_pillar::test_an_include_stands_in_the_file_or_is_an_error",
        ),
    ),
    (
        MINION,
        "numbers in pillar have at most a hundred digits",
        ("test_pillar::test_numbers_of_a_hundred_digits_are_read_and_longer_ones_are_an_error",),
    ),
    (
        MINION,
        "bytes of returns in a day are bounded",
        ("test_promises::test_bytes_of_returns_that_are_kept_of_one_minion_in_a_day",),
    ),
    (
        MINION,
        "some of the disk stays free",
        ("test_promises::test_minions_leave_some_of_the_disk_free",),
    ),
    (
        MINION,
        "what an event tells of a return is small",
        ("test_promises::test_what_an_event_tells_of_a_return_is_small",),
    ),
    (
        MINION,
        "a large file is hashed, and a large tree listed, in steps",
        (
            "test_fileserver::test_a_file_is_hashed_in_steps",
            "test_fileserver::test_a_large_tree_is_listed_in_steps_and_once_for_all",
        ),
    ),
    (
        MINION,
        "what has many steps, and large answers, keep nobody waiting",
        (
            "test_fileserver::test_work_goes_on_for_some_time_and_then_with_those_who_were_not_reached",
            "test_fileserver::test_a_large_listing_is_sealed_apart",
            "test_mine::test_the_mine_of_many_minions_is_read_in_steps",
            "test_mine::test_what_is_large_is_sealed_apart",
            "test_jobs::test_a_large_job_is_read_in_steps_for_a_late_return",
            "test_promises::test_who_has_asked_much_counts_as_more_of_the_minions_that_are_saved_at_once",
        ),
    ),
    (
        MINION,
        "what it says of its jobs stops no command and sets off no hook of another's",
        (
            "test_jobs::test_the_first_line_of_a_minions_own_job_has_what_a_job_has",
            "test_rollouts::test_what_a_minion_tells_of_a_job_cannot_look_like_anything_else",
            "test_operators::test_a_hash_of_no_length_is_a_sentence",
        ),
    ),
    (
        MINION,
        "nobody waits for the programs of another's pillar",
        ("test_pillar_live::test_nobody_waits_for_the_programs_of_another_minions_pillar",),
    ),
    (
        MINION,
        "connections are presence",
        (
            "test_listener::test_connections_on_which_one_minion_is_believed",
            "test_listener::test_who_is_forgotten_has_proven_nothing",
        ),
    ),
    (
        PATH,
        "who answers for a master cannot fill a minion, with messages that have no end or with many",
        (
            "test_wires::test_a_message_that_has_no_end_ends_the_connection",
            "test_wires::test_who_sends_more_than_is_taken_is_hung_up_on",
        ),
    ),
    (
        PATH,
        "nothing of a publication is unpacked before its signature holds",
        ("test_promises::test_nothing_of_a_publication_is_unpacked_before_its_signature_holds",),
    ),
    (
        PATH,
        "a recorded _auth does not take the place of the minion",
        ("test_promises::test_a_recording_of_an_auth_does_not_take_the_place_of_the_minion",),
    ),
    (
        PATH,
        "what was taken before a crash is not taken again",
        ("test_promises::test_what_was_taken_before_a_crash_is_not_taken_again",),
    ),
    (
        PATH,
        "an unsigned refusal costs no return",
        ("test_promises::test_an_unsigned_refusal_costs_no_return",),
    ),
    (
        USER,
        "no daemon starts where others could change what it reads",
        ("test_promises::test_no_daemon_starts_where_others_could_change_what_it_reads",),
    ),
    (
        USER,
        "expressions of others than root that may take long are refused",
        ("test_target::test_expressions_of_others_than_root_are_refused_where_they_may_take_long",),
    ),
    (
        USER,
        "requests of others than root are small, and what is no file is in nobody's way",
        (
            "test_jobs::test_bytes_of_a_request_of_others_than_root",
            "test_jobs::test_a_directory_of_another_user_is_in_nobodys_way",
        ),
    ),
    (
        USER,
        "what root takes from a master of another user lies where it was made",
        (
            "test_operators::test_what_root_takes_from_a_master_of_another_user_lies_where_it_was_made",
            "test_operators::test_what_root_lays_down_for_a_master_of_another_user_lies_where_it_was_made",
        ),
    ),
    (
        USER,
        "a job has the umask and the limits that the minion was started with",
        ("test_live::test_a_job_has_the_umask_and_the_limits_that_the_minion_was_started_with",),
    ),
    (
        USER,
        "no outputter takes long",
        (
            "test_output::test_no_outputter_takes_long",
            "test_output::test_an_outputter_that_takes_too_long_is_left_for_nested",
        ),
    ),
]


def table(reports: dict[str, list[Any]]) -> list[str]:
    """The lines of the table for pytest's reports by outcome; none if no test of it was run."""
    outcomes: dict[str, set[str]] = {}
    for outcome, found in reports.items():
        for report in found if outcome in ("passed", "failed", "error", "skipped") else ():
            file, _, name = getattr(report, "nodeid", "").rpartition("/")[2].partition(".py::")
            outcomes.setdefault(f"{file}::{name.partition('[')[0]}", set()).add(outcome)
    lines = []
    for who, promise, tests in PROMISES:
        seen = set().union(*(outcomes.get(test, {"not run"}) for test in tests))
        if seen != {"not run"}:
            verdict = next(word for word in ("error", "failed", "not run", "passed", "skipped") if word in seen)
            lines.append(f"{'ok' if verdict == 'passed' else verdict:8}{who:20}{promise}")
    return lines
