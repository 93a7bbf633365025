#!/bin/sh
# Make the site at the first start, then run the given fate_flow command on it.
#
# FATE_FLOW_PARTIES    parties hosted here, with blanks between: "guest:9999 arbiter:10000";
#                      empty: all, a standalone site
# FATE_FLOW_SITE_NAME  what the site calls itself to others; given, or with parties, the site
#                      makes its certificates at the first start
set -eu

# A container is reached through its published ports, so it binds all addresses; settings that
# make this safe are for the user to give: USE_AUTHENTICATION, or, behind a published loopback
# port as in docker-compose.yml, ALLOW_PUBLIC_WITHOUT_AUTHENTICATION.
: "${FATE_FLOW__IP:=0.0.0.0}"
export FATE_FLOW__IP

make_site() {
    set --
    for party in ${FATE_FLOW_PARTIES:-}; do
        set -- "$@" --party "$party"
    done
    if [ -n "${FATE_FLOW_SITE_NAME:-}" ]; then
        set -- "$@" --name "$FATE_FLOW_SITE_NAME"
    fi
    fate_flow init "$@"
}

if [ ! -e "$FATE_FLOW_HOME/fate_flow.yaml" ]; then
    make_site
fi
exec fate_flow "$@"
