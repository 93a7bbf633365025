#!/bin/sh
# Make the site at the first start, then run the given fate_flow command on it.
set -eu

# A container is reached through its published ports, so it binds all addresses; settings that
# make this safe are for the user to give: USE_AUTHENTICATION, or, behind a published loopback
# port as in docker-compose.yml, ALLOW_PUBLIC_WITHOUT_AUTHENTICATION.
: "${FATE_FLOW__IP:=0.0.0.0}"
export FATE_FLOW__IP

if [ ! -e "$FATE_FLOW_HOME/fate_flow.yaml" ]; then
    fate_flow init
fi
exec fate_flow "$@"
