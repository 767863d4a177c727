#!/bin/sh
# Runs Redis in the foreground: start.sh DATA PORT CREDENTIALS. The settings come through a pipe, so the password stands
# in no argument, no environment and no second file.
set -eu
data=$1
port=$2
credentials=$3
# Quotes and backslashes of a password that somebody else chose keep their meaning.
password=$(sed 's/["\\]/\\&/g' "$credentials/REDIS_PASSWORD")
exec /usr/bin/redis-server - <<END
bind 127.0.0.1
port $port
dir "$data"
requirepass "$password"
daemonize no
logfile ""
loglevel notice
appendonly yes
appendfsync everysec
maxmemory 64mb
maxmemory-policy noeviction
maxclients 64
enable-debug-command no
END
