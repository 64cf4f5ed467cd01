"""Section 19, highstate. The expected texts were recorded from Salt 3008.3's own outputter for the same data.

Two things differ on purpose: what a minion says never begins a line (a warning is indented, a name stays on one line),
where it could look like what another minion says."""

from typing import Any

import pytest
from live import command, write_config

from saltlite import outputter, printed

STATES = {
    "web1": {
        "file_|-motd_|-/etc/motd_|-managed": {
            "name": "/etc/motd",
            "result": True,
            "comment": "File /etc/motd updated",
            "changes": {"diff": "--- \n+++ \n@@ -1 +1 @@\n-old\n+new\n", "mode": "0644"},
            "__run_num__": 1,
            "__id__": "motd",
            "__sls__": "base",
            "start_time": "12:00:00.000001",
            "duration": 12.345,
        },
        "pkg_|-vim_|-vim_|-installed": {
            "name": "vim",
            "result": True,
            "comment": "All specified packages are already installed",
            "changes": {},
            "__run_num__": 0,
            "__id__": "vim",
            "__sls__": "base",
            "start_time": "11:59:59.000001",
            "duration": 987.6,
        },
        "cmd_|-boom_|-exit 3\nsecond_|-run": {
            "name": "exit 3",
            "result": False,
            "comment": 'Command "exit 3" run\nwith errors',
            "changes": {"pid": 12, "retcode": 3, "stdout": "", "stderr": "a\nb", "list": [1, {"x": None}]},
            "__run_num__": 2,
            "__id__": "boom",
            "__sls__": "base",
            "start_time": "12:00:01.000001",
            "duration": 55.0,
        },
        "service_|-web_|-nginx_|-running": {
            "name": "nginx",
            "result": False,
            "comment": "One or more requisite failed: base.boom",
            "changes": {},
            "__run_num__": 3,
            "__sls__": "base",
            "__id__": "web",
            "start_time": "12:00:02",
            "duration": 0.005,
        },
        "file_|-later_|-/tmp/x_|-managed": {
            "name": "/tmp/x",
            "result": None,
            "comment": "The file /tmp/x is set to be changed",
            "changes": {"newfile": "/tmp/x"},
            "__run_num__": 4,
            "__id__": "later",
            "__sls__": "base",
            "start_time": "12:00:03",
            "duration": 3.1,
            "warnings": [
                "'foo' is an invalid keyword argument for 'file.managed', and this goes on beyond the line's end"
            ],
        },
        "test_|-dry_|-dry_|-nop": {
            "name": "dry",
            "result": None,
            "comment": "",
            "changes": {},
            "__run_num__": 5,
            "__id__": "dry",
            "__sls__": "base",
            "duration": 1,
        },
    }
}

ODD = {
    "m": {
        "test_|-a_|-a_|-succeed_without_changes": {
            "name": "a",
            "result": True,
            "comment": ["x", "y"],
            "changes": {},
            "__run_num__": 0,
            "data": ["p", 1],
        },
        "test_|-b_|-b_|-x": {
            "name": "a",
            "result": True,
            "comment": "c",
            "changes": "odd",
            "__run_num__": 1,
            "data": {"p": 1},
            "start_time": "1",
            "duration": "17.5 ms",
            "__parallel__": True,
        },
        "test_|-c_|-c_|-x": {
            "name": "a",
            "result": True,
            "comment": "  c\n\n",
            "changes": [1],
            "__run_num__": 2,
            "data": "q",
            "start_time": "1",
            "duration": 1200.25,
            "__parallel__": True,
            "warnings": ["w1", "w2"],
        },
    }
}

DOZEN = {
    "web1": {
        f"test_|-s{n}_|-s{n}_|-nop": {
            "name": f"s{n}",
            "result": True,
            "comment": "Success!",
            "changes": {},
            "__run_num__": n,
            "start_time": "1",
            "duration": 0.4,
        }
        for n in range(12)
    }
}

