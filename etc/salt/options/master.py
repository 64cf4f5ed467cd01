"""The master's options, with those in both.py: one row an option; what a row says is told at saltlite.Option."""

from __future__ import annotations

from saltlite import Kind, Option, packed_leaf

both = packed_leaf("options", "both")
CHUNK = Kind((int,), "a whole number from 1024 to 1048576", lambda value: 1024 <= value <= 1 << 20, both.as_int)

OPTIONS = {
    "default_include": Option(["master.d/*.conf"], both.LIST, "files that are read after this one", private=True),
    "include": Option([], both.LIST, "files that are read after those; globs, beside this file", private=True),
    "master_sign_key_name": Option(
        "master_sign", both.STR, "the name of the files that hold the signing key", private=True, restart=True
    ),
    "key_pass": Option(
        "", both.PHRASE, "the pass phrase that master.pem is encrypted with; without: none", private=True, restart=True
    ),
    "signing_key_pass": Option(
        "", both.PHRASE, "the pass phrase of the signing key; without: none", private=True, restart=True
    ),
    "preserve_minion_cache": Option(False, both.BOOL, "keep grains, pillar and mine of a minion whose key is gone"),
    "interface": Option("0.0.0.0", both.STR, "the address to listen on", restart=True),
    "publish_port": Option(4505, both.PORT, "where publications go out", restart=True),
    "ret_port": Option(4506, both.PORT, "where requests and returns come in", restart=True),
    "auto_accept": Option(False, both.STRICT, "accept every key unseen"),
    "open_mode": Option(False, both.STRICT, "accept everything and replace keys: no protection at all"),
    "autosign_file": Option(
        "", both.STR, "a file of ids, globs or regular expressions whose keys are accepted", private=True
    ),
    "autoreject_file": Option(
        "", both.STR, "the same for keys that are rejected; it wins over every autosign", private=True
    ),
    "autosign_grains_dir": Option(
        "", both.STR, "a directory with a file for each grain, which lists accepted values", private=True
    ),
    "autosign_timeout": Option(120, both.SPAN, "minutes a file in minions_autosign/ is good for; 0: for ever"),
    "max_minions": Option(0, both.MOST, "how many minions may be connected; 0: no limit"),
    "max_pending_keys": Option(1000, both.INT, "how many keys may wait in minions_pre; others are told `full`"),
    "max_message_size": Option(33554432, both.INT, "bytes of the largest message taken on ret_port", restart=True),
    "publish_session": Option(86400, both.INT, "seconds until the shared key and the session keys are renewed"),
    "rotate_aes_key": Option(True, both.BOOL, "renew the shared key when an accepted key is removed"),
    "require_minion_sign_messages": Option(False, both.BOOL, "refuse returns that their minion has not signed"),
    "drop_messages_signature_fail": Option(False, both.BOOL, "refuse returns with a wrong signature"),
    "master_sign_pubkey": Option(
        False, both.BOOL, "vouch for the master's key with a signing key that minions hold", restart=True
    ),
    "master_use_pubkey_signature": Option(
        False, both.BOOL, "take that signature from a file, and need no signing key", restart=True
    ),
    "master_pubkey_signature": Option(
        "master_pubkey_signature", both.STR, "the name of that file in the key tree", restart=True
    ),
    "publish_signing_algorithm": Option("PKCS1v15-SHA1", both.SIG, "how publications are signed"),
    "presence_events": Option(False, both.BOOL, "events that say which minions are connected", restart=True),
    "loop_interval": Option(60, both.NUMBER, "seconds between two looks at that", restart=True),
    "keep_jobs_seconds": Option(86400, both.MOST, "how long finished jobs stay in jobs/done; 0: for ever"),
    "keep_jobs_size": Option(
        0, both.MOST, "bytes that finished jobs may take together; above, the oldest go first; 0: no limit"
    ),
    "metrics_file": Option(
        "metrics.prom",
        both.STR,
        "a file for a node exporter's textfile collector, below cachedir or where it says; empty: none",
        private=True,
    ),
    "return_quota": Option(1 << 30, both.INT, "bytes of returns that are kept of one minion in a day; 0: no limit"),
    "keep_free": Option(
        64 << 20, both.INT, "bytes of disk that minions leave free; below, their returns wait for room at theirs"
    ),
    "key_watch": Option(
        "auto", both.WATCH, "how renames are noticed; without: looked for every key_rescan seconds", restart=True
    ),
    "key_rescan": Option(
        10, both.NUMBER, "seconds between two looks at the trees, whatever the watch says", restart=True
    ),
    "max_event_size": Option(16777216, both.INT, "bytes of events.jsonl before it is rotated", restart=True),
    "publisher_acl": Option(
        {},
        both.MAP,
        "user, pattern of users or %group: list of functions, or of {target: functions}, that these may publish",
        private=True,
    ),
    "publisher_acl_blacklist": Option(
        {}, both.MAP, "users: who may publish nothing; modules: the functions that nobody may publish", private=True
    ),
    "salt_cp_chunk_size": Option(
        98304, CHUNK, "bytes of a file in one job of cp, for minions that are not saltlite", private=True
    ),
    "audit_args": Option(False, both.BOOL, "audit.jsonl holds the arguments of jobs, too, which may be passwords"),
    "allow_minion_key_revoke": Option(True, both.BOOL, "a minion may have its own key deleted"),
    "mine_get": Option(
        {}, both.MAP, "minions: list of mine functions they may get, all regular expressions; empty: all", private=True
    ),
    "pillar_roots": Option(
        {"base": ["/srv/pillar"]}, both.ROOTS, "environment: the directories its pillar is made from", private=True
    ),
    "pillar_source_merging_strategy": Option("smart", both.MERGING, "how the pillars of several files become one"),
    "pillar_merge_lists": Option(False, both.BOOL, "lists under one key are joined; without: the later one wins"),
    "pillar_includes_override_sls": Option(False, both.BOOL, "what is included wins over the file that includes it"),
    "pillar_safe_render_error": Option(True, both.BOOL, "minions are told that a file failed, and not why"),
    "pillar_opts": Option(False, both.BOOL, "minions get the master's options, as the key `master` of their pillar"),
    "pillar_functions": Option(
        [], both.PILLAR_FUNCTIONS, "more functions for pillar templates: cmd.run and its like", private=True
    ),
    "pillar_py": Option(
        False, both.BOOL, "files of pillar_roots may be Python programs (#!py), run by the master's user"
    ),
    "pillarenv_from_saltenv": Option(
        False, both.BOOL, "pillar comes from the environment that a minion's states are of"
    ),
    "ext_pillar": Option([], both.LIST, "pillar from elsewhere: cmd_yaml, cmd_json, file_tree, stack", private=True),
    "ext_pillar_first": Option(False, both.BOOL, "it is made before the files of pillar_roots, which may ask for it"),
    "decrypt_pillar": Option([], both.FUNCTIONS, "keys of the pillar whose values are PGP messages", private=True),
    "decrypt_pillar_delimiter": Option(":", both.STR, "what stands between the keys of a path in that", private=True),
    "decrypt_pillar_default": Option("gpg", both.STR, "how they are decrypted where nothing else is said"),
    "gpg_decrypt_must_succeed": Option(True, both.BOOL, "a PGP message that cannot be decrypted is an error"),
    "pillarenv": Option("", both.STR, "the only environment that pillar comes from, unless a minion names one"),
    "minion_data_cache": Option(
        True, both.BOOL, "keep the grains and the pillar of minions, to foresee who will answer"
    ),
    "file_roots": Option(
        {"base": ["/srv/salt"]}, both.ROOTS, "environment: the directories its files are served from", private=True
    ),
    "file_buffer_size": Option(262144, both.INT, "bytes of a file in one reply, up to 16 MiB"),
    "file_ignore_regex": Option([], both.REGEXES, "files that are not served: these are found in their path"),
    "file_ignore_glob": Option([], both.LIST, "files that are not served: one of these globs is their path"),
    "fileserver_followsymlinks": Option(
        True, both.BOOL, "links may lead to another root, and directories behind links are listed"
    ),
    "fileserver_ignoresymlinks": Option(False, both.BOOL, "list no links at all"),
    "top_file_merging_strategy": Option(
        "merge", both.TOPS, "how minions merge the top files of several environments", told="env"
    ),
    "env_order": Option([], both.LIST, "the order of the environments in that", told="env"),
    "default_top": Option("base", both.STR, "the environment whose top file counts in `same`", told="env"),
    "state_top": Option("top.sls", both.STR, "the name of the top file", told="state"),
    "state_top_saltenv": Option(None, both.STR, "the only environment that a top file is taken from", told="state"),
    "renderer": Option("jinja|yaml", both.STR, "how minions render states, and the master pillar", told="state"),
    "failhard": Option(False, both.BOOL, "the first state that fails ends a run", told="state"),
    "state_auto_order": Option(True, both.BOOL, "states run in the order in which they are written", told="state"),
    "state_events": Option(False, both.BOOL, "minions send an event for each state that has run", told="state"),
    "state_aggregate": Option(
        False, both.AGGREGATE, "states of one kind are done at once where their module can", told="state"
    ),
    "jinja_env": Option({}, both.MAP, "options of Jinja, for files and top files", told="state"),
    "jinja_sls_env": Option({}, both.MAP, "options of Jinja, for states and pillar", told="state"),
    "jinja_lstrip_blocks": Option(False, both.BOOL, "Jinja takes away the blanks before a block", told="state"),
    "jinja_trim_blocks": Option(False, both.BOOL, "Jinja takes away the line end after a block", told="state"),
}
