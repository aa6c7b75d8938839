package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"path/filepath"
	"time"
)

func TestMessagesOfARealServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	sent := run(t, s.env(), nil, "message", "send", "--to", "233241234567", "--body", "Your code is 482913", "--tag", "otp", "--wait", "--utc")
	if sent.code != exitOK || !strings.HasPrefix(sent.err, "Idempotency key made: auto-") || strings.Contains(sent.err, "\x1b") {
		t.Fatalf("%+v", sent)
	}
	if got, want := golden(sent.out), storyGolden; got != want {
		t.Errorf("the story reads\n%s\nwant\n%s", got, want)
	}
	id := someID.FindString(sent.out)

	list := s.ok("message", "list", "--tag", "otp")
	for len(strings.Split(list, "\n")) < 3 { // found by search a moment later
		list = s.ok("message", "list", "--tag", "otp")
	}
	if got := golden(list); got != listGolden {
		t.Errorf("the list reads\n%s\nwant\n%s", got, listGolden)
	}
	if got := s.ok("message", "list", "--status", "SENT", "--quiet"); got != id+"\n" {
		t.Errorf("--quiet prints %q", got)
	}
	document := s.ok("message", "get", id, "--json")
	if !json.Valid([]byte(document)) || strings.Count(document, "\n") != 1 || fieldOf(t, document, "body") != "Your code is 482913" {
		t.Errorf("--json prints %q", document)
	}
	if captured := s.ok("sandbox", "show", id); !strings.Contains(captured, "Your code is 482913") {
		t.Errorf("the capture reads %q", captured)
	}
	if captured := s.ok("sandbox", "list", "--channel", "SMS", "--json"); fieldOf(t, captured, "id") != id {
		t.Errorf("the captures read %q", captured)
	}
	if captured := s.ok("sandbox", "wait", "+233241234567", "--json"); fieldOf(t, captured, "id") != id || fieldOf(t, captured, "body") != "Your code is 482913" {
		t.Errorf("waiting for the capture reads %q", captured)
	}
	s.fails(exitMissing, "nothing_captured", "sandbox", "wait", "233241234567", "--after", "0s", "--for", "0s")
	s.fails(exitUsage, "--for", "sandbox", "wait", "233241234567", "--for", "51s")
	sendActs(t, s)
	sendEnds(t, s)
}

const storyGolden = `ID         cIDIDIDIDIDIDIDIDIDIDIDID
Status     SENT
Channel    SMS
To         233241234567
Lane       NORMAL
Sandbox    yes
Created    2026-07-03 10:00:00Z
Sent       2026-07-03 10:00:00Z
Attempts   1
Provider   sandbox
Reference  cIDIDIDIDIDIDIDIDIDIDIDID
Segments   1
Encoding   GSM7
Tags       otp
Key        KEY

What happened
  2026-07-03 10:00:00Z  QUEUED      accepted and stored
  2026-07-03 10:00:00Z  SENDING     handed to the provider (sandbox)
  2026-07-03 10:00:00Z  SENT        taken by the provider (sandbox): taken by the sandbox; nothing was sent

Provider calls
TRY  PROVIDER  CONFIGURATION  STARTED               ENDED                 OUTCOME   REFERENCE                  CODE  DETAIL
1    sandbox                  2026-07-03 10:00:00Z  2026-07-03 10:00:00Z  accepted  cIDIDIDIDIDIDIDIDIDIDIDID        taken by the sandbox; nothing was sent
`

const listGolden = `ID                         CREATED               STATUS  CHANNEL  TO            SUBJECT  TRIES  PROVIDER  WAITS FOR  ERROR
cIDIDIDIDIDIDIDIDIDIDIDID  2026-07-03 10:00:00Z  SENT    SMS      233241234567           1      sandbox
`