RECORDED: list[tuple[dict[str, Any], Any, str]] = [
    (
        {},
        STATES,
        (
            "web1:\n"
            "----------\n"
            "          ID: vim\n"
            "    Function: pkg.installed\n"
            "      Result: True\n"
            "     Comment: All specified packages are already installed\n"
            "     Started: 11:59:59.000001\n"
            "    Duration: 987.6 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: motd\n"
            "    Function: file.managed\n"
            "        Name: /etc/motd\n"
            "      Result: True\n"
            "     Comment: File /etc/motd updated\n"
            "     Started: 12:00:00.000001\n"
            "    Duration: 12.345 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              diff:\n"
            "                  --- \n"
            "                  +++ \n"
            "                  @@ -1 +1 @@\n"
            "                  -old\n"
            "                  +new\n"
            "              mode:\n"
            "                  0644\n"
            "----------\n"
            "          ID: boom\n"
            "    Function: cmd.run\n"
            "        Name: exit 3\\nsecond\n"
            "      Result: False\n"
            '     Comment: Command "exit 3" run\n'
            "              with errors\n"
            "     Started: 12:00:01.000001\n"
            "    Duration: 55.0 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              list:\n"
            "                  - 1\n"
            "                  |_\n"
            "                    ----------\n"
            "                    x:\n"
            "                        None\n"
            "              pid:\n"
            "                  12\n"
            "              retcode:\n"
            "                  3\n"
            "              stderr:\n"
            "                  a\n"
            "                  b\n"
            "              stdout:\n"
            "----------\n"
            "          ID: web\n"
            "    Function: service.running\n"
            "        Name: nginx\n"
            "      Result: False\n"
            "     Comment: One or more requisite failed: base.boom\n"
            "     Started: 12:00:02\n"
            "    Duration: 0.005 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: later\n"
            "    Function: file.managed\n"
            "        Name: /tmp/x\n"
            "      Result: None\n"
            "     Comment: The file /tmp/x is set to be changed\n"
            "     Started: 12:00:03\n"
            "    Duration: 3.1 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              newfile:\n"
            "                  /tmp/x\n"
            "    Warnings: 'foo' is an invalid keyword argument for 'file.managed', and this\n"
            "              goes on beyond the line's end\n"
            "----------\n"
            "          ID: dry\n"
            "    Function: test.nop\n"
            "      Result: None\n"
            "     Comment: \n"
            "     Changes:   \n"
            "\n"
            "Summary for web1\n"
            "------------\n"
            "Succeeded: 4 (unchanged=2, changed=3)\n"
            "Failed:    2\n"
            "Warnings:  1\n"
            "------------\n"
            "Total states run:     6\n"
            "Total run time:   1.059 s"
        ),
    ),
    (
        {"color": True},
        STATES,
        (
            "\x1b[0;1;33mweb1:\x1b[0;0m\n"
            "\x1b[0;32m----------\x1b[0;0m\n"
            "    \x1b[0;32m      ID: vim\x1b[0;0m\n"
            "    \x1b[0;32mFunction: pkg.installed\x1b[0;0m\n"
            "    \x1b[0;32m  Result: True\x1b[0;0m\n"
            "    \x1b[0;32m Comment: All specified packages are already installed\x1b[0;0m\n"
            "    \x1b[0;32m Started: 11:59:59.000001\x1b[0;0m\n"
            "    \x1b[0;32mDuration: 987.6 ms\x1b[0;0m\n"
            "\x1b[0;32m     Changes:   \x1b[0;0m\n"
            "\x1b[0;36m----------\x1b[0;0m\n"
            "    \x1b[0;36m      ID: motd\x1b[0;0m\n"
            "    \x1b[0;36mFunction: file.managed\x1b[0;0m\n"
            "    \x1b[0;36m    Name: /etc/motd\x1b[0;0m\n"
            "    \x1b[0;36m  Result: True\x1b[0;0m\n"
            "    \x1b[0;36m Comment: File /etc/motd updated\x1b[0;0m\n"
            "    \x1b[0;36m Started: 12:00:00.000001\x1b[0;0m\n"
            "    \x1b[0;36mDuration: 12.345 ms\x1b[0;0m\n"
            "\x1b[0;36m     Changes:   \n"
            "              \x1b[0;36m----------\x1b[0;0m\n"
            "              \x1b[0;36mdiff\x1b[0;0m:\n"
            "                  \x1b[0;32m--- \x1b[0;0m\n"
            "                  \x1b[0;32m+++ \x1b[0;0m\n"
            "                  \x1b[0;32m@@ -1 +1 @@\x1b[0;0m\n"
            "                  \x1b[0;32m-old\x1b[0;0m\n"
            "                  \x1b[0;32m+new\x1b[0;0m\n"
            "              \x1b[0;36mmode\x1b[0;0m:\n"
            "                  \x1b[0;32m0644\x1b[0;0m\x1b[0;0m\n"
            "\x1b[0;31m----------\x1b[0;0m\n"
            "    \x1b[0;31m      ID: boom\x1b[0;0m\n"
            "    \x1b[0;31mFunction: cmd.run\x1b[0;0m\n"
            "    \x1b[0;31m    Name: exit 3\\nsecond\x1b[0;0m\n"
            "    \x1b[0;31m  Result: False\x1b[0;0m\n"
            '    \x1b[0;31m Comment: Command "exit 3" run\n'
            "              with errors\x1b[0;0m\n"
            "    \x1b[0;31m Started: 12:00:01.000001\x1b[0;0m\n"
            "    \x1b[0;31mDuration: 55.0 ms\x1b[0;0m\n"
            "\x1b[0;31m     Changes:   \n"
            "              \x1b[0;36m----------\x1b[0;0m\n"
            "              \x1b[0;36mlist\x1b[0;0m:\n"
            "                  \x1b[0;1;33m- 1\x1b[0;0m\n"
            "                  \x1b[0;32m|_\x1b[0;0m\n"
            "                    \x1b[0;36m----------\x1b[0;0m\n"
            "                    \x1b[0;36mx\x1b[0;0m:\n"
            "                        \x1b[0;1;33mNone\x1b[0;0m\n"
            "              \x1b[0;36mpid\x1b[0;0m:\n"
            "                  \x1b[0;1;33m12\x1b[0;0m\n"
            "              \x1b[0;36mretcode\x1b[0;0m:\n"
            "                  \x1b[0;1;33m3\x1b[0;0m\n"
            "              \x1b[0;36mstderr\x1b[0;0m:\n"
            "                  \x1b[0;32ma\x1b[0;0m\n"
            "                  \x1b[0;32mb\x1b[0;0m\n"
            "              \x1b[0;36mstdout\x1b[0;0m:\x1b[0;0m\n"
            "\x1b[0;31m----------\x1b[0;0m\n"
            "    \x1b[0;31m      ID: web\x1b[0;0m\n"
            "    \x1b[0;31mFunction: service.running\x1b[0;0m\n"
            "    \x1b[0;31m    Name: nginx\x1b[0;0m\n"
            "    \x1b[0;31m  Result: False\x1b[0;0m\n"
            "    \x1b[0;31m Comment: One or more requisite failed: base.boom\x1b[0;0m\n"
            "    \x1b[0;31m Started: 12:00:02\x1b[0;0m\n"
            "    \x1b[0;31mDuration: 0.005 ms\x1b[0;0m\n"
            "\x1b[0;31m     Changes:   \x1b[0;0m\n"
            "\x1b[0;1;33m----------\x1b[0;0m\n"
            "    \x1b[0;1;33m      ID: later\x1b[0;0m\n"
            "    \x1b[0;1;33mFunction: file.managed\x1b[0;0m\n"
            "    \x1b[0;1;33m    Name: /tmp/x\x1b[0;0m\n"
            "    \x1b[0;1;33m  Result: None\x1b[0;0m\n"
            "    \x1b[0;1;33m Comment: The file /tmp/x is set to be changed\x1b[0;0m\n"
            "    \x1b[0;1;33m Started: 12:00:03\x1b[0;0m\n"
            "    \x1b[0;1;33mDuration: 3.1 ms\x1b[0;0m\n"
            "\x1b[0;1;33m     Changes:   \n"
            "              \x1b[0;36m----------\x1b[0;0m\n"
            "              \x1b[0;36mnewfile\x1b[0;0m:\n"
            "                  \x1b[0;32m/tmp/x\x1b[0;0m\x1b[0;0m\n"
            "   \x1b[0;1;31m Warnings: 'foo' is an invalid keyword argument for 'file.managed', and this\n"
            "              goes on beyond the line's end\x1b[0;0m\n"
            "\x1b[0;1;33m----------\x1b[0;0m\n"
            "    \x1b[0;1;33m      ID: dry\x1b[0;0m\n"
            "    \x1b[0;1;33mFunction: test.nop\x1b[0;0m\n"
            "    \x1b[0;1;33m  Result: None\x1b[0;0m\n"
            "    \x1b[0;1;33m Comment: \x1b[0;0m\n"
            "\x1b[0;1;33m     Changes:   \x1b[0;0m\n"
            "\x1b[0;36m\n"
            "Summary for web1\n"
            "------------\x1b[0;0m\n"
            "\x1b[0;32mSucceeded: 4\x1b[0;0m (\x1b[0;1;33munchanged=2\x1b[0;0m, \x1b[0;32mchanged=3\x1b[0;0m)\n"
            "\x1b[0;31mFailed:    2\x1b[0;0m\n"
            "\x1b[0;1;31mWarnings:  1\x1b[0;0m\n"
            "\x1b[0;36m------------\n"
            "Total states run:     6\x1b[0;0m\n"
            "\x1b[0;36mTotal run time:   1.059 s\x1b[0;0m"
        ),
    ),
    (
        {"state_verbose": False},
        STATES,
        (
            "web1:\n"
            "----------\n"
            "          ID: motd\n"
            "    Function: file.managed\n"
            "        Name: /etc/motd\n"
            "      Result: True\n"
            "     Comment: File /etc/motd updated\n"
            "     Started: 12:00:00.000001\n"
            "    Duration: 12.345 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              diff:\n"
            "                  --- \n"
            "                  +++ \n"
            "                  @@ -1 +1 @@\n"
            "                  -old\n"
            "                  +new\n"
            "              mode:\n"
            "                  0644\n"
            "----------\n"
            "          ID: boom\n"
            "    Function: cmd.run\n"
            "        Name: exit 3\\nsecond\n"
            "      Result: False\n"
            '     Comment: Command "exit 3" run\n'
            "              with errors\n"
            "     Started: 12:00:01.000001\n"
            "    Duration: 55.0 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              list:\n"
            "                  - 1\n"
            "                  |_\n"
            "                    ----------\n"
            "                    x:\n"
            "                        None\n"
            "              pid:\n"
            "                  12\n"
            "              retcode:\n"
            "                  3\n"
            "              stderr:\n"
            "                  a\n"
            "                  b\n"
            "              stdout:\n"
            "----------\n"
            "          ID: web\n"
            "    Function: service.running\n"
            "        Name: nginx\n"
            "      Result: False\n"
            "     Comment: One or more requisite failed: base.boom\n"
            "     Started: 12:00:02\n"
            "    Duration: 0.005 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: later\n"
            "    Function: file.managed\n"
            "        Name: /tmp/x\n"
            "      Result: None\n"
            "     Comment: The file /tmp/x is set to be changed\n"
            "     Started: 12:00:03\n"
            "    Duration: 3.1 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              newfile:\n"
            "                  /tmp/x\n"
            "    Warnings: 'foo' is an invalid keyword argument for 'file.managed', and this\n"
            "              goes on beyond the line's end\n"
            "----------\n"
            "          ID: dry\n"
            "    Function: test.nop\n"
            "      Result: None\n"
            "     Comment: \n"
            "     Changes:   \n"
            "\n"
            "Summary for web1\n"
            "------------\n"
            "Succeeded: 4 (unchanged=2, changed=3)\n"
            "Failed:    2\n"
            "Warnings:  1\n"
            "------------\n"
            "Total states run:     6\n"
            "Total run time:   1.059 s"
        ),
    ),
    (
        {"state_output": "terse", "color": True},
        STATES,
        (
            "\x1b[0;1;33mweb1:\x1b[0;0m\n"
            " \x1b[0;32m Name: vim - Function: pkg.installed - Result: Clean - Started"
            ": 11:59:59.000001 - Duration: 987.6 ms\x1b[0;0m\n"
            " \x1b[0;36m Name: /etc/motd - Function: file.managed - Result: Changed - "
            "Started: 12:00:00.000001 - Duration: 12.345 ms\x1b[0;0m\n"
            " \x1b[0;31m Name: exit 3\\nsecond - Function: cmd.run - Result: Failed - Started: 12:00:01.000001"
            " - Duration: 55.0 ms\x1b[0;0m\n"
            " \x1b[0;31m Name: nginx - Function: service.running - Result: Failed - St"
            "arted: 12:00:02 - Duration: 0.005 ms\x1b[0;0m\n"
            "\x1b[0;1;31mWarnings:\n"
            "    'foo' is an invalid keyword argument for 'file.managed', and this goes"
            " on beyond the line's end\x1b[0;0m \x1b[0;1;33m Name: /tmp/x - Function: fil"
            "e.managed - Result: Differs - Started: 12:00:03 - Duration: 3.1 ms\x1b[0;0m\n"
            " \x1b[0;1;33m Name: dry - Function: test.nop - Result: Differs\x1b[0;0m\n"
            "\x1b[0;36m\n"
            "Summary for web1\n"
            "------------\x1b[0;0m\n"
            "\x1b[0;32mSucceeded: 4\x1b[0;0m (\x1b[0;1;33munchanged=2\x1b[0;0m, \x1b[0;32mchanged=3\x1b[0;0m)\n"
            "\x1b[0;31mFailed:    2\x1b[0;0m\n"
            "\x1b[0;36m------------\n"
            "Total states run:     6\x1b[0;0m\n"
            "\x1b[0;36mTotal run time:   1.059 s\x1b[0;0m"
        ),
    ),
    (
        {"state_output": "mixed"},
        STATES,
        (
            "web1:\n"
            "  Name: vim - Function: pkg.installed - Result: Clean - Started: 11:59"
            ":59.000001 - Duration: 987.6 ms\n"
            "  Name: /etc/motd - Function: file.managed - Result: Changed - Started"
            ": 12:00:00.000001 - Duration: 12.345 ms\n"
            "----------\n"
            "          ID: boom\n"
            "    Function: cmd.run\n"
            "        Name: exit 3\\nsecond\n"
            "      Result: False\n"
            '     Comment: Command "exit 3" run\n'
            "              with errors\n"
            "     Started: 12:00:01.000001\n"
            "    Duration: 55.0 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              list:\n"
            "                  - 1\n"
            "                  |_\n"
            "                    ----------\n"
            "                    x:\n"
            "                        None\n"
            "              pid:\n"
            "                  12\n"
            "              retcode:\n"
            "                  3\n"
            "              stderr:\n"
            "                  a\n"
            "                  b\n"
            "              stdout:\n"
            "----------\n"
            "          ID: web\n"
            "    Function: service.running\n"
            "        Name: nginx\n"
            "      Result: False\n"
            "     Comment: One or more requisite failed: base.boom\n"
            "     Started: 12:00:02\n"
            "    Duration: 0.005 ms\n"
            "     Changes:   \n"
            "Warnings:\n"
            "    'foo' is an invalid keyword argument for 'file.managed', and this goes"
            " on beyond the line's end  Name: /tmp/x - Function: file.managed - Res"
            "ult: Differs - Started: 12:00:03 - Duration: 3.1 ms\n"
            "  Name: dry - Function: test.nop - Result: Differs\n"
            "\n"
            "Summary for web1\n"
            "------------\n"
            "Succeeded: 4 (unchanged=2, changed=3)\n"
            "Failed:    2\n"
            "------------\n"
            "Total states run:     6\n"
            "Total run time:   1.059 s"
        ),
    ),
    (
        {"state_output": "changes"},
        STATES,
        (
            "web1:\n"
            "  Name: vim - Function: pkg.installed - Result: Clean - Started: 11:59"
            ":59.000001 - Duration: 987.6 ms\n"
            "----------\n"
            "          ID: motd\n"
            "    Function: file.managed\n"
            "        Name: /etc/motd\n"
            "      Result: True\n"
            "     Comment: File /etc/motd updated\n"
            "     Started: 12:00:00.000001\n"
            "    Duration: 12.345 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              diff:\n"
            "                  --- \n"
            "                  +++ \n"
            "                  @@ -1 +1 @@\n"
            "                  -old\n"
            "                  +new\n"
            "              mode:\n"
            "                  0644\n"
            "----------\n"
            "          ID: boom\n"
            "    Function: cmd.run\n"
            "        Name: exit 3\\nsecond\n"
            "      Result: False\n"
            '     Comment: Command "exit 3" run\n'
            "              with errors\n"
            "     Started: 12:00:01.000001\n"
            "    Duration: 55.0 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              list:\n"
            "                  - 1\n"
            "                  |_\n"
            "                    ----------\n"
            "                    x:\n"
            "                        None\n"
            "              pid:\n"
            "                  12\n"
            "              retcode:\n"
            "                  3\n"
            "              stderr:\n"
            "                  a\n"
            "                  b\n"
            "              stdout:\n"
            "----------\n"
            "          ID: web\n"
            "    Function: service.running\n"
            "        Name: nginx\n"
            "      Result: False\n"
            "     Comment: One or more requisite failed: base.boom\n"
            "     Started: 12:00:02\n"
            "    Duration: 0.005 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: later\n"
            "    Function: file.managed\n"
            "        Name: /tmp/x\n"
            "      Result: None\n"
            "     Comment: The file /tmp/x is set to be changed\n"
            "     Started: 12:00:03\n"
            "    Duration: 3.1 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              newfile:\n"
            "                  /tmp/x\n"
            "    Warnings: 'foo' is an invalid keyword argument for 'file.managed', and this\n"
            "              goes on beyond the line's end\n"
            "----------\n"
            "          ID: dry\n"
            "    Function: test.nop\n"
            "      Result: None\n"
            "     Comment: \n"
            "     Changes:   \n"
            "\n"
            "Summary for web1\n"
            "------------\n"
            "Succeeded: 4 (unchanged=2, changed=3)\n"
            "Failed:    2\n"
            "Warnings:  1\n"
            "------------\n"
            "Total states run:     6\n"
            "Total run time:   1.059 s"
        ),
    ),
    (
        {"state_output": "terse_id"},
        STATES,
        (
            "web1:\n"
            "  Name: vim - Function: pkg.installed - Result: Clean - Started: 11:59"
            ":59.000001 - Duration: 987.6 ms\n"
            "  Name: motd - Function: file.managed - Result: Changed - Started: 12:"
            "00:00.000001 - Duration: 12.345 ms\n"
            "  Name: boom - Function: cmd.run - Result: Failed - Started: 12:00:01.000001 - Duration: 55.0 ms\n"
            "  Name: web - Function: service.running - Result: Failed - Started: 12"
            ":00:02 - Duration: 0.005 ms\n"
            "Warnings:\n"
            "    'foo' is an invalid keyword argument for 'file.managed', and this goes"
            " on beyond the line's end  Name: later - Function: file.managed - Resu"
            "lt: Differs - Started: 12:00:03 - Duration: 3.1 ms\n"
            "  Name: dry - Function: test.nop - Result: Differs\n"
            "\n"
            "Summary for web1\n"
            "------------\n"
            "Succeeded: 4 (unchanged=2, changed=3)\n"
            "Failed:    2\n"
            "------------\n"
            "Total states run:     6\n"
            "Total run time:   1.059 s"
        ),
    ),
    (
        {"state_output": "changes_id", "state_verbose": False},
        STATES,
        (
            "web1:\n"
            "----------\n"
            "          ID: motd\n"
            "    Function: file.managed\n"
            "      Result: True\n"
            "     Comment: File /etc/motd updated\n"
            "     Started: 12:00:00.000001\n"
            "    Duration: 12.345 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              diff:\n"
            "                  --- \n"
            "                  +++ \n"
            "                  @@ -1 +1 @@\n"
            "                  -old\n"
            "                  +new\n"
            "              mode:\n"
            "                  0644\n"
            "----------\n"
            "          ID: boom\n"
            "    Function: cmd.run\n"
            "      Result: False\n"
            '     Comment: Command "exit 3" run\n'
            "              with errors\n"
            "     Started: 12:00:01.000001\n"
            "    Duration: 55.0 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              list:\n"
            "                  - 1\n"
            "                  |_\n"
            "                    ----------\n"
            "                    x:\n"
            "                        None\n"
            "              pid:\n"
            "                  12\n"
            "              retcode:\n"
            "                  3\n"
            "              stderr:\n"
            "                  a\n"
            "                  b\n"
            "              stdout:\n"
            "----------\n"
            "          ID: web\n"
            "    Function: service.running\n"
            "      Result: False\n"
            "     Comment: One or more requisite failed: base.boom\n"
            "     Started: 12:00:02\n"
            "    Duration: 0.005 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: later\n"
            "    Function: file.managed\n"
            "      Result: None\n"
            "     Comment: The file /tmp/x is set to be changed\n"
            "     Started: 12:00:03\n"
            "    Duration: 3.1 ms\n"
            "     Changes:   \n"
            "              ----------\n"
            "              newfile:\n"
            "                  /tmp/x\n"
            "    Warnings: 'foo' is an invalid keyword argument for 'file.managed', and this\n"
            "              goes on beyond the line's end\n"
            "----------\n"
            "          ID: dry\n"
            "    Function: test.nop\n"
            "      Result: None\n"
            "     Comment: \n"
            "     Changes:   \n"
            "\n"
            "Summary for web1\n"
            "------------\n"
            "Succeeded: 4 (unchanged=2, changed=3)\n"
            "Failed:    2\n"
            "Warnings:  1\n"
            "------------\n"
            "Total states run:     6\n"
            "Total run time:   1.059 s"
        ),
    ),
    (
        {},
        {
            "web1": [
                "Rendering SLS 'base:x' failed: Jinja variable 'y' is undefined",
                "No matching sls found for 'z' in env 'base'",
            ]
        },
        (
            "web1:\n"
            "    Data failed to compile:\n"
            "----------\n"
            "    Rendering SLS 'base:x' failed: Jinja variable 'y' is undefined\n"
            "----------\n"
            "    No matching sls found for 'z' in env 'base'"
        ),
    ),
    (
        {"color": True},
        {"web1": ["Pillar failed to render with the following messages:\nx"]},
        (
            "\x1b[0;1;31mweb1:\x1b[0;0m\n"
            "    \x1b[0;1;31mData failed to compile:\x1b[0;0m\n"
            "\x1b[0;1;31m----------\n"
            "    Pillar failed to render with the following messages:\n"
            "    x\x1b[0;0m"
        ),
    ),
    (
        {},
        {"web1": "a text\nof two lines", "web2": True},
        ("web1:\n    a text\n    of two lines\nweb2:\n    True"),
    ),
    (
        {"color": True},
        {"web1": "text"},
        ("\x1b[0;36mweb1:\x1b[0;0m\n\x1b[0;32m    text\x1b[0;0m"),
    ),
    (
        {},
        {"web1": {}},
        (
            "web1:\n"
            "\n"
            "Summary for web1\n"
            "-----------\n"
            "Succeeded: 0\n"
            "Failed:   0\n"
            "-----------\n"
            "Total states run:    0\n"
            "Total run time:  0.000 ms"
        ),
    ),
    (
        {},
        {
            "web1": {
                "no_|-states_|-states_|-None": {
                    "result": False,
                    "comment": "No Top file or master_tops data matches found. Please see master log for details.",
                    "name": "No States",
                    "changes": {},
                    "__run_num__": 0,
                }
            },
            "db1": {},
        },
        (
            "web1:\n"
            "----------\n"
            "          ID: states\n"
            "    Function: no.None\n"
            "      Result: False\n"
            "     Comment: No Top file or master_tops data matches found. Please see master log for details.\n"
            "     Changes:   \n"
            "\n"
            "Summary for web1\n"
            "------------\n"
            "Succeeded: 0\n"
            "Failed:    1\n"
            "------------\n"
            "Total states run:     1\n"
            "Total run time:   0.000 ms\n"
            "db1:\n"
            "\n"
            "Summary for db1\n"
            "-----------\n"
            "Succeeded: 0\n"
            "Failed:   0\n"
            "-----------\n"
            "Total states run:    0\n"
            "Total run time:  0.000 ms"
        ),
    ),
    (
        {},
        ODD,
        (
            "m:\n"
            "----------\n"
            "          ID: a\n"
            "    Function: test.succeed_without_changes\n"
            "      Result: True\n"
            "     Comment: ['x', 'y'] p 1\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: b\n"
            "    Function: test.x\n"
            "      Result: True\n"
            "     Comment: c\n"
            "\t\tp: 1\n"
            "     Started: 1\n"
            "    Duration: 17.5 ms ms\n"
            "     Changes:   Invalid Changes data: odd\n"
            "----------\n"
            "          ID: c\n"
            "    Function: test.x\n"
            "      Result: True\n"
            "     Comment: c q\n"
            "     Started: 1\n"
            "    Duration: 1200.25 ms\n"
            "     Changes:   Invalid Changes data: [1]\n"
            "    Warnings: w1 w2\n"
            "\n"
            "Summary for m\n"
            "------------\n"
            "Succeeded: 3 (changed=2)\n"
            "Failed:    0\n"
            "Warnings:  1\n"
            "------------\n"
            "Total states run:     3\n"
            "Total run time:   1.200 s"
        ),
    ),
    (
        {},
        DOZEN,
        (
            "web1:\n"
            "----------\n"
            "          ID: s0\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s1\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s2\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s3\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s4\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s5\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s6\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s7\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s8\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s9\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s10\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "----------\n"
            "          ID: s11\n"
            "    Function: test.nop\n"
            "      Result: True\n"
            "     Comment: Success!\n"
            "     Started: 1\n"
            "    Duration: 0.4 ms\n"
            "     Changes:   \n"
            "\n"
            "Summary for web1\n"
            "-------------\n"
            "Succeeded: 12\n"
            "Failed:     0\n"
            "-------------\n"
            "Total states run:     12\n"
            "Total run time:    4.800 ms"
        ),
    ),
]


