"""Salt's own options that are not options here, each with a verdict: harmless (said at debug), not supported (a warning
that says what is missing), or content goes missing (an error at each start). What is in none of these tables, and is no
option here either, is unknown, and is told with the nearest name.

A value that is empty, or what Salt has without a word, changes nothing and is harmless."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from saltlite import nearest, options_of, packed_leaf

# Caches, processes, buffers, texts of logs, directories of kinds of files that are not here: all works without.
# What concerns states is read by salt-call itself, which applies them.
HARMLESS = set(
    """
    test state_output_diff state_output_profile state_queue disabled_requisites global_state_conditions
    whitelist_state_modules backup_mode snapper_states snapper_states_config providers use_master_when_local
    __role add_proxymodule_to_opts append_minionid_config_dirs archive_jobs auth_events auth_events_autosign_grains
    auth_events_pend_autosign_grains auth_retries auth_safemode auth_tries autoload_dynamic_modules bootstrap_delay
    cache cache_sreqs clean_dynamic_modules cli_summary client_acl_verify cluster_mode cmd_safe con_cache conf_file
    color cython_enable decrypt_pillar_renderers detect_remote_minions disable_aes_with_tls disable_returners
    dummy_pub eauth_acl_module eauth_tokens eauth_tokens.cache_driver eauth_tokens.cluster_id enable_fqdns_grains
    enable_gpu_grains enable_legacy_startup_events enable_lspci enable_ssh_minions enable_zip_modules
    enforce_mine_cache event_match_type event_publisher_niceness event_publisher_pub_hwm event_return_blacklist
    event_return_niceness event_return_queue event_return_queue_max_seconds event_return_whitelist extension_modules
    features file_recv_max_size fileserver_interval fileserver_update_niceness fileserver_verify_config
    git_pillar_verify_config gpg_cache gpg_cache_backend gpg_cache_ttl grains_cache grains_cache_expiration
    grains_dirs grains_refresh_every grains_refresh_pre_exec http_connect_timeout http_max_body http_request_timeout
    ipc_mode ipc_write_buffer jinja_pass_undefined job_cache job_cache_store_endtime keep_acl_in_token
    keep_jobs key_cache key_logfile keys.cache_driver local lock_saltenv log_datefmt log_datefmt_console
    log_datefmt_logfile log_fmt log_fmt_console log_fmt_jid log_fmt_logfile log_fmt_minion_id
    log_granular_levels log_rotate_backup_count log_rotate_max_bytes loglevel logfile
    maintenance_interval maintenance_niceness master_async_mworker master_mworker_max_inflight master_stats
    master_stats_event_iter master_tops_first master_tries master_uri_format max_open_files memcache_debug
    memcache_expire_seconds memcache_full_cleanup memcache_max_items metrics min_extra_mods minimum_auth_version
    minion_data_cache_events minion_jid_queue_hwm minion_restart_command modules_max_memory multiprocessing
    mworker_niceness mworker_queue_niceness netapi_allow_raw_shell netapi_enable_clients no_proxy optimization_order
    open_files outputter_dirs pass_to_ext_pillars permissive_acl pillar.cache_driver pillar_cache
    pillar_cache_backend pillar_cache_ttl pillar_mask_output pillar_version ping_interval ping_on_rotate
    process_count_max proxy_always_alive proxy_keep_alive proxy_keep_alive_interval pub_hwm
    pub_ret pub_server_niceness pub_server_write_queue_size publish_drain_timeout publish_timeout queue_dirs
    random_startup_delay reactor_niceness reactor_refresh_interval reactor_worker_hwm reactor_worker_threads
    recon_randomize regen_thin rejected_retry remote_minions_port render_dirs req_server_niceness
    request_channel_tries request_server_aes_session request_server_ttl resolve_dns_fallback resource_pillar_key
    rest_timeout restart_on_error retry_dns retry_dns_count return_retry_timer return_retry_tries returner_dirs
    roots_update_interval runner_dirs runner_returns salt_event_pub_hwm search serial show_jid
    show_timeout sock_dir sock_pool_size sqlite_queue_dir state_max_parallel state_tabular states_dirs
    syndic_event_forward_timeout syndic_failover syndic_forward_all_events syndic_jid_forward_cache_hwm
    syndic_log_file syndic_pidfile syndic_retries syndic_wait syndic_finger tcp_authentication_retries
    tcp_master_pub_port tcp_master_publish_pull tcp_master_pull_port tcp_master_workers tcp_pub_port tcp_pull_port
    tcp_reconnect_backoff thin_exclude_saltexts thin_extra_mods thin_saltext_allowlist thin_saltext_blocklist
    thorium_interval token_expire token_expire_user_override tracing update_restart_services use_os_truststore
    username password utils_dirs verify_env winrepo_cache_expire_max winrepo_cache_expire_min
    winrepo_installer_cache_expire worker_pools worker_pools_enabled worker_threads zmq_backlog zmq_monitor
    multifunc_ordered strip_colors unique_jid auth_mode id_function minion_memory_headroom minion_memory_max
    """.split()
)

# What is missing -> the names that ask for it. A name that ends in `_` or a dot stands for all that begin so.
UNSUPPORTED = {
    "minions may publish nothing and run no runner": "peer peer_run",
    "there are no clusters of masters; several masters have one key": "cluster_",
    "there are no syndics": "syndic_master order_masters",
    "there is no salt-ssh": "ssh_ roster roster_ rosters",
    "there is no HTTP API": "rest_cherrypy rest_tornado rest_wsgi halite django_auth_path django_auth_settings api_",
    "minions send no files here (cp.push)": "file_recv",
    "there is no %range": "range_server",
    "passwords are looked up by nobody": "pass_dir pass_gnupghome pass_strict_fetch pass_variable_prefix",
    "there are no proxy minions": "proxy proxy_ metaproxy",
    "programs cannot ask over Salt's own event bus": "discovery",
    "there are no repositories of Windows programs": "winrepo_",
    "salt-pip is not there": "saltpip_",
    "use saltenv in its place": "environment",
    "use master_shuffle in its place": "random_master",
    "use publisher_acl in its place": "client_acl client_acl_blacklist",
    "an older master is never gone back to": "master_failback master_failback_interval",
    "the minion takes the address that the system gives": "source_address source_interface_name source_publish_port "
    "source_ret_port",
    "jobs are not written down on the minion": "cache_jobs",
    "the schedule begins when the minion has started": "scheduler_before_connect beacons_before_connect",
    "the minion does not update itself": "update_url",
    "only renderers that are packed are there": "renderer_blacklist renderer_whitelist",
    "grains are left out by nothing": "grains_blacklist",
    "minions find their master by DNS names and addresses alone": "dns_check",
}
MISSING = {
    "files come from file_roots alone, and what lies elsewhere is not served": "fileserver_backend gitfs_ hgfs_ svnfs_ "
    "s3fs_ s3. azurefs_ minionfs_ master_roots",
    "pillar from git is left out": "git_pillar_",
    "pillar is made without it": "on_demand_ext_pillar sdb",
    "nobody is let in by it; who may write into jobs/new publishes, as publisher_acl allows": "external_auth",
    "no event causes it; executables in master.d/hooks/TAG/ run on events": "reactor thorium_ thoriumenv",
    "states that it would give to minions are not applied": "master_tops",
    "nothing of it runs": "engines beacons schedule",
    "returns and events are kept here and go nowhere else": "event_return master_job_cache ext_job_cache return",
    "the minion runs all as its own user": "sudo_user",
    "whoever becomes root publishes as root": "sudo_acl",
    "nothing is encrypted or checked by TLS": "ssl",
    "no algorithm is refused for it": "fips_mode",
    "web servers are asked directly": "proxy_host proxy_port proxy_username proxy_password",
}
DEFAULTS: dict[str, tuple[Any, ...]] = {  # of Salt, where they are neither empty nor off
    "cluster_demote_cooldown": (60.0,),
    "cluster_encryption_algorithm": ("OAEP-SHA1",),
    "cluster_min_voters": (3,),
    "fileserver_backend": (["roots"], "roots"),
    "master_job_cache": ("local_cache",),
    "master_roots": ({"base": ["/srv/salt-master"]},),
    "on_demand_ext_pillar": (["libvirt", "virtkey"],),
    "range_server": ("range:80",),
    "saltpip_allow_find_links": (True,),
    "ssh_keepalive": (True,),
    "ssh_keepalive_count_max": (3,),
    "ssh_merge_pillar": (True,),
    "ssh_scan_ports": ("22",),
    "syndic_master": ("masterofmasters",),
    "thorium_roots": ({"base": ["/srv/thorium"]},),
    "winrepo_remotes": (["https://github.com/saltstack/salt-winrepo.git"],),
    "winrepo_remotes_ng": (["https://github.com/saltstack/salt-winrepo-ng.git"],),
}
# What only one of the roles reads in Salt, of what is not here.
ROLES = dict.fromkeys(
    """
    external_auth reactor thorium_ master_tops event_return master_job_cache sudo_acl peer peer_run order_masters
    client_acl client_acl_blacklist cluster_ rest_cherrypy rest_tornado rest_wsgi gitfs_ hgfs_ svnfs_ s3fs_ minionfs_
    git_pillar_ fileserver_backend ext_job_cache
    """.split(),
    "master",
) | dict.fromkeys(
    """
    return sudo_user random_master master_failback
    master_failback_interval source_address source_interface_name source_publish_port source_ret_port cache_jobs
    scheduler_before_connect beacons_before_connect update_url grains_blacklist
    beacons proxy_host proxy_port proxy_username proxy_password
    """.split(),
    "minion",
)
TUNING = (  # endings of names that say how something that is missing would be done, when it is said for itself
    *("_interval", "_base", "_branch", "_root", "_env", "_mountpoint", "_saltenv", "_ref_types", "_refspecs"),
    *("_port", "_user", "_timeout", "_dir", "_cachefile", "_depth", "_fallback", "_lock", "_verify", "_provider"),
    *("_whitelist", "_blacklist", "_top", "_method", "_privkey", "_pubkey", "_passphrase", "_password", "_proxy"),
    *("_update", "_includes", "_auth", "_ng", "_file", "_trunk", "_branches", "_tags", "_mapping"),
)


def names_of(table: Mapping[str, str]) -> dict[str, str]:
    return {name: why for why, names in table.items() for name in names.split()}


GROUPS = ((logging.ERROR, names_of(MISSING)), (logging.WARNING, names_of(UNSUPPORTED)))


def reason(name: str) -> tuple[int, str, str]:
    """The level, what is missing, and what the table has for a name of Salt's; the longest beginning that fits."""
    exact = [(level, names[name], name) for level, names in GROUPS if name in names]
    begins = [
        (level, why, beginning)
        for level, names in GROUPS
        for beginning, why in names.items()
        if beginning[-1] in "_." and name.startswith(beginning)
    ]
    return (exact + sorted(begins, key=lambda found: -len(found[2])) + [(logging.NOTSET, "", "")])[0]


