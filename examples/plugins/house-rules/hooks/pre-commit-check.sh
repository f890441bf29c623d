#!/bin/sh
# Asked before every shell command of the agent (PreToolUse, Bash). Standard input is the call as JSON. Exit code 2
# stops the command and shows the agent what stands on standard error; 0 lets it pass.
set -u

call=$(cat)
case $call in
  *'git commit'*) ;;
  *) exit 0 ;;
esac
top=$(git rev-parse --show-toplevel 2>/dev/null) && cd "$top" || exit 0

what=--cached
case $call in
  *'git add'* | *'commit -a'* | *'commit --all'*)
    if git rev-parse --verify --quiet HEAD >/dev/null; then what=HEAD; fi
    ;;
esac

added=$(git diff "$what" --unified=0 --no-color --no-ext-diff --diff-filter=ACM | sed -n -e '/^+++ /d' -e 's/^+//p')
limit=1048576
found=''

refuse() {
  found="$found
- $1"
}

if printf '%s\n' "$added" | grep -qE '^(<<<<<<<|>>>>>>>) '; then
  refuse 'A line is left over from a merge conflict: finish the merge, then stage the file again'
fi
if printf '%s\n' "$added" | grep -qE 'BEGIN [A-Z ]*PRIVATE KEY|(AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}'; then
  refuse 'There is what looks like a private key or an access token: take it out, and have it replaced if it is real'
fi
big=$(
  git -c core.quotePath=off diff "$what" --name-only --diff-filter=AM | while IFS= read -r file; do
    if [ -f "$file" ] && [ "$(wc -c <"$file")" -gt $limit ]; then printf '%s ' "$file"; fi
  done
)
if [ -n "$big" ]; then
  refuse "More than 1 MiB in one file: ${big}- keep it out of git, or ask whether it belongs there"
fi

[ -z "$found" ] && exit 0
printf 'house-rules stopped this commit:%s\n' "$found" >&2
exit 2