@pytest.mark.parametrize(("opts", "data", "text"), RECORDED)
def test_highstate_is_what_salt_prints(opts, data, text):
    assert printed(data, "highstate", opts) == text


@pytest.mark.parametrize(
    "data",
    [
        {"web1": {"a": {"result": True}}},
        {"web1": {"odd": {"result": True, "changes": {}, "comment": "", "__run_num__": 0}}},
        {"web1": {"test_|-a_|-a_|-nop": {"result": [], "changes": {}, "comment": "", "__run_num__": 0}}},
        {"web1": {"test_|-a_|-a_|-nop": {"result": True, "changes": {}, "comment": "", "__run_num__": "x"}}},
        {"web1": {f"test_|-{n}_|-a_|-nop": {"result": True, "changes": {}, "__run_num__": n} for n in (0, "x")}},
        {"web1": {"test_|-a_|-a_|-nop": {"result": 1, "changes": 1, "comment": 1, "__run_num__": 1, "duration": "x"}}},
        5,
        [],
    ],
)
def test_what_is_no_state_is_shown_nested_or_as_states_and_never_an_error(data):
    assert isinstance(printed(data, "highstate", {}), str)


def test_states_without_a_number_are_nested():
    data = {"web1": {"a": {"result": True}}}
    assert printed(data, "highstate", {}) == printed(data, "nested", {})


