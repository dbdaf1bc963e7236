#!/usr/bin/env bash
# Makes the reference of the public names from their comments: build/docs/html/index.html.
# Fails where a public name has no comment, or a comment names what is not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/apt_install.sh
apt_install doxygen
rm -rf build/docs
mkdir -p build
if ! doxygen cmake/Doxyfile; then
  echo "The comments of the public headers are not complete, see above." >&2
  exit 1
fi
echo "The reference is build/docs/html/index.html"
