# Runs once inside a fresh image, as root in a chroot: accounts, services, trust. No host is made here, so nothing in it may
# differ between two hosts.
set -eu

# `deploy` is how Hausmeister comes in, `plain` is somebody who may do nothing.
useradd --create-home --shell /bin/bash deploy
useradd --create-home --shell /bin/bash plain
printf 'deploy ALL=(ALL:ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/lab-deploy
chmod 0440 /etc/sudoers.d/lab-deploy

systemctl --quiet enable systemd-networkd.service ssh.service
# They would take the lock of the package manager at a moment of their own.
systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer
# The journal outlives a reboot, as on an installed machine.
mkdir -p /var/log/journal

# Every host gets its own.
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id

update-ca-certificates >/dev/null
# A host of the lab is thrown away; waiting for its disk proves nothing.
printf 'force-unsafe-io\n' >/etc/dpkg/dpkg.cfg.d/lab