def test_no_escape_of_a_minion_reaches_the_terminal():
    evil = "\x1b]0;x\x07"
    state = {"name": evil, "result": False, "comment": evil, "changes": {evil: evil}, "__run_num__": 0}
    state |= {"start_time": evil, "duration": 1, "warnings": [evil], "data": {evil: evil}}
    for mode in ("full", "terse"):
        data = {"web1": {f"test_|-{evil}_|-x{evil}_|-{evil}": state}, "web2": [evil], "web3": evil}
        text = printed(data, "highstate", {"terminal": True, "color": False, "state_output": mode})
        assert "\x1b" not in text and "\x07" not in text and "Summary for web1" in text


def test_states_that_ran_in_parallel_count_as_the_longest():
    def state(number, **more):
        return {"result": True, "changes": {}, "comment": "", "__run_num__": number} | more

    states = {f"test_|-{n}_|-{n}_|-nop": state(n, duration=n * 100, __parallel__=True) for n in (1, 2, 3)}
    states["test_|-9_|-9_|-nop"] = state(9, duration=50)
    assert "Total run time: 350.000 ms" in outputter("highstate")({"web1": states}, {"state_output": "terse"})


MODULE = f"""
def states():
    return {STATES["web1"]!r}
"""


def test_configuration_and_command_line_say_how_states_are_shown(tmp_path):
    (tmp_path / "own/modules").mkdir(parents=True)
    (tmp_path / "own/modules/mine.py").write_text(MODULE)
    write_config(tmp_path / "minion", {"id": "web1", "module_dirs": [str(tmp_path / "own")], "state_output": "terse"})

    def shown(*words):
        done = command("call", "-c", tmp_path, "--local", "--out", "highstate", *words, "mine.states")
        return done.stdout

    terse = "Name: vim - Function: pkg.installed"
    assert terse in shown() and "ID: boom" not in shown()
    assert terse not in shown("--state-verbose", "False")
    assert terse in shown("--state-output", "mixed") and "ID: boom" in shown("--state-output", "mixed")


@pytest.mark.parametrize("mode", ["full", "terse", "changes_id"])
def test_no_minion_writes_a_line_that_looks_like_another_minions(mode):
    state = {"result": False, "comment": "a\nm2:", "changes": "b\nm2:", "__run_num__": 0, "__id__": "c\nm2:"}
    state |= {"name": "d\nm2:", "start_time": "e\nm2:", "duration": 1.5, "warnings": ["g\nm2:"]}
    for data in ({"pkg_|-c\nm2:_|-d\nm2:_|-h\nm2:": state}, ["err\nm2:"]):
        text = outputter("highstate")({"m1": data}, {"state_output": mode})
        assert "m2:" in text and not [line for line in text.splitlines() if line.startswith("m2:")]
