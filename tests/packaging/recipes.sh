#!/usr/bin/env bash
# Checks what packaging/ says against the repository: versions, checksums, and that every option exists.
# The Buildroot package is read by make, with a stand-in for Buildroot; its options and the Yocto recipe's
# configure a build, as those systems would.
#   recipes.sh SOURCE_DIRECTORY
set -euo pipefail
cd "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
say() { echo "$1"; bad=1; }

version=$(sed -nE 's/^project\(nibble VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
recipe=packaging/yocto/recipes-ai/nibble/nibble_$version.bb
mk=packaging/buildroot/package/nibble/nibble.mk
[[ -f $recipe ]] || say "there is no $recipe"

# Yocto. Every line is blank, a comment, an inherit or a quoted assignment.
for file in "$recipe" packaging/yocto/conf/layer.conf; do
  grep -nvE '^($|#|inherit [a-z ]+$|[A-Z][A-Za-z_]*(:[a-z${}PN-]+|\[[a-z]+\])? (\??\??|[.+])= "[^"]*"$)' "$file" &&
    say "$file: these lines are no assignments"
done
md5=$(sed -nE 's/.*LICENSE;md5=([0-9a-f]+).*/\1/p' "$recipe")
[[ $md5 == $(md5sum <LICENSE | cut -d' ' -f1) ]] || say "$recipe has another checksum for LICENSE"
yocto=$(sed -nE 's/^EXTRA_OECMAKE = "(.*)"/\1/p' "$recipe")
yocto+=" $(sed -nE 's/^PACKAGECONFIG\[tools\] = "[^,]*,([^,]*),.*/\1/p' "$recipe")"

# Buildroot: cmake-package says what it was given.
cat >"$work/Makefile" <<'MAKE'
define cmake-package
$(info version $(NIBBLE_VERSION))$(info site $(NIBBLE_SITE))$(info license $(NIBBLE_LICENSE_FILES))
$(info options $(NIBBLE_CONF_OPTS))
endef
BR2_EXTERNAL_NIBBLE_PATH := $(TREE)
include $(TREE)/external.mk
all: ;
MAKE
read_mk=$(make -s -f "$work/Makefile" TREE="$PWD/packaging/buildroot" all)
field() { sed -nE "s/^$1 (.*)/\1/p" <<<"$read_mk"; }
[[ $(field version) == "$version" ]] || say "$mk is of version $(field version), not $version"
[[ $(field site) == "$PWD" ]] || say "$mk builds $(field site)"
(grep -v '^#' packaging/buildroot/package/nibble/nibble.hash | sed 's/^sha256  //' | sha256sum --quiet -c) ||
  say "nibble.hash has another checksum"
for option in $(grep -ohE 'BR2_EXTERNAL_[A-Z]+' -r packaging/buildroot | sort -u); do
  [[ $option == "BR2_EXTERNAL_$(sed -n 's/^name: //p' packaging/buildroot/external.desc)" ||
    $option == BR2_EXTERNAL_NIBBLE_PATH ]] || say "external.desc has another name than $option"
done
buildroot=$(field options)

# cmake warns of variables that nothing reads, and installs what the systems would pick up.
for system in yocto buildroot; do
  read -ra options <<<"${!system}"
  ((${#options[@]} >= 4)) || say "$system sets no options"
  if ! cmake -S . -B "$work/$system" -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_BUILD_TYPE=Release \
    "${options[@]}" >"$work/log" 2>&1; then
    cat "$work/log"
    say "$system: its options do not configure"
  elif grep -A4 'not used by the project' "$work/log"; then
    say "$system sets options that there are not"
  elif ninja -C "$work/$system" -t targets all | grep -E '^(nibblec|minimal|test_base): '; then
    say "$system builds more than the library"
  fi
done
exit $bad
