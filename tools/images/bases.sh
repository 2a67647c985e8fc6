#!/bin/bash
# Makes the images that the Dockerfile's FROM lines name, under these names, from packages of Debian and npm, so that the
# unchanged Dockerfile builds where no image registry is reached. Debian's come from where this machine's apt gets them; no
# host's name stays in an image. Needs root.
#   bases.sh WORK-FOLDER DOCKERFILE
set -euo pipefail
work=$1 dockerfile=$2
node_version=24.21.0
case $(uname -m) in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) echo "no base for $(uname -m)" >&2 && exit 1 ;;
esac
mkdir -p "$work"
work=$(realpath "$work") dockerfile=$(realpath "$dockerfile")

mapfile -t bases < <(awk '$1 == "FROM" { if (!($2 in stage)) print $2; if ($3 == "AS") stage[$4] = 1 }' "$dockerfile" | sort -u)
for base in "${bases[@]}"; do
  case $base in
    gcr.io/distroless/static-debian12) runtime=$base ;;
    node:24-bookworm-slim) builder=$base ;;
    *) echo "the Dockerfile is built FROM $base, which $0 does not make" >&2 && exit 1 ;;
  esac
done

cd "$work"
if [ ! -x node/bin/node ]; then
  npm pack --silent "node-linux-$arch@$node_version" npm@11 > packed
  mkdir -p node npm
  tar xzf "$(sed -n 1p packed)" -C node --strip-components=1
  tar xzf "$(sed -n 2p packed)" -C npm --strip-components=1
  chmod 755 node/bin/node npm/bin/*.js
fi

# The builder: Debian's smallest system with a shell, Node and npm.
if [ ! -f builder.tar ]; then
  rm -f part-builder.tar # of a run that was killed
  sources=(/etc/apt/sources.list.d/debian.sources)
  [ -f "${sources[0]}" ] || sources=()
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,binutils \
    --customize-hook='rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin' \
    --customize-hook='chroot "$1" useradd --uid 1000 --user-group --create-home --shell /bin/bash node' \
    bookworm part-builder.tar "${sources[@]}"
  mv part-builder.tar builder.tar
fi
container=$(buildah from scratch)
buildah add --quiet "$container" builder.tar / > /dev/null
buildah add --quiet "$container" node/bin/node /usr/local/bin/node > /dev/null
buildah add --quiet "$container" npm /usr/local/lib/node_modules/npm > /dev/null
root=$(buildah mount "$container")
for name in npm npx; do ln -sf "../lib/node_modules/npm/bin/$name-cli.js" "$root/usr/local/bin/$name"; done
buildah umount "$container" > /dev/null
buildah config --cmd node --env NODE_VERSION="$node_version" "$container"
buildah commit --quiet --rm "$container" "docker.io/library/$builder" > /dev/null

# The runtime: the packages of distroless' static image, extracted: no shell, no package manager, no C library.
rm -rf runtime debs
mkdir -p runtime debs runtime/{tmp,root,home/nonroot,etc/ssl/certs,var/lib,proc,sys,dev}
chmod 777 debs
chmod 1777 runtime/tmp
(
  cd debs
  apt-get -qq download base-files netbase tzdata media-types ca-certificates 2> log || { cat log >&2 && exit 1; }
)
for deb in debs/*.deb; do dpkg -x "$deb" runtime; done
rm -rf runtime/usr/share/{doc,man,locale} runtime/usr/bin runtime/usr/sbin runtime/etc/apt
cat runtime/usr/share/ca-certificates/mozilla/*.crt > runtime/etc/ssl/certs/ca-certificates.crt
printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' > runtime/etc/passwd
printf 'root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n' > runtime/etc/group
container=$(buildah from scratch)
buildah add --quiet "$container" runtime / > /dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
  --workingdir / "$container"
buildah commit --quiet --rm "$container" "$runtime" > /dev/null
