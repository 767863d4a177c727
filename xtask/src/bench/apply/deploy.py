"""The bench's work for pyinfra."""

import json
from io import StringIO
from pathlib import Path

from pyinfra.operations import apt, files, server, systemd

WORK = json.loads((Path(__file__).parent / "work.json").read_text())["work"]
ROOT = {"user": "root", "group": "root"}

apt.packages(packages=WORK["packages"])
for account in WORK["accounts"]:
    server.group(group=account)
    server.user(user=account, group=account, home=f"/home/{account}", shell="/bin/bash", ensure_home=True)
for directory in WORK["directories"]:
    files.directory(path=directory["path"], mode=directory["mode"], **ROOT)
for file in WORK["files"]:
    files.put(src=StringIO(file["text"]), dest=file["path"], mode=file["mode"], **ROOT)
for link in WORK["links"]:
    files.link(path=link["path"], target=link["to"])
for key, value in WORK["sysctl"].items():
    server.sysctl(key=key, value=value, persist=True, persist_file="/etc/sysctl.d/90-pyinfra.conf")
unit_files = [
    files.put(src=StringIO(unit["text"]), dest=f"/etc/systemd/system/{unit['name']}", mode="0644", **ROOT)
    for unit in WORK["units"]
]
for unit, file in zip(WORK["units"], unit_files):
    systemd.service(service=unit["name"], running=True, enabled=True, daemon_reload=file.changed)
