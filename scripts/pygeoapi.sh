#!/bin/sh
# pygeoapi, a server of OGC API Processes: the peer that jobs of the kind `ogc_process` are tested with.
#
#   scripts/pygeoapi.sh          target/pygeoapi; prints its directory
exec "$(dirname "$0")/venv.sh" pygeoapi 0.21.0
