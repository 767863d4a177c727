#!/bin/sh
# Makes the database cluster once: prepare.sh DATA CREDENTIALS. Passwords travel from file to file or through a pipe,
# never through an argument or the environment, where other processes could read them. Only the first start reads them:
# afterwards the roles have their passwords in the cluster, and a rotation changes them there.
set -eu
cluster=$1/cluster
credentials=$2
. ./programs.sh

if [ -s "$cluster/PG_VERSION" ]; then
    echo "the cluster is already there"
    exit 0
fi

# Made beside and moved at the end, so that an interrupted first start leaves no half cluster behind.
new=$1/cluster.new
rm -rf "$new"
"$bin/initdb" --pgdata="$new" --username=archiv --pwfile="$credentials/ARCHIV_PASSWORD" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null

# A password as an SQL literal. printf and the redirections belong to the shell itself, no process is started with it.
literal() {
    printf "'%s'" "$(sed "s/'/''/g" "$1")"
}

{
    printf 'CREATE ROLE zimmer LOGIN CONNECTION LIMIT 20 PASSWORD %s;\n' "$(literal "$credentials/ZIMMER_PASSWORD")"
    printf 'CREATE ROLE leser LOGIN CONNECTION LIMIT 5 PASSWORD %s;\n' "$(literal "$credentials/LESER_PASSWORD")"
    echo 'ALTER ROLE leser SET default_transaction_read_only = on;'
    echo 'GRANT pg_read_all_data TO leser;'
    echo 'CREATE DATABASE zimmer OWNER zimmer;'
    echo 'REVOKE ALL ON DATABASE zimmer FROM PUBLIC;'
    echo 'GRANT CONNECT ON DATABASE zimmer TO leser;'
} | "$bin/postgres" --single -D "$new" -c exit_on_error=on -c log_min_error_statement=panic \
    -c log_min_messages=fatal postgres >/dev/null

mv "$new" "$cluster"
echo "the cluster has been made"
