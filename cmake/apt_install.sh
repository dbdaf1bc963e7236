# Sourced by the scripts that install what they need: apt_install PACKAGE...
#
# Installs what is missing with apt, as root or by a sudo that asks for nothing; otherwise it says which
# packages are missing and ends the script. Never prompts. A name that begins with ? is left out where the
# distribution has no such package.

apt_install() {
  local package missing=() as_root=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is not a Debian or Ubuntu system: nothing is installed. What is needed there: $*" >&2
    return 0
  fi
  for package in "$@"; do
    if [[ $(dpkg-query -W -f='${db:Status-Status}' "${package#\?}" 2>/dev/null) != installed ]]; then
      missing+=("$package")
    fi
  done
  if [[ ${#missing[@]} -eq 0 ]]; then return 0; fi

  if [[ $(id -u) != 0 ]]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      echo "Missing packages, and no right to install them. As root:" >&2
      echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
  fi

  echo "Installing: ${missing[*]}"
  # The package postgresql would create and start a cluster of the system's own.
  local no_cluster=
  if [[ " ${missing[*]} " == *" postgresql"* && ! -e /etc/postgresql-common/createcluster.d/lazywriter.conf ]]; then
    no_cluster=/etc/postgresql-common/createcluster.d/lazywriter.conf
    "${as_root[@]}" mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$no_cluster" >/dev/null
  fi
  local options=(-q -y --no-install-recommends
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
  local status=0 wanted=()
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update </dev/null >/dev/null ||
    echo "apt-get update failed; going on with the package lists that are there" >&2
  for package in "${missing[@]}"; do
    if [[ $package != \?* ]]; then
      wanted+=("$package")
    elif [[ -n $(apt-cache show "${package#\?}" 2>/dev/null) ]]; then
      wanted+=("${package#\?}")
    fi
  done
  if [[ ${#wanted[@]} -gt 0 ]]; then
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "${wanted[@]}" \
      </dev/null >/dev/null || status=$?
  fi
  if [[ -n $no_cluster ]]; then
    "${as_root[@]}" rm -f "$no_cluster"
  fi
  if [[ $status -ne 0 ]]; then
    echo "Could not install: ${missing[*]}" >&2
    exit 1
  fi
}

# The Debian package of a compiler: c++ and g++ -> g++, g++-13 -> g++-13, clang++-14 -> clang-14.
compiler_packages() {
  case ${1##*/} in
    c++ | g++) echo g++ ;;
    g++-*) echo "${1##*/}" ;;
    clang++) echo "clang ?libclang-rt-dev" ;;
    clang++-*) echo "clang-${1##*clang++-} ?libclang-rt-${1##*clang++-}-dev" ;;
  esac
}
