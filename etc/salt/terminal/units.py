"""The systemd units of the two daemons, and the user of the master."""

from __future__ import annotations

USER = "salt"  # as Salt's own packages call him

# The master starts as root, gives its tree to its user and is him for good (-u). Its tree lies in /etc/salt/pki and
# /var/cache/salt, so of these directories systemd leaves what root's rights and that user's allow.
MASTER = """[Unit]
Description=The Salt master (saltlite)
Documentation=man:salt-master(1)
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
Type=exec
SyslogIdentifier=salt-master
ExecStart=@PROGRAM@ master -u @USER@
# takes over options, log file and a program that was replaced; the pid stays, and no job is lost
ExecReload=+/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
LimitNOFILE=100000
UMask=0077
Environment=SALTLITE_CACHE=/var/cache/saltlite

# It begins as root to give its tree to its user; these are the rights for that, and none is left afterwards.
# No RestrictSUIDSGID: with publisher_acl what users put into jobs/new has that directory's group, by its setgid bit.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_SETGID CAP_SETUID
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/etc/salt /var/cache /var/log
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""

# A minion does what it is told, to the whole machine and as root: a wall around it would be one around every job.
# Jobs outlive it: at its stop, and when it is run anew, only the minion itself ends.
MINION = """[Unit]
Description=The Salt minion (saltlite)
Documentation=man:salt-minion(1)
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
Type=exec
SyslogIdentifier=salt-minion
ExecStart=@PROGRAM@ minion
# takes over options, log file and a program that was replaced; the pid stays, and jobs go on
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=2
# jobs go on, whatever the minion does, and leave their returns for the next one
KillMode=process
LimitNOFILE=8192
TasksMax=infinity
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
"""

SYSUSERS = f'u {USER} - "Salt master (saltlite)" /var/cache/salt/master\n'
UNITS = {"master": MASTER, "minion": MINION}


def unit(role: str, python: str, program: str) -> str:
    """The unit of a role that runs `program` with the interpreter `python`, which looks for modules nowhere else."""
    return UNITS[role].replace("@PROGRAM@", f"{python} -I {program}").replace("@USER@", USER)
