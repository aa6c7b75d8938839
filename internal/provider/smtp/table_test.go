package smtp

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/veil"
)

// TestReplyTable sends every row of the table through the reader of replies
// and the table, and proves that no row is without a case.
func TestReplyTable(t *testing.T) {
	t.Parallel()
	const (
		message, here, account  = provider.PermanentMessage, provider.PermanentHere, provider.Account
		transient, ambiguous    = provider.Transient, provider.Ambiguous
		limited                 = provider.RateLimited
		soon, greylisted, later = time.Minute, 5 * time.Minute, time.Hour
	)
	used := map[string]bool{}
	for _, c := range []struct {
		at    phase
		reply string
		class provider.Class
		hard  bool
		after time.Duration
	}{
		// "421 at any time", 4xx greeting
		{greeting, "421 4.3.2 too many connections", transient, false, soon},
		{rcptTo, "421 4.7.0 try again later", transient, false, soon},
		{final, "421 4.4.2 closing", transient, false, soon},
		{greeting, "450 not now", transient, false, soon},
		{hello, "451 not now", transient, false, soon},
		// 554 greeting, 550/554 5.7.1 at greeting or EHLO
		{greeting, "554 no SMTP service here", account, false, 0},
		{greeting, "554 5.7.1 blocked", account, false, 0},
		{hello, "550 5.7.1 your address is listed", account, false, 0},
		{hello, "554 5.7.1 your address is listed", account, false, 0},
		{greeting, "550 5.7.1 blocked", account, false, 0},
		{startTLS, "454 TLS not available", transient, false, 0},
		{startTLS, "501 no parameters", account, false, 0},
		// AUTH
		{authentication, "535 5.7.8 bad credentials", account, false, 0},
		{authentication, "534 5.7.9 application password required", account, false, 0},
		{authentication, "530 5.7.0 must issue STARTTLS first", account, false, 0},
		{authentication, "538 5.7.11 encryption required", account, false, 0},
		{authentication, "432 4.7.12 password transition needed", account, false, 0},
		{authentication, "454 4.7.0 temporary failure", transient, false, 0},
		{authentication, "421 4.7.0 later", transient, false, soon},
		// MAIL FROM
		{mailFrom, "550 5.1.7 bad sender syntax", here, false, 0},
		{mailFrom, "553 5.1.8 bad sender domain", here, false, 0},
		{mailFrom, "550 5.7.1 not allowed", here, false, 0},
		{mailFrom, "530 5.7.0 authentication required", here, false, 0},
		{mailFrom, "553 sender not owned by user", here, false, 0},
		{mailFrom, "452 4.3.1 insufficient storage", transient, false, 0},
		{mailFrom, "451 local error", transient, false, 0},
		{mailFrom, "552 5.3.4 size", here, false, 0},
		{mailFrom, "501 5.5.4 syntax", here, false, 0},
		{mailFrom, "500 no such command", here, false, 0},
		{mailFrom, "502 not implemented", here, false, 0},
		{mailFrom, "503 5.5.1 bad sequence", here, false, 0},
		{mailFrom, "504 no such parameter", here, false, 0},
		{mailFrom, "555 5.5.4 unknown parameter", here, false, 0},
		{mailFrom, "550 5.4.5 daily user sending limit exceeded", account, false, 0},
		{rcptTo, "550 5.7.708 access denied, traffic not accepted", account, false, 0},
		{final, "550 5.1.8 access denied, bad outbound sender", account, false, 0},
		// RCPT: the recipient
		{rcptTo, "550 5.1.1 user unknown", message, true, 0},
		{rcptTo, "550 5.1.2 bad domain", message, true, 0},
		{rcptTo, "550 5.1.3 bad syntax", message, true, 0},
		{rcptTo, "553 5.1.3 bad syntax", message, true, 0},
		{rcptTo, "501 5.1.3 bad syntax", message, true, 0},
		{rcptTo, "550 5.1.6 moved", message, true, 0},
		{rcptTo, "556 5.1.10 null MX", message, true, 0},
		{rcptTo, "550 5.2.1 disabled", message, true, 0},
		{rcptTo, "550 5.1.4 ambiguous", message, false, 0},
		{rcptTo, "550 5.2.0 mailbox trouble", message, false, 0},
		{rcptTo, "552 5.2.2 full", transient, false, later},
		{rcptTo, "452 4.2.2 full", transient, false, later},
		{rcptTo, "452 5.2.2 the basic code decides on retrying", transient, false, later},
		{final, "552 5.2.2 full", transient, false, later},
		{rcptTo, "550 5.1.8 sender domain unknown, said late", here, false, 0},
		// RCPT: policy
		{rcptTo, "550 5.7.1 refused", here, false, 0},
		{rcptTo, "550 5.7.26 unauthenticated", here, false, 0},
		{rcptTo, "554 5.7.1 relay access denied", here, false, 0},
		{rcptTo, "550 5.7.515 access denied", here, false, 0},
		{rcptTo, "550 5.7.1 blocked by the recipient", message, false, 0},
		{rcptTo, "550 5.4.4 unable to route", here, false, 0},
		{rcptTo, "550 5.3.0 other", here, false, 0},
		{rcptTo, "552 5.2.3 too long", here, false, 0},
		// RCPT: later
		{rcptTo, "450 4.2.0 greylisted", transient, false, greylisted},
		{rcptTo, "451 4.7.1 come again", transient, false, greylisted},
		{rcptTo, "450 4.1.1 Greylisting in action", transient, false, greylisted},
		{rcptTo, "450 4.1.2 Recipient address rejected: Domain not found", transient, false, 0},
		{rcptTo, "450 4.1.8 Sender address rejected: Domain not found", transient, false, 0},
		{rcptTo, "451 4.7.1 Rate limit exceeded, try again later", limited, false, soon},
		{rcptTo, "452 4.5.3 too many messages from this account", limited, false, soon},
		{mailFrom, "450 4.7.0 sending too fast", limited, false, soon},
		{mailFrom, "451 You are being throttled", limited, false, soon},
		{final, "451 4.3.0 message rate exceeded", limited, false, soon},
		{rcptTo, "450 4.2.1 this mailbox has a rate limit", transient, false, 0}, // the recipient's, not ours
		{rcptTo, "450 mailbox busy", transient, false, 0},
		{rcptTo, "452 4.5.3 too many recipients", transient, false, 0},
		{rcptTo, "451 4.3.0 local", transient, false, 0},
		// RCPT without an enhanced code
		{rcptTo, "550 No such user here", message, true, 0},
		{rcptTo, "550 relaying is not permitted", here, false, 0},
		{rcptTo, "550 no", message, false, 0},
		{rcptTo, "551 not local", message, false, 0},
		{rcptTo, "553 bad mailbox name", message, false, 0},
		{rcptTo, "552 exceeded storage", transient, false, later},
		{rcptTo, "554 transaction failed", here, false, 0},
		{rcptTo, "503 bad sequence", here, false, 0},
		{rcptTo, "500 no such command", here, false, 0},
		{rcptTo, "502 not implemented", here, false, 0},
		{rcptTo, "504 no such parameter", here, false, 0},
		{rcptTo, "555 5.5.4 unknown parameter", here, false, 0},
		// DATA and after it
		{final, "550 5.7.1 spam", here, false, 0},
		{final, "554 5.6.0 content", here, false, 0},
		{final, "550 5.7.26 DMARC", here, false, 0},
		{final, "552 5.3.4 size", here, false, 0},
		{final, "552 5.2.3 size", here, false, 0},
		{final, "550 5.1.1 unknown after all", message, true, 0},
		{final, "554 failed", here, false, 0},
		{final, "451 4.3.0 not taken", transient, false, 0},
		{final, "451 4.7.1 Try again later", transient, false, greylisted},
		{final, "452 not taken", transient, false, 0},
		{final, "450 not taken", transient, false, 0},
		{data, "554 no valid recipients", here, false, 0},
		{data, "451 later", transient, false, 0},
		{final, "354 what", ambiguous, false, 0},
		{mailFrom, "354 what", transient, false, 0},
		{greeting, "250 what", transient, false, 0},
	} {
		t.Run(strings.ReplaceAll(c.reply, " ", "_"), func(t *testing.T) {
			w := &wire{in: bufio.NewReader(strings.NewReader(c.reply + "\r\n"))}
			r, err := w.reply()
			if err != nil {
				t.Fatal(err)
			}
			row := judge(c.at, &r)
			used[row.name] = true
			if row.class != c.class || row.hard != c.hard || row.after != c.after {
				t.Errorf("row %q: %s hard %t after %v; want %s %t %v", row.name, row.class, row.hard, row.after, c.class, c.hard, c.after)
			}
		})
	}
	for _, r := range rules() {
		if !used[r.name] {
			t.Errorf("row %q has no case", r.name)
		}
		if r.what == "" || r.hard && r.class != provider.PermanentMessage {
			t.Errorf("row %q is not sound", r.name)
		}
	}
}

