#!/bin/sh
# Starts a container of doorward-redis: `redis-start.sh redis` or `redis-start.sh sentinel`.
#
# No file names the master: the Sentinels do. When none of them knows one, this is the very first start, and the first pod
# becomes master. Nothing is kept on disk: Redis is a cache, and doorward works without it.
set -eu
umask 077
what=$1
me=$HOSTNAME.$SERVICE
folder=$DATA/$what
mkdir -p "$folder"

secret() { tr -d '\r\n' <"$SECRETS/$1"; }
digest() { secret "$1" | sha256sum | cut -d ' ' -f 1; }

pods() {
    n=0
    while [ "$n" -lt "$REPLICAS" ]; do
        echo "$SERVICE-$n.$SERVICE"
        n=$((n + 1))
    done
}

# Prints the master that the other Sentinels name, or nothing.
known() {
    for pod in $(pods); do
        [ "$pod" != "$me" ] || continue
        answer=$(REDISCLI_AUTH=$(secret peers-password) timeout 2 redis-cli --user peers -h "$pod" -p 26379 \
            sentinel get-master-addr-by-name main 2>/dev/null | head -n 1) || continue
        case "$answer" in
            "$SERVICE"-*) echo "$answer" && return ;;
        esac
    done
}

redis() {
    # A master that comes back empty would empty its replicas. So the Sentinels get time to elect one that still has the
    # data.
    master=$(known)
    waited=0
    while [ "$master" = "$me" ] && [ "$waited" -lt 20 ]; do
        sleep 1
        waited=$((waited + 1))
        master=$(known)
    done
    [ -n "$master" ] || master=$SERVICE-0.$SERVICE
    {
        echo "dir $folder"
        echo "protected-mode no"
        echo "save \"\""
        echo "appendonly no"
        echo "repl-diskless-sync yes"
        echo "maxmemory $MAXMEMORY"
        # When full, Redis evicts the keys nearest to their expiry; doorward looks these up in the vault.
        echo "maxmemory-policy volatile-ttl"
        echo "replica-announce-ip $me"
        echo "masteruser peers"
        echo "masterauth $(secret peers-password)"
        # No access without a password, and only the commands that each user needs.
        echo "user default off"
        echo "user doorward on #$(digest password) ~dw:* +get +set +pexpire +del +ping +info +role +config|get"
        echo "user peers on #$(digest peers-password) allchannels +psync +replconf +ping +multi +exec +slaveof" \
            "+subscribe +publish +config|rewrite +role +info +client|setname +client|kill +script|kill"
        echo "user probe on nopass +ping +role"
        [ "$master" = "$me" ] || echo "replicaof $master 6379"
    } >"$folder/redis.conf"
    exec redis-server "$folder/redis.conf"
}

sentinel() {
    # A restarted container keeps its configuration; a new pod learns it from the others.
    if [ ! -s "$folder/sentinel.conf" ]; then
        master=$(known)
        [ -n "$master" ] || master=$SERVICE-0.$SERVICE
        # Sentinel would exit on a name that does not resolve yet.
        until getent hosts "$master" >/dev/null; do sleep 1; done
        {
            echo "dir $folder"
            echo "port 26379"
            echo "protected-mode no"
            # Names, since the addresses of pods change.
            echo "sentinel resolve-hostnames yes"
            echo "sentinel announce-hostnames yes"
            echo "sentinel announce-ip $me"
            # A stable id per pod name: otherwise each replaced pod would count as lost for ever, until there is no
            # majority.
            echo "sentinel myid $(printf %s "$me" | sha1sum | cut -d ' ' -f 1)"
            echo "sentinel monitor main $master 6379 2"
            echo "sentinel down-after-milliseconds main 5000"
            echo "sentinel failover-timeout main 30000"
            echo "sentinel parallel-syncs main 1"
            echo "sentinel auth-user main peers"
            echo "sentinel auth-pass main $(secret peers-password)"
            echo "sentinel sentinel-user peers"
            echo "sentinel sentinel-pass $(secret peers-password)"
            echo "user default off"
            echo "user doorward on #$(digest password) +ping +sentinel|master +sentinel|get-master-addr-by-name"
            echo "user peers on #$(digest peers-password) allchannels +ping +hello +info +role +publish +subscribe" \
                "+client|setname +sentinel"
            echo "user probe on nopass +ping"
        } >"$folder/draft.conf"
        mv "$folder/draft.conf" "$folder/sentinel.conf"
    fi
    exec redis-server "$folder/sentinel.conf" --sentinel
}

case $what in
    redis | sentinel) "$what" ;;
    *) echo "say redis or sentinel, not $what" >&2 && exit 2 ;;
esac
