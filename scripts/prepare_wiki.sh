#!/usr/bin/env bash
# scripts/prepare_wiki.sh [--dump FILE] [FOLDER]: builds a text corpus and its tokenizer in FOLDER (data/wiki in the clone):
#   train.jsonl, validation.jsonl   {"title": ..., "text": ...}, one article a line; no article is in both
#   tokenizer/                      byte-level BPE of 8,192 tokens, trained on train.jsonl
#   LICENSE                         whose the text is: CC BY-SA, so it is built here and never committed
#   SHA256SUMS                      written last; while it holds, there is nothing to do
# The articles are those of the Wikipedia excerpt in the `gensim` wheel, downloaded once into the per-user cache (TITAN_CACHE moves
# it), or those of another MediaWiki dump (.xml.bz2) that --dump names.
set -euo pipefail
scripts="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

usage() {
  sed -n '2,/^set/{s/^# \?//p}' "${BASH_SOURCE[0]}"
}

folder=""
dump=""
while (($#)); do
  case "$1" in
    --dump=*) dump="${1#--dump=}" ;;
    --dump)
      dump="${2:-}"
      [[ $# -gt 1 ]] && shift
      ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *)
      if [[ -n "$folder" ]]; then
        usage >&2
        exit 2
      fi
      folder="$1"
      ;;
  esac
  shift
done
folder="${folder:-$scripts/../data/wiki}"
if [[ -n "$dump" && ! -r "$dump" ]]; then
  echo "prepare_wiki: cannot read the dump $dump" >&2
  exit 1
fi

# Changes with whatever the result depends on.
recipe="$(cat "$scripts/prepare_wiki.py" "$scripts/wiki_markup.py" ${dump:+"$dump"} | sha256sum)"
recipe="# recipe ${recipe%% *}"
if [[ -r "$folder/SHA256SUMS" && "$(head -n 1 "$folder/SHA256SUMS")" == "$recipe" ]] &&
  (cd "$folder" && sha256sum --check --status SHA256SUMS 2>/dev/null); then
  echo "prepare_wiki: $(realpath "$folder") is complete" >&2
  exit 0
fi

"$scripts/bootstrap.sh" --tests
exec "$("$scripts/bootstrap.sh" --print-python)" "$scripts/prepare_wiki.py" \
  --cache "$("$scripts/bootstrap.sh" --print-cache)" --recipe "$recipe" --dump "$dump" "$folder"