// TestARecipientThatWaitsIsNoFaultOfTheServer: whoever writes to addresses that cannot take mail now, such as in a domain whose
// name servers do not answer, must not stop everybody else's mail through the same account.
func TestARecipientThatWaitsIsNoFaultOfTheServer(t *testing.T) {
	t.Parallel()
	for line, works := range map[string]bool{ // at RCPT, but for those that name their phase
		"DATA 451 4.7.1 Try again later":                                     true, // a filter that reads the mail and greylists it
		"DATA 451 4.3.0 not taken":                                           false,
		"450 4.1.2 <a@x.test>: Recipient address rejected: Domain not found": true,
		"450 4.1.1 unverified address":                                       true,
		"450 4.2.1 mailbox disabled for now":                                 true,
		"452 4.2.2 over quota":                                               true,
		"450 4.1.7 sender unverified":                                        true,
		"450 4.1.8 Sender address rejected: Domain not found":                true,
		"451 4.3.0 local error":                                              false,
		"451 later":                                                          false,
		"450 mailbox busy":                                                   true, // the mailbox, says RFC 5321, and no status says otherwise
		"450 4.3.2 not accepting now":                                        false,
		"450 4.7.0 policy":                                                   false,
		"452 too much":                                                       false,
	} {
		at, said := rcptTo, line
		if rest, ok := strings.CutPrefix(line, "DATA "); ok {
			at, said = final, rest
		}
		w := &wire{in: bufio.NewReaderSize(strings.NewReader(said+"\r\n"), maxReplyLine)}
		r, err := w.reply()
		if err != nil {
			t.Fatal(err)
		}
		if got := newFault(at, r, nil).asError(veil.Veil{}); got.Class != provider.Transient || got.Healthy != works {
			t.Errorf("%q is %s, healthy %v", line, got.Class, got.Healthy)
		}
	}
}