func sendActs(t *testing.T, s *server) {
	t.Helper()
	files := writeFile(t, "mail.html", "<p>Hi</p>")
	attached := writeFile(t, "note.txt", "a note")
	planned := s.ok("message", "send", "--to", "ama@example.com", "--subject", "Hello", "--html-file", files, "--text-file", writeFile(t, "mail.txt", "Hi"), "--attach", attached,
		"--cc", "b@example.com", "--reply-to", "c@example.com", "--header", "X-Ref: 7", "--metadata", `{"n":1}`, "--lane", "BULK", "--at", "1h", "--ttl", "5m",
		"--from", "MyApp <no-reply@example.com>", "--idempotency-key", "k1", "--json")
	id := fieldOf(t, planned, "id")
	if again := run(t, s.env(), nil, "message", "send", "--to", "233241234567", "--body", "other", "--idempotency-key", "k1"); again.code != exitRefused || !strings.Contains(again.err, "idempotency_key_reused") {
		t.Errorf("%+v", again)
	}
	doc := s.ok("message", "get", id, "--json")
	for field, want := range map[string]string{"subject": "Hello", "body": "<p>Hi</p>", "lane": "BULK", "metadata.n": "1", "waitingFor": "schedule", "fromAddress": "MyApp <no-reply@example.com>"} {
		if got := fieldOf(t, doc, field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if story := s.ok("message", "get", id); !strings.Contains(story, "It waits for its scheduled time. Next attempt: ") || !strings.Contains(story, "(in ") {
		t.Errorf("the story does not say why it waits:\n%s", story)
	}
	if got := golden(s.ok("message", "cancel", id)); got != "ID                         STATUS     TO\ncIDIDIDIDIDIDIDIDIDIDIDID  CANCELLED  ama@example.com\n" {
		t.Errorf("cancel prints %q", got)
	}
	if got := s.ok("message", "retry", id, "--json"); fieldOf(t, got, "status") != "QUEUED" {
		t.Errorf("retry prints %q", got)
	}
	s.fails(exitRefused, "code invalid_state, status 409", "message", "retry", id)
	s.fails(exitMissing, "not everything could be done", "message", "cancel", "cmr0123456789abcdefghijkl", id)
	if got := s.ok("message", "get", id, "--json"); fieldOf(t, got, "status") != "CANCELLED" {
		t.Error("one that is missing kept the other from being cancelled")
	}
}

func sendEnds(t *testing.T, s *server) {
	t.Helper()
	s.fails(exitBadEnd, "the message ended FAILED", "message", "send", "--to", "failed@sandbox.commserver.test", "--subject", "x", "--body", "x", "--wait=20s")
	s.fails(exitWaiting, "still QUEUED", "message", "send", "--to", "233241234567", "--body", "x", "--at", "1h", "--wait=50ms")
	s.fails(exitRefused, "to: ", "message", "send", "--to", "nonsense", "--body", "x")
	s.fails(exitMissing, "code not_found", "message", "get", "cmr0123456789abcdefghijkl")
	s.fails(exitMissing, "template_not_found", "message", "send", "--to", "233241234567", "--template", "none", "--var", "a=b")
	for _, wrong := range [][]string{
		{"--body", "x"}, {"--to", "233241234567"}, {"--to", "233241234567", "--body", "x", "--body-file", "y"},
		{"--to", "233241234567", "--body", "x", "--at", "tomorrow"}, {"--to", "233241234567", "--body", "x", "--ttl", "1ms"},
		{"--to", "233241234567", "--body", "x", "--metadata", "nothing"}, {"--to", "233241234567", "--body", "x", "--metadata", "{"},
		{"--to", "233241234567", "--body", "x", "--var", "a=1", "--var", "a=2"}, {"--to", "a@example.com", "--body", "x", "--attach", "/no/such/file"},
		{"--to", "233241234567", "--body", "x", "--json", "--quiet"}, {"--to", "233241234567", "--body", "x", "--timeout", "0s"},
		{"--to", "233241234567", "--body", "x", "--wait=-1s"}, {"--file", "x", "--to", "233241234567"},
	} {
		s.fails(exitUsage, "commserver:", append([]string{"message", "send"}, wrong...)...)
	}
}

func TestContentFromStandardInput(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{"POST /api/v1/messages": `202 {"id":"c1","status":"QUEUED","warnings":[{"code":"no_sender","message":"No sender."}]}`})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}
	got := run(t, env, func(s *Streams) { s.In = strings.NewReader("<p>Piped</p>") }, "message", "send", "--to", "a@example.com", "--subject", "s", "--body-file", "-", "--quiet")
	if got.code != exitOK || got.out != "c1\n" || !strings.Contains(got.err, "Warning: No sender. (no_sender)") {
		t.Errorf("%+v", got)
	}
	if body := r.last(t).body; !strings.Contains(body, `Piped`) || !strings.Contains(body, `"channel":"EMAIL"`) || !strings.Contains(body, `"idempotencyKey":"auto-`) {
		t.Errorf("sent %s", body)
	}
}

