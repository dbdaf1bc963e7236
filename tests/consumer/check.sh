#!/usr/bin/env bash
# check.sh WAY WORK_DIRECTORY: comes to the library in one way, as a program outside of this repository
# would, in a clean directory. Needs CXX and CMAKE_COMMAND.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
project=$source/tests/consumer/project
way=$1
stage=$2/installed  # what `stage` installs, for the other ways
package=$2/package
work=$2/$way
rm -rf "$work"
mkdir -p "$work"
cd "$work"
# As the one header that holds it says.
version=$(sed -n 's/^#define LAZYWRITER_VERSION_[A-Z]* //p' "$source/include/lazywriter/version.hpp" | paste -sd .)
# The whole program is compiled once as a package and once as a copy: that takes longer than all else here.
brief=ON
case $way in find_package | find_package_pqxx | copied_headers | copied_headers_pqxx) brief=OFF ;; esac
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

expect_output() {  # the program's last line
  local output
  output=$("$@" 2>&1) || { echo "$output" && return 1; }
  [[ ${output##*$'\n'} == "lazywriter 1 works" ]] || { echo "unexpected output: $output" && return 1; }
}
build_and_run() {  # cmake arguments
  "$CMAKE_COMMAND" -S "$project" -B build -DCMAKE_CXX_COMPILER="$CXX" -DBRIEFLY=$brief "$@"
  "$CMAKE_COMMAND" --build build
  expect_output ./build/consumer
}
refused() {  # refused REGEX cmake arguments: configuring fails and says so
  local expected=$1 output
  shift
  rm -rf build
  if output=$("$CMAKE_COMMAND" -S "$project" -B build -DCMAKE_CXX_COMPILER="$CXX" "$@" 2>&1); then
    echo "accepted, but should be refused with: $expected" && return 1
  fi
  # CMake breaks lines where it likes
  tr -s ' \n' ' ' <<<"$output" | grep -qE -- "$expected" || { echo "$output" && echo "does not say: $expected" && return 1; }
}
compile_and_run() {  # compiler arguments
  if [[ $brief == ON ]]; then set -- -DBRIEFLY "$@"; fi
  "$CXX" -std=c++20 "${warnings[@]}" "$@" -o consumer
  expect_output ./consumer
}

case $way in
  stage)
    # Only the library is configured; the prefix is moved afterwards, as packages may be.
    "$CMAKE_COMMAND" -S "$source" -B build -DCMAKE_CXX_COMPILER="$CXX" -DLAZYWRITER_BUILD_TESTS=OFF \
      -DLAZYWRITER_BUILD_EXAMPLES=OFF -DLAZYWRITER_BUILD_BENCH=OFF -DLAZYWRITER_PQXX=OFF
    "$CMAKE_COMMAND" --install build --prefix "$work/first_place"
    mv first_place "$stage.new"
    rm -rf "$stage"
    mv "$stage.new" "$stage"
    rm -rf "$package"
    (cd build && "${CMAKE_COMMAND%cmake}cpack" -G DEB -B "$package")
    # Every header is installed, and no other file is.
    diff <(cd "$source/include" && find . -type f | sort) <(cd "$stage/include" && find . -type f | sort)
    ;;
  find_package) build_and_run -DCMAKE_PREFIX_PATH="$stage" -DWANTED_VERSION=1 -DWANTED_COMPONENTS=core ;;
  find_package_plain) build_and_run -DCMAKE_PREFIX_PATH="$stage" ;;
  find_package_pqxx)
    build_and_run -DCMAKE_PREFIX_PATH="$stage" -DWANTED_COMPONENTS="core;pqxx" -DPROGRAM=pqxx
    ;;
  find_package_without_pqxx)
    build_and_run -DCMAKE_PREFIX_PATH="$stage" -DCMAKE_DISABLE_FIND_PACKAGE_PQXX=ON
    refused "component pqxx needs libpqxx.*install libpqxx-dev" \
      -DCMAKE_PREFIX_PATH="$stage" -DCMAKE_DISABLE_FIND_PACKAGE_PQXX=ON -DWANTED_COMPONENTS=pqxx
    ;;
  wrong_version)
    for version in 0.9 2 2.0.0 1.999; do
      refused "requested version \"$version\"" -DCMAKE_PREFIX_PATH="$stage" -DWANTED_VERSION=$version
    done
    ;;
  unknown_component)
    refused "There is no component mysql; there are core and pqxx" \
      -DCMAKE_PREFIX_PATH="$stage" -DWANTED_COMPONENTS=mysql
    ;;
  add_subdirectory | fetch_content)
    build_and_run -DWAY="$way" -DLAZYWRITER_SOURCE="$source"
    # Nothing of the library is built, tested or installed with the project.
    "$CMAKE_COMMAND" --install build --prefix "$work/prefix"
    [[ ! -e $work/prefix ]]
    [[ -z $(find build -name CTestTestfile.cmake -o -name '*.o' ! -name 'core.cpp.o') ]]
    if grep -E '^(GTest|benchmark)_DIR' build/CMakeCache.txt; then exit 1; fi
    ;;
  add_subdirectory_installed | add_subdirectory_installed_pqxx)
    # For a project that exports targets which link to the library.
    program=core target=lazywriter::lazywriter
    if [[ $way == *_pqxx ]]; then program=pqxx target=lazywriter::pqxx; fi
    build_and_run -DWAY=add_subdirectory -DLAZYWRITER_SOURCE="$source" -DLAZYWRITER_INSTALL=ON \
      -DINSTALL_LIBRARY=ON -DPROGRAM=$program
    "$CMAKE_COMMAND" --install build --prefix "$work/prefix"
    grep -q "$target" prefix/share/wrapper/wrapper.cmake
    rm -rf build
    build_and_run -DCMAKE_PREFIX_PATH="$work/prefix" -DWAY=find_package -DPROGRAM=$program
    ;;
  add_subdirectory_pqxx | fetch_content_pqxx)
    build_and_run -DWAY="${way%_pqxx}" -DLAZYWRITER_SOURCE="$source" -DPROGRAM=pqxx
    ;;
  pkg_config)
    export PKG_CONFIG_PATH=$stage/share/pkgconfig
    [[ $(pkg-config --print-errors --modversion lazywriter) == "$version" ]]
    if pkg-config --exists "lazywriter >= 2"; then exit 1; fi
    read -ra flags <<<"$(pkg-config --cflags --libs lazywriter)"
    compile_and_run "$project/core.cpp" "${flags[@]}"
    ;;
  pkg_config_pqxx)
    export PKG_CONFIG_PATH=$stage/share/pkgconfig
    # libpqxx 6 warns under these flags: its headers are taken as the system's.
    read -ra flags <<<"$(pkg-config --cflags --libs lazywriter-pqxx)"
    compile_and_run "$project/pqxx.cpp" "${flags[@]}"
    ;;
  copied_headers)
    cp -r "$source/include" copied
    compile_and_run "$project/core.cpp" -Icopied -pthread
    ;;
  copied_headers_pqxx)
    cp -r "$source/include" copied
    read -ra flags <<<"$(pkg-config --cflags --libs libpqxx libpq)"
    compile_and_run "$project/pqxx.cpp" -Icopied -pthread "${flags[@]}"
    ;;
  debian_package)
    dpkg-deb --info "$package/liblazywriter-dev_${version}_all.deb"
    dpkg-deb --extract "$package"/liblazywriter-dev_*_all.deb root
    [[ -s root/usr/share/doc/liblazywriter-dev/copyright ]]
    build_and_run -DCMAKE_PREFIX_PATH="$work/root/usr"
    export PKG_CONFIG_PATH=$work/root/usr/share/pkgconfig
    read -ra flags <<<"$(pkg-config --cflags --libs lazywriter)"
    compile_and_run "$project/core.cpp" "${flags[@]}"
    ;;
  warnings)  # all headers as a user's own, by the compiler and standard of the environment
    (cd "$source/include" && find . -name '*.hpp') | sed 's|^\./\(.*\)|#include <\1>|' >all.cpp
    if [[ ! -e /usr/include/pqxx/pqxx ]]; then sed -i '/pqxx/d' all.cpp; fi
    "$CXX" "-std=$STANDARD" "${warnings[@]}" -I"$source/include" -isystem /usr/include/postgresql -fsyntax-only all.cpp
    ;;
  *)
    echo "unknown way: $way" && exit 64
    ;;
esac