func TestReplies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxReplyLine)
	for _, c := range []struct {
		name, in   string
		code, text string
		bad        bool
	}{
		{"one line", "250 2.1.0 Ok\r\n", "250 2.1.0", "Ok", false},
		{"no text", "250\r\n", "250", "", false},
		{"bare LF", "250 Ok\n", "250", "Ok", false},
		{"lines", "550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", "550 5.1.1", "no such user", false},
		{"class follows the basic code", "450 5.2.1 x\r\n", "450 4.2.1", "x", false},
		{"no enhanced code", "250 2.0 Ok\r\n", "250", "2.0 Ok", false},
		{"an address is no code", "220 1.2.3.4 ESMTP\r\n", "220", "1.2.3.4 ESMTP", false},
		{"cut off after a whole line", "250-queued\r\n250 a", "250", "queued", true},
		{"nothing", "", "", "", true},
		{"cut off", "250 Ok", "", "", true},
		{"codes differ", "250-a\r\n550 b\r\n", "", "", true},
		{"no code", "hello\r\n", "", "", true},
		{"code too small", "150 a\r\n", "", "", true},
		{"code too large", "999 a\r\n", "", "", true},
		{"no separator", "250x\r\n", "", "", true},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n", "", "", true},
		{"line too long", "250 " + long + "\r\n", "", "", true},
		{"without end", strings.Repeat("250-a\r\n", 200), "", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := &wire{in: bufio.NewReaderSize(strings.NewReader(c.in), maxReplyLine)}
			r, err := w.reply()
			if (err != nil) != c.bad {
				t.Fatalf("error %v", err)
			}
			if err == nil && (r.String() != c.code || r.text != c.text) {
				t.Errorf("got %s %q", r.String(), r.text)
			}
		})
	}
}

