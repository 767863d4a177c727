# Keeps one host powered: boots it, and boots it again when it asked for a reboot (systemd-nspawn then ends with 133).
# $1: the host's control groups, with spaces between; the rest: how to boot it.
groups=$1
shift
boot=0
for group in $groups; do echo $$ >"$group/keeper/cgroup.procs"; done
while :; do
  boot=$((boot + 1))
  # A group of its own for every boot: the last one has controllers enabled below it and takes no process any more.
  for group in $groups; do
    mkdir -p "$group/boot-$boot"
    find "$group/boot-$((boot - 1))" -depth -type d -exec rmdir {} + 2>/dev/null
  done
  sh -c 'for group in $0; do echo $$ >"$group/'"boot-$boot"'/cgroup.procs"; done; exec "$@"' "$groups" "$@"
  ended=$?
  echo "keeper: boot $boot ended with $ended"
  [ $ended -eq 133 ] || exit $ended
done
