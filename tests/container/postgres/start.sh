#!/bin/sh
# The variables of the public image: POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB. A command is run
# instead of the server, such as psql.
set -eu
[ $# -eq 0 ] || exec "$@"
user=${POSTGRES_USER:-postgres}
data=/var/lib/postgresql/data
echo "$POSTGRES_PASSWORD" > /var/lib/postgresql/password
initdb --pgdata="$data" --username="$user" --auth=scram-sha-256 \
    --pwfile=/var/lib/postgresql/password --locale=C.UTF-8 --no-sync > /dev/null
echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
if [ "${POSTGRES_DB:-$user}" != postgres ]; then
    echo "create database ${POSTGRES_DB:-$user}" | postgres --single -D "$data" postgres > /dev/null
fi
exec postgres -D "$data" -c 'listen_addresses=*' -c fsync=off -c unix_socket_directories=/tmp