// FuzzReply: whatever a server says at whatever point, it has one meaning that keeps the promises of the class table.
func FuzzReply(f *testing.F) {
	f.Add("250-a\r\n250 2.0.0 b\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		w := &wire{in: bufio.NewReaderSize(strings.NewReader(in), maxReplyLine)}
		r, err := w.reply()
		if err == nil && (r.code < 200 || r.code > 599 || len(r.text) > maxReplyText+2*maxReplyLine) {
			t.Errorf("code %d, text of %d", r.code, len(r.text))
		}
		for p := connecting; p <= final; p++ {
			e := newFault(p, r, err).asError(veil.Veil{Secrets: []string{"hunter22"}})
			switch {
			case e.Class <= provider.Accepted || e.Class > provider.Ambiguous:
				t.Errorf("at %d: class %d", p, e.Class)
			case e.Text == "" || len(e.Text) > veil.MaxText || strings.ContainsAny(e.Text, "\r\n@") || strings.Contains(strings.ToLower(e.Text), "hunter22"):
				t.Errorf("at %d: text %q", p, e.Text)
			case e.HardBounce && (e.Class != provider.PermanentMessage || r.code < 500 || p < rcptTo):
				t.Errorf("at %d: %q suppresses", p, in)
			case e.Class == provider.Ambiguous && p != final, p == final && e.Class == provider.Transient && r.code/100 != 4:
				t.Errorf("at %d: %q is %s", p, in, e)
			}
		}
	})
}

// FuzzExtensions: what a server says of itself is read or left, and never too much of it.
func FuzzExtensions(f *testing.F) {
	f.Add("mail.example\nSIZE 100\nAUTH=LOGIN PLAIN")
	f.Fuzz(func(t *testing.T, in string) {
		var e extensions
		for line := range strings.Lines(in) {
			e.learn(line)
		}
		if e.size < 0 || e.size > 0 && !e.sized || len(e.auth) > len(in) {
			t.Errorf("%+v", e)
		}
	})
}

func TestDots(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\r\n":             "a\r\n.\r\n",
		".\r\n..\r\n.a":     "..\r\n...\r\n..a\r\n.\r\n",
		"\r\n.\r\n\r\n":     "\r\n..\r\n\r\n.\r\n",
		"":                  ".\r\n",
		"a.b\r\n\r\n.c\r\n": "a.b\r\n\r\n..c\r\n.\r\n",
	} {
		for cut := range len(in) + 1 { // however the content is split into writes
			var out strings.Builder
			d := &dotWriter{out: bufio.NewWriter(&out)}
			for _, p := range []string{in[:cut], in[cut:]} {
				if n, err := d.Write([]byte(p)); err != nil || n != len(p) {
					t.Fatal(n, err)
				}
			}
			if err := d.end(); err != nil || out.String() != want {
				t.Errorf("%q cut at %d: %q, want %q", in, cut, out.String(), want)
			}
		}
	}
}
