"""The minion's options, with those in both.py: one row an option; what a row says is told at saltlite.Option."""

from __future__ import annotations

from saltlite import Kind, Option, packed_leaf

both = packed_leaf("options", "both")

CLIENT = both.one_of("remote", "local")
PROGRAM = Kind((str, bool), "a text, or False", lambda value: value is not True, both.as_bool)
STARTUP = Kind((str,), "highstate, sls or top", ("", "highstate", "sls", "top").__contains__)

OPTIONS = {
    "default_include": Option(["minion.d/*.conf"], both.LIST, "files that are read after this one", private=True),
    "include": Option([], both.LIST, "files that are read after those; globs, beside this file", private=True),
    "master_sign_key_name": Option(
        "master_sign", both.STR, "the name of the files that hold the signing key", private=True
    ),
    "master": Option(
        "salt", both.HOSTS, "the master's host name or address, or a list of masters with the same key", restart=True
    ),
    "master_type": Option(
        "str", both.MASTERS, "several masters: str: connected to all; failover: to one, in this order", restart=True
    ),
    "master_alive_interval": Option(0, both.SPAN, "failover: seconds without a connection until the next; 0: 30"),
    "master_shuffle": Option(False, both.BOOL, "take the masters in a random order", restart=True),
    "master_port": Option(4506, both.PORT, "the master's ret_port", restart=True),
    "publish_port": Option(0, both.INT, "the master's publish_port; 0: as the master says", restart=True),
    "id": Option("", both.STR, "this minion's name; without: the host name, kept in minion_id", restart=True),
    "minion_id_caching": Option(True, both.BOOL, "write the id found to minion_id", restart=True),
    "append_domain": Option("", both.STR, "appended to the id, unless it ends so", restart=True),
    "minion_id_lowercase": Option(
        False, both.BOOL, "the id found from the host name is in small letters", restart=True
    ),
    "minion_id_remove_domain": Option(
        False,
        both.DOMAIN,
        "what is taken off the id found from the host name: all from its first dot on, or this domain",
        restart=True,
    ),
    "master_finger": Option("", both.STR, "fingerprint that the master's key must have at the first contact"),
    "acceptance_wait_time": Option(10, both.NUMBER, "seconds between two tries while the key is pending"),
    "acceptance_wait_time_max": Option(0, both.SPAN, "the longest such wait; 0: it does not grow"),
    "auth_timeout": Option(5, both.NUMBER, "seconds to wait for a master's first answer"),
    "random_reauth_delay": Option(10, both.NUMBER, "seconds over which a refused minion spreads its next try"),
    "request_channel_timeout": Option(60, both.NUMBER, "seconds to wait for the reply to a request"),
    "verify_master_pubkey_sign": Option(False, both.BOOL, "take a new master's key if the signing key vouches for it"),
    "always_verify_signature": Option(False, both.BOOL, "have the signing key vouch for the key that is known, too"),
    "encryption_algorithm": Option("OAEP-SHA1", both.ENC, "how keys are sealed for this minion"),
    "signing_algorithm": Option("PKCS1v15-SHA1", both.SIG, "how the master signs for this minion"),
    "autosign_grains": Option([], both.LIST, "grains that are shown to the master with the key"),
    "grains": Option({}, both.MAP, "grains of your own"),
    "grains_deep_merge": Option(False, both.BOOL, "grains of several sources that are maps are joined"),
    "minion_sign_messages": Option(False, both.BOOL, "sign every message to the master"),
    "return_retry_timer_max": Option(10, both.NUMBER, "the longest such wait"),
    "recon_default": Option(200, both.INT, "milliseconds until a lost connection is tried again", restart=True),
    "recon_max": Option(5000, both.INT, "the longest such wait", restart=True),
    "loop_interval": Option(1, both.NUMBER, "seconds between two looks at the outbox", restart=True),
    "max_return_size": Option(16777216, both.INT, "bytes of a function's output that are kept"),
    "file_client": Option(
        "remote",
        CLIENT,
        "where `call` finds files and pillar: remote: at the master; local: in this machine's own roots",
    ),
    "saltenv": Option("", both.STR, "the environment that files and states come from"),
    "pillarenv": Option("", both.STR, "the environment that pillar comes from"),
    "shell": Option("", both.STR, "the shell of cmd.run; without: $SHELL of whoever starts the minion, or /bin/sh"),
    "module_dirs": Option([], both.LIST, "directories with modules/ of your own"),
    "pillar_raise_on_missing": Option(False, both.BOOL, "pillar.get of what is not there is an error"),
    "disable_modules": Option([], both.LIST, "modules whose functions nobody may run"),
    "whitelist_modules": Option([], both.LIST, "the only modules that there are; empty: all"),
    "extmod_whitelist": Option({}, both.MAP, "kind: list of the only files that saltutil.sync_* fetches"),
    "extmod_blacklist": Option({}, both.MAP, "kind: list of the files that saltutil.sync_* does not fetch"),
    "salt_call": Option(
        "",
        PROGRAM,
        "Salt's salt-call, which applies states and answers functions that are not here; without: looked for in PATH; "
        "False: none",
    ),
    "start_event_grains": Option([], both.LIST, "grains that stand in the event which says that the minion started"),
    "startup_states": Option("", STARTUP, "the states to apply when the minion starts; without: none"),
    "sls_list": Option([], both.LIST, "the SLS files that startup_states: sls applies"),
    "top_file": Option("", both.STR, "the top file that startup_states: top applies"),
    "mine_functions": Option(
        {}, both.FUNCTIONS, "functions whose returns other minions may ask for, with their arguments"
    ),
    "mine_enabled": Option(True, both.BOOL, "call mine.update of itself"),
    "mine_interval": Option(60, both.INT, "minutes between two mine.update"),
    "mine_return_job": Option(False, both.BOOL, "return what mine.update gives to the master, as a job"),
    "schedule": Option(
        {},
        both.MAP,
        "jobs that the minion runs by itself, by name; those of minion.d count in place of those of this file",
    ),
}
