#!/bin/sh
# Under kernel/, unsafe code stands in the stub, platform and host-call crates only, and every block is argued
# (clippy's undocumented_unsafe_blocks sees to the argument).
. "$(dirname "$0")/lib.sh"
found=$(grep -rlE --include='*.rs' 'unsafe (\{|fn|impl|extern)|allow\(unsafe_code' kernel |
    grep -vE '^kernel/(stub|platform|hostcall)/' || true)
if [ -n "$found" ]; then
    echo "unsafe code outside of kernel/{stub,platform,hostcall}:" >&2
    echo "$found" >&2
    exit 1
fi