func TestBatchFile(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{"POST /api/v1/messages/batch": `202 {"data":[{"index":0,"id":"c1","status":"QUEUED"},{"index":1,"error":"to is wrong.","details":{"code":"invalid_phone"}}]}`})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}
	file := writeFile(t, "batch.jsonl", `{"channel":"SMS","to":"233241234567","body":"x"}`+"\n\n"+`{"channel":"SMS","to":"1","body":"x","idempotencyKey":"mine"}`+"\n")
	got := run(t, env, nil, "message", "send", "--file", file, "--idempotency-key", "july")
	if got.code != exitRefused || got.out != "ID  STATUS  LINE\nc1  QUEUED  1\n" || !strings.Contains(got.err, "line 3: to is wrong. (invalid_phone)") || !strings.Contains(got.err, "1 queued, 1 refused.") {
		t.Errorf("%+v", got)
	}
	if body := r.last(t).body; !strings.Contains(body, `"idempotencyKey":"july-1"`) || !strings.Contains(body, `"idempotencyKey":"mine"`) {
		t.Errorf("sent %s", body)
	}
	if got := run(t, env, nil, "message", "send", "--file", writeFile(t, "bad.jsonl", "[]\n")); got.code != exitUsage || !strings.Contains(got.err, "line 1 must be one JSON object; the lines before it are sent") {
		t.Errorf("%+v", got)
	}
	before := r.count()
	// A flag of one message, left unsaid, would send now what was to be sent tomorrow.
	for _, flag := range []string{"--at=24h", "--lane=BULK", "--ttl=5m", "--from=a@example.com", "--tag=x", "--channel=SMS", "--subject=x", "--var=a=b", "--wait", "--attach=x"} {
		got := run(t, env, nil, "message", "send", "--file", file, flag)
		name, _, _ := strings.Cut(flag, "=")
		if got.code != exitUsage || !strings.Contains(got.err, name+" cannot be given") {
			t.Errorf("%s: %+v", flag, got)
		}
	}
	if r.count() != before {
		t.Errorf("sent %+v", r.last(t))
	}
	long := writeFile(t, "long.jsonl", "\n"+`{"channel":"SMS","to":"233241234567","body":"`+strings.Repeat("x", lineLimit)+"\"}\n")
	if got := run(t, env, nil, "message", "send", "--file", long); got.code != exitUsage || !strings.Contains(got.err, "line 2 is longer than 1 MiB") {
		t.Errorf("%+v", got)
	}
	// What could not be sent is not said to be.
	r.mu.Lock()
	r.answers = map[string]string{"POST /api/v1/messages/batch": `401 {"error":"No.","details":{"code":"unauthenticated"}}`}
	r.mu.Unlock()
	broken := writeFile(t, "broken.jsonl", `{"channel":"SMS","to":"233241234567","body":"x"}`+"\nnonsense\n")
	if got := run(t, env, nil, "message", "send", "--file", broken); got.code != exitDenied || strings.Contains(got.err, "are sent") || !strings.Contains(got.err, "line 2 must be one JSON object; nor are all lines before it sent: No.") || !strings.Contains(got.err, "0 queued, 0 refused.") {
		t.Errorf("%+v", got)
	}
}

func TestAStoryOfDoubt(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{"GET /api/v1/messages/c1": `200 {"id":"c1","status":"QUEUED","waitingFor":"provider_down","nextAttemptAt":"2026-07-03T10:02:00.000Z","possibleDuplicate":true,"mayHaveBeenSent":true,
		"events":[{"type":"attempt_unknown","from":"SENDING","to":"SENDING","at":"2026-07-03T10:00:00.000Z","provider":"smtp","detail":"gone\u001b]0;x"},{"type":"of_tomorrow","at":"2026-07-03T10:00:00.000Z"}],
		"attemptLog":[{"attempt":1,"provider":"smtp","configName":"Spare relay","startedAt":"2026-07-03T09:59:00.000Z","outcome":"unknown"}]}`})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}
	got := run(t, env, func(s *Streams) { s.Now = fixed }, "message", "get", "c1", "--utc")
	want := `ID      c1
Status  QUEUED

The provider fails too often, does not answer or refuses the account; it is tried again from time to time. Next attempt: 2026-07-03 10:02:00Z (in 2m0s).

An attempt had no answer, and the message is sent again: the recipient may get it twice.

An attempt had no answer: the recipient may have got it all the same.

What happened
  2026-07-03 10:00:00Z              no answer: nobody can tell whether the provider took it (smtp): gone]0;x
  2026-07-03 10:00:00Z              of_tomorrow

Provider calls
TRY  PROVIDER  CONFIGURATION  STARTED               ENDED  OUTCOME  REFERENCE  CODE  DETAIL
1    smtp      Spare relay    2026-07-03 09:59:00Z         unknown
`
	if got.code != exitOK || got.out != want {
		t.Errorf("the story reads\n%s\nwant\n%s", got.out, want)
	}
}

// TestAKeyThatEndsWhileWaiting ends the wait: the message is stored, and whoever asked may no longer look.
func TestAKeyThatEndsWhileWaiting(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin := []string{"COMMS_URL=" + s.url, "COMMS_ADMIN_KEY_FILE=" + filepath.Join(s.data, "admin-key")}
	id := strings.TrimSpace(run(t, admin, nil, "key", "list", "demo", "--quiet").out)
	go func() {
		time.Sleep(300 * time.Millisecond)
		if got := run(t, admin, nil, "key", "revoke", "demo", id, "--yes"); got.code != exitOK {
			t.Errorf("revoke %q: %+v", id, got)
		}
	}()
	began := time.Now()
	got := run(t, s.env(), nil, "message", "send", "--to", "233241234567", "--body", "x", "--at", "1h", "--wait=20s")
	if got.code != exitDenied || !strings.Contains(got.err, "is stored, but could not be followed") || !strings.Contains(got.err, "status 401") || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %+v", time.Since(began), got)
	}
}
