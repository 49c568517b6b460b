#!/bin/sh
# Buckets and identities; running it again changes nothing. The alias `stack` comes from MC_HOST_stack.
set -eu

mc mb --ignore-existing stack/fraud-platform stack/oracle-store

grant() {
  mc admin policy create stack "$1" "/stack/policies/$1.json"
  mc admin user add stack "$2" "$3"
  # Attaching a policy that is attached already is an error.
  case $(mc admin user info stack "$2") in
    *"$1"*) ;;
    *) mc admin policy attach stack "$1" --user "$2" ;;
  esac
}
grant platform-runtime "$S3_ACCESS_KEY" "$S3_SECRET_KEY"
grant oracle-writer "$ORACLE_S3_ACCESS_KEY" "$ORACLE_S3_SECRET_KEY"
