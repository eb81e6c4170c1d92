#!/usr/bin/env bash
# The first steps of somebody new, with curl: sign up, verify, log in, make an agent, connect a number, and what ends a
# session. It shows each request and stops at the first answer that is not as it should be.
#
#   make run                      # in another terminal
#   docs/walk.sh                  # against http://127.0.0.1:3000, mails from data/mails
#   docs/walk.sh URL MAIL_FOLDER  # another server; the folder into which its mails fall, one file each
set -euo pipefail

url=${1:-http://127.0.0.1:3000}
mails=${2:-data/mails}
email="asha.$(date +%s).$$@clinic.example.org"
password="seven yellow buffaloes dance"
new_password="nine purple elephants sing"
number="+9180$(printf '%08d' $((RANDOM * 3000 + RANDOM % 3000)))"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ask STATUS METHOD PATH [JSON] [TOKEN]: sends it, expects the status, keeps the answer in $work/answer.
ask() {
    local want=$1 method=$2 path=$3 body=${4:-} token=${5:-} got
    local options=(-sS -o "$work/answer" -w '%{http_code}' -X "$method" --max-time 20)
    if [[ -n $body ]]; then options+=(-H 'Content-Type: application/json' --data "$body"); fi
    if [[ -n $token ]]; then options+=(-H "Authorization: Bearer $token"); fi
    got=$(curl "${options[@]}" "$url$path")
    printf '%-6s %-34s -> %s\n' "$method" "$path" "$got"
    if [[ $got != "$want" ]]; then
        printf 'expected %s; the answer was:\n%s\n' "$want" "$(cat "$work/answer")" >&2
        exit 1
    fi
}

# field NAME[.NAME…]: a field of the last answer.
field() {
    python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for name in sys.argv[2].split("."):
    value = value[name]
print(value)' "$work/answer" "$1"
}

# from_mail SUBJECT_WORD PATTERN: waits for a mail to our address and prints what the pattern finds in its text.
from_mail() {
    python3 - "$mails" "$email" "$1" "$2" <<'PYTHON'
import email, email.policy, pathlib, re, sys, time

folder, address, word, pattern = pathlib.Path(sys.argv[1]), *sys.argv[2:]
deadline = time.time() + 20
while time.time() < deadline:
    for path in sorted(folder.rglob("*"), key=lambda p: -p.stat().st_mtime_ns):
        if not path.is_file():
            continue
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if address not in str(mail["to"]) or word.lower() not in str(mail["subject"]).lower():
            continue
        found = re.search(pattern, mail.get_body(("plain",)).get_content())
        if found:
            print(found.group(1))
            sys.exit()
    time.sleep(0.2)
sys.exit(f"no mail with «{word}» in its subject came to {folder}")
PYTHON
}

say() { printf '\n# %s\n' "$*"; }

say "Sign up. The answer is the same whether or not the address has an account."
ask 202 POST /api/auth/register "{\"organisation_name\": \"Sunrise Clinic\", \"name\": \"Asha Rao\", \"email\": \"$email\", \"password\": \"$password\"}"

say "Without the code from the mail nobody gets in."
code=$(from_mail confirm '\b([0-9]{6})\b')
ask 403 POST /api/auth/login "{\"email\": \"$email\", \"password\": \"$password\"}"
ask 200 POST /api/auth/verify-email "{\"email\": \"$email\", \"code\": \"$code\"}"
ask 400 POST /api/auth/verify-email "{\"email\": \"$email\", \"code\": \"$code\"}"

say "Log in."
ask 401 POST /api/auth/login "{\"email\": \"$email\", \"password\": \"not the password at all\"}"
ask 200 POST /api/auth/login "{\"email\": \"$email\", \"password\": \"$password\"}"
access=$(field access_token)
refresh=$(field refresh_token)
ask 200 GET /api/auth/me "" "$access"

say "An agent, and a number that it answers."
flow=$(python3 -c 'import json, sys; print(json.dumps({"name": "Receptionist", "config": {"language": "en-IN", "brain": {"kind": "flow", "text": open(sys.argv[1]).read()}, "tools": {"book_visit": {"kind": "record"}}}}))' "$(dirname "$0")/../flows/clinic.toml")
ask 201 POST /api/agents "$flow" "$access"
agent=$(field id)
ask 201 POST /api/phone-numbers "{\"carrier\": \"exotel\", \"number\": \"$number\", \"agent_id\": \"$agent\"}" "$access"
phone_number=$(field id)
ask 201 POST "/api/phone-numbers/$phone_number/webhook-address" "" "$access"
ask 200 GET /api/agents "" "$access"
ask 401 GET /api/agents

say "Refresh: the old token is spent. Coming back later it ends the session: somebody else may have it."
ask 200 POST /api/auth/refresh "{\"refresh_token\": \"$refresh\"}"
second=$(field refresh_token)
ask 200 POST /api/auth/refresh "{\"refresh_token\": \"$second\"}"
third=$(field refresh_token)
access=$(field access_token)
ask 401 POST /api/auth/refresh "{\"refresh_token\": \"$refresh\"}"
ask 401 POST /api/auth/refresh "{\"refresh_token\": \"$third\"}"
ask 401 GET /api/agents "" "$access"

say "Log out: the access token is dead at once."
ask 200 POST /api/auth/login "{\"email\": \"$email\", \"password\": \"$password\"}"
access=$(field access_token)
ask 204 POST /api/auth/logout "" "$access"
ask 401 GET /api/agents "" "$access"

say "A forgotten password: the link in the mail sets a new one and ends every session."
ask 200 POST /api/auth/login "{\"email\": \"$email\", \"password\": \"$password\"}"
access=$(field access_token)
refresh=$(field refresh_token)
ask 202 POST /api/auth/forgot-password "{\"email\": \"$email\"}"
token=$(from_mail password '#token=([A-Za-z0-9_-]+)')
ask 204 POST /api/auth/reset-password "{\"token\": \"$token\", \"password\": \"$new_password\"}"
ask 401 POST /api/auth/reset-password "{\"token\": \"$token\", \"password\": \"$new_password\"}"
ask 401 GET /api/agents "" "$access"
ask 401 POST /api/auth/refresh "{\"refresh_token\": \"$refresh\"}"
ask 200 POST /api/auth/login "{\"email\": \"$email\", \"password\": \"$new_password\"}"
access=$(field access_token)

say "Who did what."
ask 200 GET '/api/audit-logs?limit=5' "" "$access"
printf '\nAll as it should be.\n'
