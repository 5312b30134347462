#!/bin/sh
# Chromium, Firefox and a Chinese font for the tests of the page, out of the system's packages
# where this user may install them. Without one its tests are skipped, so nothing here fails.
missing=""
have() {
    for name in "$@"; do
        command -v "$name" >/dev/null && return 0
    done
    return 1
}
have chromium chromium-browser google-chrome || missing="$missing chromium"
have firefox-esr firefox || missing="$missing firefox-esr"
[ -n "$(fc-list :lang=zh 2>/dev/null)" ] || missing="$missing fontconfig fonts-noto-cjk"
[ -z "$missing" ] && exit 0
install() {
    # One list, to be split into its words.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive timeout 300 \
        apt-get install --yes --no-install-recommends $missing >/dev/null 2>&1
}
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install && exit 0
    timeout 120 apt-get update >/dev/null 2>&1 && install && exit 0
fi
echo "not found:$missing: the tests of the page that need it will be skipped"
