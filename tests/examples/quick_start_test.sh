#!/usr/bin/env bash
# The examples that need no server run and say what README says.
set -euo pipefail
examples=${LAZYWRITER_BINARY_DIR:?the build directory}/examples
# ThreadSanitizer of older compilers needs fixed addresses; elsewhere this changes nothing.
run() { if setarch -R true 2>/dev/null; then setarch -R "$@"; else "$@"; fi; }
fail() { echo "quick_start_test: $*" >&2 && exit 1; }

[[ $(run "$examples/quick_start") == $'ann has 15\nrows written: 1' ]] || fail "quick_start says something else"

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
output=$(run "$examples/custom_reader_writer" "$directory/notes")
[[ $output == *$'bread\nmilk' ]] || fail "custom_reader_writer did not find its note again"
[[ $(ls "$directory/notes") == $'%53hopping.note\na%2fb%3a%20odd%20titles%20are%20fine.note' ]] ||
  fail "custom_reader_writer wrote other files: $(ls "$directory/notes")"
status=0
run "$examples/custom_reader_writer" /dev/null/notes 2>"$directory/errors" || status=$?
[[ $status -eq 1 && $(wc -l <"$directory/errors") -eq 1 ]] ||
  fail "a directory that cannot be: status $status, $(cat "$directory/errors")"