def verdict(role: str, name: str, value: Any) -> tuple[int, str]:
    """The level at which an option that the role has not is told, and the sentence."""
    level, why, group = reason(name)
    other = {"master": "minion", "minion": "master"}[role]
    if name in HARMLESS or "." in name and not why:
        return logging.DEBUG, f"{name} is not needed here."
    if why and (not value or value in DEFAULTS.get(name, ())):
        return logging.DEBUG, f"{name} is not needed here, as it is."
    if why and (ROLES.get(group, role) != role or group != name and name.endswith(TUNING)):
        return logging.DEBUG, f"{name} is not needed here: {why}."
    if why:
        return level, f"{name} is Salt's, and is not supported: {why}; remove the line if that is meant."
    if role == "minion" and name in ("file_roots", "pillar_roots"):
        return logging.DEBUG, f"{name} counts for `call --local` and file_client: local; the daemon asks its master."
    if name in options_of(other):
        return logging.DEBUG, f"{name} is an option of the {other}."
    return logging.WARNING, f"unknown option {name!r} is ignored{nearest(name, options_of(role)) or '.'}"


def verdicts(role: str, opts: dict[str, Any], others: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """What is told of the options that files name and the role has not: pairs (name, the file that names it). A word
    that Salt takes for another is replaced by that one."""
    for name, (words, instead) in packed_leaf("options", "both").TAKEN_FOR.items():
        if name in opts and opts[name] not in words:
            sentence = f"{name}: {opts[name]} is none of {', '.join(words)}; it counts as {instead}, as with Salt."
            opts[name] = instead
            yield logging.WARNING, sentence
    for name, source in others.items():
        level, sentence = verdict(role, name, opts[name])
        yield level, f"{source}: {sentence}"
    if not opts["sign_pub_messages"]:
        sentence = "sign_pub_messages: False has no effect: publications are always signed and verified."
        yield logging.WARNING, sentence
