#!/bin/sh
# moto, a server that speaks S3: backups into a bucket are tested with it.
#
#   scripts/moto.sh          target/moto; prints its directory
exec "$(dirname "$0")/venv.sh" moto 5.1.4 'moto[s3,server]'
