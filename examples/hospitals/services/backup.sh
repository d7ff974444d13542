#!/bin/sh
# Back up the server: backup.sh STATE_FOLDER BACKUP_FOLDER
#
# STATE_FOLDER has superlink.db and output/. A new folder, named by the time, is made in
# BACKUP_FOLDER. It may run while a run goes on.
set -eu
umask 077

from=$1
to=$2/$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$2"
mkdir "$to"

# The database changes all the time: SQLite copies it as of one moment.
python3 - "$from/superlink.db" "$to/superlink.db" <<'PYTHON'
import sqlite3
import sys

source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
copy = sqlite3.connect(sys.argv[2])
with source, copy:
    source.backup(copy)
PYTHON

# state.json names the arrays that belong to it. If a round has ended while they were
# copied, they are copied again.
while :; do
    cp "$from/output/state.json" "$to/state.json"
    rm -f "$to"/state.json.arrays-*
    find "$from/output" -name 'state.json.arrays-*' -exec cp {} "$to" \; || :
    cp "$from/output/model.pt" "$to"
    cmp -s "$from/output/state.json" "$to/state.json" && break
done

# Last, so that it has at least the rounds that the state has.
cp "$from/output/audit.jsonl" "$from/output/rounds.jsonl" "$to"

# What was copied can be read back.
(cd "$to" && sha256sum -- * > SHA256SUMS && sha256sum --quiet --check SHA256SUMS)
echo "$to"
