#!/bin/sh
# Plants the deliberate bugs of planted.rs into a copy of the tree, builds that once, and says for each bug after how many
# histories it is found. ONLY is a part of the names of the bugs that are tried, SEEDS how many histories each gets, FROM
# where they begin, REPORT=1 to see the first one taken apart.
set -eu
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
target=$(pwd)/${CARGO_TARGET_DIR:-target}
copy=$target/planted
mkdir -p "$copy"
# What has changed here since it was copied is copied again.
git ls-files -z | xargs -0 cp --parents --update --target-directory "$copy"
bugs=$(PLANT=$copy $cargo test --quiet $SOAK_PROFILE --test soak -- --ignored --nocapture plant | sed -n 's/^bug: //p')
# Another profile in name only: cargo would take the sound build for this one.
other="--config profile.dev.package.vexil.codegen-units=255"
binary=$(cd "$copy" && $cargo test $SOAK_PROFILE $other --target-dir "$target" --test soak --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*soak-[^"]*\)".*/\1/p')
[ -n "${REPORT:-}" ] || export NOREPORT=1
echo "$bugs" | grep -F -e "${ONLY:-}" | while read -r bug; do
    echo "== $bug"
    PLANTED=$bug FIRST=1 FROM=${FROM:-2001} SEEDS=${SEEDS:-100} \
        "$binary" --nocapture histories 2>/dev/null </dev/null | grep -e '^seed ' -e ' histories with ' || true
done
