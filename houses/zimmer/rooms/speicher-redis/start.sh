#!/bin/sh
# Runs Redis in the foreground: start.sh DATA PORT CREDENTIALS. The settings come through a pipe, so the password stands
# in no argument, no environment and no second file.
set -eu
data=$1
port=$2
credentials=$3

# A password as one word of a user's rules, in quotes; the sign in front adds it to those that the user already has.
# Quotes and backslashes of one that somebody else chose keep their meaning. An empty one would let everybody in, and a
# line break would begin another setting.
rule() {
    password=$(sed 's/["\\]/\\&/g' "$1") || return 1
    case $password in
        '' | *'
'*)
            echo "$1 is empty or has several lines: a Redis password is one line of text" >&2
            return 1
            ;;
    esac
    printf '">%s"' "$password"
}

passwords=$(rule "$credentials/REDIS_PASSWORD")
# While a rotation overlaps, clients may still log in with the previous password; a restart must not shut them out.
if [ -s "$credentials/REDIS_PASSWORD.previous" ]; then
    previous=$(rule "$credentials/REDIS_PASSWORD.previous")
    passwords="$passwords $previous"
fi

exec /usr/bin/redis-server - <<END
bind 127.0.0.1
port $port
dir "$data"
user default on $passwords ~* &* +@all
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
