# shellcheck shell=bash
# Gets the programs that the scripts beside this file need. Sourced, never run.

# need PROGRAM PACKAGE…: returns when PROGRAM is in PATH. Where it is not, installs it as install_package does.
need() {
  ! command -v "$1" >/dev/null || return 0
  install_package "$@"
  command -v "$1" >/dev/null || { echo "$(basename "$0"): $1 is still missing after an installation" >&2; exit 1; }
}

# install_package WHAT PACKAGE…: as root on a Debian-like machine, installs the first of the packages that it has. Elsewhere ends the
# script with a message that says what to install.
install_package() {
  local what=$1 package
  shift
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "$(basename "$0"): $what is missing; install it (Debian: sudo apt-get install -y $1)" >&2
    exit 1
  fi
  # The lists of a new machine are empty or old. A lock that another installation holds is waited for.
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update >&2 || { echo "$(basename "$0"): $what is missing, and apt-get update failed" >&2; exit 1; }
  for package in "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || continue
    echo "$(basename "$0"): $what is missing: installing $package" >&2
    if "${apt[@]}" install -y --no-install-recommends "$package" >&2; then return; fi
    break
  done
  echo "$(basename "$0"): cannot install $what ($*)" >&2
  exit 1
}
