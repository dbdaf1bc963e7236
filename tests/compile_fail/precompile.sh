#!/usr/bin/env bash
# precompile.sh DIRECTORY COMPILER [FLAG...]: the library's headers for check.sh, which else parses them anew for
# each case.
set -euo pipefail
directory=$1
shift
mkdir -p "$directory"
printf '#include <%s>\n' lazywriter/lazy_writer_cache.hpp lazywriter/no_op_reader_writer.hpp >"$directory/core.hpp"
printf '#include <%s>\n' lazywriter/pqxx_reader_writer.hpp >"$directory/pg.hpp"
for kind in core ${WITH_PQXX:+pg}; do
  "$@" -x c++-header "$directory/$kind.hpp" -o "$directory/$kind.hpp.gch"
done
