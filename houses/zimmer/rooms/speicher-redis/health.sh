#!/bin/sh
# Asks Redis for a PONG with the password: health.sh PORT CREDENTIALS. The password goes through the pipe.
set -eu
password=$(sed 's/["\\]/\\&/g' "$2/REDIS_PASSWORD")
answer=$(printf 'AUTH "%s"\nPING\n' "$password" | /usr/bin/redis-cli -h 127.0.0.1 -p "$1")
case $answer in
    *PONG*) ;;
    *) echo "Redis answered something else than PONG" >&2; exit 1 ;;
esac
