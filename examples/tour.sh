#!/usr/bin/env bash
# The five-minute tour with curl.   HEDDLE_ADMIN_KEY=ak_live_… bash examples/tour.sh
set -euo pipefail
URL=${HEDDLE_URL:-http://127.0.0.1:8787}
field() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/"; }
post() { curl -sSf "$URL$1" -H "x-api-key: $2" -H "content-type: application/json" -d "$3"; }

echo "# A key for one end user, capped at 50 cents"
KEY=$(post /v1/keys "$HEDDLE_ADMIN_KEY" \
  '{"name":"tour","scope":"standard","max_spend_usd":0.5,"end_user_id":"user_1"}' | field secret)

echo "# A model call, in Anthropic's dialect"
post /v1/messages "$KEY" \
  '{"model":"sim-small","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}'; echo

echo "# The same in OpenAI's"
post /v1/chat/completions "$KEY" '{"model":"sim-small","messages":[{"role":"user","content":"Hello"}]}'; echo

echo "# A thread keeps the conversation; its turn streams"
THREAD=$(post /v1/threads "$KEY" '{}' | sed -E 's/^\{"id":"([^"]*)".*/\1/')
curl -sSfN "$URL/v1/threads/$THREAD/messages" -H "x-api-key: $KEY" \
  -d '{"model":"sim-small","content":"Remember the number 7","stream":true}'
curl -sSf "$URL/v1/threads/$THREAD/messages" -H "x-api-key: $KEY"; echo

echo "# What it cost"
curl -sSf "$URL/v1/usage" -H "x-api-key: $HEDDLE_ADMIN_KEY"; echo
curl -sSf "$URL/v1/billing/balance" -H "x-api-key: $HEDDLE_ADMIN_KEY"; echo
