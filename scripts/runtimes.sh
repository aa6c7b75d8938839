#!/usr/bin/env bash
# Runs a command with the other runtimes that the TypeScript client promises to work on: the oldest Node, Bun, Deno and workerd (of
# edge runtimes), in these versions, from npm. They stay below .tools. On Linux, x64 and arm64.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
node=18.20.8 bun=1.4.5 deno=2.9.6 workerd=1.20261117.1
case $(uname -m) in
  x86_64) cpu=x64 bun_cpu=x64 workerd_cpu=64 ;;
  aarch64) cpu=arm64 bun_cpu=aarch64 workerd_cpu=arm64 ;;
  *) echo "runtimes.sh: no packages are known for $(uname -m); name the programs by COMMS_SDK_NODE18, COMMS_SDK_BUN, COMMS_SDK_DENO and COMMS_SDK_WORKERD" >&2 && exit 1 ;;
esac
into=$here/.tools/runtimes
mkdir -p "$into"
echo '{"private":true}' > "$into/package.json"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$into" "node-linux-$cpu@$node" "@oven/bun-linux-$bun_cpu@$bun" "@deno/linux-$cpu-glibc@$deno" \
  "@cloudflare/workerd-linux-$workerd_cpu@$workerd"
export COMMS_SDK_NODE18=$into/node_modules/node-linux-$cpu/bin/node
export COMMS_SDK_BUN=$into/node_modules/@oven/bun-linux-$bun_cpu/bin/bun
export COMMS_SDK_DENO=$into/node_modules/@deno/linux-$cpu-glibc/deno
export COMMS_SDK_WORKERD=$into/node_modules/@cloudflare/workerd-linux-$workerd_cpu/bin/workerd
chmod +x "$COMMS_SDK_NODE18" "$COMMS_SDK_BUN" "$COMMS_SDK_DENO" "$COMMS_SDK_WORKERD"
"$@"
